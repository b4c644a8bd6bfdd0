//! Why a batch cannot be built, taken or read.

use crate::error::ErrorCode;
use crate::limits::{
    BATCH_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_PER_RECORD_MAX,
    KEY_BYTES_MAX, RECORDS_PER_BATCH_MAX,
};

/// Why a batch cannot be built, taken or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header, or than the header says.
    #[error("the batch has {bytes} bytes where {expected} are due: it was cut off")]
    TooShort {
        /// Bytes there are.
        bytes: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// More bytes than the header says.
    #[error("the batch is followed by {extra} bytes where it should be alone")]
    TrailingBytes {
        /// Bytes after the batch.
        extra: usize,
    },
    /// The bytes are not a batch.
    #[error("the batch's magic is {found:#06x} and not {:#06x}", super::BATCH_MAGIC)]
    BadMagic {
        /// What stands there.
        found: u16,
    },
    /// Of a version this crate does not read.
    #[error("batch version {version} is not known here; this reads {}", super::BATCH_VERSION)]
    UnsupportedVersion {
        /// What the header says.
        version: u8,
    },
    /// Compressed in a way this crate does not know.
    #[error("batch codec {codec} is not known here; use 0 (none) or 1 (zstd)")]
    UnknownCodec {
        /// What the header says.
        codec: u8,
    },
    /// A flag this crate does not know.
    #[error("batch flags {flags:#06x} are not all known here")]
    UnknownFlags {
        /// What the header says.
        flags: u16,
    },
    /// A length or count of the header is outside its limits.
    #[error("the batch's {field} is {value}, allowed is {min} to {max}")]
    OutOfRange {
        /// The schema's name of the field.
        field: &'static str,
        /// What the header says.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// The bytes are not those that were signed.
    #[error("the batch's CRC32C is {actual:#010x}, its header says {expected:#010x}: damaged")]
    CrcMismatch {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        actual: u32,
    },
    /// The body does not decompress to what the header says.
    #[error("the batch's body does not decompress: {detail}")]
    Decompress {
        /// What went wrong.
        detail: String,
    },
    /// The compressor failed, which only happens when it has no memory or no such level.
    #[error("the batch's body cannot be compressed: {detail}")]
    Compress {
        /// What went wrong.
        detail: String,
    },
    /// The body is not a valid table.
    #[error("the batch's body does not decode: {detail}")]
    MalformedBody {
        /// What the verifier found.
        detail: String,
    },
    /// A column contradicts the record count or another column.
    #[error("the batch's column {column} is wrong: {detail}")]
    BadColumn {
        /// The schema's name of the column.
        column: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Chunk data that contradicts itself or the header.
    #[error("the batch's chunk is wrong: {detail}")]
    BadChunk {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// No record was pushed.
    #[error("a batch needs at least one record; push one first")]
    Empty,
    /// There is no room for another record of this size.
    #[error(
        "with this record the batch would have {bytes} bytes, at most {BATCH_BYTES_MAX} are \
         allowed; finish it first, or cut a record of this size into chunks"
    )]
    Full {
        /// Bytes with the record.
        bytes: usize,
    },
    /// There is no room for another record.
    #[error("the batch has {RECORDS_PER_BATCH_MAX} records, the most allowed; finish it first")]
    TooManyRecords,
    /// The record's time is too far from that of the batch's first record.
    #[error(
        "timestamp {timestamp_ms} is more than 24 days from {base_timestamp_ms}, that of the \
         batch's first record; finish the batch first"
    )]
    TimestampSpan {
        /// The record's.
        timestamp_ms: i64,
        /// The first record's.
        base_timestamp_ms: i64,
    },
    /// The key is too long.
    #[error("the key has {bytes} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLarge {
        /// Bytes of the key.
        bytes: usize,
    },
    /// The record has too many headers.
    #[error("the record has {count} headers, at most {HEADERS_PER_RECORD_MAX} are allowed")]
    TooManyHeaders {
        /// Headers of the record.
        count: usize,
    },
    /// The headers are too large.
    #[error(
        "the record's headers have {bytes} bytes (longest name {name_bytes}), at most \
         {HEADERS_BYTES_MAX} (name {HEADER_NAME_BYTES_MAX}) are allowed"
    )]
    HeadersTooLarge {
        /// Names and values together.
        bytes: usize,
        /// Longest name.
        name_bytes: usize,
    },
    /// [`super::Reassembler`] was given a batch without chunk.
    #[error("the batch carries whole records, not a chunk; read its records")]
    NotAChunk,
    /// A chunked record is larger than the reader takes.
    #[error(
        "record {record_id} has {bytes} bytes in chunks, the reader takes {bytes_max}; raise its \
         record_bytes_max"
    )]
    RecordTooLarge {
        /// The producer's number of it.
        record_id: u64,
        /// Its size.
        bytes: u64,
        /// The reader's limit.
        bytes_max: u64,
    },
    /// A chunked record had to be given up in the middle, since too many were open at once.
    #[error(
        "record {record_id}, whose last chunk is at offset {offset}, could not be put together: \
         more chunked records were open at once than the reader has memory for; raise its limits"
    )]
    Evicted {
        /// The producer's number of it.
        record_id: u64,
        /// The offset of the chunk that came too late.
        offset: u64,
    },
}

impl BatchError {
    /// The code a node answers a produce with.
    pub fn code(&self) -> ErrorCode {
        match self {
            BatchError::CrcMismatch { .. } => ErrorCode::CorruptBatch,
            BatchError::OutOfRange { field: "batch_bytes", value, .. }
                if *value > u64::from(BATCH_BYTES_MAX) =>
            {
                ErrorCode::BatchTooLarge
            }
            BatchError::Full { .. } => ErrorCode::BatchTooLarge,
            _ => ErrorCode::InvalidBatch,
        }
    }
}
