//! A record that is larger than a batch: it goes out as chunk batches, made one by one when their
//! turn comes. The value is the caller's own memory until then, so it is copied once, a chunk at a
//! time, and no more of it is in memory twice than what is in flight.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use ringspool_wire::{BatchError, ChunkInfo, Compression, ProducerStamp, RecordRef, build_chunk};

use super::delivery::Outcome;
use super::ledger::Obligation;
use super::record::ProduceRecord;

/// A large record on its way.
pub(super) struct LargeRecord {
    record: ProduceRecord,
    timestamp_ms: i64,
    record_id: u64,
    chunk_bytes: usize,
    /// Value bytes of the first chunk; key and headers take the rest of its room.
    first_bytes: usize,
    count: u32,
    /// Taken by whoever settles the record: its last chunk, or the first that fails.
    obligation: Mutex<Option<Obligation>>,
}

impl LargeRecord {
    pub(super) fn new(
        record: ProduceRecord,
        timestamp_ms: i64,
        chunk_bytes: usize,
        obligation: Obligation,
    ) -> Self {
        let value_bytes = record.value.len();
        let beside_value = record.bytes() - value_bytes;
        let first_bytes = chunk_bytes.saturating_sub(beside_value).min(value_bytes);
        let count = 1 + (value_bytes - first_bytes).div_ceil(chunk_bytes) as u32;
        LargeRecord {
            record,
            timestamp_ms,
            record_id: rand::random(),
            chunk_bytes,
            first_bytes,
            count,
            obligation: Mutex::new(Some(obligation)),
        }
    }

    /// Number of chunks.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether the record is delivered or has failed.
    pub(super) fn is_settled(&self) -> bool {
        self.obligation.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Tells the sender; later calls do nothing.
    pub(super) fn settle(&self, outcome: Outcome) {
        let obligation = self.obligation.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(obligation) = obligation {
            obligation.settle(outcome);
        }
    }

    /// The batch of one chunk.
    pub(super) fn encode(
        &self,
        index: u32,
        compression: Compression,
        stamp: ProducerStamp,
    ) -> Result<Bytes, BatchError> {
        let info = ChunkInfo {
            record_id: self.record_id,
            record_bytes: self.record.value.len() as u64,
            index,
            count: self.count,
        };
        let timestamp_ms = self.timestamp_ms;
        if index == 0 {
            let value = &self.record.value[..self.first_bytes];
            let headers = header_refs(&self.record);
            let part = RecordRef { key: &self.record.key, value, timestamp_ms, headers: &headers };
            return build_chunk(compression, info, &part, stamp);
        }
        let begin = self.first_bytes + (index as usize - 1) * self.chunk_bytes;
        let end = (begin + self.chunk_bytes).min(self.record.value.len());
        let value = &self.record.value[begin..end];
        build_chunk(
            compression,
            info,
            &RecordRef { key: &[], value, timestamp_ms, headers: &[] },
            stamp,
        )
    }
}

/// The headers of a record, as batches take them.
pub(super) fn header_refs(record: &ProduceRecord) -> Vec<(&str, &[u8])> {
    record.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use ringspool_wire::chunks;

    use super::super::ledger::Ledger;
    use super::*;

    #[test]
    fn chunks_are_those_of_the_wire_crate() {
        let ledger = Arc::new(Ledger::new(1 << 20));
        for value_bytes in [0, 1, 89, 90, 91, 100, 190, 191, 1000] {
            let value: Vec<u8> = (0..value_bytes).map(|i| i as u8).collect();
            let record = ProduceRecord::new("t").key("12345678").header("a", "b").value(value);
            let whole = record.clone();
            let large = LargeRecord::new(record, 7, 100, ledger.begin());
            let headers = header_refs(&whole);
            let reference = RecordRef {
                key: &whole.key,
                value: &whole.value,
                timestamp_ms: 7,
                headers: &headers,
            };
            let expected: Vec<Bytes> = chunks(&reference, large.record_id, 100)
                .map(|(info, part)| {
                    build_chunk(Compression::None, info, &part, ProducerStamp::NONE).unwrap()
                })
                .collect();
            assert_eq!(large.count() as usize, expected.len(), "of {value_bytes} bytes");
            for (index, expected) in expected.iter().enumerate() {
                let batch =
                    large.encode(index as u32, Compression::None, ProducerStamp::NONE).unwrap();
                assert_eq!(batch, expected, "chunk {index} of {value_bytes} bytes");
            }
        }
    }
}
