//! A group's log through openraft's interface, and what a restart finds of it.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::SimDisk;
use crate::partition::PartitionId;
use crate::raft::Membership;
use crate::testing::on_executor;
use crate::vnode::command::{AppendBatch, Command, VnodeApp};
use crate::wal::recovery::{RecoveredDir, recover};
use crate::wal::testing::{DIR, disk, until};
use crate::wal::{Found, RecoveredRecord, RecoveryError, WalFile, WalOptions};
use openraft::storage::RaftLogStorageExt;
use ringspool_wire::batch::{BatchBuilder, BatchHeader, Compression, ProducerStamp, RecordRef};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GROUP: GroupId = GroupId(5);
const OTHER_DIR: &str = "/data/wal/shard-001";
const FILE_BYTES: u64 = 64 << 10;

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

/// An entry that says who it is.
fn entry(term: u64, index: u64) -> Entry<VnodeApp> {
    let id = PartitionId { topic: term, partition: 0 };
    let command = Command::Trim(vec![(id, index); 100]);
    Entry::<VnodeApp>::new(log_id(term, index), EntryPayload::Normal(command))
}

/// A log and what it was recovered from.
struct Opened {
    wal: Wal,
    cache: Rc<LogCache>,
    log: Rc<GroupLog<VnodeApp>>,
    store: LogStore<VnodeApp>,
}

/// What a start finds in these folders, with all that has to be known to go on in the first.
async fn found(disk: &SimDisk, dirs: &[&str]) -> RecoveredDir {
    let mut all = recover(disk, Path::new(dirs[0])).await.unwrap();
    for dir in &dirs[1..] {
        let other = recover(disk, Path::new(dir)).await.unwrap();
        all.records.extend(other.records);
        all.files.extend(other.files);
    }
    all
}

fn open_found(
    disk: &SimDisk,
    dir: &str,
    found: RecoveredDir,
    purged: Option<LogId>,
    file_bytes: u64,
) -> Result<Opened, RecoverLogError> {
    let needed = Arc::new(());
    let file = |needed: Option<&Arc<()>>, (path, incarnation): &(PathBuf, u64)| {
        Rc::new(WalFile::found(path.clone(), *incarnation, needed.cloned()))
    };
    let files: HashMap<Arc<Path>, Rc<WalFile>> = found
        .files
        .iter()
        .map(|found| (Arc::from(found.0.as_path()), file(Some(&needed), found)))
        .collect();
    let before = Found {
        files: found.files.iter().map(|found| file(None, found)).collect(),
        needed: Arc::downgrade(&needed),
        newest: found.newest,
        next_number: found.next_number,
    };
    let options = WalOptions { dir: dir.into(), shard: 0, file_bytes };
    let wal = Wal::start(Rc::new(disk.clone()), options, before);
    let cache = Rc::new(LogCache::default());
    let records: Vec<RecoveredRecord> =
        found.records.into_iter().filter(|record| record.header.group == GROUP).collect();
    let log = GroupLog::recover(GROUP, wal.clone(), Rc::clone(&cache), purged, records, &files)?;
    Ok(Opened { wal, cache, store: LogStore(Rc::clone(&log)), log })
}

async fn open(disk: &SimDisk, purged: Option<LogId>) -> Opened {
    open_found(disk, DIR, found(disk, &[DIR]).await, purged, FILE_BYTES).unwrap()
}

impl Opened {
    async fn append(&mut self, entries: impl IntoIterator<Item = Entry<VnodeApp>>) {
        self.store.blocking_append(Vec::from_iter(entries)).await.unwrap();
    }

    async fn entries(&mut self) -> Vec<Entry<VnodeApp>> {
        self.store.try_get_log_entries(..).await.unwrap()
    }

    /// First index, last id.
    async fn range(&mut self) -> (Option<LogId>, Option<LogId>) {
        let state = self.store.get_log_state().await.unwrap();
        (state.last_purged_log_id, state.last_log_id)
    }

    async fn close(self) {
        self.wal.close().await;
    }
}

fn ids(entries: &[Entry<VnodeApp>]) -> Vec<(u64, u64)> {
    entries.iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect()
}

#[test]
fn appended_entries_come_back_with_what_they_carry() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        let membership = Membership::new_with_defaults(vec![[1, 2].into()], [3]);
        let sent = [
            Entry::<VnodeApp>::new(log_id(1, 0), EntryPayload::Membership(membership)),
            Entry::<VnodeApp>::new(log_id(1, 1), EntryPayload::Blank),
            entry(1, 2),
            entry(2, 3),
        ];
        log.append(sent.clone()).await;
        assert_eq!(log.entries().await, sent);
        log.close().await;
        let mut log = open(&disk, None).await;
        assert_eq!(log.entries().await, sent);
        assert_eq!(log.store.try_get_log_entries(1..3).await.unwrap(), sent[1..3]);
        assert_eq!(log.store.try_get_log_entries(2..=9).await.unwrap(), sent[2..]);
        assert_eq!(log.range().await, (None, Some(log_id(2, 3))));
        assert_eq!(log.log.next_index(), 4);
    });
}

