//! Reading batches from an offset on: from memory, or from a segment through its index.

use super::state::State;
use super::{Partition, ReadError};
use crate::index::Seek;
use crate::segment::read_batches;
use bytes::Bytes;

/// Whole batches.
#[derive(Debug, Clone, Default)]
pub struct ReadOutcome {
    /// Their bytes, in order. A piece may be several batches, or a part of one: only back to back
    /// are they whole.
    pub batches: Vec<Bytes>,
    /// Bytes of all pieces.
    pub bytes: usize,
    /// The offset after the last record: where to read on.
    pub next_offset: u64,
}

impl Partition {
    /// Whole batches from the one that holds `offset` on: at least one, at most about `bytes_max`
    /// bytes (and fewer, where disk and memory meet). None at the high watermark.
    pub async fn read(&self, offset: u64, bytes_max: usize) -> Result<ReadOutcome, ReadError> {
        let base_offset = {
            let state = self.state.borrow();
            state.check_offset(offset)?;
            if offset == state.high_watermark {
                return Ok(ReadOutcome { next_offset: offset, ..ReadOutcome::default() });
            }
            if state.tail.first().is_some_and(|(first, _)| offset >= first) {
                let outcome = state.read_tail(offset, bytes_max);
                self.context.counters().reads_from_memory.add(1);
                self.context.counters().bytes_from_memory.add(outcome.bytes as u64);
                return Ok(outcome);
            }
            state.segment_of(offset).map(|segment| segment.info.base_offset)
        };
        let Some(base_offset) = base_offset else {
            unreachable!("an offset of the log is in a segment")
        };
        self.read_segment(base_offset, offset, bytes_max).await.map_err(|error| {
            // Its files may have gone meanwhile.
            self.state.borrow().check_offset(offset).err().unwrap_or(error)
        })
    }

    async fn read_segment(
        &self,
        base_offset: u64,
        offset: u64,
        bytes_max: usize,
    ) -> Result<ReadOutcome, ReadError> {
        let from = self.place_before(base_offset, Seek::Offset(offset)).await?;
        let source = self.source(base_offset).await?;
        let counters = self.context.counters();
        let read = read_batches(&source, from, |header| header.last_offset() >= offset, bytes_max);
        let run = match read.await {
            Ok(Some(run)) => run,
            // The offsets do not reach as far as they did when they were written.
            Ok(None) => {
                counters.damage_met.add(1);
                return Err(source.ends_early(offset).into());
            }
            Err(error) => {
                counters.damage_met.add(1);
                return Err(error.into());
            }
        };
        let bytes = run.bytes.len();
        counters.reads_from_disk.add(1);
        counters.bytes_from_disk.add(bytes as u64);
        Ok(ReadOutcome { batches: vec![run.bytes], bytes, next_offset: run.next.offset })
    }
}

impl State {
    /// Whether a reader may ask for an offset.
    pub(super) fn check_offset(&self, offset: u64) -> Result<(), ReadError> {
        if self.is_closed {
            return Err(ReadError::Closed);
        }
        if offset < self.log_start_offset || offset > self.high_watermark {
            return Err(self.out_of_range(offset));
        }
        Ok(())
    }

    pub(super) fn out_of_range(&self, offset: u64) -> ReadError {
        ReadError::OffsetOutOfRange {
            offset,
            log_start_offset: self.log_start_offset,
            high_watermark: self.high_watermark,
        }
    }

    fn read_tail(&self, offset: u64, bytes_max: usize) -> ReadOutcome {
        let mut outcome = ReadOutcome { next_offset: offset, ..ReadOutcome::default() };
        for batch in self.tail.starting_at(offset) {
            let bytes = batch.bytes() as usize;
            if outcome.bytes > 0 && outcome.bytes + bytes > bytes_max {
                break;
            }
            outcome.batches.push(batch.header.clone());
            outcome.batches.push(batch.body.clone());
            outcome.bytes += bytes;
            outcome.next_offset = batch.end_offset;
        }
        outcome
    }
}
