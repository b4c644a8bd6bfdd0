//! Reading a batch: everything is checked when it is opened, and then records come without copies.

use bytes::Bytes;

use super::BatchError;
use super::body::Columns;
use super::chunk::ChunkInfo;
use super::header::{BATCH_HEADER_BYTES, BatchHeader, Codec, verify};
use super::zstd_body;

/// A record that was read. Key, value and header values are slices of its batch's body, and keep
/// that in memory as long as they live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: u64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Empty: there is none.
    pub key: Bytes,
    /// What the record says.
    pub value: Bytes,
    /// Names (not unique) and values, in the order they were pushed.
    pub headers: Vec<(String, Bytes)>,
}

/// A batch whose CRC, body and columns were checked.
#[derive(Clone, Debug)]
pub struct DecodedBatch {
    /// The batch's header.
    pub header: BatchHeader,
    /// Set if the batch's only record is one chunk of a large record; see
    /// [`super::Reassembler`].
    pub chunk: Option<ChunkInfo>,
    columns: Columns,
}

impl DecodedBatch {
    /// Opens exactly one batch.
    pub fn open(batch: Bytes) -> Result<Self, BatchError> {
        let header = verify(&batch)?;
        let body = batch.slice(BATCH_HEADER_BYTES..);
        let body = match header.codec {
            Codec::None => body,
            Codec::Zstd => Bytes::from(zstd_body::decompress(&body, header.uncompressed_bytes)?),
        };
        let columns = Columns::read(&header, &body)?;
        Ok(DecodedBatch { header, chunk: columns.chunk, columns })
    }

    /// The records, in the order of their offsets. Of a chunk batch: one, with a part of the
    /// value.
    pub fn records(&self) -> Records<'_> {
        Records { batch: self, next: 0 }
    }

    fn record(&self, index: usize) -> Record {
        let columns = &self.columns;
        let names = &columns.header_names;
        let headers = columns.header_ends.range(index).map(|header| {
            let name = &names[columns.header_name_ends.range(header)];
            let value = columns.header_values.slice(columns.header_value_ends.range(header));
            // Checked when the batch was opened, so this borrows and loses nothing.
            (String::from_utf8_lossy(name).into_owned(), value)
        });
        Record {
            offset: self.header.base_offset.saturating_add(index as u64),
            timestamp_ms: self.header.base_timestamp + columns.timestamp_delta(index),
            key: columns.keys.slice(columns.key_ends.range(index)),
            value: columns.values.slice(columns.value_ends.range(index)),
            headers: headers.collect(),
        }
    }
}

/// The records of a batch; see [`DecodedBatch::records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: &'a DecodedBatch,
    next: usize,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.next == self.batch.header.record_count as usize {
            return None;
        }
        self.next += 1;
        Some(self.batch.record(self.next - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.header.record_count as usize - self.next;
        (left, Some(left))
    }

    fn nth(&mut self, skip: usize) -> Option<Record> {
        let count = self.batch.header.record_count as usize;
        self.next = self.next.saturating_add(skip).min(count);
        self.next()
    }
}

impl ExactSizeIterator for Records<'_> {}
