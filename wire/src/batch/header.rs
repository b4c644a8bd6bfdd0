//! The batch header: 64 bytes, little endian (the schema's struct `BatchHeader`).
//!
//! ```text
//!  0  base_offset        u64  not in the CRC: the leader writes it
//!  8  term               u32  not in the CRC: the leader writes it
//! 12  crc                u32  CRC32C of bytes 16 .. batch_bytes
//! 16  magic              u16  0x4252, the bytes "RB"
//! 18  version            u8   1
//! 19  codec              u8   0 none, 1 zstd
//! 20  batch_bytes        u32  header included
//! 24  base_timestamp     i64  the first record's, ms since 1970
//! 32  max_timestamp      i64
//! 40  producer_id        u64  0: not idempotent
//! 48  base_sequence      u32
//! 52  record_count       u32
//! 56  uncompressed_bytes u32  of the body
//! 60  producer_epoch     u16
//! 62  flags              u16  bit 0: chunk of a large record
//! ```
//!
//! Invariant: a header that decodes has lengths and counts within [`crate::limits`], so that they
//! can be allocated for; only the CRC says that it is what the producer sent.

use bytes::Bytes;

use super::BatchError;
use crate::limits::{BATCH_BYTES_MAX, RECORDS_PER_BATCH_MAX, UNCOMPRESSED_BYTES_MAX};

/// Bytes of the batch header.
pub const BATCH_HEADER_BYTES: usize = 64;

/// Bytes 16 and 17 of every batch, "RB".
pub const BATCH_MAGIC: u16 = 0x4252;

/// The version of the batch format.
pub const BATCH_VERSION: u8 = 1;

/// [`BatchHeader::flags`]: the batch is one chunk of a large record.
pub const FLAG_CHUNK: u16 = 1;

/// [`BatchHeader::producer_id`]: the producer is not idempotent.
pub const NO_PRODUCER: u64 = 0;

/// Where the bytes that the CRC covers begin.
const CRC_START: usize = 16;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// One zstd frame.
    Zstd = 1,
}

/// The first 64 bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; 0 until the leader stamps it.
    pub base_offset: u64,
    /// The term the leader stamped it in; 0 until then.
    pub term: u32,
    /// CRC32C of all that follows it.
    pub crc: u32,
    /// How the body is compressed.
    pub codec: Codec,
    /// Bytes of the whole batch, header included.
    pub batch_bytes: u32,
    /// Timestamp of the first record, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The latest timestamp in the batch, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// The idempotent producer, or [`NO_PRODUCER`].
    pub producer_id: u64,
    /// The producer's number of the first record, counted per partition.
    pub base_sequence: u32,
    /// Records in the batch, at least 1.
    pub record_count: u32,
    /// Bytes of the body after decompression.
    pub uncompressed_bytes: u32,
    /// The producer's epoch.
    pub producer_epoch: u16,
    /// [`FLAG_CHUNK`].
    pub flags: u16,
}

fn field<const N: usize>(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), BatchError> {
    if value < min || value > max {
        return Err(BatchError::OutOfRange { field, value, min, max });
    }
    Ok(())
}

