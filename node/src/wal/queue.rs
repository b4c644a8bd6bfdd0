//! What waits to be written to the log.
//!
//! Invariant: whatever is taken for one flush fits in any WAL file. openraft merges proposals, so
//! the records of one append may be more than that; they are taken in parts then, in order, and
//! their append is done with the last part.

use super::file::WalFile;
use super::format::{FILE_HEADER_BYTES, RecordHeader, flush_bytes, record_bytes};
use super::writer::WalError;
use crate::limits::{WAL_FILE_BYTES_MIN, WAL_FLUSH_BYTES_MAX, WAL_RECORD_BYTES_MAX};
use crate::raft::Encoded;
use std::collections::VecDeque;
use std::rc::Rc;

/// Where a record came to lie.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The file, kept from being reused while this is held.
    pub file: Rc<WalFile>,
    /// The record's first byte.
    pub position: u64,
    /// Its length with its header.
    pub bytes: u32,
}

/// Told where each record of an [`Append`] lies, when it is on stable storage.
pub trait Placement {
    /// The record with that header is durable at that place.
    fn placed(&self, header: &RecordHeader, place: Placed);
}

/// Told when records are durable, or will never be.
pub type Done = Box<dyn FnOnce(Result<(), WalError>)>;

/// A record to be written.
pub type QueuedRecord = (RecordHeader, Encoded);

/// Records of one group, to become durable together.
pub struct Append {
    /// The records, in order.
    pub records: Vec<QueuedRecord>,
    /// Told of each record.
    pub placement: Rc<dyn Placement>,
    /// Called once when all are durable, or will never be.
    pub done: Done,
}

/// A part of an append that goes into one flush.
pub(super) struct Part {
    pub(super) records: Vec<QueuedRecord>,
    pub(super) placement: Rc<dyn Placement>,
    /// Of the last part only.
    pub(super) done: Option<Done>,
    /// Bytes its records take in a flush.
    pub(super) bytes: usize,
}

/// Appends in the order in which they become durable.
#[derive(Default)]
pub(super) struct Queue {
    parts: VecDeque<Part>,
    bytes: usize,
}

impl Queue {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an append at the end.
    pub(super) fn push(&mut self, append: Append) {
        let Append { records, placement, done } = append;
        let mut part = Part { records: Vec::new(), placement, done: None, bytes: 0 };
        for record in records {
            let more = record_bytes(record.1.len());
            if !part.records.is_empty() && part.bytes + more > WAL_FLUSH_BYTES_MAX {
                let placement = Rc::clone(&part.placement);
                let next = Part { records: Vec::new(), placement, done: None, bytes: 0 };
                self.push_part(std::mem::replace(&mut part, next));
            }
            part.bytes += more;
            part.records.push(record);
        }
        part.done = Some(done);
        self.push_part(part);
    }

    fn push_part(&mut self, part: Part) {
        self.bytes += part.bytes;
        self.parts.push_back(part);
    }

    /// What the next flush holds: at least one part if any waits, and no more than a flush should.
    pub(super) fn take_batch(&mut self) -> Vec<Part> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(part) = self.parts.front() {
            if !batch.is_empty() && bytes + part.bytes > WAL_FLUSH_BYTES_MAX {
                break;
            }
            bytes += part.bytes;
            batch.extend(self.parts.pop_front());
        }
        self.bytes -= bytes;
        batch
    }

    /// All that waits.
    pub(super) fn take_all(&mut self) -> Vec<Part> {
        self.bytes = 0;
        std::mem::take(&mut self.parts).into()
    }
}

const _: () = assert!(
    WAL_FILE_BYTES_MIN as usize >= FILE_HEADER_BYTES + flush_bytes_max(),
    "any flush fits in the smallest file"
);

/// The longest flush there can be.
const fn flush_bytes_max() -> usize {
    let records = if WAL_RECORD_BYTES_MAX > WAL_FLUSH_BYTES_MAX {
        record_bytes(WAL_RECORD_BYTES_MAX)
    } else {
        WAL_FLUSH_BYTES_MAX
    };
    flush_bytes(records)
}

#[cfg(test)]
mod tests;
