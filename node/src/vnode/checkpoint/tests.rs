//! The file: round trips, frozen bytes, damage; and what crashes around writing it leave.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::{CrashMode, SimDisk};
use crate::partition::{StorageContext, StorageSettings};
use crate::raft::{LeaderId, Membership};
use crate::segment::SegmentInfo;
use crate::shard::storage::ShardStorage;
use crate::testing::{assert_golden, from_golden};
use crate::vnode::command::{AppendBatch, Command};
use bytes::Bytes;
use futures::executor::block_on;
use proptest::prelude::*;
use ringspool_wire::batch::{BatchBuilder, BatchHeader, Compression, ProducerStamp, RecordRef};
use std::collections::BTreeSet;

const GOLDEN: &str = include_str!("../../../tests/golden/vnode-checkpoint.hex");
const VNODE: u32 = 17;
const ID: PartitionId = PartitionId { topic: 3, partition: 1 };
const OTHER: PartitionId = PartitionId { topic: 4, partition: 0 };

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

/// A partition with one segment of these bytes, less than a block.
fn partition(bytes: &[u8]) -> PartitionCheckpoint {
    let mut checkpoint = PartitionCheckpoint::decode(&[1, 0, 0, 0, 0, 0, 0]).unwrap();
    if !bytes.is_empty() {
        let bytes_there = bytes.len() as u64;
        checkpoint.segments = vec![SegmentInfo {
            base_offset: 0,
            bytes: bytes_there,
            opened_ms: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_001,
        }];
        checkpoint.high_watermark = 2;
        checkpoint.unfinished_block = Bytes::copy_from_slice(bytes);
    }
    checkpoint
}

fn sample() -> Checkpoint {
    let voters = vec![BTreeSet::from([1])];
    let membership = Membership::new_with_defaults(voters, BTreeSet::from([2]));
    let settings = PartitionSettings {
        segment_bytes: 1 << 20,
        segment_ms: 60_000,
        retention_ms: None,
        retention_bytes: Some(1 << 30),
        batch_bytes_max: 4096,
    };
    Checkpoint {
        vnode: VNODE,
        applied: Some(log_id(3, 44)),
        membership: StoredMembership::new(Some(log_id(1, 0)), membership),
        partitions: vec![
            (ID, PartitionSettings::default(), partition(b"")),
            (OTHER, settings, partition(b"bytes of batches")),
        ],
        dropped: vec![PartitionId { topic: 2, partition: 0 }],
    }
}

#[test]
fn the_bytes_are_frozen_and_understood() {
    assert_golden(&encode(&sample()), GOLDEN);
    assert_eq!(decode(&from_golden(GOLDEN)), Ok(sample()));
}

#[test]
fn every_flipped_byte_is_noticed() {
    let good = encode(&sample());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(decode(&bad), Err("its checksum is wrong".into()), "byte {at}");
        }
    }
    for end in 0..good.len() {
        assert!(decode(&good[..end]).is_err(), "cut at {end}");
    }
}

fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_le_bytes()].concat()
}

#[test]
fn a_right_checksum_does_not_make_nonsense_right() {
    let good = encode(&sample());
    let content = &good[..good.len() - 4];
    assert_eq!(
        decode(&with_checksum(&[content, &[0]].concat())).unwrap_err(),
        format!("end at byte {} is cut off or out of range", content.len())
    );
    for end in 0..content.len() {
        assert!(decode(&with_checksum(&content[..end])).is_err(), "cut at {end}");
    }
    let mut newer = content.to_vec();
    newer[8] = 2;
    assert!(decode(&with_checksum(&newer)).unwrap_err().starts_with("magic or version"));
}

prop_compose! {
    fn any_id()(topic in any::<u64>(), partition in any::<u32>()) -> PartitionId {
        PartitionId { topic, partition }
    }
}

