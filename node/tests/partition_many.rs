//! Many partitions on a shard: memory, open files, and which of them is flushed when.
#![allow(clippy::unwrap_used)]

mod partition_support;

use futures::FutureExt;
use futures::executor::block_on;
use partition_support::*;
use ringspool_node::io::SimDisk;
use ringspool_node::partition::{
    Partition, PartitionCheckpoint, PartitionId, PartitionSettings, StorageContext, StorageSettings,
};
use ringspool_wire::batch::BatchHeader;
use std::rc::Rc;

struct Shard {
    disk: SimDisk,
    context: Rc<StorageContext>,
    partitions: Vec<Rc<Partition>>,
}

impl Shard {
    fn new(count: u32, storage: StorageSettings) -> Self {
        let disk = SimDisk::new();
        let context = StorageContext::new(Rc::new(disk.clone()), storage);
        let create = |partition| {
            let id = PartitionId { topic: 1, partition };
            Partition::create(id, PartitionSettings::default(), dir_of(id), context.clone())
        };
        let partitions = (0..count).map(create).collect();
        Self { disk, context, partitions }
    }

    fn append(&self, partition: usize, bytes: usize) {
        let batch = batch(partition as u64, 1, bytes);
        let header = BatchHeader::decode(&batch).unwrap();
        self.partitions[partition].append(NOW_MS, TERM, &header, batch);
    }

    fn flush(&self, partition: &Partition) {
        block_on(partition.flush(partition.flush_target(), false)).unwrap();
    }

    fn next(&self) -> Option<u32> {
        self.context.next_flush().map(|partition| partition.id().partition)
    }
}

#[test]
fn ten_thousand_small_partitions_are_small() {
    let shard = Shard::new(10_000, StorageSettings::default());
    assert!(size_of::<Partition>() < 1_024, "{} bytes each", size_of::<Partition>());
    let empty: usize = shard.partitions.iter().map(|p| p.checkpoint().encode().len()).sum();
    assert!(empty <= 80_000, "{empty} bytes of checkpoint");
    for partition in 0..shard.partitions.len() {
        shard.append(partition, 100);
    }
    let batch_bytes = shard.partitions[0].bytes();
    assert_eq!(shard.context.cached_bytes(), 10_000 * batch_bytes);
    assert_eq!(shard.context.flushable_bytes(), 0);
    let mut all = Vec::new();
    for partition in &shard.partitions {
        all.push(partition.checkpoint().encode());
        block_on(partition.flush(partition.flush_target(), true)).unwrap();
    }
    assert!(shard.disk.files().is_empty(), "less than a block needs no file");
    let bytes: usize = all.iter().map(Vec::len).sum();
    assert!(bytes < 10_000 * (batch_bytes as usize + 40), "{bytes} bytes of checkpoint");
    for (partition, checkpoint) in shard.partitions.iter().zip(&all) {
        let restored = Partition::restore(
            partition.id(),
            PartitionCheckpoint::decode(checkpoint).unwrap(),
            PartitionSettings::default(),
            partition.dir().to_owned(),
            shard.context.clone(),
        );
        assert_eq!(read_all(&restored, 0, 100).unwrap(), read_all(partition, 0, 100).unwrap());
    }
}

#[test]
fn a_quiet_partition_keeps_a_block_and_not_its_last_batch() {
    let storage = StorageSettings { cache_bytes: 1 << 20, ..StorageSettings::default() };
    let shard = Shard::new(100, storage);
    for (index, partition) in shard.partitions.iter().enumerate() {
        shard.append(index, 200_000);
        shard.flush(partition);
    }
    assert!(shard.context.cached_bytes() <= 1 << 20, "{}", shard.context.cached_bytes());
    let quiet = shard.partitions.iter().filter(|partition| partition.cached_bytes() < 4096);
    assert!(quiet.count() >= 90);
    for (index, partition) in shard.partitions.iter().enumerate() {
        let expected = stamped(&batch(index as u64, 1, 200_000), 0);
        assert!(read_all(partition, 0, 100).unwrap() == [(0, expected)], "partition {index}");
        shard.append(index, 5_000);
        assert_eq!(read_all(partition, 0, 100).unwrap().len(), 2);
    }
}

