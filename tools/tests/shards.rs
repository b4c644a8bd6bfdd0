//! Another number of shards serves all data and moves no segment.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::text::{joined, lines, number, numbered};
use common::{Place, Server};

const PARTITIONS: u32 = 8;

/// Every segment file and its inode.
fn segments(data: &Path) -> BTreeMap<PathBuf, u64> {
    fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, u64>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let inode = std::fs::metadata(&path).unwrap().ino();
                found.insert(path, inode);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&data.join("topic"), &mut found);
    found
}

/// Every file that was there is there, and is the same file.
fn assert_unmoved(before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>) {
    for (path, inode) in before {
        assert_eq!(after.get(path), Some(inode), "{} was moved or rewritten", path.display());
    }
}

/// Every line of `lines` is there once, unchanged, and in order within its partition.
fn assert_complete(server: &Server, lines: &[Vec<u8>]) {
    let mut seen = vec![false; lines.len()];
    for partition in 0..PARTITIONS {
        let back = server.consume("t", partition);
        let mut last = None;
        for line in back.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap();
            let number = number(line);
            assert!(line == lines[number], "partition {partition}: line {number} is changed");
            assert!(last < Some(number), "partition {partition}: {number} follows {last:?}");
            assert!(!std::mem::replace(&mut seen[number], true), "line {number} is there twice");
            last = Some(number);
        }
    }
    assert_eq!(seen.iter().filter(|seen| !**seen).count(), 0, "lines are missing");
}

#[test]
fn two_shards_then_one_then_two_serve_all_and_move_nothing() {
    let place = Place::new();
    let lines = numbered(lines());
    let third = lines.len() / 3;

    let server = place.serve(2);
    assert!(server.ready.ends_with("shards=2"), "{}", server.ready);
    server.create("t", PARTITIONS, &["segment_bytes=1048576"]);
    let produce = |server: &Server, some: &[Vec<u8>]| {
        server.ok_with(
            &["produce", "t", "--compression", "none", "--batch-bytes", "64KiB"],
            &joined(some),
        )
    };
    produce(&server, &lines[..third]);
    assert!(server.stop().success());
    let first = segments(&place.data());
    assert!(!first.is_empty(), "no segment was written");

    // Killed, not stopped: the WAL of one shard has to be replayed to two.
    let server = place.serve(1);
    assert!(server.ready.ends_with("shards=1"), "{}", server.ready);
    assert_complete(&server, &lines[..third]);
    produce(&server, &lines[third..2 * third]);
    assert_complete(&server, &lines[..2 * third]);
    server.kill();
    let second = segments(&place.data());
    assert_unmoved(&first, &second);

    let server = place.serve(2);
    assert!(server.ready.ends_with("shards=2"), "{}", server.ready);
    assert_complete(&server, &lines[..2 * third]);
    produce(&server, &lines[2 * third..]);
    assert_complete(&server, &lines);
    server.kill();
    let third_time = segments(&place.data());
    assert_unmoved(&second, &third_time);

    // And from two to one with a WAL to be replayed.
    let server = place.serve(1);
    assert_complete(&server, &lines);
    assert!(server.stop().success());
    assert_unmoved(&third_time, &segments(&place.data()));
}
