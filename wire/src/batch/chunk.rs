//! Large records: cut into chunks, one batch each, so that no request and no entry of the sparse
//! index is ever larger than a batch.
//!
//! The first chunk carries the key and the headers; each carries a part of the value and the
//! timestamp. [`super::Reassembler`] puts them together.

use bytes::Bytes;

use super::BatchError;
use super::body::ColumnsRef;
use super::builder::{ProducerStamp, RecordRef};
use super::seal::seal;
use super::zstd_body::Compression;
use crate::generated::fb;
use crate::limits::{
    BATCH_BYTES_MAX, CHUNK_OVERHEAD_BYTES_MAX, CHUNKS_PER_RECORD_MAX, RECORD_BYTES_MAX,
};

/// Which part of a large record a batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Chosen by the producer; the same in all chunks of one record, and unlike that of any other
    /// record of the producer that may be on its way at the same time.
    pub record_id: u64,
    /// Bytes of the whole value.
    pub record_bytes: u64,
    /// Which chunk this is, from 0.
    pub index: u32,
    /// Chunks of the record, at least 1.
    pub count: u32,
}

impl From<&fb::Chunk> for ChunkInfo {
    fn from(chunk: &fb::Chunk) -> Self {
        ChunkInfo {
            record_id: chunk.record_id(),
            record_bytes: chunk.record_bytes(),
            index: chunk.index(),
            count: chunk.count(),
        }
    }
}

impl ChunkInfo {
    /// Checks what can be known of one chunk with a part of `part_bytes`.
    pub(super) fn check(&self, part_bytes: usize) -> Result<(), BatchError> {
        let bad = |detail| Err(BatchError::BadChunk { detail });
        if self.count == 0 || self.count > CHUNKS_PER_RECORD_MAX {
            return bad("it is one of none, or of too many");
        }
        if self.index >= self.count {
            return bad("its index is not below the count");
        }
        if self.record_bytes > RECORD_BYTES_MAX {
            return bad("the record is larger than any may be");
        }
        if part_bytes as u64 > self.record_bytes {
            return bad("it is larger than the record");
        }
        Ok(())
    }

    /// Whether this is the last chunk, whose offset is the record's.
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }
}

/// Cuts `record` into chunks of at most `chunk_bytes` (key and headers count in the first one);
/// [`crate::limits::CHUNK_BYTES`] suits a topic with the default `batch_bytes_max`, and
/// `batch_bytes_max` less [`CHUNK_OVERHEAD_BYTES_MAX`] any other. Each item is for
/// [`build_chunk`].
///
/// # Panics
///
/// If `chunk_bytes` is 0.
pub fn chunks<'a>(
    record: &RecordRef<'a>,
    record_id: u64,
    chunk_bytes: usize,
) -> impl ExactSizeIterator<Item = (ChunkInfo, RecordRef<'a>)> {
    assert!(chunk_bytes > 0, "a chunk has room for something");
    let record = *record;
    let header_bytes =
        record.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let first_room = chunk_bytes.saturating_sub(record.key.len() + header_bytes);
    let (first, mut rest) = record.value.split_at(first_room.min(record.value.len()));
    let count = 1 + rest.len().div_ceil(chunk_bytes) as u32;
    (0..count).map(move |index| {
        let info = ChunkInfo { record_id, record_bytes: record.value.len() as u64, index, count };
        if index == 0 {
            return (info, RecordRef { value: first, ..record });
        }
        let (value, after) = rest.split_at(chunk_bytes.min(rest.len()));
        rest = after;
        let timestamp_ms = record.timestamp_ms;
        (info, RecordRef { key: &[], value, timestamp_ms, headers: &[] })
    })
}

/// Makes the batch of one chunk. `part` has the chunk's part of the value, and in the first chunk
/// the record's key and headers.
pub fn build_chunk(
    compression: Compression,
    info: ChunkInfo,
    part: &RecordRef<'_>,
    stamp: ProducerStamp,
) -> Result<Bytes, BatchError> {
    info.check(part.value.len())?;
    let header_bytes = part.check()?;
    let bytes = CHUNK_OVERHEAD_BYTES_MAX + part.key.len() + header_bytes + part.value.len();
    if bytes > BATCH_BYTES_MAX as usize {
        return Err(BatchError::Full { bytes });
    }
    let (mut name_ends, mut names) = (Vec::new(), Vec::new());
    let (mut header_value_ends, mut header_values) = (Vec::new(), Vec::new());
    for (name, value) in part.headers {
        names.extend_from_slice(name.as_bytes());
        name_ends.push(names.len() as u32);
        header_values.extend_from_slice(value);
        header_value_ends.push(header_values.len() as u32);
    }
    let key_end = [part.key.len() as u32];
    let header_end = [name_ends.len() as u32];
    let columns = ColumnsRef {
        value_ends: &[part.value.len() as u32],
        values: part.value,
        key_ends: if part.key.is_empty() { &[] } else { &key_end },
        keys: part.key,
        timestamp_deltas: &[],
        header_ends: if name_ends.is_empty() { &[] } else { &header_end },
        header_name_ends: &name_ends,
        header_names: &names,
        header_value_ends: &header_value_ends,
        header_values: &header_values,
        chunk: Some(info),
    };
    seal(compression, &columns, part.timestamp_ms, part.timestamp_ms, stamp)
}