#[test]
fn clean_bytes_leave_oldest_first_and_dirty_ones_stay() {
    let storage = StorageSettings { cache_bytes: 100_000, ..StorageSettings::default() };
    let shard = Shard::new(3, storage);
    for partition in [1, 0, 2] {
        for _ in 0..5 {
            shard.append(partition, 8_000);
        }
        if partition != 2 {
            shard.flush(&shard.partitions[partition]);
        }
    }
    let cached: Vec<u64> = shard.partitions.iter().map(|p| p.cached_bytes()).collect();
    assert!(cached[1] < 4_096, "the oldest clean bytes went: {cached:?}");
    assert!(cached[0] > 32_000, "younger ones fit: {cached:?}");
    assert!(cached[2] > 40_000, "dirty ones stay: {cached:?}");
    for _ in 0..15 {
        shard.append(2, 8_000);
    }
    assert!(shard.partitions[0].cached_bytes() < 4_096);
    assert!(shard.context.cached_bytes() > 100_000, "nothing clean is left to drop");
    shard.flush(&shard.partitions[2]);
    assert!(shard.context.cached_bytes() <= 100_000);
    drop(shard.partitions);
    assert_eq!((shard.context.cached_bytes(), shard.context.dirty_bytes()), (0, 0));
}

#[test]
fn full_partitions_are_flushed_first_and_small_ones_when_over_budget() {
    let storage = StorageSettings {
        flush_bytes: 50_000,
        dirty_bytes_max: 150_000,
        ..StorageSettings::default()
    };
    let shard = Shard::new(20, storage);
    assert!(shard.context.flush_wanted().now_or_never().is_none());
    shard.append(5, 30_000);
    shard.append(2, 30_000);
    shard.append(2, 1_000);
    assert_eq!(shard.next(), None);
    shard.append(7, 60_000);
    shard.append(2, 30_000);
    assert!(shard.context.flush_wanted().now_or_never().is_some());
    assert_eq!([shard.next(), shard.next(), shard.next()], [Some(7), Some(2), None]);
    // They were taken but not flushed: a failed flush puts them back by itself.
    for partition in [7, 2] {
        shard.flush(&shard.partitions[partition]);
    }
    assert_eq!(shard.next(), None);
    shard.append(1, 2_000); // no whole block: nothing a flush would write
    for partition in 9..14 {
        shard.append(partition, 40_000);
    }
    assert!(shard.context.is_over_dirty_budget());
    let mut flushed = Vec::new();
    while let Some(partition) = shard.context.next_flush() {
        flushed.push(partition.id().partition);
        shard.flush(&partition);
    }
    assert_eq!(flushed, [5, 9], "first come, first flushed, until the rest fits");
    assert!(!shard.context.is_over_dirty_budget());
}

#[test]
fn who_flushes_is_woken_and_who_appends_waits_for_room() {
    let storage = StorageSettings {
        flush_bytes: 50_000,
        dirty_bytes_max: 100_000,
        ..StorageSettings::default()
    };
    let shard = Shard::new(2, storage);
    let mut wanted = Box::pin(shard.context.flush_wanted());
    assert!(wanted.as_mut().now_or_never().is_none());
    assert!(shard.context.room_for_dirty().now_or_never().is_some());
    for _ in 0..25 {
        shard.append(0, 10_000);
    }
    assert!(wanted.as_mut().now_or_never().is_some());
    let mut room = Box::pin(shard.context.room_for_dirty());
    assert!(room.as_mut().now_or_never().is_none());
    let partition = shard.context.next_flush().unwrap();
    // The one that waits is woken by the flush, not by being asked again.
    let flush = partition.flush(partition.flush_target(), false);
    let (_, flushed) = block_on(futures::future::join(room, flush));
    flushed.unwrap();
}

#[test]
fn open_files_are_bounded() {
    let storage = StorageSettings { open_files_max: 16, ..StorageSettings::default() };
    let shard = Shard::new(100, storage);
    for round in 0..2 {
        for (index, partition) in shard.partitions.iter().enumerate() {
            shard.append(index, 20_000);
            block_on(partition.flush(partition.flush_target(), true)).unwrap();
            assert!(shard.context.open_files() <= 16);
        }
        for partition in &shard.partitions {
            assert_eq!(read_all(partition, 0, 100).unwrap().len(), round + 1);
        }
    }
    assert_eq!(shard.context.counters().files_opened.get(), 200);
}

#[test]
fn the_index_cache_is_bounded() {
    let storage =
        StorageSettings { index_cache_bytes: 2_000, cache_bytes: 0, ..StorageSettings::default() };
    let shard = Shard::new(10, storage);
    for partition in &shard.partitions {
        partition.set_settings(segments_of(1 << 20));
    }
    for (index, partition) in shard.partitions.iter().enumerate() {
        for _ in 0..40 {
            shard.append(index, 40_000);
        }
        shard.flush(partition);
        block_on(partition.read(10, 1)).unwrap();
        assert!(shard.context.index_cache_bytes() <= 2_000);
    }
    assert_eq!(shard.context.counters().indexes_loaded.get(), 10);
}
