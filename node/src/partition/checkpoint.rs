//! What of a partition has to be in its vnode's checkpoint so that a restart can go on from there
//! with the WAL, without looking into any segment.

use super::state::{DeadSegment, Segment, State};
use super::tail::Tail;
use super::{Partition, PartitionId, PartitionSettings, Producers, StorageContext};
use crate::index::{ActiveIndex, INDEX_INTERVAL_BYTES};
use crate::io::{BLOCK_BYTES, align_down};
use crate::segment::SegmentInfo;
use bytes::{Bytes, BytesMut};
use std::path::PathBuf;
use std::rc::Rc;

/// A partition's state between two commands, without its id and settings, which the vnode's
/// checkpoint has beside it. `checkpoint_format.rs` has its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// The offset that the next record gets.
    pub high_watermark: u64,
    /// Segments, oldest first. All but the last are sealed and complete on disk.
    pub segments: Vec<SegmentInfo>,
    /// The bytes of the last segment after its last whole block.
    pub unfinished_block: Bytes,
    /// The index entries of the last segment that are not in its index file.
    pub index: ActiveIndex,
    /// Idempotent producers.
    pub producers: Producers,
    /// Base offsets of trimmed segments whose files may still be there.
    pub dead: Vec<u64>,
}

impl Partition {
    /// The state as of now. What it leaves out is on disk after [`Partition::flush`] with `sync`
    /// to a [`Partition::flush_target`] taken at the same moment: only then may it be written.
    #[must_use]
    pub fn checkpoint(&self) -> PartitionCheckpoint {
        let mut state = self.state.borrow_mut();
        for dead in &mut state.dead {
            dead.is_in_checkpoint = true;
        }
        let state = &*state;
        let last = state.segments.back();
        let unfinished_bytes = last.map_or(0, |last| last.info.bytes % BLOCK_BYTES);
        let mut unfinished_block = BytesMut::zeroed(unfinished_bytes as usize);
        state.tail.copy(state.stream_end - unfinished_bytes, &mut unfinished_block);
        PartitionCheckpoint {
            log_start_offset: state.log_start_offset,
            high_watermark: state.high_watermark,
            segments: state.segments.iter().map(|segment| segment.info).collect(),
            unfinished_block: unfinished_block.freeze(),
            index: last.map(|last| last.index.clone()).unwrap_or_default(),
            producers: state.producers.clone(),
            dead: state.dead.iter().map(|dead| dead.base_offset).collect(),
        }
    }

    /// The partition as it was when the checkpoint was taken, with the settings it had then: where
    /// the segments of a replay end depends on them. Reads nothing.
    #[must_use]
    pub fn restore(
        id: PartitionId,
        checkpoint: PartitionCheckpoint,
        settings: PartitionSettings,
        dir: PathBuf,
        context: Rc<StorageContext>,
    ) -> Rc<Self> {
        let mut state = State::new(settings);
        state.log_start_offset = checkpoint.log_start_offset;
        state.high_watermark = checkpoint.high_watermark;
        for info in checkpoint.segments {
            let segment = Segment {
                info,
                flushed: info.bytes,
                is_sealed: true,
                is_complete: true,
                has_log: true,
                has_index: info.bytes > INDEX_INTERVAL_BYTES,
                ..Segment::begin(info.base_offset, info.opened_ms, state.stream_end)
            };
            state.stream_end = segment.stream_end();
            state.segments.push_back(segment);
        }
        state.written = state.stream_end;
        if let Some(last) = state.segments.back_mut() {
            last.is_sealed = false;
            last.is_complete = false;
            last.flushed = align_down(last.info.bytes);
            // Of one without a whole block the file may be there or not: it is begun anew.
            last.has_log = last.flushed > 0;
            last.has_index = checkpoint.index.blocks_written > 0;
            last.index = checkpoint.index;
            state.written = last.stream_start + last.flushed;
            assert_eq!(
                checkpoint.unfinished_block.len() as u64,
                last.info.bytes - last.flushed,
                "the unfinished block of {id}"
            );
        }
        state.tail = Tail::with_remainder(state.written, checkpoint.unfinished_block);
        state.producers = checkpoint.producers;
        let dead = checkpoint.dead.into_iter();
        state.dead =
            dead.map(|base_offset| DeadSegment { base_offset, is_in_checkpoint: true }).collect();
        Self::with_state(id, state, dir, context)
    }
}
