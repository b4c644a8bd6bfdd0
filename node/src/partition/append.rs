//! Appending a batch: what a committed command of the vnode's log does to the partition.

use super::Partition;
use super::producers::Verdict;
use super::state::{Segment, State};
use super::tail::TailBatch;
use bytes::Bytes;
use ringspool_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, NO_PRODUCER, stamp};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is in the log.
    Appended {
        /// The offset of its first record.
        base_offset: u64,
    },
    /// It already was: its producer sent it again.
    Duplicate {
        /// The offset its first record got the first time.
        base_offset: u64,
    },
    /// A batch of its producer is missing before it.
    OutOfSequence {
        /// The sequence that has to come next.
        expected: u32,
    },
    /// Its producer's id was given to someone newer.
    Fenced {
        /// The newer one's epoch.
        epoch: u16,
    },
    /// Its producer is not known (any more), and this is not its first batch: it needs a new id.
    UnknownProducer,
    /// Its producer has used up the sequences of its epoch: it needs a new one.
    SequencesUsedUp,
}

impl Partition {
    /// Appends a batch, if its producer's sequence allows. `batch` is whole and verified, `header`
    /// was decoded from it. Wakes those who wait for records.
    ///
    /// # Panics
    /// When the batch is not the header's, or the partition is closed: mistakes of the caller.
    pub fn append(
        &self,
        leader_time_ms: u64,
        term: u32,
        header: &BatchHeader,
        batch: Bytes,
    ) -> AppendOutcome {
        let counters = self.context.counters();
        assert_eq!(batch.len(), header.batch_bytes as usize, "a batch and its header");
        let wakers = {
            let mut state = self.state.borrow_mut();
            assert!(!state.is_closed, "an append to {} after it was deleted", self.id);
            if let Some(refusal) = state.judge(leader_time_ms, header) {
                counters.batches_not_appended.add(1);
                return refusal;
            }
            if state.must_roll(leader_time_ms, header) {
                counters.segments_begun.add(1);
                state.roll(leader_time_ms);
            }
            state.push(term, header, &batch);
            let high_watermark = state.high_watermark;
            state.waiters.take_reached(high_watermark)
        };
        counters.batches_appended.add(1);
        counters.bytes_appended.add(batch.len() as u64);
        let base_offset = self.high_watermark() - u64::from(header.record_count);
        self.settle();
        self.context.queue_flush(&self.me());
        self.context.evict();
        for waker in wakers {
            waker.wake();
        }
        AppendOutcome::Appended { base_offset }
    }
}

impl State {
    /// Why a batch is not to be appended.
    fn judge(&mut self, leader_time_ms: u64, header: &BatchHeader) -> Option<AppendOutcome> {
        if header.producer_id == NO_PRODUCER {
            return None;
        }
        match self.producers.judge(leader_time_ms, header) {
            Verdict::Append => None,
            Verdict::Duplicate { base_offset } => Some(AppendOutcome::Duplicate { base_offset }),
            Verdict::OutOfSequence { expected } => Some(AppendOutcome::OutOfSequence { expected }),
            Verdict::Fenced { epoch } => Some(AppendOutcome::Fenced { epoch }),
            Verdict::UnknownProducer => Some(AppendOutcome::UnknownProducer),
            Verdict::SequencesUsedUp => Some(AppendOutcome::SequencesUsedUp),
        }
    }

    /// Whether a new segment begins with this batch.
    fn must_roll(&self, leader_time_ms: u64, header: &BatchHeader) -> bool {
        let Some(active) = self.segments.back() else { return true };
        // By the leader's clock, not the records': a producer with strange timestamps must not be
        // able to begin a segment with every batch.
        let age_ms = leader_time_ms.saturating_sub(active.info.opened_ms);
        active.info.bytes + u64::from(header.batch_bytes) > self.settings.segment_bytes
            && active.info.bytes > 0
            || age_ms > self.settings.segment_ms
    }

    fn roll(&mut self, leader_time_ms: u64) {
        if let Some(active) = self.segments.back_mut() {
            active.is_sealed = true;
        }
        let segment = Segment::begin(self.high_watermark, leader_time_ms, self.stream_end);
        self.segments.push_back(segment);
    }

    /// Puts a batch at the end of the active segment.
    fn push(&mut self, term: u32, header: &BatchHeader, batch: &Bytes) {
        let base_offset = self.high_watermark;
        let end_offset = base_offset + u64::from(header.record_count);
        let Some(head) = batch.first_chunk::<BATCH_HEADER_BYTES>() else {
            unreachable!("a batch that was decoded has a header")
        };
        let head = Bytes::copy_from_slice(&stamp(head, base_offset, term));
        let Some(active) = self.segments.back_mut() else {
            unreachable!("a segment was begun if there was none")
        };
        active.index.observe(active.info.bytes, base_offset, active.info.max_timestamp);
        active.info.bytes += u64::from(header.batch_bytes);
        active.info.max_timestamp = active.info.max_timestamp.max(header.max_timestamp);
        if header.producer_id != NO_PRODUCER {
            self.producers.appended(header, base_offset);
        }
        self.tail.push(TailBatch {
            base_offset,
            end_offset,
            start: self.stream_end,
            max_timestamp: header.max_timestamp,
            header: head,
            body: batch.slice(BATCH_HEADER_BYTES..),
        });
        self.stream_end += u64::from(header.batch_bytes);
        self.high_watermark = end_offset;
    }
}
