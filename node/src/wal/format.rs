//! Bytes of a WAL file, little endian.
//!
//! ```text
//! file    header block | flush | flush | ... | blocks of an earlier use
//!
//! header  0  magic u64 = "RSPLWAL1"      8  version u32 = 1      12  shard u32
//! block  16  sequence u64               24  incarnation u64      32  file_bytes u64
//!        40  previous sequence u64      48  previous flushes u64
//!        56  crc u32 of bytes 0..56     then zeros up to 4096
//!
//! flush   0  magic u32 = "FLSH"          4  crc u32 of bytes 8..32, seeded
//!         8  incarnation u64            16  sequence u64 in the file, from 0
//!        24  payload_bytes u32          28  record_count u32
//!        32  records, each starting at a multiple of 8; zeros up to the next block
//!
//! record  0  crc u32 of bytes 4..48+payload_bytes, seeded        4  payload_bytes u32
//!         8  group u32    12  kind u8    13  zeros
//!        16  sequence u64 in the group  24  term u64   32  node u64   40  index u64
//!        48  payload
//! ```
//!
//! Checksums are CRC32C. Those of flushes and records are seeded with the file's incarnation, a
//! random number that changes at every reuse: what an earlier use left behind is never taken for
//! new. A flush is valid when its header and all its records are; it is taken as a whole or not
//! at all. Flush headers stand at block boundaries only.
//!
//! A file says which one was written before it and how many flushes that one holds: a damaged last
//! flush of a full file would look like a torn tail otherwise.
//!
//! Kinds: 1 blank entry, 2 command, 3 membership (see [`crate::raft::codec`]), 4 vote (term and
//! node; index 1 when committed), 5 truncation (entries from index on are gone).

use crate::io::{BLOCK_BYTES, align_up};
use crate::raft::{GroupId, LeaderId, LogId};

/// Bytes of the file header, a whole block.
pub const FILE_HEADER_BYTES: usize = BLOCK_BYTES as usize;
/// Bytes of a flush's header.
pub const FLUSH_HEADER_BYTES: usize = 32;
/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 48;
/// Format version.
pub const VERSION: u32 = 1;

/// Bytes of the file header that mean something.
const FILE_HEADER_USED: usize = 60;
/// Where their checksum stands.
const FILE_HEADER_CRC_AT: usize = 56;
const FILE_MAGIC: u64 = u64::from_le_bytes(*b"RSPLWAL1");
const FLUSH_MAGIC: u32 = u32::from_le_bytes(*b"FLSH");

/// Identity of a WAL file's present use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// The shard that writes it.
    pub shard: u32,
    /// Order among the shard's files; unused while the file is spare.
    pub sequence: u64,
    /// Random number of this use.
    pub incarnation: u64,
    /// Length the file was prewritten to.
    pub file_bytes: u64,
    /// The file that was written before it.
    pub previous: Previous,
}

/// What a file says of the one that was written before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Previous {
    /// Its sequence; 0 when there was none.
    pub sequence: u64,
    /// How many flushes it holds.
    pub flushes: u64,
}

/// A file's first block that is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileHeaderError {
    /// Magic or checksum are wrong.
    #[error("its first block is not a WAL header")]
    NotAHeader,
    /// Written by another version.
    #[error("it has format version {0}, this program reads version {VERSION}")]
    Version(u32),
}

impl FileHeader {
    /// The header block's meaningful bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEADER_USED] {
        let mut bytes = [0; FILE_HEADER_USED];
        bytes[0..8].copy_from_slice(&FILE_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.shard.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous.flushes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..FILE_HEADER_CRC_AT]);
        bytes[FILE_HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header block.
    ///
    /// # Errors
    /// When it is not one, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileHeaderError> {
        if bytes.len() < FILE_HEADER_USED || u64_at(bytes, 0) != FILE_MAGIC {
            return Err(FileHeaderError::NotAHeader);
        }
        let crc = crc32c::crc32c(&bytes[..FILE_HEADER_CRC_AT]);
        if u32_at(bytes, FILE_HEADER_CRC_AT) != crc {
            return Err(FileHeaderError::NotAHeader);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self {
                shard: u32_at(bytes, 12),
                sequence: u64_at(bytes, 16),
                incarnation: u64_at(bytes, 24),
                file_bytes: u64_at(bytes, 32),
                previous: Previous { sequence: u64_at(bytes, 40), flushes: u64_at(bytes, 48) },
            }),
            other => Err(FileHeaderError::Version(other)),
        }
    }
}

/// What a record does to its group's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// An entry without content.
    Blank = 1,
    /// An entry with a command.
    Command = 2,
    /// An entry that changes the membership.
    Membership = 3,
    /// The group's vote.
    Vote = 4,
    /// Entries from the record's index on are gone.
    Truncate = 5,
}

impl RecordKind {
    fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Blank,
            2 => Self::Command,
            3 => Self::Membership,
            4 => Self::Vote,
            5 => Self::Truncate,
            _ => return None,
        })
    }

    /// Whether the record is an entry of the log.
    #[must_use]
    pub fn is_entry(self) -> bool {
        matches!(self, Self::Blank | Self::Command | Self::Membership)
    }
}

/// A record's header without its lengths and checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Whose record it is.
    pub group: GroupId,
    /// What it does.
    pub kind: RecordKind,
    /// Order among the group's records, over all files and shards.
    pub sequence: u64,
    /// The entry's id, or the vote's or truncation's numbers.
    pub log_id: LogId,
}

