//! The sparse index of a segment: where in the file to begin for an offset or a timestamp.
//!
//! One entry for about every [`INDEX_INTERVAL_BYTES`] of log, by bytes and not by count, so that
//! huge batches do not leave holes. Entries are collected while batches are appended; whole blocks
//! of them go to `<base offset>.idx` beside the log and leave memory, the rest is in the
//! partition's checkpoint. When the segment is sealed the rest follows, in a block marked as last.
//!
//! The index may be lost without harm: it is rebuilt by scanning the segment.
//!
//! - `entry.rs` one entry, and the search among them
//! - `active.rs` the entries of the segment that is being written
//! - `format.rs` the file
//! - `rebuild.rs` from the segment's bytes

mod active;
mod entry;
mod format;
mod rebuild;

pub use active::ActiveIndex;
pub use entry::{IndexEntry, Seek, find};
pub use format::{
    ENTRIES_PER_BLOCK, INDEX_BLOCK_BYTES, INDEX_FILE_BYTES_MAX, IndexDamage, LoadedIndex, decode,
    encode,
};
pub use rebuild::rebuild;

/// Bytes of log between two entries, at least.
pub const INDEX_INTERVAL_BYTES: u64 = 64 << 10;
