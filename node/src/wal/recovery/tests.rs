//! A folder of files: what is read, in which order, and what is refused.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::{CrashMode, File, SimDisk};
use crate::wal::format::record;
use crate::wal::testing::{DIR, INCARNATION, file_header, flush, put_file};
use futures::executor::block_on;
use std::rc::Rc;

fn path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:08}.wal"))
}

/// A file of that sequence after `previous`, with `flushes` flushes of one record each.
fn put(disk: &SimDisk, number: u64, sequence: u64, previous: Previous, flushes: u64) {
    let incarnation = INCARNATION + sequence;
    let mut bytes = file_header(sequence, incarnation, previous);
    for n in 0..flushes {
        bytes.extend(flush(incarnation, n, &[format!("file {sequence} flush {n}").as_bytes()]));
    }
    bytes.resize(1 << 16, 0);
    put_file(disk, &path(number), &bytes);
}

fn open(disk: &SimDisk, path: &Path) -> Rc<dyn File> {
    block_on(disk.open(path, OpenMode::ReadWrite)).unwrap()
}

fn recovered(disk: &SimDisk) -> Result<RecoveredDir, RecoveryError> {
    block_on(recover(disk, Path::new(DIR)))
}

#[test]
fn files_come_in_the_order_of_their_use_and_unused_ones_apart() {
    let disk = SimDisk::new();
    put(&disk, 1, 8, Previous { sequence: 7, flushes: 3 }, 2);
    put(&disk, 4, 7, Previous::default(), 3);
    put(&disk, 5, 0, Previous::default(), 0);
    put_file(&disk, &path(6), &[0; 1 << 16]);
    put_file(&disk, &Path::new(DIR).join("notes.txt"), &[1; 4096]);
    let found = recovered(&disk).unwrap();
    assert_eq!(found.files, [(path(4), INCARNATION + 7), (path(1), INCARNATION + 8)]);
    assert_eq!(found.empty, [path(5), path(6)]);
    assert_eq!(found.next_number, 9);
    assert_eq!(found.newest, Previous { sequence: 8, flushes: 2 });
    assert_eq!(found.bytes_read, 4 << 16);
    let payloads: Vec<_> = found.records.iter().map(|record| record.payload.clone()).collect();
    let expected = [(7, 0), (7, 1), (7, 2), (8, 0), (8, 1)];
    assert_eq!(payloads, expected.map(|(file, n)| format!("file {file} flush {n}")));
    for found in &found.records {
        let FilePlace { path, incarnation, position, bytes } = &found.place;
        let there = block_on(open(&disk, path).read_at(*position, *bytes as usize)).unwrap();
        let view = record(&there, 0, *incarnation).unwrap();
        assert_eq!((view.header, &there[view.payload]), (found.header, &found.payload[..]));
    }
}

#[test]
fn a_missing_last_flush_of_a_full_file_is_damage() {
    let disk = SimDisk::new();
    put(&disk, 1, 7, Previous::default(), 3);
    assert!(disk.flip_bit(&path(1), 3 * 4096 + 90));
    assert_eq!(recovered(&disk).unwrap().records.len(), 2, "alone it is a torn tail");
    put(&disk, 2, 8, Previous { sequence: 7, flushes: 3 }, 1);
    let error = recovered(&disk).err().unwrap().to_string();
    let (first, second) = (path(1), path(2));
    let expected = format!(
        "{}: damaged at byte 12288: 3 flushes were in it when {} was begun, 2 are whole",
        first.display(),
        second.display()
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_torn_tail_stays_one_when_the_log_goes_on_behind_it() {
    let disk = SimDisk::new();
    put(&disk, 1, 7, Previous::default(), 3);
    assert!(disk.flip_bit(&path(1), 3 * 4096 + 90));
    put(&disk, 2, 8, recovered(&disk).unwrap().newest, 1);
    assert_eq!(recovered(&disk).unwrap().records.len(), 3);
}

#[test]
fn what_reached_the_disk_after_the_successor_had_read_it_does_not_count() {
    let disk = SimDisk::new();
    put(&disk, 1, 7, Previous::default(), 3);
    put(&disk, 2, 8, Previous { sequence: 7, flushes: 2 }, 1);
    let found = recovered(&disk).unwrap();
    let payloads: Vec<_> = found.records.iter().map(|record| record.payload.clone()).collect();
    let expected = [(7, 0), (7, 1), (8, 0)];
    assert_eq!(payloads, expected.map(|(file, n)| format!("file {file} flush {n}")));
}

#[test]
fn files_whose_predecessor_was_given_up_are_read() {
    let disk = SimDisk::new();
    put(&disk, 3, 9, Previous { sequence: 8, flushes: 5 }, 1);
    assert_eq!(recovered(&disk).unwrap().records.len(), 1);
}

#[test]
fn damage_before_the_tail_names_the_file() {
    let disk = SimDisk::new();
    put(&disk, 1, 1, Previous::default(), 4);
    assert!(disk.flip_bit(&path(1), 2 * 4096 + 50));
    let error = recovered(&disk).err().unwrap().to_string();
    assert!(error.starts_with("/data/wal/shard-000/00000001.wal: damaged at byte 8192"), "{error}");
}

#[test]
fn what_was_read_cannot_be_lost_any_more() {
    let disk = SimDisk::new();
    put(&disk, 1, 1, Previous::default(), 1);
    // A flush that a killed process wrote and did not sync, and a file it did not sync the name of.
    let write = |path: &Path, mode, position, bytes: &[u8]| {
        let file = block_on(disk.open(path, mode)).unwrap();
        let mut buffer = file.alloc(bytes.len());
        buffer.as_bytes_mut().copy_from_slice(bytes);
        block_on(file.write_at(buffer, position)).unwrap();
    };
    write(&path(1), OpenMode::ReadWrite, 8192, &flush(INCARNATION + 1, 1, &[b"not synced"]));
    write(&path(2), OpenMode::Create, 0, &file_header(2, INCARNATION, Previous::default()));
    let killed = disk.kill_at(disk.journal_len());
    let lost = killed.crash_at(killed.journal_len(), CrashMode::LoseUnsynced);
    assert_eq!(recovered(&lost).unwrap().records.len(), 1, "it was not durable");
    assert_eq!(recovered(&killed).unwrap().records.len(), 2);
    let crashed = killed.crash_at(killed.journal_len(), CrashMode::LoseUnsynced);
    let found = recovered(&crashed).unwrap();
    assert_eq!((found.records.len(), found.empty), (2, vec![path(2)]));
}
