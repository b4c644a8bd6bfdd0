//! Group commit, rotation, recycling, full and broken disks, on a simulated disk.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::SimDisk;
use crate::testing::on_executor;
use crate::wal::recovery::recover;
use crate::wal::testing::{DIR, Places, append, disk, start, until};
use bytes::Bytes;
use std::io::ErrorKind;
use std::path::Path;

const FILE_BYTES: u64 = 64 << 10;
/// With its headers this fills a flush of two blocks; seven of them fill a file.
const PAYLOAD: Bytes = Bytes::from_static(&[0x42; 8_000]);
const PER_FILE: u64 = 7;
/// Where the last of them starts.
const LAST_FLUSH: u64 = 4096 + 6 * 8192;
/// How long a test waits for what has to happen by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Appends a record and waits for it.
async fn write(wal: &Wal, places: &Rc<Places>, sequence: u64) {
    append(wal, places, &[sequence], &PAYLOAD).await.unwrap().unwrap();
}

/// Sequences of the records that a start would find.
async fn found(disk: &SimDisk) -> Vec<u64> {
    let recovered = recover(disk, Path::new(DIR)).await.unwrap();
    recovered.records.iter().map(|record| record.header.sequence).collect()
}

/// WAL files on the disk.
fn files(disk: &SimDisk) -> usize {
    disk.files().len()
}

#[test]
fn what_queues_up_during_a_flush_goes_into_the_next_one() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        write(&wal, &places, 0).await;
        disk.yield_in_syncs(100);
        let before = (wal.stats().flushes, disk.journal_len());
        let first = append(&wal, &places, &[1], &PAYLOAD);
        // Its write is done, its sync under way.
        until(|| disk.journal_len() > before.1).await;
        let small = Bytes::from_static(b"small");
        let rest: Vec<_> =
            (2..50).map(|n| append(&wal, &places, &[2 * n, 2 * n + 1], &small)).collect();
        first.await.unwrap().unwrap();
        assert_eq!(places.sequences(), [0, 1], "the others wait for a sync of their own");
        for done in rest {
            done.await.unwrap().unwrap();
        }
        // One write and one sync each.
        assert_eq!((wal.stats().flushes, disk.journal_len()), (before.0 + 2, before.1 + 4));
        let order: Vec<u64> = (0..2).chain(4..100).collect();
        assert_eq!(places.sequences(), order);
        assert_eq!(found(&disk).await, order);
    });
}

#[test]
fn nothing_is_said_to_be_durable_before_its_sync() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        write(&wal, &places, 0).await;
        disk.yield_in_syncs(100);
        let before = disk.journal_len();
        let mut done = append(&wal, &places, &[1], &PAYLOAD);
        until(|| disk.journal_len() > before).await;
        for _ in 0..50 {
            runtime::yield_now().await;
            assert!(done.try_recv().is_err(), "said to be durable while the sync is under way");
        }
        assert_eq!(places.sequences(), [0]);
        done.await.unwrap().unwrap();
    });
}

#[test]
fn files_follow_each_other_and_say_so() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        for sequence in 0..3 * PER_FILE + 1 {
            write(&wal, &places, sequence).await;
        }
        assert_eq!((wal.closed_files(), places.files().len(), files(&disk)), (3, 4, 4));
        assert!(wal.is_active(&places.files()[3]) && !wal.is_active(&places.files()[2]));
        assert_eq!(found(&disk).await, Vec::from_iter(0..3 * PER_FILE + 1));
        // The last flush of a full file is missed, whichever that is.
        let paths = places.files().iter().map(|file| file.path().to_owned()).collect::<Vec<_>>();
        for path in &paths[..3] {
            let damaged = disk.kill_at(disk.journal_len());
            assert!(damaged.flip_bit(path, LAST_FLUSH + 100));
            let error = recover(&damaged, Path::new(DIR)).await.err().unwrap().to_string();
            let expected = format!("{}: damaged at byte {}:", path.display(), LAST_FLUSH);
            assert!(error.starts_with(&expected), "{error}");
        }
    });
}