#[test]
fn truncated_entries_stay_away() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        log.append((0..6).map(|index| entry(1, index))).await;
        log.store.truncate_after(Some(log_id(1, 2))).await.unwrap();
        assert_eq!(ids(&log.entries().await), [(1, 0), (1, 1), (1, 2)]);
        log.close().await;
        let mut log = open(&disk, None).await;
        assert_eq!(ids(&log.entries().await), [(1, 0), (1, 1), (1, 2)]);
        log.append((3..5).map(|index| entry(2, index))).await;
        log.close().await;
        let mut log = open(&disk, None).await;
        assert_eq!(ids(&log.entries().await), [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4)]);
        log.store.truncate_after(None).await.unwrap();
        log.close().await;
        let mut log = open(&disk, None).await;
        assert_eq!(log.range().await, (None, None));
        assert_eq!(log.cache.0.get(), 0, "what is not there takes no memory");
    });
}

#[test]
fn purged_entries_give_their_files_up_and_stay_away() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        for index in 0..50 {
            log.append([entry(1, index)]).await;
        }
        let closed = log.wal.closed_files();
        assert!(closed >= 3 && log.log.pins_closed_file());
        log.store.purge(log_id(1, 44)).await.unwrap();
        log.wal.reclaim().await.unwrap();
        assert!(log.wal.closed_files() < closed);
        assert_eq!(log.store.try_get_log_entries(0..47).await.unwrap().len(), 2);
        assert_eq!(log.range().await, (Some(log_id(1, 44)), Some(log_id(1, 49))));
        log.close().await;
        let mut log = open(&disk, Some(log_id(1, 44))).await;
        assert_eq!(ids(&log.entries().await), Vec::from_iter((45..50).map(|index| (1, index))));
        log.close().await;
        // All of it is in the checkpoint.
        let mut log = open(&disk, Some(log_id(1, 49))).await;
        assert_eq!(log.range().await, (Some(log_id(1, 49)), Some(log_id(1, 49))));
        log.append([entry(1, 50)]).await;
        assert_eq!(ids(&log.entries().await), [(1, 50)]);
    });
}

#[test]
fn the_last_vote_is_found_and_keeps_no_file() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        assert!(!log.log.has_vote());
        log.store.save_vote(&Vote::new(3, 1)).await.unwrap();
        log.store.save_vote(&Vote::new_committed(4, 2)).await.unwrap();
        for index in 0..30 {
            log.append([entry(4, index)]).await;
        }
        log.store.purge(log_id(4, 29)).await.unwrap();
        log.wal.reclaim().await.unwrap();
        assert!(log.wal.closed_files() > 0, "the vote lies in the first file");
        log.log.rewrite_vote();
        // Whatever is queued later is durable later.
        log.append([entry(4, 30)]).await;
        log.wal.reclaim().await.unwrap();
        assert_eq!(log.wal.closed_files(), 0);
        log.close().await;
        let mut log = open(&disk, Some(log_id(4, 29))).await;
        assert_eq!(log.store.read_vote().await.unwrap(), Some(Vote::new_committed(4, 2)));
        // The restart wrote it again, so the files it found are not needed for it.
        log.append([entry(4, 31)]).await;
        log.store.purge(log_id(4, 30)).await.unwrap();
        log.wal.reclaim().await.unwrap();
        assert_eq!(log.wal.closed_files(), 0);
        log.close().await;
        let mut log = open(&disk, Some(log_id(4, 30))).await;
        assert_eq!(log.store.read_vote().await.unwrap(), Some(Vote::new_committed(4, 2)));
        assert_eq!(ids(&log.entries().await), [(4, 31)]);
    });
}

/// An entry of about a mebibyte.
fn large(index: u64) -> Entry<VnodeApp> {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = vec![index as u8; 1 << 20];
    let record = RecordRef { key: b"", value: &value, timestamp_ms: 1, headers: &[] };
    builder.push(&record).unwrap();
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    let header = BatchHeader::decode(&batch).unwrap();
    let partition = PartitionId { topic: 1, partition: 0 };
    let batches = vec![AppendBatch { partition, header, batch }];
    let command = Command::Append { time_ms: index, batches };
    Entry::<VnodeApp>::new(log_id(1, index), EntryPayload::Normal(command))
}

#[test]
fn entries_that_left_the_memory_are_read_from_the_files() {
    on_executor(|| async {
        let disk = disk().await;
        let files = found(&disk, &[DIR]).await;
        let mut log = open_found(&disk, DIR, files, None, 8 << 20).unwrap();
        let sent = Vec::from_iter((0..24).map(large));
        log.append(sent.clone()).await;
        let reads = disk.reads();
        assert_eq!(log.entries().await, sent);
        assert_eq!(disk.reads(), reads, "nothing was applied, so all is in memory");
        log.log.applied(23);
        assert!(log.cache.0.get() <= LOG_CACHE_BYTES_MAX);
        assert_eq!(log.entries().await, sent);
        assert!(disk.reads() >= reads + 8);
        // The oldest goes first.
        let reads = disk.reads();
        log.store.try_get_log_entries(23..24).await.unwrap();
        assert_eq!(disk.reads(), reads);
        let path = PathBuf::from(DIR).join("00000001.wal");
        assert!(disk.flip_bit(&path, 4096 + 32 + 5_000));
        let error = log.store.try_get_log_entries(0..1).await.unwrap_err().to_string();
        let expected = format!(
            "the record of entry 0 of vnode 5 at byte 4128 of {} is damaged",
            path.display()
        );
        assert_eq!(error, expected);
    });
}

