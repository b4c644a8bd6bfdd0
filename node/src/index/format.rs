//! The index file, `<base offset in 20 digits>.idx`: blocks of 4096 bytes, little endian.
//!
//! ```text
//! block     0  magic              u32  "RSIX"
//!           4  version            u8   1
//!           5  flags              u8   bit 0: the segment's last block
//!           6  entries            u16  at most 203; exactly 203 in every block but the last
//!           8  base offset        u64  of the segment
//!          16  block number       u32  from 0
//!          20  crc                u32  CRC32C of the block with these four bytes zero
//!          24  zeros              8
//!          32  entries            20 each, then zeros to 4096
//! entry     0  offset             u64  minus the base offset
//!           8  max timestamp      i64  of the records in the segment before this position
//!          16  position           u32  where a batch begins
//! ```
//!
//! The file of a sealed segment ends with its last block, which may hold no entries; that of a
//! segment being written has whole blocks only. Offsets and positions rise from entry to entry,
//! timestamps never fall. A segment of at most 64 KiB has no index file.

use super::IndexEntry;
use crate::io::BLOCK_BYTES;

/// Bytes of a block.
pub const INDEX_BLOCK_BYTES: usize = BLOCK_BYTES as usize;
/// Entries in a full block.
pub const ENTRIES_PER_BLOCK: usize = (INDEX_BLOCK_BYTES - HEADER_BYTES) / ENTRY_BYTES;
/// What an index file may have: enough for a segment of 1 GiB and a batch.
pub const INDEX_FILE_BYTES_MAX: u64 = 96 * BLOCK_BYTES;

const MAGIC: [u8; 4] = *b"RSIX";
const VERSION: u8 = 1;
const LAST: u8 = 1;
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 20;
const CRC_AT: usize = 20;

const _: () = assert!(
    INDEX_FILE_BYTES_MAX / BLOCK_BYTES * ENTRIES_PER_BLOCK as u64 * super::INDEX_INTERVAL_BYTES
        > (1 << 30) + ringspool_wire::limits::BATCH_BYTES_MAX as u64,
    "an index of the largest segment fits"
);

/// The entries of an index file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedIndex {
    /// All entries, in order.
    pub entries: Vec<IndexEntry>,
    /// Blocks they came in.
    pub blocks: u32,
    /// Whether the last block of a sealed segment was among them.
    pub is_complete: bool,
}

/// Why an index file cannot be used. It is rebuilt from the segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("index block {block}: {reason}")]
pub struct IndexDamage {
    /// The first block that is wrong.
    pub block: u32,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Appends to `out` the blocks from number `first_block` on that hold `entries`. Without `last`
/// the entries fill whole blocks.
pub fn encode(
    base_offset: u64,
    first_block: u32,
    entries: &[IndexEntry],
    last: bool,
    out: &mut Vec<u8>,
) {
    let full = entries.len() / ENTRIES_PER_BLOCK;
    let (whole, rest) = entries.split_at(full * ENTRIES_PER_BLOCK);
    assert!(last || rest.is_empty(), "only the last block may have room left");
    let mut number = first_block;
    for block in whole.chunks(ENTRIES_PER_BLOCK) {
        encode_block(base_offset, number, block, 0, out);
        number += 1;
    }
    if last {
        encode_block(base_offset, number, rest, LAST, out);
    }
}

fn encode_block(
    base_offset: u64,
    number: u32,
    entries: &[IndexEntry],
    flags: u8,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(flags);
    out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    out.extend_from_slice(&base_offset.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    for entry in entries {
        out.extend_from_slice(&(entry.offset - base_offset).to_le_bytes());
        out.extend_from_slice(&entry.max_timestamp_before.to_le_bytes());
        out.extend_from_slice(&entry.position.to_le_bytes());
    }
    out.resize(start + INDEX_BLOCK_BYTES, 0);
    let crc = crc32c::crc32c(&out[start..]);
    out[start + CRC_AT..start + CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads an index file, or the first blocks of one. Anything that [`encode`] does not write is
/// damage.
pub fn decode(base_offset: u64, bytes: &[u8]) -> Result<LoadedIndex, IndexDamage> {
    let mut index = LoadedIndex::default();
    for block in bytes.chunks(INDEX_BLOCK_BYTES) {
        let number = index.blocks;
        let damaged = |reason| Err(IndexDamage { block: number, reason });
        if index.is_complete {
            return damaged("it follows the last one");
        }
        if let Err(reason) = decode_block(base_offset, block, &mut index) {
            return damaged(reason);
        }
        index.blocks += 1;
    }
    Ok(index)
}

fn decode_block(
    base_offset: u64,
    block: &[u8],
    index: &mut LoadedIndex,
) -> Result<(), &'static str> {
    let Ok(mut block) = <[u8; INDEX_BLOCK_BYTES]>::try_from(block) else {
        return Err("it is cut short");
    };
    if block[..4] != MAGIC {
        return Err("no index magic");
    }
    let crc = u32_at(&block, CRC_AT);
    block[CRC_AT..CRC_AT + 4].fill(0);
    if crc32c::crc32c(&block) != crc {
        return Err("its checksum does not match");
    }
    if block[4] != VERSION {
        return Err("its version is not known");
    }
    let count = usize::from(u16::from_le_bytes([block[6], block[7]]));
    let is_last = match block[5] {
        0 => false,
        LAST => true,
        _ => return Err("its flags are not known"),
    };
    if count > ENTRIES_PER_BLOCK || (!is_last && count != ENTRIES_PER_BLOCK) {
        return Err("its number of entries is impossible");
    }
    if u64_at(&block, 8) != base_offset || u32_at(&block, 16) != index.blocks {
        return Err("it belongs somewhere else");
    }
    for entry in block[HEADER_BYTES..].chunks_exact(ENTRY_BYTES).take(count) {
        let Some(offset) = base_offset.checked_add(u64_at(entry, 0)) else {
            return Err("an offset is impossible");
        };
        let max_timestamp_before = u64_at(entry, 8) as i64;
        let entry = IndexEntry { position: u32_at(entry, 16), offset, max_timestamp_before };
        let rises = index.entries.last().is_none_or(|last| {
            last.position < entry.position
                && last.offset < entry.offset
                && last.max_timestamp_before <= entry.max_timestamp_before
        });
        if !rises {
            return Err("its entries do not rise");
        }
        index.entries.push(entry);
    }
    index.is_complete = is_last;
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
