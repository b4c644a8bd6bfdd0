//! What a partition remembers of its idempotent producers: enough to answer a repeated batch with
//! the offset it got the first time, and to refuse one after a gap.
//!
//! Part of what `apply` depends on, so everything here is a function of the commands: time is the
//! leader's, as it stands in them, and never runs backwards.
//!
//! Bounded by [`PRODUCERS_MAX`] and by [`PRODUCER_EXPIRY_MS`]: the producer that was silent for
//! longest is forgotten, and has to ask for a new id.

use ringspool_wire::batch::BatchHeader;
use std::collections::{BTreeMap, BTreeSet};

/// Producers remembered per partition.
pub const PRODUCERS_MAX: usize = 4096;
/// How long a silent producer is remembered, in milliseconds.
pub const PRODUCER_EXPIRY_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Batches remembered per producer: what may be in flight and be sent again.
pub const RECENT_BATCHES_MAX: usize = 5;

/// A batch that a producer may send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecentBatch {
    /// Sequence of its first record.
    pub base_sequence: u32,
    /// Its records.
    pub record_count: u32,
    /// The offset it got.
    pub base_offset: u64,
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Its epoch: a batch of an older one is refused.
    pub epoch: u16,
    /// When it was heard of last.
    pub last_ms: u64,
    /// Its last batches, oldest first; at least one, at most [`RECENT_BATCHES_MAX`].
    pub recent: Vec<RecentBatch>,
}

impl Producer {
    /// The sequence its next batch begins with. Beyond `u32` when the epoch's sequences are used up.
    fn next_sequence(&self) -> u64 {
        self.recent
            .last()
            .map_or(0, |last| u64::from(last.base_sequence) + u64::from(last.record_count))
    }
}

/// What the table says to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Append,
    Duplicate {
        base_offset: u64,
    },
    OutOfSequence {
        expected: u32,
    },
    Fenced {
        epoch: u16,
    },
    UnknownProducer,
    /// The epoch has no sequences left.
    SequencesUsedUp,
}

/// The producers of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<u64, Producer>,
    /// (last heard of, id): who goes first.
    by_silence: BTreeSet<(u64, u64)>,
    /// The latest leader time seen.
    now_ms: u64,
}

impl Producers {
    /// Puts a table together from a checkpoint. `None` when a producer is there twice or has no, or
    /// too many, batches.
    pub(super) fn restore(now_ms: u64, producers: Vec<(u64, Producer)>) -> Option<Self> {
        let mut table = Self { now_ms, ..Self::default() };
        for (id, producer) in producers {
            if !(1..=RECENT_BATCHES_MAX).contains(&producer.recent.len()) {
                return None;
            }
            table.by_silence.insert((producer.last_ms, id));
            if table.by_id.insert(id, producer).is_some() {
                return None;
            }
        }
        Some(table)
    }

    /// Producers remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// The latest leader time seen, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Judges a batch. Unless it is to be appended, nothing but the time changes; after
    /// [`Verdict::Append`] the caller appends and calls [`Producers::appended`].
    pub(super) fn judge(&mut self, leader_time_ms: u64, header: &BatchHeader) -> Verdict {
        self.now_ms = self.now_ms.max(leader_time_ms);
        self.forget_expired();
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            let starts = header.base_sequence == 0;
            return if starts { Verdict::Append } else { Verdict::UnknownProducer };
        };
        if header.producer_epoch < producer.epoch {
            return Verdict::Fenced { epoch: producer.epoch };
        }
        if header.producer_epoch > producer.epoch {
            let starts = header.base_sequence == 0;
            return if starts { Verdict::Append } else { Verdict::OutOfSequence { expected: 0 } };
        }
        let again = producer.recent.iter().find(|recent| {
            (recent.base_sequence, recent.record_count)
                == (header.base_sequence, header.record_count)
        });
        if let Some(again) = again {
            let base_offset = again.base_offset;
            self.heard_of(header.producer_id);
            return Verdict::Duplicate { base_offset };
        }
        match u32::try_from(producer.next_sequence()) {
            Ok(expected) if expected == header.base_sequence => Verdict::Append,
            Ok(expected) => Verdict::OutOfSequence { expected },
            Err(_) => Verdict::SequencesUsedUp,
        }
    }

    /// Remembers a batch that was judged [`Verdict::Append`].
    pub(super) fn appended(&mut self, header: &BatchHeader, base_offset: u64) {
        let batch = RecentBatch {
            base_sequence: header.base_sequence,
            record_count: header.record_count,
            base_offset,
        };
        let id = header.producer_id;
        let now_ms = self.now_ms;
        match self.by_id.get_mut(&id) {
            Some(producer) => {
                if producer.epoch != header.producer_epoch {
                    producer.epoch = header.producer_epoch;
                    producer.recent.clear();
                }
                if producer.recent.len() == RECENT_BATCHES_MAX {
                    producer.recent.remove(0);
                }
                producer.recent.push(batch);
                self.heard_of(id);
            }
            None => {
                if self.by_id.len() == PRODUCERS_MAX {
                    self.forget_most_silent();
                }
                let epoch = header.producer_epoch;
                self.by_id.insert(id, Producer { epoch, last_ms: now_ms, recent: vec![batch] });
                self.by_silence.insert((now_ms, id));
            }
        }
    }

    fn heard_of(&mut self, id: u64) {
        if let Some(producer) = self.by_id.get_mut(&id) {
            self.by_silence.remove(&(producer.last_ms, id));
            producer.last_ms = self.now_ms;
            self.by_silence.insert((self.now_ms, id));
        }
    }

    fn forget_expired(&mut self) {
        while let Some((last_ms, _)) = self.by_silence.first()
            && self.now_ms - last_ms > PRODUCER_EXPIRY_MS
        {
            self.forget_most_silent();
        }
    }

    fn forget_most_silent(&mut self) {
        if let Some((_, id)) = self.by_silence.pop_first() {
            self.by_id.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
