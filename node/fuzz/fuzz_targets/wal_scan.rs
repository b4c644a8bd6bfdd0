//! Any bytes as a WAL file; see `ringspool_node::fuzzing::wal_scan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ringspool_node::fuzzing::wal_scan(input));
