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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::batch::{Codec, FLAG_CHUNK};

    const HEADER: BatchHeader = BatchHeader {
        base_offset: 0,
        term: 0,
        crc: 0,
        codec: Codec::None,
        batch_bytes: 0,
        base_timestamp: 1000,
        max_timestamp: 1500,
        producer_id: 0,
        base_sequence: 0,
        record_count: 2,
        uncompressed_bytes: 0,
        producer_epoch: 0,
        flags: 0,
    };

    /// Two records with everything.
    fn good() -> ColumnsRef<'static> {
        ColumnsRef {
            value_ends: &[3, 5],
            values: b"onetw",
            key_ends: &[0, 2],
            keys: b"k2",
            timestamp_deltas: &[0, 500],
            header_ends: &[1, 3],
            header_name_ends: &[1, 1, 3],
            header_names: "aä".as_bytes(),
            header_value_ends: &[0, 2, 2],
            header_values: b"vv",
            chunk: None,
        }
    }

    fn read_with(header: BatchHeader, columns: &ColumnsRef<'_>) -> Result<Columns, BatchError> {
        let mut builder = FlatBufferBuilder::new();
        columns.write(&mut builder);
        let body = builder.finished_data();
        assert!(body.len() <= columns.bytes_max());
        Columns::read(&header, &Bytes::copy_from_slice(body))
    }

    /// The column that is found to be wrong.
    fn wrong(columns: ColumnsRef<'_>) -> &'static str {
        match read_with(HEADER, &columns) {
            Err(BatchError::BadColumn { column, .. }) => column,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn good_columns_are_read() {
        let columns = read_with(HEADER, &good()).unwrap();
        assert_eq!((columns.value_ends.range(0), columns.value_ends.range(1)), (0..3, 3..5));
        assert_eq!((columns.timestamp_delta(0), columns.timestamp_delta(1)), (0, 500));
        assert_eq!(columns.header_ends.range(1), 1..3);
    }

    #[test]
    fn values_must_be_one_per_record_in_order_and_end_where_the_bytes_end() {
        for value_ends in [&[5][..], &[3, 4, 5], &[6, 5], &[3, 4], &[3, 6], &[3, u32::MAX]] {
            assert_eq!(wrong(ColumnsRef { value_ends, ..good() }), "value_ends");
        }
        assert_eq!(wrong(ColumnsRef { values: b"", ..good() }), "value_ends");
    }

    #[test]
    fn keys_are_all_there_or_none_is() {
        assert!(read_with(HEADER, &ColumnsRef { key_ends: &[], keys: b"", ..good() }).is_ok());
        for key_ends in [&[][..], &[2], &[2, 2, 2], &[3, 2], &[0, 1], &[0, 3]] {
            assert_eq!(wrong(ColumnsRef { key_ends, ..good() }), "key_ends");
        }
    }

    #[test]
    fn headers_agree_with_their_names_and_values() {
        for header_ends in [&[][..], &[3], &[3, 2], &[1, 2], &[1, 4]] {
            assert_eq!(wrong(ColumnsRef { header_ends, ..good() }), "header_ends");
        }
        for header_name_ends in [&[1, 0, 3][..], &[1, 1, 2], &[1, 1, 4]] {
            let columns = ColumnsRef { header_name_ends, ..good() };
            assert_eq!(wrong(columns), "header_name_ends");
        }
        for header_value_ends in [&[][..], &[2, 2], &[2, 1, 2], &[0, 2, 3], &[0, 2, 2, 2]] {
            let columns = ColumnsRef { header_value_ends, ..good() };
            assert_eq!(wrong(columns), "header_value_ends");
        }
        let none = ColumnsRef {
            header_ends: &[],
            header_name_ends: &[],
            header_names: b"",
            header_value_ends: &[],
            header_values: b"",
            ..good()
        };
        assert!(read_with(HEADER, &none).is_ok());
    }

    #[test]
    fn header_names_are_utf_8_each_on_its_own() {
        assert_eq!(wrong(ColumnsRef { header_names: b"a\xff\xff", ..good() }), "header_names");
        // The whole column is, but the second name ends in the middle of a character.
        assert_eq!(wrong(ColumnsRef { header_name_ends: &[1, 2, 3], ..good() }), "header_names");
    }

    #[test]
    fn a_record_has_at_most_so_many_headers() {
        let ends = |count: usize| vec![0; count];
        let columns = |count: usize, ends: &[u32]| {
            let columns = ColumnsRef {
                header_ends: &[0, count as u32],
                header_name_ends: ends,
                header_names: b"",
                header_value_ends: ends,
                header_values: b"",
                ..good()
            };
            read_with(HEADER, &columns).map(drop)
        };
        let most = HEADERS_PER_RECORD_MAX;
        assert_eq!(columns(most, &ends(most)), Ok(()));
        let error = columns(most + 1, &ends(most + 1)).unwrap_err();
        assert!(matches!(error, BatchError::BadColumn { column: "header_ends", .. }), "{error}");
    }

    #[test]
    fn timestamps_are_all_there_and_within_what_the_header_says() {
        assert!(read_with(HEADER, &ColumnsRef { timestamp_deltas: &[], ..good() }).is_ok());
        for timestamp_deltas in [&[0][..], &[0, 1, 2], &[0, 501]] {
            let columns = ColumnsRef { timestamp_deltas, ..good() };
            assert_eq!(wrong(columns), "timestamp_deltas");
        }
        let at = |base_timestamp, timestamp_deltas: &[i32]| {
            let header = BatchHeader { base_timestamp, max_timestamp: i64::MAX, ..HEADER };
            read_with(header, &ColumnsRef { timestamp_deltas, ..good() }).is_ok()
        };
        assert!(at(i64::MIN, &[0, i32::MAX]) && !at(i64::MIN, &[0, -1]));
        assert!(at(i64::MAX, &[0, i32::MIN]) && !at(i64::MAX, &[0, 1]));
    }

    #[test]
    fn the_chunk_and_the_headers_flag_say_the_same() {
        let chunk = ChunkInfo { record_id: 1, record_bytes: 5, index: 0, count: 1 };
        let columns =
            |chunk| ColumnsRef { value_ends: &[5], values: b"whole", chunk, ..Default::default() };
        let header = |flags| BatchHeader { record_count: 1, flags, ..HEADER };
        let read = |flags, chunk| read_with(header(flags), &columns(chunk)).map(|read| read.chunk);
        assert_eq!(read(FLAG_CHUNK, Some(chunk)), Ok(Some(chunk)));
        assert_eq!(read(0, None), Ok(None));
        assert!(matches!(read(0, Some(chunk)), Err(BatchError::BadChunk { .. })));
        assert!(matches!(read(FLAG_CHUNK, None), Err(BatchError::BadChunk { .. })));
        let small = ChunkInfo { record_bytes: 4, ..chunk };
        assert!(matches!(read(FLAG_CHUNK, Some(small)), Err(BatchError::BadChunk { .. })));
    }

    #[test]
    fn a_body_that_uses_its_bytes_twice_over_is_refused() {
        // Each of the eight columns is all of the body: it says more than twice what it has.
        let bytes: Vec<u8> = vec![0; 4000];
        let mut builder = FlatBufferBuilder::new();
        let column = Some(byte_column(&mut builder, &bytes));
        let ends = Some(builder.create_vector(&[4000_u32, 4000]));
        let args = fb::BatchBodyArgs {
            value_ends: ends,
            values: column,
            keys: column,
            header_names: column,
            header_values: column,
            ..Default::default()
        };
        let root = fb::BatchBody::create(&mut builder, &args);
        builder.finish_minimal(root);
        let body = Bytes::copy_from_slice(builder.finished_data());
        let error = Columns::read(&HEADER, &body).unwrap_err();
        assert!(matches!(error, BatchError::MalformedBody { .. }), "{error}");
    }
}
