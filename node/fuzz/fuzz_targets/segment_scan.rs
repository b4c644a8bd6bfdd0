//! Any bytes as a segment; see `ringspool_node::fuzzing::segment_scan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringspool_node::fuzzing::segment_scan(input));
