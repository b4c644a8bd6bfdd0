//! A record far larger than a batch goes through, and the node's memory does not grow with it.
//! RINGSPOOL_TEST_RECORD_BYTES=209715200 makes it 200 MiB.
#![allow(clippy::unwrap_used)]

mod common;

use common::text::noise;
use common::{Place, Server, produced};

const RECORD_BYTES_DEFAULT: usize = 48 << 20;

const NODE_BYTES_MAX: u64 = 600 << 20;

/// The most memory the process ever had.
fn peak_bytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn a_large_record_comes_back_identical_and_the_node_stays_small() {
    let bytes = std::env::var("RINGSPOOL_TEST_RECORD_BYTES")
        .map_or(RECORD_BYTES_DEFAULT, |text| text.parse().unwrap());
    let place = Place::new();
    let file = place.file("large.bin");
    // What does not compress is the hard case.
    let record = noise(bytes, 7);
    std::fs::write(&file, &record).unwrap();
    let file = file.to_str().unwrap();

    let server = place.serve(2);
    let limit = format!("record_bytes_max={}", bytes.max(64 << 20));
    server.create("t", 1, &[&limit]);
    server.ok_with(&["produce", "t"], b"before\n");
    let object = produced(&server.ok(&["--json", "produce", "t", file, "--whole-file"]));
    assert_eq!(object["records"], 1, "{object}");
    assert_eq!(object["acked"], 1, "{object}");
    assert_eq!(object["bytes"], bytes, "{object}");
    server.ok_with(&["produce", "t"], b"after\n");

    let expected = [&b"before\n"[..], &record, b"\nafter\n"].concat();
    let back = server.consume("t", 0);
    assert!(back == expected, "{} bytes came back, changed", back.len());
    let peak = peak_bytes(&server);
    assert!(peak < NODE_BYTES_MAX, "the node had {peak} bytes of memory");

    // And from the disk.
    server.kill();
    let server = place.serve(2);
    let back = server.consume("t", 0);
    assert!(back == expected, "{} bytes came back after a restart, changed", back.len());
    let peak = peak_bytes(&server);
    assert!(peak < NODE_BYTES_MAX, "the node had {peak} bytes of memory after a restart");
}

#[test]
fn a_record_above_the_limit_is_refused_and_says_how_to_raise_it() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &["record_bytes_max=1048576"]);
    let file = place.file("large.bin");
    std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).unwrap();
    let file = file.to_str().unwrap();
    for args in [&["produce", "t", file, "--whole-file"][..], &["produce", "t", file]] {
        let (code, _, stderr) = server.fails(args);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("record_bytes_max"), "{stderr}");
    }
    assert!(server.consume("t", 0).is_empty());
}
