//! What tests of partitions share: batches that can be told apart, and a shard's storage on a
//! simulated disk.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use futures::executor::block_on;
use ringspool_node::io::SimDisk;
use ringspool_node::partition::{
    AppendOutcome, Partition, PartitionCheckpoint, PartitionId, PartitionSettings, ReadError,
    StorageContext, StorageSettings,
};
use ringspool_wire::batch::{
    BatchBuilder, BatchHeader, Compression, ProducerStamp, RecordRef, split, stamp, verify,
};
use std::path::PathBuf;
use std::rc::Rc;

/// The partition that tests use when one is enough.
pub const ID: PartitionId = PartitionId { topic: 7, partition: 3 };
/// The leader's time, unless a test says another.
pub const NOW_MS: u64 = 1_700_000_000_000;
/// The term of all appends.
pub const TERM: u32 = 5;

/// A batch of `records` records of `value_bytes` bytes that `seed` determines, all of one time.
pub fn batch_at(seed: u64, records: u32, value_bytes: usize, timestamp_ms: i64) -> Bytes {
    batch_of(seed, records, value_bytes, timestamp_ms, ProducerStamp::NONE)
}

/// A batch of an idempotent producer.
pub fn batch_of(
    seed: u64,
    records: u32,
    value_bytes: usize,
    timestamp_ms: i64,
    stamp: ProducerStamp,
) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let mut value = vec![0; value_bytes];
    for record in 0..records {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(record);
        for byte in &mut value {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        let record = RecordRef { key: b"", value: &value, timestamp_ms, headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.finish(stamp).unwrap()
}

/// A batch that `seed` determines, at the usual time.
pub fn batch(seed: u64, records: u32, value_bytes: usize) -> Bytes {
    batch_at(seed, records, value_bytes, NOW_MS as i64)
}

/// `batch` as it must come back: stamped with its offset and the term.
pub fn stamped(batch: &Bytes, base_offset: u64) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    let head = stamp(batch.first_chunk().unwrap(), base_offset, TERM);
    bytes[..head.len()].copy_from_slice(&head);
    bytes.freeze()
}

/// Bounds that let a test see what happens with little data.
pub fn small_storage() -> StorageSettings {
    StorageSettings { cache_bytes: 256 << 10, dirty_bytes_max: 64 << 10, ..Default::default() }
}

/// Settings with segments of that size.
pub fn segments_of(segment_bytes: u64) -> PartitionSettings {
    PartitionSettings { segment_bytes, ..PartitionSettings::default() }
}

/// The folder of a partition.
pub fn dir_of(id: PartitionId) -> PathBuf {
    PathBuf::from(format!("/data/topic/{}/{}", id.topic, id.partition))
}

/// A partition on a simulated disk, with all that was appended to it.
pub struct Fixture {
    pub disk: SimDisk,
    pub context: Rc<StorageContext>,
    pub partition: Rc<Partition>,
    pub settings: PartitionSettings,
    /// What was appended: base offset and the batch as it must be read.
    pub log: Vec<(u64, Bytes)>,
    pub now_ms: u64,
}

impl Fixture {
    pub fn new(settings: PartitionSettings, storage: StorageSettings) -> Self {
        let disk = SimDisk::new();
        let context = StorageContext::new(Rc::new(disk.clone()), storage);
        let partition = Partition::create(ID, settings.clone(), dir_of(ID), context.clone());
        Self { disk, context, partition, settings, log: Vec::new(), now_ms: NOW_MS }
    }

    /// One with segments of 1 MiB and small budgets.
    pub fn small() -> Self {
        Self::new(segments_of(1 << 20), small_storage())
    }

    /// Appends a batch and remembers it.
    pub fn append(&mut self, batch: Bytes) -> u64 {
        let header = BatchHeader::decode(&batch).unwrap();
        match self.partition.append(self.now_ms, TERM, &header, batch.clone()) {
            AppendOutcome::Appended { base_offset } => {
                self.log.push((base_offset, stamped(&batch, base_offset)));
                base_offset
            }
            other => panic!("not appended: {other:?}"),
        }
    }

    /// Appends `count` batches of 3 records and about `bytes` bytes each.
    pub fn fill(&mut self, count: usize, bytes: usize) {
        for _ in 0..count {
            let seed = self.log.len() as u64;
            self.append(batch(seed, 3, bytes / 3));
        }
    }

    /// Writes everything that can be written.
    pub fn flush(&self, sync: bool) {
        block_on(self.partition.flush(self.partition.flush_target(), sync)).unwrap();
    }

    /// Takes a checkpoint as a vnode does: captured, flushed, encoded, read again.
    pub fn checkpoint(&self) -> PartitionCheckpoint {
        let checkpoint = self.partition.checkpoint();
        self.flush(true);
        PartitionCheckpoint::decode(&checkpoint.encode()).unwrap()
    }

    /// The partition as a process that starts on `disk` with `checkpoint` finds it.
    pub fn restart(&mut self, disk: SimDisk, checkpoint: PartitionCheckpoint) {
        self.context = StorageContext::new(Rc::new(disk.clone()), small_storage());
        let settings = self.settings.clone();
        let context = self.context.clone();
        self.partition = Partition::restore(ID, checkpoint, settings, dir_of(ID), context);
        self.disk = disk;
    }

    /// Reads all of the log that is not trimmed and compares every byte.
    pub fn check_log(&self, bytes_max: usize) {
        let start = self.partition.log_start_offset();
        let read = read_all(&self.partition, start, bytes_max).unwrap();
        let expected: Vec<(u64, Bytes)> = self
            .log
            .iter()
            .filter(|(base, batch)| base + u64::from(records_of(batch)) > start)
            .cloned()
            .collect();
        assert_eq!(read.len(), expected.len(), "batches");
        for (read, expected) in read.iter().zip(&expected) {
            assert!(read == expected, "the batch at {} is another", expected.0);
        }
    }

    /// Drops all clean bytes from memory, so that reads go to the disk.
    pub fn forget_clean(&mut self) {
        let checkpoint = self.checkpoint();
        self.restart(self.disk.clone(), checkpoint);
    }
}

/// Records in a batch.
pub fn records_of(batch: &Bytes) -> u32 {
    BatchHeader::decode(batch).unwrap().record_count
}

/// Reads from an offset to the high watermark; every batch with its base offset.
pub fn read_all(
    partition: &Rc<Partition>,
    from: u64,
    bytes_max: usize,
) -> Result<Vec<(u64, Bytes)>, ReadError> {
    let mut offset = from;
    let mut batches = Vec::new();
    while offset < partition.high_watermark() {
        let outcome = block_on(partition.read(offset, bytes_max))?;
        assert_eq!(outcome.bytes, outcome.batches.iter().map(Bytes::len).sum::<usize>());
        assert!(outcome.bytes > 0, "nothing read at {offset}");
        let whole = Bytes::from(outcome.batches.concat());
        for (index, batch) in split(whole).enumerate() {
            let batch = batch.unwrap();
            let header = verify(&batch).unwrap();
            if index == 0 {
                assert!((header.base_offset..=header.last_offset()).contains(&offset));
            } else {
                assert_eq!(header.base_offset, offset, "a gap");
            }
            offset = header.last_offset() + 1;
            batches.push((header.base_offset, batch));
        }
        assert_eq!(outcome.next_offset, offset);
    }
    Ok(batches)
}