impl BatchHeader {
    /// Reads the header at the start of `batch`, which may go on after it. Checks all that can be
    /// known without the body; the CRC is [`verify`]'s.
    pub fn decode(batch: &[u8]) -> Result<Self, BatchError> {
        let Some(bytes) = batch.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::TooShort { bytes: batch.len(), expected: BATCH_HEADER_BYTES });
        };
        let magic = u16::from_le_bytes(field(bytes, 16));
        if magic != BATCH_MAGIC {
            return Err(BatchError::BadMagic { found: magic });
        }
        if bytes[18] != BATCH_VERSION {
            return Err(BatchError::UnsupportedVersion { version: bytes[18] });
        }
        let codec = match bytes[19] {
            0 => Codec::None,
            1 => Codec::Zstd,
            codec => return Err(BatchError::UnknownCodec { codec }),
        };
        let header = BatchHeader {
            base_offset: u64::from_le_bytes(field(bytes, 0)),
            term: u32::from_le_bytes(field(bytes, 8)),
            crc: u32::from_le_bytes(field(bytes, 12)),
            codec,
            batch_bytes: u32::from_le_bytes(field(bytes, 20)),
            base_timestamp: i64::from_le_bytes(field(bytes, 24)),
            max_timestamp: i64::from_le_bytes(field(bytes, 32)),
            producer_id: u64::from_le_bytes(field(bytes, 40)),
            base_sequence: u32::from_le_bytes(field(bytes, 48)),
            record_count: u32::from_le_bytes(field(bytes, 52)),
            uncompressed_bytes: u32::from_le_bytes(field(bytes, 56)),
            producer_epoch: u16::from_le_bytes(field(bytes, 60)),
            flags: u16::from_le_bytes(field(bytes, 62)),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.flags & !FLAG_CHUNK != 0 {
            return Err(BatchError::UnknownFlags { flags: self.flags });
        }
        let header_bytes = BATCH_HEADER_BYTES as u64;
        let batch_bytes = u64::from(self.batch_bytes);
        in_range("batch_bytes", batch_bytes, header_bytes, u64::from(BATCH_BYTES_MAX))?;
        let record_count_max = if self.is_chunk() { 1 } else { RECORDS_PER_BATCH_MAX };
        let record_count = u64::from(self.record_count);
        in_range("record_count", record_count, 1, u64::from(record_count_max))?;
        let (min, max) = match self.codec {
            Codec::None => (batch_bytes - header_bytes, batch_bytes - header_bytes),
            Codec::Zstd => (1, u64::from(UNCOMPRESSED_BYTES_MAX)),
        };
        in_range("uncompressed_bytes", u64::from(self.uncompressed_bytes), min, max)?;
        if self.max_timestamp < self.base_timestamp {
            let detail = "max_timestamp is before base_timestamp";
            return Err(BatchError::BadColumn { column: "timestamp_deltas", detail });
        }
        // Sequences never wrap: a producer at the end of them takes a new epoch.
        let base_sequence_max = (1 << 32) - record_count;
        in_range("base_sequence", u64::from(self.base_sequence), 0, base_sequence_max)
    }

    /// The 64 bytes of this header.
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.base_offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.term.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16..18].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        bytes[18] = BATCH_VERSION;
        bytes[19] = self.codec as u8;
        bytes[20..24].copy_from_slice(&self.batch_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base_timestamp.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.max_timestamp.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.producer_id.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.base_sequence.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.uncompressed_bytes.to_le_bytes());
        bytes[60..62].copy_from_slice(&self.producer_epoch.to_le_bytes());
        bytes[62..64].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    /// Whether the batch is one chunk of a large record.
    pub fn is_chunk(&self) -> bool {
        self.flags & FLAG_CHUNK != 0
    }

    /// The offset of the last record. Saturates, since `base_offset` is outside the CRC.
    pub fn last_offset(&self) -> u64 {
        self.base_offset.saturating_add(u64::from(self.record_count) - 1)
    }

    /// The header in front of `body` as it will stand in the batch, with their length and CRC.
    pub(super) fn signed(mut self, body: &[u8]) -> [u8; BATCH_HEADER_BYTES] {
        self.batch_bytes = (BATCH_HEADER_BYTES + body.len()) as u32;
        let mut bytes = self.encode();
        self.crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[CRC_START..]), body);
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// Checks that `batch` is exactly one batch, with the bytes its producer signed. Does not look
/// into the body.
pub fn verify(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::decode(batch)?;
    let expected = header.batch_bytes as usize;
    if batch.len() < expected {
        return Err(BatchError::TooShort { bytes: batch.len(), expected });
    }
    if batch.len() > expected {
        return Err(BatchError::TrailingBytes { extra: batch.len() - expected });
    }
    let actual = crc32c::crc32c(&batch[CRC_START..]);
    if actual != header.crc {
        return Err(BatchError::CrcMismatch { expected: header.crc, actual });
    }
    Ok(header)
}

/// Cuts batches that stand back to back into one slice each, by their headers; the CRCs are not
/// checked. Ends after the first error.
pub fn split(bytes: Bytes) -> impl Iterator<Item = Result<Bytes, BatchError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let header = match BatchHeader::decode(&rest) {
            Ok(header) => header,
            Err(error) => {
                rest.clear();
                return Some(Err(error));
            }
        };
        let expected = header.batch_bytes as usize;
        if rest.len() < expected {
            let bytes = rest.len();
            rest.clear();
            return Some(Err(BatchError::TooShort { bytes, expected }));
        }
        Some(Ok(rest.split_to(expected)))
    })
}

/// A batch header with the leader's fields written. They are outside the CRC, so it still holds.
pub fn stamp(
    batch_header: &[u8; BATCH_HEADER_BYTES],
    base_offset: u64,
    term: u32,
) -> [u8; BATCH_HEADER_BYTES] {
    let mut bytes = *batch_header;
    bytes[0..8].copy_from_slice(&base_offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&term.to_le_bytes());
    bytes
}
