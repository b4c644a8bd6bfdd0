//! Putting the chunks of large records together again, one reassembler per partition.
//!
//! Chunks of one record come in order, but those of several producers interleave. Memory is
//! bounded: what is buffered never exceeds [`ReassemblerLimits::bytes_max`] (and the keys and headers
//! of one record), and nothing is allocated for bytes that have not arrived.
//!
//! What is skipped without an error is what never was a record to this reader: chunks whose
//! beginning it did not see (it started in the middle), records given up by their producer, and
//! chunks that a producer without idempotence sent twice.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::BatchError;
use super::chunk::ChunkInfo;
use super::reader::{DecodedBatch, Record};
use crate::limits::{RECORD_BYTES_DEFAULT_MAX, RECORD_BYTES_MAX};

/// What a reassembler may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblerLimits {
    /// Largest record it takes.
    pub record_bytes_max: u64,
    /// Most bytes it holds of all unfinished records; at least `record_bytes_max`.
    pub bytes_max: u64,
    /// Most unfinished records it holds, at least 1.
    pub records_max: usize,
}

impl Default for ReassemblerLimits {
    fn default() -> Self {
        ReassemblerLimits {
            record_bytes_max: RECORD_BYTES_MAX,
            bytes_max: RECORD_BYTES_MAX + 4 * RECORD_BYTES_DEFAULT_MAX,
            records_max: 1024,
        }
    }
}

/// Records given up for want of memory that are remembered, to tell of their loss.
const EVICTED_REMEMBERED_MAX: usize = 4096;

/// Record ids are the producer's own, so two producers may choose the same.
type Key = (u64, u64);

#[derive(Debug)]
struct Unfinished {
    /// The chunk that must come next.
    next: u32,
    count: u32,
    record_bytes: u64,
    /// The push that last added to it; the least of all is given up first.
    touched: u64,
    timestamp_ms: i64,
    key: Bytes,
    headers: Vec<(String, Bytes)>,
    value: Vec<u8>,
}

impl Unfinished {
    fn bytes(&self) -> u64 {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        (self.key.len() + headers.sum::<usize>() + self.value.len()) as u64
    }

    /// Grows by doubling, so that memory follows what has arrived, but not past the record's size.
    fn append(&mut self, part: &[u8]) {
        let length = self.value.len() + part.len();
        if length > self.value.capacity() {
            let doubled = (2 * self.value.capacity() as u64).min(self.record_bytes) as usize;
            self.value.reserve_exact(doubled.max(length) - self.value.len());
        }
        self.value.extend_from_slice(part);
    }
}

/// Puts chunks of large records together.
#[derive(Debug)]
pub struct Reassembler {
    limits: ReassemblerLimits,
    unfinished: HashMap<Key, Unfinished>,
    bytes: u64,
    pushes: u64,
    evicted: VecDeque<Key>,
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new(ReassemblerLimits::default())
    }
}

impl Reassembler {
    /// A reassembler with nothing in it.
    pub fn new(limits: ReassemblerLimits) -> Self {
        Reassembler {
            limits,
            unfinished: HashMap::new(),
            bytes: 0,
            pushes: 0,
            evicted: VecDeque::new(),
        }
    }

    /// Bytes held of unfinished records.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Unfinished records held.
    pub fn len(&self) -> usize {
        self.unfinished.len()
    }

    /// Whether no unfinished record is held.
    pub fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Forgets everything, as after a seek.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Takes the next chunk batch of the partition, and gives the record if it was its last chunk.
    /// The record's offset is that of its last chunk. After an error the reassembler goes on with
    /// other records.
    pub fn push(&mut self, batch: DecodedBatch) -> Result<Option<Record>, BatchError> {
        let Some(chunk) = batch.chunk else { return Err(BatchError::NotAChunk) };
        let Some(part) = batch.records().next() else { return Err(BatchError::NotAChunk) };
        let key = (batch.header.producer_id, chunk.record_id);
        self.pushes += 1;
        if chunk.index == 0 {
            self.begin(key, &chunk, part)?;
        } else if !self.extend(key, &chunk, &part)? {
            return Ok(None);
        }
        if !chunk.is_last() {
            return Ok(None);
        }
        let Some(record) = self.remove(key) else { return Ok(None) };
        if record.value.len() as u64 != record.record_bytes {
            return Err(BatchError::BadChunk {
                detail: "the chunks are not as long as the record",
            });
        }
        Ok(Some(Record {
            offset: batch.header.base_offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: Bytes::from(record.value),
            headers: record.headers,
        }))
    }

