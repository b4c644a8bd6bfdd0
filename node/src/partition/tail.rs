//! The end of a partition's log, in memory: what is not on disk yet, and what is still there though
//! it is.
//!
//! Positions here are *stream positions*: bytes of the log since this process took the partition
//! over, across segments. Two pieces lie back to back:
//!
//! ```text
//!     on disk ...    | remainder          | batch | batch | batch |
//!                    ^ all written before   ^ may begin before it: clean, or written in part
//! ```
//!
//! The remainder is the unwritten end of a batch that was dropped otherwise (or came from the
//! checkpoint): it begins at the end of what is written, and is shorter than a block. It is how a
//! quiet partition costs a block of memory and not its last batch.

use crate::io::BLOCK_BYTES;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A batch in memory.
#[derive(Debug, Clone)]
pub(super) struct TailBatch {
    pub(super) base_offset: u64,
    /// The offset after its last record.
    pub(super) end_offset: u64,
    /// Where it begins in the stream.
    pub(super) start: u64,
    pub(super) max_timestamp: i64,
    /// Stamped with offset and term.
    pub(super) header: Bytes,
    pub(super) body: Bytes,
}

impl TailBatch {
    pub(super) fn bytes(&self) -> u64 {
        (self.header.len() + self.body.len()) as u64
    }

    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes()
    }

    /// Copies what of `out`, which begins at stream position `from`, this batch has.
    fn copy(&self, from: u64, out: &mut [u8]) {
        copy_overlap(self.start, &self.header, from, out);
        copy_overlap(self.start + self.header.len() as u64, &self.body, from, out);
    }
}

/// Copies the part of `piece` (at `piece_start`) that falls into `out` (at `out_start`).
fn copy_overlap(piece_start: u64, piece: &[u8], out_start: u64, out: &mut [u8]) {
    let start = piece_start.max(out_start);
    let end = (piece_start + piece.len() as u64).min(out_start + out.len() as u64);
    if start < end {
        let from = &piece[(start - piece_start) as usize..(end - piece_start) as usize];
        out[(start - out_start) as usize..(end - out_start) as usize].copy_from_slice(from);
    }
}

/// The bytes in memory.
#[derive(Debug, Default)]
pub(super) struct Tail {
    remainder: Bytes,
    remainder_start: u64,
    batches: VecDeque<TailBatch>,
    bytes: u64,
}

impl Tail {
    /// A tail that holds only the unwritten end of a batch.
    pub(super) fn with_remainder(start: u64, remainder: Bytes) -> Self {
        let bytes = remainder.len() as u64;
        Self { remainder, remainder_start: start, batches: VecDeque::new(), bytes }
    }

    /// Bytes of memory, counted by the batches' own lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, batch: TailBatch) {
        self.bytes += batch.bytes();
        self.batches.push_back(batch);
    }

    /// Offset and stream position of the first whole batch.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.batches.front().map(|batch| (batch.base_offset, batch.start))
    }

    /// Whole batches from the one that holds `offset` on. The offset is in the tail.
    pub(super) fn starting_at(&self, offset: u64) -> impl Iterator<Item = &TailBatch> {
        let first = self.batches.partition_point(|batch| batch.end_offset <= offset);
        self.batches.range(first..)
    }

    /// The last position up to `position` where a batch ends: `position`, or the start of the batch
    /// around it.
    pub(super) fn start_of_batch_at(&self, position: u64) -> u64 {
        let around = self.batches.partition_point(|batch| batch.end() <= position);
        self.batches.get(around).map_or(position, |batch| batch.start.min(position))
    }

    /// The remainder, if it lies within `start..end`.
    pub(super) fn remainder_within(&self, start: u64, end: u64) -> Bytes {
        if (start..end).contains(&self.remainder_start) {
            self.remainder.clone()
        } else {
            Bytes::new()
        }
    }

    /// Fills `out` with the stream's bytes from `from` on; bytes past the end stay as they are.
    /// Everything from `from` on must be in memory.
    pub(super) fn copy(&self, from: u64, out: &mut [u8]) {
        copy_overlap(self.remainder_start, &self.remainder, from, out);
        let first = self.batches.partition_point(|batch| batch.end() <= from);
        let end = from + out.len() as u64;
        for batch in self.batches.range(first..).take_while(|batch| batch.start < end) {
            batch.copy(from, out);
        }
    }

    /// Drops everything before `end`, the end of a segment: it was trimmed.
    pub(super) fn drop_before(&mut self, end: u64) {
        if self.remainder_start < end {
            self.drop_remainder();
        }
        while self.batches.front().is_some_and(|batch| batch.start < end) {
            self.pop_front();
        }
    }

    /// Notices that everything before `written` is on disk.
    pub(super) fn written(&mut self, written: u64) {
        if self.remainder_start < written {
            self.drop_remainder();
        }
    }

    /// Gives up clean batches that end before `until`. Of one that is written but for its end, that
    /// end becomes the remainder. Returns the bytes given up.
    pub(super) fn evict(&mut self, until: u64, written: u64) -> u64 {
        let before = self.bytes;
        let until = until.min(written);
        while self.batches.front().is_some_and(|batch| batch.end() <= until) {
            self.pop_front();
        }
        if let Some(batch) = self.batches.front()
            && until == written
            && batch.start < written
            && batch.end() - written < BLOCK_BYTES
        {
            assert!(self.remainder.is_empty(), "a remainder begins at the end of what is written");
            let mut remainder = BytesMut::zeroed((batch.end() - written) as usize);
            batch.copy(written, &mut remainder);
            self.pop_front();
            self.remainder = remainder.freeze();
            self.remainder_start = written;
            self.bytes += self.remainder.len() as u64;
        }
        if self.batches.is_empty() {
            self.batches.shrink_to_fit();
        }
        before - self.bytes
    }

    fn pop_front(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= batch.bytes();
        }
    }

    fn drop_remainder(&mut self) {
        self.bytes -= self.remainder.len() as u64;
        self.remainder = Bytes::new();
    }
}

#[cfg(test)]
mod tests;
