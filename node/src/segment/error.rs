//! What can be wrong with the bytes of a segment.

use crate::io::DiskError;
use std::path::PathBuf;

/// Why bytes are not the batch that should be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageReason {
    /// The header makes no sense or the checksum does not match.
    #[error("{0}")]
    Batch(String),
    /// The batch is whole, but it is another one.
    #[error("a batch of base offset {found} stands where {expected} should")]
    WrongOffset {
        /// The end of the batch before.
        expected: u64,
        /// What its header says.
        found: u64,
    },
    /// The bytes end within a batch.
    #[error("only {there} of {wanted} bytes are there")]
    Incomplete {
        /// Bytes from the batch's position to the end.
        there: u64,
        /// Bytes the batch (or its header) has.
        wanted: u64,
    },
    /// The file is not there.
    #[error("the file is missing")]
    Missing,
    /// Zeros, where batches should be.
    #[error("zeros stand where a batch should")]
    Zeros,
    /// The batches end before an offset that the segment should have.
    #[error("the segment's offsets end too early")]
    EndsEarly,
    /// Bytes after the zeros that end a segment.
    #[error("bytes follow the zeros that end the segment")]
    AfterEnd,
}

/// A segment's batches could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The bytes on disk are not what was written. They are never served.
    #[error(
        "{} is damaged at byte {position} (offset {offset}): {reason}; restore the file from a \
         replica or a backup, or read on behind the damage",
        file.display()
    )]
    Damaged {
        /// The segment's file.
        file: PathBuf,
        /// Where in the file the damaged batch begins.
        position: u64,
        /// The offset of that batch's first record.
        offset: u64,
        /// What is wrong with it.
        reason: DamageReason,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