#[test]
fn files_are_given_up_oldest_first_and_used_again() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        for sequence in 0..4 * PER_FILE {
            write(&wal, &places, sequence).await;
        }
        let first = places.files().remove(0);
        let first_path = first.path().to_owned();
        // Only the oldest file is needed, and it keeps the others: what is left on the disk has to
        // be the newest part of the log.
        places.0.borrow_mut().retain(|(sequence, _)| *sequence == 0);
        wal.reclaim().await.unwrap();
        assert_eq!(wal.closed_files(), 3);
        assert_eq!(found(&disk).await, Vec::from_iter(0..4 * PER_FILE));
        places.forget_oldest_file();
        wal.reclaim().await.unwrap();
        assert_eq!(wal.closed_files(), 3, "somebody still reads from it");
        drop(first);
        wal.reclaim().await.unwrap();
        assert_eq!((wal.closed_files(), wal.stats().spare_files), (0, 4));
        assert_eq!(found(&disk).await, Vec::from_iter(3 * PER_FILE..4 * PER_FILE));
        // A spare was made when there was none; all that were given up are kept beside it.
        assert_eq!(files(&disk), 5);
        for sequence in 4 * PER_FILE..8 * PER_FILE {
            write(&wal, &places, sequence).await;
        }
        assert_eq!(files(&disk), 5, "no file was made");
        assert!(places.files().iter().any(|file| file.path() == first_path));
        assert_eq!(found(&disk).await, Vec::from_iter(3 * PER_FILE..8 * PER_FILE));
    });
}

#[test]
fn found_files_stay_until_nobody_needs_them() {
    on_executor(|| async {
        let disk = disk().await;
        let before = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        for sequence in 0..2 * PER_FILE {
            write(&before, &places, sequence).await;
        }
        before.close().await;
        let recovered = recover(&disk, Path::new(DIR)).await.unwrap();
        let needed = Arc::new(());
        let file = |(path, incarnation)| Rc::new(WalFile::found(path, incarnation, None));
        let found_before = Found {
            files: recovered.files.into_iter().map(file).collect(),
            needed: Arc::downgrade(&needed),
            newest: recovered.newest,
            next_number: recovered.next_number,
        };
        let options = WalOptions { dir: DIR.into(), shard: 0, file_bytes: FILE_BYTES };
        let wal = Wal::start(Rc::new(disk.clone()), options, found_before);
        places.0.borrow_mut().clear();
        for sequence in 100..100 + 2 * PER_FILE {
            write(&wal, &places, sequence).await;
        }
        places.0.borrow_mut().clear();
        wal.reclaim().await.unwrap();
        assert_eq!(wal.closed_files(), 3);
        drop(needed);
        wal.reclaim().await.unwrap();
        assert_eq!(wal.closed_files(), 0);
        assert_eq!(found(&disk).await, Vec::from_iter(100 + PER_FILE..100 + 2 * PER_FILE));
    });
}

#[test]
fn more_than_a_file_holds_is_written_in_parts() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, 8 << 20);
        let places = Rc::new(Places::default());
        let large = Bytes::from(vec![0x17; 1 << 20]);
        let sequences = Vec::from_iter(0..20);
        append(&wal, &places, &sequences, &large).await.unwrap().unwrap();
        assert_eq!(places.sequences(), sequences);
        assert_eq!(found(&disk).await, sequences);
        assert!(wal.stats().flushes > 5);
    });
}

