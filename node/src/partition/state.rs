//! What a partition knows, apart from what it shares with others.

use super::context::Usage;
use super::tail::Tail;
use super::wait::Waiters;
use super::{PartitionSettings, Producers};
use crate::index::{ActiveIndex, LoadedIndex};
use crate::io::BLOCK_BYTES;
use crate::segment::SegmentInfo;
use std::collections::VecDeque;
use std::rc::Rc;

/// A segment of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) info: SegmentInfo,
    /// Where it begins in the stream.
    pub(super) stream_start: u64,
    /// Bytes of it that are on disk (though maybe not durable): whole blocks, or all of it.
    pub(super) flushed: u64,
    /// Another one follows: it will not grow.
    pub(super) is_sealed: bool,
    /// Sealed, and all of it and its index are written.
    pub(super) is_complete: bool,
    /// This process made its file, or found it in the checkpoint.
    pub(super) has_log: bool,
    pub(super) has_index: bool,
    pub(super) is_log_unsynced: bool,
    pub(super) is_index_unsynced: bool,
    /// Entries that are not in its index file.
    pub(super) index: ActiveIndex,
}

impl Segment {
    /// One that begins with the next append.
    pub(super) fn begin(base_offset: u64, opened_ms: u64, stream_start: u64) -> Self {
        Self {
            info: SegmentInfo { base_offset, bytes: 0, opened_ms, max_timestamp: i64::MIN },
            stream_start,
            flushed: 0,
            is_sealed: false,
            is_complete: false,
            has_log: false,
            has_index: false,
            is_log_unsynced: false,
            is_index_unsynced: false,
            index: ActiveIndex::default(),
        }
    }

    pub(super) fn stream_end(&self) -> u64 {
        self.stream_start + self.info.bytes
    }
}

/// A segment that was trimmed, whose files may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeadSegment {
    pub(super) base_offset: u64,
    /// A checkpoint was taken that knows of its death.
    pub(super) is_in_checkpoint: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: PartitionSettings,
    pub(super) log_start_offset: u64,
    pub(super) high_watermark: u64,
    /// Oldest first, without gaps. The last one is being written; there is none after everything
    /// was trimmed.
    pub(super) segments: VecDeque<Segment>,
    /// Where the stream ends, and up to where it is written.
    pub(super) stream_end: u64,
    pub(super) written: u64,
    pub(super) tail: Tail,
    pub(super) producers: Producers,
    pub(super) dead: Vec<DeadSegment>,
    pub(super) waiters: Waiters,
    /// Rebuilt indexes whose files are to be written again.
    pub(super) index_repairs: Vec<(u64, Rc<LoadedIndex>)>,
    /// A sync failed: what it should have covered may be lost, whatever later ones say.
    pub(super) failed_sync: Option<String>,
    pub(super) is_closed: bool,
    /// What the shard's budget was told of.
    pub(super) accounted: Usage,
}

impl State {
    pub(super) fn new(settings: PartitionSettings) -> Self {
        Self {
            settings,
            log_start_offset: 0,
            high_watermark: 0,
            segments: VecDeque::new(),
            stream_end: 0,
            written: 0,
            tail: Tail::default(),
            producers: Producers::default(),
            dead: Vec::new(),
            waiters: Waiters::default(),
            index_repairs: Vec::new(),
            failed_sync: None,
            is_closed: false,
            accounted: Usage::default(),
        }
    }

    /// Bytes that are in memory only.
    pub(super) fn dirty_bytes(&self) -> u64 {
        self.stream_end - self.written
    }

    /// Those of them that a flush would write: all but the unfinished last block.
    pub(super) fn flushable_bytes(&self) -> u64 {
        let unfinished = self.segments.back().map_or(0, |last| last.info.bytes % BLOCK_BYTES);
        self.dirty_bytes() - unfinished.min(self.dirty_bytes())
    }

    /// What it takes of the shard's budget.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            cached_bytes: self.tail.bytes(),
            dirty_bytes: self.dirty_bytes(),
            flushable_bytes: self.flushable_bytes(),
        }
    }

    fn index_of(&self, base_offset: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&base_offset, |segment| segment.info.base_offset).ok()
    }

    /// The segment with this base offset, if it was not trimmed.
    pub(super) fn segment(&self, base_offset: u64) -> Option<&Segment> {
        self.index_of(base_offset).map(|index| &self.segments[index])
    }

    pub(super) fn segment_mut(&mut self, base_offset: u64) -> Option<&mut Segment> {
        self.index_of(base_offset).map(|index| &mut self.segments[index])
    }

    /// The segment that holds an offset of the log.
    pub(super) fn segment_of(&self, offset: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.info.base_offset <= offset);
        after.checked_sub(1).map(|index| &self.segments[index])
    }

    /// The offset after a segment's last.
    pub(super) fn end_offset(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.high_watermark, |next| next.info.base_offset)
    }
}
