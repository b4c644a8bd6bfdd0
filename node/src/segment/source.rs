//! The bytes of one segment as they were at one moment: the part on disk, and after it what a
//! partition still holds of the block that is not written yet.

use super::{DamageReason, SegmentError};
use crate::io::File;
use bytes::Bytes;
use std::path::PathBuf;
use std::rc::Rc;

/// A segment's bytes up to a limit. What is below the limit never changes, so a source stays right
/// while the partition goes on.
pub struct SegmentSource {
    path: PathBuf,
    base_offset: u64,
    file: Option<Rc<dyn File>>,
    disk_end: u64,
    remainder: Bytes,
    limit: u64,
}

impl SegmentSource {
    /// `file` has the bytes up to `disk_end` (none when that is 0), `remainder` those from there;
    /// what is at `limit` and after it is not of interest.
    #[must_use]
    pub fn new(
        path: PathBuf,
        base_offset: u64,
        file: Option<Rc<dyn File>>,
        disk_end: u64,
        remainder: Bytes,
        limit: u64,
    ) -> Self {
        assert!(limit <= disk_end + remainder.len() as u64, "bytes before {limit} are nowhere");
        assert!(file.is_some() || disk_end == 0, "there is no file to read");
        Self { path, base_offset, file, disk_end, remainder, limit }
    }

    /// The offset of the segment's first record, at position 0.
    #[must_use]
    pub fn base_offset(&self) -> u64 {
        self.base_offset
    }

    /// Where the bytes end.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes from `position`, `bytes_max` of them unless the limit comes first. `offset` is that of the
    /// batch at the position, for an error to name.
    pub async fn read(
        &self,
        position: u64,
        bytes_max: usize,
        offset: u64,
    ) -> Result<Bytes, SegmentError> {
        let end = self.limit.min(position.saturating_add(bytes_max as u64));
        if position >= end {
            return Ok(Bytes::new());
        }
        let from_disk = end.min(self.disk_end).saturating_sub(position) as usize;
        let mut read = match &self.file {
            Some(file) if from_disk > 0 => file.read_at(position, from_disk).await?,
            _ => Vec::new(),
        };
        if read.len() < from_disk {
            let reason =
                DamageReason::Incomplete { there: read.len() as u64, wanted: from_disk as u64 };
            return Err(self.damaged(position, offset, reason));
        }
        if end > self.disk_end {
            let from = position.max(self.disk_end) - self.disk_end;
            let rest = self.remainder.slice(from as usize..(end - self.disk_end) as usize);
            if read.is_empty() {
                return Ok(rest);
            }
            read.extend_from_slice(&rest);
        }
        Ok(Bytes::from(read))
    }

    /// The error for batches that end before they reach an offset they should have.
    #[must_use]
    pub fn ends_early(&self, offset: u64) -> SegmentError {
        self.damaged(self.limit, offset, DamageReason::EndsEarly)
    }

    /// The error that names this file.
    #[must_use]
    pub fn damaged(&self, position: u64, offset: u64, reason: DamageReason) -> SegmentError {
        SegmentError::Damaged { file: self.path.clone(), position, offset, reason }
    }
}
