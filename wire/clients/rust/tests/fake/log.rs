//! Topics, and what a partition holds.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ringspool_wire::{
    ApiError, BATCH_HEADER_BYTES, BatchHeader, ErrorCode, NO_PRODUCER, ProduceAck, stamp, verify,
};

use super::State;

pub struct Topic {
    pub name: String,
    pub id: u64,
    pub partitions: Vec<Log>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub header: BatchHeader,
    pub batch: Bytes,
}

#[derive(Default)]
pub struct Log {
    pub shard: u16,
    /// What metadata says of the partition.
    pub error: ErrorCode,
    pub entries: Vec<Entry>,
    pub start: u64,
    pub end: u64,
    pub batch_bytes_max: Option<usize>,
    producers: HashMap<u64, Producer>,
}

#[derive(Default)]
struct Producer {
    next: u32,
    recent: VecDeque<(u32, u32, u64)>,
}

impl State {
    pub fn create_topic(&mut self, name: &str, partitions: u32) -> u64 {
        let id = self.next_topic_id;
        self.next_topic_id += 1;
        let shards = u32::from(self.shards);
        let log = |partition| Log { shard: (partition % shards) as u16, ..Log::default() };
        let partitions = (0..partitions).map(log).collect();
        self.topics.push(Topic { name: name.to_owned(), id, partitions });
        id
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    pub fn log(&mut self, name: &str, partition: u32) -> &mut Log {
        let topic = self.topics.iter_mut().find(|topic| topic.name == name).unwrap();
        &mut topic.partitions[partition as usize]
    }

    pub fn log_by_id(&mut self, id: u64, partition: u32, shard: u16) -> Result<&mut Log, ApiError> {
        let topic = self.topics.iter_mut().find(|topic| topic.id == id);
        let topic = topic.ok_or_else(|| ApiError::new(ErrorCode::UnknownTopic, "no such topic"))?;
        let log = topic.partitions.get_mut(partition as usize);
        let log =
            log.ok_or_else(|| ApiError::new(ErrorCode::UnknownPartition, "no such partition"))?;
        if log.shard != shard {
            return Err(ApiError::new(ErrorCode::NotLeader, "it is on another shard"));
        }
        Ok(log)
    }
}

impl Log {
    pub fn append(&mut self, batch: &Bytes) -> Result<ProduceAck, ApiError> {
        let header = verify(batch).map_err(|e| ApiError::new(e.code(), e.to_string()))?;
        if self.batch_bytes_max.is_some_and(|max| batch.len() > max) {
            return Err(ApiError::new(ErrorCode::BatchTooLarge, "the batch is too large"));
        }
        let base_offset = self.end;
        if header.producer_id != NO_PRODUCER {
            let known = self.producers.contains_key(&header.producer_id);
            if !known && header.base_sequence > 0 {
                return Err(ApiError::new(ErrorCode::UnknownProducer, "forgotten"));
            }
            let producer = self.producers.entry(header.producer_id).or_default();
            let (base, count) = (header.base_sequence, header.record_count);
            if let Some((_, _, offset)) =
                producer.recent.iter().find(|(b, c, _)| (*b, *c) == (base, count))
            {
                return Ok(ProduceAck { base_offset: *offset, duplicate: true });
            }
            if base != producer.next {
                let text = format!("sequence {} expected, {base} came", producer.next);
                return Err(ApiError::new(ErrorCode::OutOfSequence, text));
            }
            producer.next += count;
            producer.recent.push_back((base, count, base_offset));
            if producer.recent.len() > 5 {
                producer.recent.pop_front();
            }
        }
        let front = batch.first_chunk::<BATCH_HEADER_BYTES>().unwrap();
        let mut bytes = stamp(front, base_offset, 1).to_vec();
        bytes.extend_from_slice(&batch[BATCH_HEADER_BYTES..]);
        let header = BatchHeader { base_offset, ..header };
        self.entries.push(Entry { header, batch: bytes.into() });
        self.end += u64::from(header.record_count);
        Ok(ProduceAck { base_offset, duplicate: false })
    }

    /// Whole batches from `offset`: at least one, at most about `bytes_max`.
    pub fn read(&self, offset: u64, bytes_max: usize) -> Result<Vec<Bytes>, ApiError> {
        if offset < self.start || offset > self.end {
            return Err(ApiError::new(ErrorCode::OffsetOutOfRange, "out of range"));
        }
        let mut bytes = Vec::new();
        let entries = self.entries.iter().filter(|entry| entry.header.last_offset() >= offset);
        for entry in entries {
            if !bytes.is_empty() && bytes.len() + entry.batch.len() > bytes_max {
                break;
            }
            bytes.extend_from_slice(&entry.batch);
        }
        Ok(if bytes.is_empty() { Vec::new() } else { vec![bytes.into()] })
    }

    /// Removes batches that end below `offset`.
    pub fn trim(&mut self, offset: u64) {
        self.entries.retain(|entry| entry.header.last_offset() >= offset);
        self.start = offset;
    }

    /// Flips a bit in the body of a batch.
    pub fn damage(&mut self, index: usize) {
        let mut bytes = self.entries[index].batch.to_vec();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        self.entries[index].batch = bytes.into();
    }

    pub fn forget_producers(&mut self) {
        self.producers.clear();
    }
}
