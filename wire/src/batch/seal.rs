//! From columns to a batch: body, compression where it pays, header, CRC.
//!
//! Not compressed, the columns are copied once, into the buffer that becomes the batch, which has
//! room for the header in front. Compressed, body and zstd's result go through buffers that the
//! thread keeps, since fresh pages cost more than a copy; only the result, which is smaller, gets
//! memory of its own size.

use std::cell::RefCell;

use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use super::BatchError;
use super::body::ColumnsRef;
use super::builder::ProducerStamp;
use super::header::{BATCH_HEADER_BYTES, BatchHeader, Codec, FLAG_CHUNK};
use super::zstd_body::{self, Compression};

/// A thread's buffers that have grown past this for one large batch are not kept.
const SCRATCH_BYTES_KEPT_MAX: usize = 3 << 20;

#[derive(Default)]
struct Scratch {
    body: FlatBufferBuilder<'static>,
    compressed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes a batch of columns, which must hold at least one record and fit into a batch.
pub(super) fn seal(
    compression: Compression,
    columns: &ColumnsRef<'_>,
    base_timestamp: i64,
    max_timestamp: i64,
    stamp: ProducerStamp,
) -> Result<Bytes, BatchError> {
    let header = BatchHeader {
        base_offset: 0,
        term: 0,
        crc: 0,
        codec: Codec::None,
        batch_bytes: 0,
        base_timestamp,
        max_timestamp,
        producer_id: stamp.producer_id,
        base_sequence: stamp.base_sequence,
        record_count: columns.value_ends.len() as u32,
        uncompressed_bytes: 0,
        producer_epoch: stamp.producer_epoch,
        flags: if columns.chunk.is_some() { FLAG_CHUNK } else { 0 },
    };
    let batch = match compression {
        Compression::Zstd { level } if columns.bytes_max() >= zstd_body::BODY_BYTES_MIN => {
            SCRATCH.with_borrow_mut(|scratch| seal_zstd(header, columns, level, scratch))?
        }
        _ => seal_plain(header, columns),
    };
    // The same checks a reader makes, so that no batch leaves that cannot be read.
    BatchHeader::decode(&batch)?;
    Ok(batch)
}

fn seal_plain(mut header: BatchHeader, columns: &ColumnsRef<'_>) -> Bytes {
    let capacity = BATCH_HEADER_BYTES + columns.bytes_max();
    let mut builder = FlatBufferBuilder::with_capacity(capacity);
    columns.write(&mut builder);
    let body = builder.finished_data();
    header.uncompressed_bytes = body.len() as u32;
    let front = header.signed(body);
    // The body grew from the end of the buffer towards its start.
    let (mut bytes, body_start) = builder.collapse();
    assert!(body_start >= BATCH_HEADER_BYTES, "the body is no larger than `bytes_max` says");
    let start = body_start - BATCH_HEADER_BYTES;
    bytes[start..body_start].copy_from_slice(&front);
    Bytes::from(bytes).slice(start..)
}

fn seal_zstd(
    mut header: BatchHeader,
    columns: &ColumnsRef<'_>,
    level: i32,
    scratch: &mut Scratch,
) -> Result<Bytes, BatchError> {
    scratch.body.reset();
    columns.write(&mut scratch.body);
    let body = scratch.body.finished_data();
    let kept = body.len() <= SCRATCH_BYTES_KEPT_MAX;
    header.uncompressed_bytes = body.len() as u32;
    let body = match zstd_body::compress(level, body, &mut scratch.compressed)? {
        Some(compressed) => {
            header.codec = Codec::Zstd;
            compressed
        }
        None => body,
    };
    let front = header.signed(body);
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + body.len());
    bytes.extend_from_slice(&front);
    bytes.extend_from_slice(body);
    if !kept {
        *scratch = Scratch::default();
    }
    Ok(Bytes::from(bytes))
}
