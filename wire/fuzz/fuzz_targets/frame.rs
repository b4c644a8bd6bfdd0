//! Any bytes as a frame; see `ringspool_wire::fuzzing::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringspool_wire::fuzzing::frame(input));
