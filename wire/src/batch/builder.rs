//! Building a batch: records are appended to columns, and the body is made once, at the end.
//!
//! Layout in memory: one growing vector per column, kept from batch to batch. `finish` copies each
//! once; see [`super::seal`].

use bytes::Bytes;

use super::BatchError;
use super::body::ColumnsRef;
use super::header::{BATCH_HEADER_BYTES, NO_PRODUCER};
use super::seal::seal;
use super::zstd_body::Compression;
use crate::limits::{
    BATCH_BYTES_MAX, BODY_OVERHEAD_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADER_OVERHEAD_BYTES,
    HEADERS_BYTES_MAX, HEADERS_PER_RECORD_MAX, KEY_BYTES_MAX, RECORD_OVERHEAD_BYTES,
    RECORDS_PER_BATCH_MAX,
};

/// A record to be pushed. An empty key and no key are the same thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// Decides the partition; at most [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// What the record says.
    pub value: &'a [u8],
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Names (not unique) and values.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl RecordRef<'_> {
    /// Checks the limits of key and headers; gives the bytes of the headers.
    pub(super) fn check(&self) -> Result<usize, BatchError> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(BatchError::KeyTooLarge { bytes: self.key.len() });
        }
        if self.headers.len() > HEADERS_PER_RECORD_MAX {
            return Err(BatchError::TooManyHeaders { count: self.headers.len() });
        }
        let bytes = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let name_bytes = self.headers.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        if bytes > HEADERS_BYTES_MAX || name_bytes > HEADER_NAME_BYTES_MAX {
            return Err(BatchError::HeadersTooLarge { bytes, name_bytes });
        }
        Ok(bytes)
    }
}

/// Who produces a batch, and the place of its first record in what they produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ProducerStamp {
    /// From InitProducer, or [`NO_PRODUCER`].
    pub producer_id: u64,
    /// From InitProducer.
    pub producer_epoch: u16,
    /// Records this producer and epoch sent to the partition before.
    pub base_sequence: u32,
}

impl ProducerStamp {
    /// Of a producer that is not idempotent.
    pub const NONE: ProducerStamp =
        ProducerStamp { producer_id: NO_PRODUCER, producer_epoch: 0, base_sequence: 0 };
}

/// Builds batches, one after the other.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    base_timestamp: i64,
    max_timestamp: i64,
    value_ends: Vec<u32>,
    values: Vec<u8>,
    key_ends: Vec<u32>,
    keys: Vec<u8>,
    timestamp_deltas: Vec<i32>,
    header_ends: Vec<u32>,
    header_name_ends: Vec<u32>,
    header_names: Vec<u8>,
    header_value_ends: Vec<u32>,
    header_values: Vec<u8>,
}

impl BatchBuilder {
    /// A builder with nothing in it.
    pub fn new(compression: Compression) -> Self {
        BatchBuilder {
            compression,
            base_timestamp: 0,
            max_timestamp: 0,
            value_ends: Vec::new(),
            values: Vec::new(),
            key_ends: Vec::new(),
            keys: Vec::new(),
            timestamp_deltas: Vec::new(),
            header_ends: Vec::new(),
            header_name_ends: Vec::new(),
            header_names: Vec::new(),
            header_value_ends: Vec::new(),
            header_values: Vec::new(),
        }
    }

    /// Appends a record. On an error the builder is as it was.
    pub fn push(&mut self, record: &RecordRef<'_>) -> Result<(), BatchError> {
        let bytes = self.bytes_estimate() + Self::record_bytes(record, record.check()?);
        if bytes > BATCH_BYTES_MAX as usize {
            return Err(BatchError::Full { bytes });
        }
        if self.len() == RECORDS_PER_BATCH_MAX as usize {
            return Err(BatchError::TooManyRecords);
        }
        let timestamp_ms = record.timestamp_ms;
        if self.is_empty() {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        let delta = timestamp_ms.checked_sub(self.base_timestamp);
        let Some(delta) = delta.and_then(|delta| i32::try_from(delta).ok()) else {
            let base_timestamp_ms = self.base_timestamp;
            return Err(BatchError::TimestampSpan { timestamp_ms, base_timestamp_ms });
        };
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.timestamp_deltas.push(delta);
        append(&mut self.values, &mut self.value_ends, record.value);
        append(&mut self.keys, &mut self.key_ends, record.key);
        for (name, value) in record.headers {
            append(&mut self.header_names, &mut self.header_name_ends, name.as_bytes());
            append(&mut self.header_values, &mut self.header_value_ends, value);
        }
        self.header_ends.push(self.header_name_ends.len() as u32);
        Ok(())
    }

    fn record_bytes(record: &RecordRef<'_>, header_bytes: usize) -> usize {
        let overhead = RECORD_OVERHEAD_BYTES + record.headers.len() * HEADER_OVERHEAD_BYTES;
        overhead + header_bytes + record.key.len() + record.value.len()
    }

    /// Records pushed.
    pub fn len(&self) -> usize {
        self.value_ends.len()
    }

    /// Whether no record was pushed.
    pub fn is_empty(&self) -> bool {
        self.value_ends.is_empty()
    }

    /// Most bytes that the batch of what was pushed can have, reached if it does not compress.
    pub fn bytes_estimate(&self) -> usize {
        let bytes = self.values.len()
            + self.keys.len()
            + self.header_names.len()
            + self.header_values.len();
        BATCH_HEADER_BYTES
            + BODY_OVERHEAD_BYTES_MAX
            + self.len() * RECORD_OVERHEAD_BYTES
            + self.header_name_ends.len() * HEADER_OVERHEAD_BYTES
            + bytes
    }

    /// Makes the batch, and leaves the builder empty for the next one. On an error (a
    /// `base_sequence` too near its end, say) the records are still there.
    pub fn finish(&mut self, stamp: ProducerStamp) -> Result<Bytes, BatchError> {
        if self.is_empty() {
            return Err(BatchError::Empty);
        }
        let has_keys = !self.keys.is_empty();
        let has_times = self.timestamp_deltas.iter().any(|delta| *delta != 0);
        let has_headers = !self.header_name_ends.is_empty();
        let columns = ColumnsRef {
            value_ends: &self.value_ends,
            values: &self.values,
            key_ends: if has_keys { &self.key_ends } else { &[] },
            keys: &self.keys,
            timestamp_deltas: if has_times { &self.timestamp_deltas } else { &[] },
            header_ends: if has_headers { &self.header_ends } else { &[] },
            header_name_ends: &self.header_name_ends,
            header_names: &self.header_names,
            header_value_ends: &self.header_value_ends,
            header_values: &self.header_values,
            chunk: None,
        };
        let (base, max) = (self.base_timestamp, self.max_timestamp);
        let batch = seal(self.compression, &columns, base, max, stamp)?;
        self.clear();
        Ok(batch)
    }

    /// Forgets what was pushed.
    pub fn clear(&mut self) {
        self.value_ends.clear();
        self.values.clear();
        self.key_ends.clear();
        self.keys.clear();
        self.timestamp_deltas.clear();
        self.header_ends.clear();
        self.header_name_ends.clear();
        self.header_names.clear();
        self.header_value_ends.clear();
        self.header_values.clear();
    }
}

fn append(bytes: &mut Vec<u8>, ends: &mut Vec<u32>, value: &[u8]) {
    bytes.extend_from_slice(value);
    ends.push(bytes.len() as u32);
}