prop_compose! {
    fn any_partition()(
        id in any_id(),
        sizes in any::<(u64, u64, u32)>(),
        // All ones stand for no limit.
        retention in any::<(Option<u32>, Option<u32>)>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4096),
    ) -> (PartitionId, PartitionSettings, PartitionCheckpoint) {
        let settings = PartitionSettings {
            segment_bytes: sizes.0,
            segment_ms: sizes.1,
            retention_ms: retention.0.map(u64::from),
            retention_bytes: retention.1.map(u64::from),
            batch_bytes_max: sizes.2,
        };
        (id, settings, partition(&bytes))
    }
}

proptest! {
    #[test]
    fn a_checkpoint_comes_back(
        vnode in any::<u32>(),
        applied in proptest::option::of(any::<(u64, u64)>()),
        voters in proptest::collection::vec(proptest::collection::btree_set(1u64..9, 1..4), 0..3),
        partitions in proptest::collection::vec(any_partition(), 0..6),
        dropped in proptest::collection::vec(any_id(), 0..4),
    ) {
        let applied = applied.map(|(term, index)| log_id(term, index));
        let membership = match voters.is_empty() {
            true => Membership::default(),
            false => Membership::new_with_defaults(voters, BTreeSet::from([9])),
        };
        let membership = StoredMembership::new(applied, membership);
        let sent = Checkpoint { vnode, applied, membership, partitions, dropped };
        prop_assert_eq!(decode(&encode(&sent)), Ok(sent));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
        let mut content = encode(&sample())[..16].to_vec();
        content.extend(bytes);
        // Usually nonsense; what matters is that it is looked at with care.
        drop(decode(&with_checksum(&content)));
    }
}

/// A vnode on a disk, as a process finds it.
fn vnode(disk: &SimDisk) -> Result<VnodeState, CheckpointError> {
    let disk: Rc<dyn Disk> = Rc::new(disk.clone());
    let context = StorageContext::new(Rc::clone(&disk), StorageSettings::default());
    let storage = Rc::new(ShardStorage::new(disk, context));
    let state = VnodeState::new(VNODE, Path::new("/data"), storage);
    block_on(load(&state)).map(|()| state)
}

fn batch() -> AppendBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    let record = RecordRef { key: b"k", value: &[7; 9_000], timestamp_ms: 1, headers: &[] };
    builder.push(&record).unwrap();
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    AppendBatch { partition: ID, header: BatchHeader::decode(&batch).unwrap(), batch }
}

/// A data directory as a node makes it.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    block_on(async {
        for folder in ["/data/vnode", "/data/topic"] {
            disk.create_dir_all(Path::new(folder)).await.unwrap();
        }
        for folder in ["/data", "/"] {
            disk.sync_dir(Path::new(folder)).await.unwrap();
        }
    });
    disk
}

fn apply(state: &VnodeState, index: u64, command: Command) {
    state.apply(1, command);
    state.set_applied(log_id(1, index));
}

fn checkpoint(state: &VnodeState) {
    block_on(write(state, &mut Captured::now(state))).unwrap();
}

/// A vnode with one partition that has a batch, not yet checkpointed.
fn vnode_with_data(disk: &SimDisk) -> VnodeState {
    let state = vnode(disk).unwrap();
    apply(&state, 1, Command::Configure(vec![(ID, PartitionSettings::default())]));
    apply(&state, 2, Command::Append { time_ms: 1, batches: vec![batch()] });
    state
}

/// The two crashes that bound all others.
const EXTREMES: [CrashMode; 2] = [CrashMode::LoseUnsynced, CrashMode::KeepUnsynced];

