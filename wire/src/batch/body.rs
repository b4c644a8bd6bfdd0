//! The body of a batch: columns, and their way into and out of the FlatBuffers table.
//!
//! `*_ends` are exclusive ends into the byte column of the same name, one per record (for header
//! names and values: one per header). A column that is absent is empty for every record. Each byte
//! column ends where its last value ends, so that no bytes hide behind it.
//!
//! Invariant: [`Columns::read`] gives columns that agree with each other and the record count, so
//! that nothing that reads records after it can fail. Work is proportional to the records and the
//! header bytes, never to what a column claims.

use bytes::Bytes;
use flatbuffers::{FlatBufferBuilder, Vector, WIPOffset};

use super::chunk::ChunkInfo;
use super::{BatchError, BatchHeader};
use crate::codec;
use crate::generated::fb;
use crate::limits::{BODY_OVERHEAD_BYTES_MAX, HEADERS_PER_RECORD_MAX};

/// Columns to be written; empty ones are left out.
#[derive(Default)]
pub(super) struct ColumnsRef<'a> {
    pub(super) value_ends: &'a [u32],
    pub(super) values: &'a [u8],
    pub(super) key_ends: &'a [u32],
    pub(super) keys: &'a [u8],
    pub(super) timestamp_deltas: &'a [i32],
    pub(super) header_ends: &'a [u32],
    pub(super) header_name_ends: &'a [u32],
    pub(super) header_names: &'a [u8],
    pub(super) header_value_ends: &'a [u32],
    pub(super) header_values: &'a [u8],
    pub(super) chunk: Option<ChunkInfo>,
}

type Builder = FlatBufferBuilder<'static>;

impl ColumnsRef<'_> {
    /// Most bytes the body of these columns can have.
    pub(super) fn bytes_max(&self) -> usize {
        let ends = self.value_ends.len()
            + self.key_ends.len()
            + self.timestamp_deltas.len()
            + self.header_ends.len()
            + self.header_name_ends.len()
            + self.header_value_ends.len();
        let bytes = self.values.len()
            + self.keys.len()
            + self.header_names.len()
            + self.header_values.len();
        BODY_OVERHEAD_BYTES_MAX + 4 * ends + bytes
    }

    /// Writes the body. The values come first into the builder, so they are last in the bytes.
    pub(super) fn write(&self, builder: &mut Builder) {
        let values = Some(byte_column(builder, self.values));
        let keys = optional(self.keys, |keys| byte_column(builder, keys));
        let header_values = optional(self.header_values, |bytes| byte_column(builder, bytes));
        let header_names = optional(self.header_names, |bytes| byte_column(builder, bytes));
        let args = fb::BatchBodyArgs {
            value_ends: Some(builder.create_vector(self.value_ends)),
            values,
            key_ends: optional(self.key_ends, |ends| builder.create_vector(ends)),
            keys,
            timestamp_deltas: optional(self.timestamp_deltas, |d| builder.create_vector(d)),
            header_ends: optional(self.header_ends, |ends| builder.create_vector(ends)),
            header_name_ends: optional(self.header_name_ends, |ends| builder.create_vector(ends)),
            header_names,
            header_value_ends: optional(self.header_value_ends, |ends| builder.create_vector(ends)),
            header_values,
            chunk: None,
        };
        let chunk = self.chunk.map(|chunk| {
            fb::Chunk::new(chunk.record_id, chunk.record_bytes, chunk.index, chunk.count)
        });
        let args = fb::BatchBodyArgs { chunk: chunk.as_ref(), ..args };
        let root = fb::BatchBody::create(builder, &args);
        builder.finish_minimal(root);
    }
}

fn optional<T, R>(column: &[T], write: impl FnOnce(&[T]) -> R) -> Option<R> {
    (!column.is_empty()).then(|| write(column))
}

/// Writes a byte column in one copy. (`create_vector` of bytes goes one by one.) It is a byte
/// vector with a zero after it, which readers do not see.
fn byte_column(builder: &mut Builder, bytes: &[u8]) -> WIPOffset<Vector<'static, u8>> {
    WIPOffset::new(builder.create_byte_string(bytes).value())
}

/// Exclusive ends of values in a byte column, as they stand in the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Bytes);

impl Ends {
    fn count(&self) -> usize {
        self.0.len() / 4
    }

    fn get(&self, index: usize) -> usize {
        let at = index * 4;
        let end = self.0.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        end.map_or(0, |end| u32::from_le_bytes(*end) as usize)
    }

    /// Where value `index` begins and ends; nowhere for an absent column.
    pub(super) fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.get(index - 1) };
        start..self.get(index)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.as_chunks::<4>().0.iter().map(|end| u32::from_le_bytes(*end))
    }

    /// Checks `count` ends that never go back, the last of them at `last`.
    fn check(&self, column: &'static str, count: usize, last: usize) -> Result<(), BatchError> {
        let bad = |detail| Err(BatchError::BadColumn { column, detail });
        if self.count() != count {
            return bad("it has not one end for each");
        }
        let mut before = 0;
        let mut ordered = true;
        for end in self.iter() {
            ordered &= end >= before;
            before = end;
        }
        if !ordered {
            return bad("an end is before the one before it");
        }
        if before as usize != last {
            return bad("the last end is not the end of the bytes");
        }
        Ok(())
    }
}

