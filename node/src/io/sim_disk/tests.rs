//! What a crash leaves, and that faults come and go.
#![allow(clippy::unwrap_used)]

use super::{CrashMode, SimDisk};
use crate::io::{Disk, File, OpenMode};
use futures::executor::block_on;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

const BLOCK: usize = 4096;

fn write(file: &Rc<dyn File>, byte: u8, position: u64) {
    let mut buffer = file.alloc(BLOCK);
    buffer.as_bytes_mut().fill(byte);
    block_on(file.write_at(buffer, position)).unwrap();
}

/// A disk with one durable name `/d/f` and no content.
fn disk_with_file() -> (SimDisk, Rc<dyn File>) {
    let disk = SimDisk::new();
    block_on(disk.create_dir_all(Path::new("/d"))).unwrap();
    let file = block_on(disk.open(Path::new("/d/f"), OpenMode::Create)).unwrap();
    block_on(disk.sync_dir(Path::new("/d"))).unwrap();
    block_on(disk.sync_dir(Path::new("/"))).unwrap();
    (disk, file)
}

#[test]
fn a_synced_write_survives_and_an_unsynced_one_may_not() {
    let (disk, file) = disk_with_file();
    write(&file, 1, 0);
    block_on(file.sync_data()).unwrap();
    write(&file, 2, BLOCK as u64);
    let end = disk.journal_len();
    let content = |mode| disk.crash_at(end, mode).content(Path::new("/d/f")).unwrap();
    assert_eq!(content(CrashMode::LoseUnsynced), [1; BLOCK]);
    assert_eq!(content(CrashMode::KeepUnsynced), [[1; BLOCK], [2; BLOCK]].concat());
    assert_eq!(content(CrashMode::TearLast), [&[1; BLOCK][..], &[2; BLOCK / 2]].concat());
    let before_sync = disk.crash_at(end - 2, CrashMode::LoseUnsynced);
    assert_eq!(before_sync.content(Path::new("/d/f")).unwrap(), []);
}

#[test]
fn a_seeded_crash_tears_at_sectors_and_repeats_itself() {
    let (disk, file) = disk_with_file();
    write(&file, 7, 0);
    let end = disk.journal_len();
    let crash =
        |seed| disk.crash_at(end, CrashMode::Seeded(seed)).content(Path::new("/d/f")).unwrap();
    let outcomes: std::collections::BTreeSet<Vec<u8>> = (0..64).map(crash).collect();
    assert!(outcomes.contains(&vec![]) && outcomes.contains(&vec![7; BLOCK]));
    assert!(outcomes.len() > 8, "only {} different outcomes", outcomes.len());
    for outcome in &outcomes {
        for sector in outcome.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn within a sector");
        }
    }
    assert!((0..64).all(|seed| crash(seed) == crash(seed)));
}

#[test]
fn a_name_is_undone_until_its_folder_is_synced() {
    let disk = SimDisk::new();
    block_on(disk.create_dir_all(Path::new("/a/b"))).unwrap();
    let file = block_on(disk.open(Path::new("/a/b/f"), OpenMode::Create)).unwrap();
    write(&file, 1, 0);
    block_on(file.sync_data()).unwrap();
    let files = |disk: &SimDisk| disk.crash_at(disk.journal_len(), CrashMode::LoseUnsynced).files();
    assert!(files(&disk).is_empty());
    block_on(disk.sync_dir(Path::new("/a/b"))).unwrap();
    assert!(files(&disk).is_empty(), "its folder's own name is not durable");
    block_on(disk.sync_dir(Path::new("/a"))).unwrap();
    block_on(disk.sync_dir(Path::new("/"))).unwrap();
    assert_eq!(files(&disk), [Path::new("/a/b/f")]);
    block_on(disk.remove_file(Path::new("/a/b/f"))).unwrap();
    assert_eq!(files(&disk), [Path::new("/a/b/f")], "the removal is not durable");
    block_on(disk.sync_dir(Path::new("/a/b"))).unwrap();
    assert!(files(&disk).is_empty());
}

