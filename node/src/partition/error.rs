//! Why a partition could not be read.

use crate::io::DiskError;
use crate::segment::{DamageReason, SegmentError};
use std::path::PathBuf;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no record at that offset: it was trimmed, or is not written yet.
    #[error(
        "offset {offset} is out of range: the partition has {log_start_offset} up to, but not \
         including, {high_watermark}"
    )]
    OffsetOutOfRange {
        /// What was asked for.
        offset: u64,
        /// The first offset that is there.
        log_start_offset: u64,
        /// The end of those that are.
        high_watermark: u64,
    },
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
    /// The partition is gone.
    #[error("the partition was deleted")]
    Closed,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<SegmentError> for ReadError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Damaged { file, position, offset, reason } => {
                Self::Damaged { file, position, offset, reason }
            }
            SegmentError::Disk(error) => Self::Disk(error),
        }
    }
}