/// A record as read back: its header, and where its payload lies in the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// The header.
    pub header: RecordHeader,
    /// Where the record starts, relative to the flush.
    pub start: usize,
    /// The payload, relative to the flush.
    pub payload: std::ops::Range<usize>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

fn seeded(incarnation: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&incarnation.to_le_bytes()), bytes)
}

/// Bytes a record with that payload takes in a flush.
#[must_use]
pub const fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_bytes).next_multiple_of(8)
}

/// Bytes a flush of records that take `records_bytes` occupies on the disk.
#[must_use]
pub const fn flush_bytes(records_bytes: usize) -> usize {
    align_up((FLUSH_HEADER_BYTES + records_bytes) as u64) as usize
}

/// Writes a record at the front of `out`; returns the bytes it takes. `out` is large enough.
pub fn put_record(
    out: &mut [u8],
    incarnation: u64,
    header: &RecordHeader,
    payload: &[bytes::Bytes],
) -> usize {
    let payload_bytes: usize = payload.iter().map(bytes::Bytes::len).sum();
    let taken = record_bytes(payload_bytes);
    let size = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
    out[4..8].copy_from_slice(&size.to_le_bytes());
    out[8..12].copy_from_slice(&header.group.0.to_le_bytes());
    out[12..16].copy_from_slice(&[header.kind as u8, 0, 0, 0]);
    out[16..24].copy_from_slice(&header.sequence.to_le_bytes());
    out[24..32].copy_from_slice(&header.log_id.leader_id.term.to_le_bytes());
    out[32..40].copy_from_slice(&header.log_id.leader_id.node_id.to_le_bytes());
    out[40..48].copy_from_slice(&header.log_id.index.to_le_bytes());
    let mut at = RECORD_HEADER_BYTES;
    for piece in payload {
        out[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    }
    let crc = seeded(incarnation, &out[4..at]);
    out[0..4].copy_from_slice(&crc.to_le_bytes());
    out[at..taken].fill(0);
    taken
}

/// Writes a flush's header at the front of `out`.
pub fn put_flush_header(
    out: &mut [u8],
    incarnation: u64,
    sequence: u64,
    records_bytes: usize,
    record_count: u32,
) {
    out[0..4].copy_from_slice(&FLUSH_MAGIC.to_le_bytes());
    out[8..16].copy_from_slice(&incarnation.to_le_bytes());
    out[16..24].copy_from_slice(&sequence.to_le_bytes());
    let bytes = u32::try_from(records_bytes).unwrap_or(u32::MAX);
    out[24..28].copy_from_slice(&bytes.to_le_bytes());
    out[28..32].copy_from_slice(&record_count.to_le_bytes());
    let crc = seeded(incarnation, &out[8..32]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// A flush's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushHeader {
    /// The file's incarnation when it was written.
    pub incarnation: u64,
    /// Order in the file.
    pub sequence: u64,
    /// Bytes of the records.
    pub records_bytes: usize,
    /// How many records there are.
    pub record_count: u32,
}

impl FlushHeader {
    /// The header at the front of `bytes`, if there is a whole and right one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FLUSH_HEADER_BYTES || u32_at(bytes, 0) != FLUSH_MAGIC {
            return None;
        }
        let incarnation = u64_at(bytes, 8);
        if u32_at(bytes, 4) != seeded(incarnation, &bytes[8..32]) {
            return None;
        }
        Some(Self {
            incarnation,
            sequence: u64_at(bytes, 16),
            records_bytes: u32_at(bytes, 24) as usize,
            record_count: u32_at(bytes, 28),
        })
    }
}

/// The records of a flush whose header is `header` and which starts at the front of `bytes`;
/// `None` when any of them is damaged or cut off.
#[must_use]
pub fn records(bytes: &[u8], header: &FlushHeader) -> Option<Vec<RecordView>> {
    let end = FLUSH_HEADER_BYTES.checked_add(header.records_bytes)?;
    if end > bytes.len() {
        return None;
    }
    let mut views = Vec::new();
    let mut at = FLUSH_HEADER_BYTES;
    while at < end {
        let view = record(&bytes[..end], at, header.incarnation)?;
        at = view.start + record_bytes(view.payload.len());
        views.push(view);
    }
    (views.len() == header.record_count as usize).then_some(views)
}

/// The record at `at`, if it is whole and right.
#[must_use]
pub fn record(bytes: &[u8], at: usize, incarnation: u64) -> Option<RecordView> {
    let payload_start = at.checked_add(RECORD_HEADER_BYTES)?;
    if payload_start > bytes.len() {
        return None;
    }
    let payload_end = payload_start.checked_add(u32_at(bytes, at + 4) as usize)?;
    if payload_end > bytes.len() {
        return None;
    }
    if u32_at(bytes, at) != seeded(incarnation, &bytes[at + 4..payload_end]) {
        return None;
    }
    let leader = LeaderId { term: u64_at(bytes, at + 24), node_id: u64_at(bytes, at + 32) };
    let header = RecordHeader {
        group: GroupId(u32_at(bytes, at + 8)),
        kind: RecordKind::from_u8(bytes[at + 12])?,
        sequence: u64_at(bytes, at + 16),
        log_id: LogId::new(leader, u64_at(bytes, at + 40)),
    };
    Some(RecordView { header, start: at, payload: payload_start..payload_end })
}

#[cfg(test)]
mod tests;
