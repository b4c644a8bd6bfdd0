//! The order in which clean bytes leave memory: oldest first, across the partitions of a shard.

use super::Partition;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// Entries that are kept before anything is tidied up.
const TIDY_LENGTH_MIN: usize = 1024;

/// For each piece of log that was written: the partition, and up to where it was.
#[derive(Debug)]
pub(super) struct CleanQueue {
    pieces: VecDeque<(Weak<Partition>, u64)>,
    tidy_at: usize,
}

impl Default for CleanQueue {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), tidy_at: TIDY_LENGTH_MIN }
    }
}

impl CleanQueue {
    /// A partition's log is written up to stream position `written`.
    pub(super) fn push(&mut self, partition: Weak<Partition>, written: u64) {
        if let Some((last, last_written)) = self.pieces.back_mut()
            && last.ptr_eq(&partition)
        {
            *last_written = written;
            return;
        }
        if self.pieces.len() >= self.tidy_at {
            // Trimmed logs and dropped partitions leave pieces behind that nothing asks for.
            self.pieces.retain(|(partition, written)| {
                partition.upgrade().is_some_and(|partition| partition.holds_before(*written))
            });
            self.tidy_at = TIDY_LENGTH_MIN.max(2 * self.pieces.len());
        }
        self.pieces.push_back((partition, written));
    }

    /// The oldest piece.
    pub(super) fn pop(&mut self) -> Option<(Rc<Partition>, u64)> {
        while let Some((partition, written)) = self.pieces.pop_front() {
            if let Some(partition) = partition.upgrade() {
                return Some((partition, written));
            }
        }
        None
    }
}
