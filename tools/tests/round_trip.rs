//! Real text goes in and comes out identical, per partition in order, however it is compressed and
//! however many partitions there are. RINGSPOOL_TEST_BYTES=76000000 makes it the full size.
#![allow(clippy::unwrap_used)]

mod common;

use common::text::{joined, lines, number, numbered};
use common::{Place, produced};

fn produce(server: &common::Server, place: &Place, lines: &[Vec<u8>], compression: &str) {
    let file = place.file("input.txt");
    std::fs::write(&file, joined(lines)).unwrap();
    let file = file.to_str().unwrap();
    let object =
        produced(&server.ok(&["produce", "t", file, "--compression", compression, "--json"]));
    let bytes: usize = lines.iter().map(Vec::len).sum();
    assert_eq!(object["records"], lines.len(), "{object}");
    assert_eq!(object["acked"], lines.len(), "{object}");
    assert_eq!(object["failed"], 0, "{object}");
    assert_eq!(object["bytes"], bytes, "{object}");
}

/// One partition: the file itself comes back.
fn one_partition(compression: &str) {
    let place = Place::new();
    let server = place.serve(2);
    let lines = lines();
    server.create("t", 1, &[]);
    produce(&server, &place, &lines, compression);
    let back = server.ok(&["consume", "t", "--until-end"]);
    // Not assert_eq: nobody wants to read megabytes.
    assert!(back == joined(&lines), "{} bytes came back changed", back.len());
    assert!(server.stop().success());
}

/// Twelve partitions: each holds its lines in order, and together they hold every line once.
fn twelve_partitions(compression: &str) {
    let place = Place::new();
    let server = place.serve(2);
    let lines = numbered(lines());
    server.create("t", 12, &[]);
    produce(&server, &place, &lines, compression);
    let mut seen = vec![false; lines.len()];
    let mut used = 0;
    for partition in 0..12 {
        let back = server.consume("t", partition);
        let mut last = None;
        for line in back.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap();
            let number = number(line);
            assert!(line == lines[number], "partition {partition}: line {number} is changed");
            assert!(last < Some(number), "partition {partition}: {number} follows {last:?}");
            assert!(!seen[number], "line {number} is there twice");
            seen[number] = true;
            last = Some(number);
        }
        used += u32::from(last.is_some());
    }
    let missing = seen.iter().filter(|seen| !**seen).count();
    assert_eq!(missing, 0, "lines are missing");
    assert!(used > 1, "everything went to one partition");
    assert!(server.stop().success());
}

#[test]
fn one_partition_zstd() {
    one_partition("zstd");
}

#[test]
fn one_partition_uncompressed() {
    one_partition("none");
}

#[test]
fn twelve_partitions_zstd() {
    twelve_partitions("zstd");
}

#[test]
fn twelve_partitions_uncompressed() {
    twelve_partitions("none");
}

#[test]
fn the_same_key_goes_to_the_same_partition_and_keeps_its_order() {
    let place = Place::new();
    let server = place.serve(2);
    server.create("t", 8, &[]);
    let input: String = (0..2000).map(|n| format!("key{}={n}\n", n % 10)).collect();
    server.ok_with(&["produce", "t", "--key-separator", "="], input.as_bytes());
    let mut partition_of = std::collections::HashMap::new();
    let mut last_of = std::collections::HashMap::new();
    let back = server.ok(&["consume", "t", "--until-end", "--format", "json"]);
    let text = String::from_utf8(back).unwrap();
    assert_eq!(text.lines().count(), 2000);
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = record["key"].as_str().unwrap().to_owned();
        let partition = record["partition"].as_u64().unwrap();
        let value: u64 = record["value"].as_str().unwrap().parse().unwrap();
        assert_eq!(*partition_of.entry(key.clone()).or_insert(partition), partition, "{key}");
        let last = last_of.insert(key.clone(), value);
        assert!(last < Some(value), "{key}: {value} follows {last:?}");
    }
    assert_eq!(partition_of.len(), 10);
}
