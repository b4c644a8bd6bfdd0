//! Any bytes as a batch; see `ringspool_wire::fuzzing::batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringspool_wire::fuzzing::batch(input));