    /// The first chunk: the record begins, or begins again.
    fn begin(&mut self, key: Key, chunk: &ChunkInfo, part: Record) -> Result<(), BatchError> {
        self.remove(key);
        self.evicted.retain(|evicted| *evicted != key);
        let bytes_max = self.limits.record_bytes_max;
        if chunk.record_bytes > bytes_max {
            let (record_id, bytes) = (chunk.record_id, chunk.record_bytes);
            return Err(BatchError::RecordTooLarge { record_id, bytes, bytes_max });
        }
        while self.unfinished.len() >= self.limits.records_max.max(1) {
            self.evict(key);
        }
        // Copied, since a slice would keep the whole batch in memory.
        let headers = part.headers.into_iter();
        let headers = headers.map(|(name, value)| (name, Bytes::copy_from_slice(&value)));
        let record = Unfinished {
            next: 1,
            count: chunk.count,
            record_bytes: chunk.record_bytes,
            touched: self.pushes,
            timestamp_ms: part.timestamp_ms,
            key: Bytes::copy_from_slice(&part.key),
            headers: headers.collect(),
            value: part.value.to_vec(),
        };
        self.make_room(key, record.bytes());
        self.bytes += record.bytes();
        self.unfinished.insert(key, record);
        Ok(())
    }

    /// A later chunk; false if it belongs to nothing that is held.
    fn extend(&mut self, key: Key, chunk: &ChunkInfo, part: &Record) -> Result<bool, BatchError> {
        let Some(record) = self.unfinished.get(&key) else {
            if chunk.is_last() && self.evicted.contains(&key) {
                self.evicted.retain(|evicted| *evicted != key);
                let (record_id, offset) = (chunk.record_id, part.offset);
                return Err(BatchError::Evicted { record_id, offset });
            }
            return Ok(false);
        };
        if chunk.index < record.next {
            return Ok(false);
        }
        if chunk.index > record.next {
            // A chunk between was never acknowledged, so the record never was.
            self.remove(key);
            return Ok(false);
        }
        let same = chunk.count == record.count && chunk.record_bytes == record.record_bytes;
        let bytes = part.value.len() as u64;
        if !same || record.value.len() as u64 + bytes > record.record_bytes {
            self.remove(key);
            return Err(BatchError::BadChunk { detail: "it contradicts the chunks before it" });
        }
        self.make_room(key, bytes);
        let Some(record) = self.unfinished.get_mut(&key) else {
            return Ok(false);
        };
        record.append(&part.value);
        record.next += 1;
        record.touched = self.pushes;
        self.bytes += bytes;
        Ok(true)
    }

    /// Gives up other records until there is room for `bytes` more of `key`'s.
    fn make_room(&mut self, key: Key, bytes: u64) {
        let bytes_max = self.limits.bytes_max.max(self.limits.record_bytes_max);
        while self.bytes + bytes > bytes_max && self.evict(key) {}
    }

    /// Gives up the record that has waited longest, other than `keep`.
    fn evict(&mut self, keep: Key) -> bool {
        let others = self.unfinished.iter().filter(|(key, _)| **key != keep);
        let Some((key, _)) = others.min_by_key(|(_, record)| record.touched) else { return false };
        let key = *key;
        self.remove(key);
        if self.evicted.len() == EVICTED_REMEMBERED_MAX {
            self.evicted.pop_front();
        }
        self.evicted.push_back(key);
        true
    }

    fn remove(&mut self, key: Key) -> Option<Unfinished> {
        let record = self.unfinished.remove(&key)?;
        self.bytes -= record.bytes();
        Some(record)
    }
}