#[test]
fn an_atomic_write_leaves_the_old_or_the_new_file_at_every_prefix() {
    let disk = SimDisk::new();
    let path = Path::new("/checkpoint");
    block_on(disk.write_file_atomic(path, b"old".to_vec())).unwrap();
    let start = disk.journal_len();
    block_on(disk.write_file_atomic(path, b"newer".to_vec())).unwrap();
    for prefix in start..=disk.journal_len() {
        for seed in 0..32 {
            let crashed = disk.crash_at(prefix, CrashMode::Seeded(seed));
            let content = crashed.content(path).unwrap();
            assert!(content == b"old" || content == b"newer", "{content:?} at {prefix}");
            assert!(prefix < disk.journal_len() || content == b"newer");
        }
    }
}

#[test]
fn faults_come_and_go() {
    let (disk, file) = disk_with_file();
    let path = Path::new("/d/f");
    disk.fail_writes_with(ErrorKind::Other, 1);
    write(&file, 1, 0);
    let error = block_on(file.write_at(file.alloc(BLOCK), 4096)).unwrap_err();
    assert_eq!(error.to_string(), "write 4096 bytes at 4096 of /d/f: other error");
    disk.heal();
    disk.set_free_bytes(4096);
    assert_eq!(block_on(disk.free_bytes(path)).unwrap(), 4096);
    write(&file, 2, 4096);
    write(&file, 3, 0); // rewriting needs no room
    assert!(block_on(file.write_at(file.alloc(BLOCK), 8192)).unwrap_err().is_out_of_space());
    disk.set_free_bytes(1 << 20);
    write(&file, 4, 8192);
    assert!(disk.flip_bit(path, 1));
    assert_eq!(block_on(file.read_at(0, 3)).unwrap(), [3, 2, 3]);
    assert!(!disk.flip_bit(path, 1 << 20));
    assert_eq!((disk.reads(), disk.bytes_read()), (1, 3));
    disk.fail_reads_with(ErrorKind::Other, 0);
    assert!(block_on(file.read_at(0, 3)).is_err());
    disk.fail_syncs_with(ErrorKind::Other, 0);
    assert!(block_on(file.sync_data()).is_err());
}

#[test]
fn a_removed_file_is_still_read_through_an_open_handle() {
    let (disk, file) = disk_with_file();
    write(&file, 9, 0);
    block_on(disk.remove_dir_all(Path::new("/d"))).unwrap();
    assert!(block_on(disk.open(Path::new("/d/f"), OpenMode::Read)).is_err());
    assert_eq!(block_on(file.read_at(4095, 10)).unwrap(), [9]);
}

#[test]
fn a_sync_covers_what_had_completed_when_it_began() {
    let (disk, file) = disk_with_file();
    disk.yield_in_syncs(3);
    write(&file, 1, 0);
    let mut sync = file.sync_data();
    assert!(block_on(async { futures::poll!(&mut sync) }).is_pending());
    write(&file, 2, BLOCK as u64);
    block_on(sync).unwrap();
    let lost = disk.crash_at(disk.journal_len(), CrashMode::LoseUnsynced);
    assert_eq!(lost.content(Path::new("/d/f")).unwrap(), [1; BLOCK]);
}

#[test]
fn a_killed_process_leaves_what_a_crash_may_still_take() {
    let (disk, file) = disk_with_file();
    write(&file, 1, 0);
    block_on(file.sync_data()).unwrap();
    write(&file, 2, 0);
    let killed = disk.kill_at(disk.journal_len());
    write(&file, 3, 0);
    assert_eq!(killed.content(Path::new("/d/f")).unwrap(), [2; BLOCK]);
    let content = |prefix| {
        let lost = killed.crash_at(prefix, CrashMode::LoseUnsynced);
        lost.content(Path::new("/d/f")).unwrap()
    };
    assert_eq!(content(killed.journal_len()), [1; BLOCK]);
    let again = block_on(killed.open(Path::new("/d/f"), OpenMode::ReadWrite)).unwrap();
    block_on(again.sync_data()).unwrap();
    assert_eq!(content(killed.journal_len()), [2; BLOCK]);
}
