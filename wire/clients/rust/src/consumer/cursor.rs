//! How far the consumer has read a partition, and what it holds of records that come in chunks.

use std::cmp::Ordering;
use std::collections::HashMap;

use ringspool_wire::{BatchError, ChunkInfo, DecodedBatch, Reassembler, ReassemblerLimits, Record};

/// Records in chunks that may be unfinished at once in one partition; a producer writes the chunks
/// of one record without another in between, so this is a number of producers.
const UNFINISHED_MAX: usize = 64;

/// The consumer's place in a partition.
pub(super) struct Cursor {
    /// Behind the last record that was given out: records before it are skipped.
    pub(super) position: u64,
    /// Behind the last batch that was looked at. Ahead of `position` by chunks of records that
    /// are not complete, and by chunks that never will be.
    pub(super) scanned: u64,
    record_bytes_max: u64,
    reassembler: Option<Reassembler>,
    /// Unfinished records, by producer and record id.
    begun: HashMap<(u64, u64), Begun>,
}

/// A record of which not every chunk was seen.
struct Begun {
    /// Of its first chunk.
    offset: u64,
    /// The chunk that comes next; when another one does, the record was given up.
    next: u32,
}

impl Cursor {
    pub(super) fn new(position: u64, record_bytes_max: u64) -> Self {
        let begun = HashMap::new();
        Cursor { position, scanned: position, record_bytes_max, reassembler: None, begun }
    }

    /// From where to read again to miss nothing: `position`, or before it, when the first chunks
    /// of a record that is not complete stand before it.
    pub(super) fn safe_position(&self) -> u64 {
        self.begun.values().map(|begun| begun.offset).fold(self.position, u64::min)
    }

    /// Takes a chunk, and gives the record that it completes, if it does.
    pub(super) fn push_chunk(
        &mut self,
        chunk: ChunkInfo,
        batch: DecodedBatch,
    ) -> Result<Option<Record>, BatchError> {
        let record_bytes_max = self.record_bytes_max;
        let reassembler = self.reassembler.get_or_insert_with(|| {
            Reassembler::new(ReassemblerLimits {
                record_bytes_max,
                bytes_max: record_bytes_max.saturating_mul(2),
                records_max: UNFINISHED_MAX,
            })
        });
        let key = (batch.header.producer_id, chunk.record_id);
        let offset = batch.header.base_offset;
        let last_offset = batch.header.last_offset();
        let pushed = reassembler.push(batch);
        if pushed.is_err() || chunk.is_last() {
            self.begun.remove(&key);
        } else if chunk.index == 0 {
            self.begun.insert(key, Begun { offset, next: 1 });
        } else if let Some(begun) = self.begun.get_mut(&key) {
            match chunk.index.cmp(&begun.next) {
                Ordering::Less => {}
                Ordering::Equal => begun.next += 1,
                Ordering::Greater => {
                    self.begun.remove(&key);
                }
            }
        }
        if reassembler.is_empty() {
            // Also forgets those that the reassembler gave up.
            self.begun.clear();
        }
        self.scanned = self.scanned.max(last_offset.saturating_add(1));
        pushed
    }
}