/// Columns of a body that was read; slices of it.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) value_ends: Ends,
    pub(super) values: Bytes,
    pub(super) key_ends: Ends,
    pub(super) keys: Bytes,
    timestamp_deltas: Bytes,
    pub(super) header_ends: Ends,
    pub(super) header_name_ends: Ends,
    pub(super) header_names: Bytes,
    pub(super) header_value_ends: Ends,
    pub(super) header_values: Bytes,
    pub(super) chunk: Option<ChunkInfo>,
}

impl Columns {
    /// Verifies a decompressed body and its columns.
    pub(super) fn read(header: &BatchHeader, body: &Bytes) -> Result<Self, BatchError> {
        // One table, and nothing in it nests.
        let options = codec::verifier_options(body.len(), 1);
        let table = fb::root_as_batch_body_with_opts(&options, body)
            .map_err(|error| BatchError::MalformedBody { detail: codec::detail(&error) })?;
        let bytes = |column: Option<Vector<'_, u8>>| {
            column.map_or_else(Bytes::new, |column| body.slice_ref(column.bytes()))
        };
        let ends = |column: Option<Vector<'_, u32>>| {
            Ends(column.map_or_else(Bytes::new, |column| body.slice_ref(column.bytes())))
        };
        let deltas = table.timestamp_deltas();
        let columns = Columns {
            value_ends: ends(Some(table.value_ends())),
            values: bytes(Some(table.values())),
            key_ends: ends(table.key_ends()),
            keys: bytes(table.keys()),
            timestamp_deltas: deltas.map_or_else(Bytes::new, |d| body.slice_ref(d.bytes())),
            header_ends: ends(table.header_ends()),
            header_name_ends: ends(table.header_name_ends()),
            header_names: bytes(table.header_names()),
            header_value_ends: ends(table.header_value_ends()),
            header_values: bytes(table.header_values()),
            chunk: table.chunk().map(ChunkInfo::from),
        };
        columns.check(header)?;
        Ok(columns)
    }

    fn check(&self, header: &BatchHeader) -> Result<(), BatchError> {
        let records = header.record_count as usize;
        self.value_ends.check("value_ends", records, self.values.len())?;
        if self.key_ends.count() > 0 || !self.keys.is_empty() {
            self.key_ends.check("key_ends", records, self.keys.len())?;
        }
        self.check_timestamps(header)?;
        self.check_headers(records)?;
        match &self.chunk {
            Some(_) if !header.is_chunk() => {
                Err(BatchError::BadChunk { detail: "the header's flag does not say so" })
            }
            None if header.is_chunk() => {
                Err(BatchError::BadChunk { detail: "the header's flag says so, but there is none" })
            }
            Some(chunk) => chunk.check(self.values.len()),
            None => Ok(()),
        }
    }

    fn check_timestamps(&self, header: &BatchHeader) -> Result<(), BatchError> {
        let bad = |detail| BatchError::BadColumn { column: "timestamp_deltas", detail };
        let count = self.timestamp_deltas.len() / 4;
        if count != 0 && count != header.record_count as usize {
            return Err(bad("it has not one delta for each record"));
        }
        let (mut least, mut most) = (0, 0);
        for delta in self.timestamp_deltas.as_chunks::<4>().0 {
            let delta = i32::from_le_bytes(*delta);
            least = least.min(delta);
            most = most.max(delta);
        }
        let base = header.base_timestamp;
        if base.checked_add(i64::from(least)).is_none() {
            return Err(bad("a timestamp is out of range"));
        }
        // What the index by time relies on without opening the batch.
        match base.checked_add(i64::from(most)) {
            Some(most) if most <= header.max_timestamp => Ok(()),
            _ => Err(bad("a timestamp is after the header's max_timestamp")),
        }
    }

    fn check_headers(&self, records: usize) -> Result<(), BatchError> {
        let headers = self.header_name_ends.count();
        if self.header_ends.count() > 0 || headers > 0 {
            self.header_ends.check("header_ends", records, headers)?;
        }
        self.header_name_ends.check("header_name_ends", headers, self.header_names.len())?;
        self.header_value_ends.check("header_value_ends", headers, self.header_values.len())?;
        let mut before = 0;
        for end in self.header_ends.iter() {
            if (end - before) as usize > HEADERS_PER_RECORD_MAX {
                let detail = "a record has more headers than allowed";
                return Err(BatchError::BadColumn { column: "header_ends", detail });
            }
            before = end;
        }
        let names = std::str::from_utf8(&self.header_names);
        let whole = |names: &str| {
            self.header_name_ends.iter().all(|end| names.is_char_boundary(end as usize))
        };
        match names {
            Ok(names) if whole(names) => Ok(()),
            _ => {
                let detail = "a name is not UTF-8";
                Err(BatchError::BadColumn { column: "header_names", detail })
            }
        }
    }

    /// What to add to the header's `base_timestamp` for record `index`.
    pub(super) fn timestamp_delta(&self, index: usize) -> i64 {
        let delta = self.timestamp_deltas.as_chunks::<4>().0.get(index);
        delta.map_or(0, |delta| i64::from(i32::from_le_bytes(*delta)))
    }
}