#[test]
fn every_crash_leaves_the_old_checkpoint_or_the_new_one() {
    let disk = disk();
    let state = vnode_with_data(&disk);
    let before = disk.journal_len();
    checkpoint(&state);
    let between = disk.journal_len();
    apply(&state, 3, Command::Append { time_ms: 2, batches: vec![batch()] });
    checkpoint(&state);
    for prefix in before..=disk.journal_len() {
        for mode in EXTREMES.into_iter().chain([CrashMode::TearLast, CrashMode::Seeded(7)]) {
            let found = vnode(&disk.crash_at(prefix, mode)).unwrap();
            let applied = found.applied().map(|applied| applied.index);
            let allowed: &[_] = match prefix {
                _ if prefix < between => &[None, Some(2)],
                _ if prefix < disk.journal_len() => &[Some(2), Some(3)],
                _ => &[Some(3)],
            };
            assert!(allowed.contains(&applied), "{prefix} {mode:?}: {applied:?}");
            if let Some(partition) = found.partition(ID) {
                let read = block_on(partition.read(0, 1 << 20)).unwrap();
                assert_eq!(read.batches.concat().len(), read.bytes);
                assert_eq!(partition.high_watermark(), applied.unwrap() - 1);
            }
        }
    }
    let done = disk.crash_at(between, CrashMode::LoseUnsynced);
    assert_eq!(vnode(&done).unwrap().applied(), Some(log_id(1, 2)), "its folder is durable too");
}

#[test]
fn what_a_start_builds_on_cannot_be_lost_any_more() {
    let disk = disk();
    let state = vnode_with_data(&disk);
    checkpoint(&state);
    // Killed before the folder was synced.
    let killed = disk.kill_at(disk.journal_len() - 1);
    let lost = killed.crash_at(killed.journal_len(), CrashMode::LoseUnsynced);
    assert_eq!(vnode(&lost).unwrap().applied(), None, "it was not durable");
    assert_eq!(vnode(&killed).unwrap().applied(), Some(log_id(1, 2)));
    let crashed = killed.crash_at(killed.journal_len(), CrashMode::LoseUnsynced);
    assert_eq!(vnode(&crashed).unwrap().applied(), Some(log_id(1, 2)));
}

#[test]
fn files_of_a_dropped_partition_go_whatever_happens_in_between() {
    let disk = disk();
    let state = vnode_with_data(&disk);
    checkpoint(&state);
    assert!(disk.files().iter().any(|path| path.starts_with("/data/topic/3/1")));
    apply(&state, 3, Command::Drop(vec![ID]));
    assert!(state.is_reclaimable());
    let before = disk.journal_len();
    checkpoint(&state);
    assert!(!state.is_reclaimable());
    for prefix in before..=disk.journal_len() {
        for mode in EXTREMES {
            let crashed = disk.crash_at(prefix, mode);
            let found = vnode(&crashed).unwrap();
            if found.applied() == Some(log_id(1, 2)) {
                let read = block_on(found.partition(ID).unwrap().read(0, 1 << 20)).unwrap();
                assert_eq!(read.batches.len(), 1, "a checkpoint that has it finds its files");
                continue;
            }
            assert!(found.partition(ID).is_none());
            assert!(found.is_reclaimable(), "the next round of housekeeping makes a checkpoint");
            checkpoint(&found);
            let left = crashed.files().iter().any(|path| path.starts_with("/data/topic"));
            assert!(!left, "{prefix} {mode:?}: {:?}", crashed.files());
            checkpoint(&found);
            assert!(!vnode(&crashed).unwrap().is_reclaimable());
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_stays() {
    let disk = disk();
    checkpoint(&vnode_with_data(&disk));
    let path = path(Path::new("/data"), VNODE);
    assert!(disk.flip_bit(&path, 40));
    let files = disk.files();
    let error = vnode(&disk).err().unwrap().to_string();
    assert!(error.starts_with("/data/vnode/00017/checkpoint: its checksum is wrong"), "{error}");
    assert_eq!(disk.files(), files);
}

#[test]
fn the_checkpoint_of_another_vnode_is_refused() {
    let disk = disk();
    checkpoint(&vnode_with_data(&disk));
    let bytes = disk.content(&path(Path::new("/data"), VNODE)).unwrap();
    let mut other = decode(&bytes).unwrap();
    other.vnode = 18;
    let path = path(Path::new("/data"), VNODE);
    block_on(disk.write_file_atomic(&path, encode(&other))).unwrap();
    let error = vnode(&disk).err().unwrap().to_string();
    assert!(error.starts_with("/data/vnode/00017/checkpoint: it belongs to vnode 18"), "{error}");
}