#[test]
fn a_full_disk_makes_writes_wait_and_they_go_on_by_themselves() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        for sequence in 0..PER_FILE {
            write(&wal, &places, sequence).await;
        }
        disk.set_free_bytes(FILE_BYTES / 2);
        let waiting = append(&wal, &places, &[PER_FILE], &PAYLOAD);
        let behind = append(&wal, &places, &[PER_FILE + 1], &PAYLOAD);
        until(|| wal.can_accept().is_err()).await;
        assert_eq!(wal.can_accept(), Err("the disk has no room for another write-ahead log file"));
        assert_eq!(places.sequences(), Vec::from_iter(0..PER_FILE));
        assert!(wal.failure().is_none());
        assert_eq!(files(&disk), 1, "what was made of a file is removed");
        disk.heal();
        runtime::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
        behind.await.unwrap().unwrap();
        assert_eq!(wal.can_accept(), Ok(()));
        assert_eq!(found(&disk).await, Vec::from_iter(0..PER_FILE + 2));
    });
}

#[test]
fn a_file_that_is_given_up_ends_the_wait_for_space() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        for sequence in 0..2 * PER_FILE {
            write(&wal, &places, sequence).await;
        }
        disk.set_free_bytes(0);
        let waiting = append(&wal, &places, &[2 * PER_FILE], &PAYLOAD);
        until(|| wal.can_accept().is_err()).await;
        places.forget_oldest_file();
        wal.reclaim().await.unwrap();
        runtime::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
        assert_eq!(files(&disk), 2);
    });
}

#[test]
fn a_spare_for_which_there_was_no_space_is_made_later() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        write(&wal, &places, 0).await;
        disk.set_free_bytes(0);
        assert!(wal.reclaim().await.unwrap_err().is_out_of_space());
        // From now on nothing is let in, so nothing but the log itself asks for space again.
        assert!(wal.can_accept().is_err());
        disk.heal();
        let back = until(|| wal.can_accept().is_ok());
        assert!(runtime::timeout(PATIENCE, back).await.is_some(), "writes are refused for ever");
        assert_eq!(wal.stats().spare_files, 1);
    });
}

#[test]
fn a_failed_write_or_sync_stops_the_log() {
    on_executor(|| async {
        let failures: [fn(&SimDisk); 2] = [
            |disk| disk.fail_writes_with(ErrorKind::Other, 0),
            |disk| disk.fail_syncs_with(ErrorKind::Other, 0),
        ];
        for fail in failures {
            let disk = disk().await;
            let wal = start(&disk, FILE_BYTES);
            let places = Rc::new(Places::default());
            write(&wal, &places, 0).await;
            disk.yield_in_syncs(100);
            let under_way = append(&wal, &places, &[1], &PAYLOAD);
            until(|| wal.stats().queued_bytes == 0).await;
            let queued = append(&wal, &places, &[2], &PAYLOAD);
            fail(&disk);
            let mut refused = Vec::new();
            for done in [under_way, queued] {
                refused.extend(done.await.unwrap().err());
            }
            assert!(!refused.is_empty(), "the append behind the failure is not done");
            let error = refused[0].to_string();
            assert!(error.starts_with("the write-ahead log stopped: "), "{error}");
            assert!(error.contains("/data/wal/shard-000/00000001.wal"), "{error}");
            disk.heal();
            let later = append(&wal, &places, &[3], &PAYLOAD).await.unwrap();
            assert_eq!(later.unwrap_err().to_string(), error, "it does not go on by itself");
            assert_eq!(wal.can_accept(), Err("the write-ahead log has failed"));
            assert_eq!(wal.failure().unwrap().to_string(), error);
        }
    });
}

#[test]
fn closing_writes_what_is_queued_and_refuses_the_rest() {
    on_executor(|| async {
        let disk = disk().await;
        let wal = start(&disk, FILE_BYTES);
        let places = Rc::new(Places::default());
        let queued = append(&wal, &places, &[1, 2, 3], &PAYLOAD);
        wal.close().await;
        queued.await.unwrap().unwrap();
        assert!(append(&wal, &places, &[4], &PAYLOAD).await.unwrap().is_err());
        assert!(wal.failure().is_none(), "that is no failure");
        assert_eq!(found(&disk).await, [1, 2, 3]);
    });
}
