//! `dump` on the files of a real node, whole and damaged.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::text::{joined, lines_of_about};
use common::{Place, describe, lossy, ringspool, run};
use serde_json::Value;

/// The files of one kind below the data directory, in order.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found
}

fn with_extension(place: &Place, extension: &str) -> Vec<PathBuf> {
    files(&place.data(), &|path| path.extension().is_some_and(|end| end == extension))
}

/// The items `dump --json` lists; it must succeed.
fn dump(path: &Path) -> Vec<Value> {
    let mut command = ringspool(&["dump", "--json"]);
    command.arg(path);
    let output = run(command, None);
    assert!(output.status.success(), "{}: {}", path.display(), describe(&output));
    lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Exit code and stderr of a dump that must fail.
fn dump_damaged(path: &Path) -> String {
    let mut command = ringspool(&["dump"]);
    command.arg(path);
    let output = run(command, None);
    assert_eq!(output.status.code(), Some(1), "{}: {}", path.display(), describe(&output));
    let stderr = lossy(&output.stderr);
    assert!(stderr.contains(path.to_str().unwrap()), "{stderr}");
    stderr
}

/// A stopped node's place with several sealed segments in one partition, and its number of lines.
fn filled() -> (Place, usize) {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &["segment_bytes=1048576"]);
    let lines = lines_of_about(4_000_000);
    let args = ["produce", "t", "--compression", "none", "--batch-bytes", "64KiB"];
    server.ok_with(&args, &joined(&lines));
    assert!(server.stop().success());
    (place, lines.len())
}

#[test]
fn every_file_of_a_stopped_node_is_understood() {
    let (place, lines) = filled();
    let segments = with_extension(&place, "log");
    assert!(segments.len() >= 3, "{segments:?}");
    let (last, sealed) = segments.split_last().unwrap();
    let mut next = 0;
    for segment in sealed {
        for batch in dump(segment) {
            assert_eq!(batch["base_offset"], next, "{}", segment.display());
            next += batch["records"].as_u64().unwrap();
        }
    }
    // The last one may end inside a batch, which the checkpoint has.
    for batch in dump(last) {
        assert_eq!(batch["base_offset"], next);
        next += batch["records"].as_u64().unwrap();
    }
    assert!(next as usize <= lines);

    let indexes = with_extension(&place, "idx");
    assert!(!indexes.is_empty());
    for index in indexes {
        let positions: Vec<u64> =
            dump(&index).iter().map(|entry| entry["position"].as_u64().unwrap()).collect();
        assert!(positions.is_sorted(), "{positions:?}");
    }

    let mut topics = 0;
    let mut end = None;
    for checkpoint in files(&place.data(), &|path| path.ends_with("checkpoint")) {
        for item in dump(&checkpoint) {
            topics += u32::from(item["name"] == "t");
            if !item["high_watermark"].is_null() {
                end = item["high_watermark"].as_u64();
            }
        }
    }
    assert_eq!(topics, 1, "the coordinator's checkpoint has the topic");
    assert_eq!(end, Some(lines as u64), "a vnode's checkpoint has the partition");
}

#[test]
fn the_wal_of_a_killed_node_is_understood() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    server.ok_with(&["produce", "t"], b"one\ntwo\n");
    server.kill();
    let commands: Vec<String> = with_extension(&place, "wal")
        .iter()
        .flat_map(|file| dump(file))
        .filter_map(|item| item["command"].as_str().map(str::to_owned))
        .collect();
    assert!(commands.iter().any(|text| text.contains("create topic t")), "{commands:?}");
    assert!(commands.iter().any(|text| text.starts_with("append")), "{commands:?}");
}

/// Turns one byte.
fn flip(path: &Path, position: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 1], position).unwrap();
}

#[test]
fn a_damaged_place_is_told_with_file_and_position() {
    let (place, _) = filled();
    let segment = with_extension(&place, "log").remove(0);
    let batches = dump(&segment);
    let second = batches[1]["position"].as_u64().unwrap();
    flip(&segment, second + 100);
    let stderr = dump_damaged(&segment);
    assert!(stderr.contains(&format!("byte {second}")), "{stderr}");

    let index = with_extension(&place, "idx").remove(0);
    flip(&index, 40);
    assert!(dump_damaged(&index).contains("byte 0"));

    let is_checkpoint = |path: &Path| path.ends_with("checkpoint");
    for checkpoint in files(&place.data(), &is_checkpoint) {
        flip(&checkpoint, 20);
        assert!(dump_damaged(&checkpoint).contains("checksum"));
    }
}

#[test]
fn what_is_no_file_of_a_node_is_refused() {
    let place = Place::new();
    let file = place.file("notes.txt");
    std::fs::write(&file, "hello").unwrap();
    assert!(dump_damaged(&file).contains("neither"));
    assert!(dump_damaged(&place.file("missing.log")).contains("No such file"));
}