#[test]
fn a_missing_file_is_refused_by_name() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        for index in 0..60 {
            log.append([entry(1, index)]).await;
        }
        log.close().await;
        let second = PathBuf::from(DIR).join("00000002.wal");
        let all = found(&disk, &[DIR]).await;
        let place = |index: usize| all.records[index].place.path.to_path_buf();
        let of_second = (0..60).filter(|index| place(*index) == second);
        let (first, last) = (of_second.clone().min().unwrap(), of_second.max().unwrap());
        disk.remove_file(&second).await.unwrap();
        let left = found(&disk, &[DIR]).await;
        let error = open_found(&disk, DIR, left, None, FILE_BYTES).err().unwrap();
        let third = PathBuf::from(DIR).join("00000003.wal");
        let RecoverLogError::Recovery(RecoveryError::Gap { group, expected, found, path }) = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*group, *expected, *found), (GROUP, first as u64, last as u64 + 1));
        assert_eq!(*path, third);
        // A checkpoint that covers what is missing makes it good.
        let left = self::found(&disk, &[DIR]).await;
        let purged = Some(log_id(1, last as u64));
        let mut log = open_found(&disk, DIR, left, purged, FILE_BYTES).unwrap();
        assert_eq!(log.entries().await.len(), 59 - last);
    });
}

#[test]
fn a_log_whose_parts_lie_in_the_folders_of_former_shards_is_whole() {
    on_executor(|| async {
        let disk = disk().await;
        disk.create_dir_all(Path::new(OTHER_DIR)).await.unwrap();
        // Two shards, then one, then two again: the group moves to and fro.
        let dirs = [OTHER_DIR, DIR, OTHER_DIR, DIR];
        let mut next = 0;
        for (round, dir) in (1..).zip(dirs) {
            let other = if dir == DIR { OTHER_DIR } else { DIR };
            let found = found(&disk, &[dir, other]).await;
            let mut log = open_found(&disk, dir, found, None, FILE_BYTES).unwrap();
            assert_eq!(log.log.next_index(), next);
            log.store.save_vote(&Vote::new(round, 1)).await.unwrap();
            // The last entry of each round is written again by the next leader.
            if next > 0 {
                next -= 1;
                log.store.truncate_after(Some(log_id(round - 1, next - 1))).await.unwrap();
            }
            log.append((next..next + 25).map(|index| entry(round, index))).await;
            next += 25;
            log.close().await;
        }
        let found = found(&disk, &[DIR, OTHER_DIR]).await;
        let mut log = open_found(&disk, DIR, found, None, FILE_BYTES).unwrap();
        assert_eq!(log.store.read_vote().await.unwrap(), Some(Vote::new(4, 1)));
        let expected = (0..97).map(|index| ((1 + index / 24).min(4), index));
        assert_eq!(ids(&log.entries().await), Vec::from_iter(expected));
    });
}

#[test]
fn overwritten_entries_do_not_come_back_when_what_overwrote_them_went_first() {
    on_executor(|| async {
        let disk = disk().await;
        disk.create_dir_all(Path::new(OTHER_DIR)).await.unwrap();
        let before = found(&disk, &[OTHER_DIR]).await;
        let mut log = open_found(&disk, OTHER_DIR, before, None, FILE_BYTES).unwrap();
        log.append((0..9).map(|index| entry(1, index))).await;
        log.close().await;
        let before = found(&disk, &[DIR, OTHER_DIR]).await;
        let mut log = open_found(&disk, DIR, before, None, FILE_BYTES).unwrap();
        log.store.truncate_after(Some(log_id(1, 4))).await.unwrap();
        log.append([entry(2, 5)]).await;
        log.close().await;
        // A checkpoint covers all there is; of the files only the second folder's are left.
        let left = found(&disk, &[OTHER_DIR]).await;
        let purged = Some(log_id(2, 5));
        let mut log = open_found(&disk, DIR, left, purged, FILE_BYTES).unwrap();
        assert_eq!(log.range().await, (purged, purged));
        assert_eq!(log.entries().await, []);
    });
}

#[test]
fn a_failed_log_tells_openraft() {
    on_executor(|| async {
        let disk = disk().await;
        let mut log = open(&disk, None).await;
        log.append([entry(1, 0)]).await;
        disk.fail_syncs_with(std::io::ErrorKind::Other, 0);
        assert!(log.store.blocking_append([entry(1, 1)]).await.is_err());
        assert!(log.store.save_vote(&Vote::new(2, 1)).await.is_err());
        assert!(log.store.truncate_after(None).await.is_err());
        until(|| log.wal.failure().is_some()).await;
    });
}
