//! What the dispatcher keeps of one partition: the batches that left its accumulator, in order,
//! and the producer id and sequence they are sent under.
//!
//! Order and sequences. A batch gets its sequence when it is first sent, and keeps it over every
//! retry. Up to five batches are in flight; when one of them fails in a way that can mend, the
//! others in flight are waited for, and then everything is sent again from the first one on. So
//! the node sees no gap that lasts, and drops what it has already.
//!
//! When a batch fails for good, its sequence numbers will never arrive, and the batches behind it
//! would be refused for ever. The partition is then `broken`: it gets a new producer id, and goes
//! on with sequence 0. Before that, a batch that may be stored already is sent under the old id
//! once more: the node either has it (and says so), or refuses it and thereby tells that neither
//! it nor anything behind it is stored. So nothing is stored twice by the change.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ringspool_wire::{InitProducerResponse, NO_PRODUCER, ProducerStamp};
use tokio::time::Instant;

use super::super::batch::{Batch, Owner};
use super::super::delivery::Outcome;
use super::super::error::ProduceError;
use super::super::large::LargeRecord;
use super::super::options::Options;
use super::super::queue::{Look, PartitionQueue, Waiting};
use crate::backoff::Backoff;

/// Beyond this, the partition changes its producer id at the next record that is not the middle of
/// a large one: neither the largest batch nor the largest record can run over the end.
const SEQUENCE_SOFT_MAX: u32 = u32::MAX - (1 << 21);

/// A large record that is being cut.
struct Cutting {
    large: Arc<LargeRecord>,
    next: u32,
    position: u64,
    begun: Instant,
}

pub(super) struct Partition {
    pub(super) queue: Arc<PartitionQueue>,
    /// Taken from the queue, and not in flight: in the order of their positions.
    backlog: VecDeque<Batch>,
    cutting: Option<Cutting>,
    next_position: u64,
    /// The positions of the batches in flight.
    pub(super) in_flight: BTreeSet<u64>,
    /// A batch came back to be tried again: nothing is sent before all others are back.
    pub(super) recovering: bool,
    /// The sequence has a gap that will not be filled.
    pub(super) broken: bool,
    pub(super) identifying: bool,
    identity: InitProducerResponse,
    next_sequence: u32,
    /// The link it stands at, or has batches in flight on.
    pub(super) link: Option<usize>,
    /// It stands in its link's line.
    pub(super) in_line: bool,
    pub(super) backoff: Backoff,
    pub(super) backoff_until: Option<Instant>,
    pub(super) last_error: Option<Arc<str>>,
    /// When the dispatcher looks at it without being told.
    pub(super) wake_at: Option<Instant>,
}

/// What there is to send.
pub(super) enum Work {
    Nothing,
    /// A batch that was begun then.
    Ready(Instant),
    /// Only a batch that may wait for more records.
    Filling {
        begun: Instant,
        number: u64,
    },
}

impl Partition {
    pub(super) fn new(queue: Arc<PartitionQueue>, identity: Option<InitProducerResponse>) -> Self {
        let none = InitProducerResponse { producer_id: NO_PRODUCER, producer_epoch: 0 };
        Partition {
            queue,
            backlog: VecDeque::new(),
            cutting: None,
            next_position: 0,
            in_flight: BTreeSet::new(),
            recovering: false,
            broken: false,
            identifying: false,
            identity: identity.unwrap_or(none),
            next_sequence: 0,
            link: None,
            in_line: false,
            backoff: Backoff::default(),
            backoff_until: None,
            last_error: None,
            wake_at: None,
        }
    }

    fn is_idempotent(&self) -> bool {
        self.identity.producer_id != NO_PRODUCER
    }

    /// What comes next.
    pub(super) fn work(&self) -> Work {
        if let Some(batch) = self.backlog.front() {
            return Work::Ready(batch.begun);
        }
        if let Some(cutting) = &self.cutting {
            return Work::Ready(cutting.begun);
        }
        match self.queue.look() {
            Look::Nothing => Work::Nothing,
            Look::Ready(begun) => Work::Ready(begun),
            Look::Filling { begun, number } => Work::Filling { begun, number },
        }
    }

    /// Whether the next batch has to wait for a new producer id.
    pub(super) fn needs_identity(&self) -> bool {
        let front = self.backlog.front();
        if !self.is_idempotent() {
            false
        } else if self.broken {
            !front.is_some_and(|batch| batch.maybe_stored)
        } else {
            let in_record = front.is_none() && self.cutting.as_ref().is_some_and(|c| c.next > 0);
            let stamped = front.is_some_and(|batch| batch.stamp.is_some());
            self.next_sequence > SEQUENCE_SOFT_MAX && !in_record && !stamped
        }
    }

    /// Goes on under a new producer id. A large record in the middle of which this happens is
    /// sent again from its beginning, since readers tell records apart by the producer too.
    pub(super) fn identify(&mut self, identity: InitProducerResponse) {
        self.identity = identity;
        self.next_sequence = 0;
        self.broken = false;
        for batch in &mut self.backlog {
            batch.stamp = None;
            batch.maybe_stored = false;
        }
        // What is stored of a record in the middle is what stands before the front of the backlog.
        match self.backlog.front() {
            Some(Batch { owner: Owner::Chunk { large, index }, position, begun, .. }) => {
                let (large, index, begun) = (large.clone(), *index, *begun);
                let first = *position - u64::from(index);
                for index in (0..index).rev() {
                    let position = first + u64::from(index);
                    self.backlog.push_front(Batch::of_chunk(large.clone(), index, position, begun));
                }
            }
            Some(_) => {}
            None => {
                if let Some(cutting) = &mut self.cutting {
                    cutting.next = 0;
                }
            }
        }
    }

    /// Takes the next batch to send it, with its sequence.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let mut batch = self.next_batch()?;
        if self.is_idempotent() && batch.stamp.is_none() {
            batch.stamp = Some(ProducerStamp {
                producer_id: self.identity.producer_id,
                producer_epoch: self.identity.producer_epoch,
                base_sequence: self.next_sequence,
            });
            self.next_sequence += batch.records;
        }
        self.in_flight.insert(batch.position);
        Some(batch)
    }

    fn next_batch(&mut self) -> Option<Batch> {
        if let Some(batch) = self.backlog.pop_front() {
            return Some(batch);
        }
        if self.cutting.is_none() {
            let position = self.next_position;
            match self.queue.take()? {
                Waiting::Records(batch) => {
                    self.next_position += 1;
                    return Some(Batch::of_records(batch, position));
                }
                Waiting::Large(large, begun) => {
                    self.next_position += u64::from(large.count());
                    let large = Arc::new(large);
                    self.cutting = Some(Cutting { large, next: 0, position, begun });
                }
            }
        }
        let cutting = self.cutting.as_mut()?;
        let (large, index) = (cutting.large.clone(), cutting.next);
        let position = cutting.position + u64::from(index);
        let batch = Batch::of_chunk(large, index, position, cutting.begun);
        cutting.next += 1;
        if cutting.next == cutting.large.count() {
            self.cutting = None;
        }
        Some(batch)
    }

    /// Whether a batch before this one is on its way or waits to be sent again.
    pub(super) fn has_earlier(&self, position: u64) -> bool {
        self.in_flight.first().is_some_and(|first| *first < position)
            || self.backlog.front().is_some_and(|front| front.position < position)
    }

    /// Puts a batch that came back where it belongs.
    pub(super) fn put_back(&mut self, batch: Batch) {
        if let Owner::Chunk { large, .. } = &batch.owner
            && large.is_settled()
        {
            // Another chunk of the record has failed for good.
            return;
        }
        let at = self.backlog.partition_point(|other| other.position < batch.position);
        self.backlog.insert(at, batch);
    }

    /// A batch failed for good: tells its senders, and gives up the rest of its record.
    pub(super) fn fail(&mut self, batch: Batch, error: ProduceError) {
        self.broken |= batch.stamp.is_some();
        if let Owner::Chunk { large, .. } = &batch.owner {
            self.give_up(&large.clone());
        }
        batch.settle(Err(error));
    }

    fn give_up(&mut self, failed: &Arc<LargeRecord>) {
        self.backlog.retain(|batch| match &batch.owner {
            Owner::Chunk { large, .. } => !Arc::ptr_eq(large, failed),
            Owner::Records(_) => true,
        });
        self.cutting.take_if(|cutting| Arc::ptr_eq(&cutting.large, failed));
    }

    /// Fails what has waited too long.
    pub(super) fn expire(&mut self, now: Instant, options: &Options) {
        let timeout = options.delivery_timeout;
        let is_late = |begun: Instant| begun + timeout <= now;
        while let Some(batch) = self.backlog.pop_front_if(|batch| is_late(batch.begun)) {
            let error = self.timed_out(options, batch.maybe_stored);
            self.fail(batch, error);
        }
        if self.backlog.is_empty()
            && let Some(cutting) = self.cutting.take_if(|cutting| is_late(cutting.begun))
        {
            self.broken |= cutting.next > 0 && self.is_idempotent();
            let error = self.timed_out(options, false);
            cutting.large.settle(Err(error));
        }
        while self.backlog.is_empty() && self.cutting.is_none() {
            match self.queue.look() {
                Look::Ready(begun) | Look::Filling { begun, .. } if is_late(begun) => {}
                _ => return,
            }
            let error = self.timed_out(options, false);
            if let Some(waiting) = self.queue.take() {
                waiting.fail(error);
            }
        }
    }

    fn timed_out(&self, options: &Options, maybe_stored: bool) -> ProduceError {
        ProduceError::TimedOut {
            topic: self.queue.topic.name.clone(),
            partition: self.queue.partition,
            timeout: options.delivery_timeout,
            maybe_stored,
            last: self.last_error.clone().unwrap_or_else(|| "it waited for others".into()),
        }
    }

    /// The topic is gone: fails everything, and whatever comes.
    pub(super) fn end(&mut self, error: &ProduceError) {
        for batch in self.backlog.drain(..) {
            batch.settle(Err(error.clone()));
        }
        if let Some(cutting) = self.cutting.take() {
            cutting.large.settle(Err(error.clone()));
        }
        for waiting in self.queue.end(error.clone()) {
            waiting.fail(error.clone());
        }
    }

    /// A batch is stored (or written, with acks=none).
    pub(super) fn delivered(&mut self, batch: Batch, outcome: Outcome) {
        self.backoff.reset();
        self.last_error = None;
        batch.settle(outcome);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use ringspool_wire::{Acks, Compression};

    use super::super::super::ledger::Ledger;
    use super::super::super::queue::{Builders, TopicQueues};
    use super::super::super::record::ProduceRecord;
    use super::*;

    /// A partition with a record of 100 bytes, one of 30 chunks, and another one of 100 bytes.
    fn partition() -> Partition {
        let options = Options {
            acks: Acks::Quorum,
            linger: Duration::ZERO,
            batch_bytes: 8 << 10,
            in_flight_max: 5,
            compression: Compression::None,
            idempotent: true,
            delivery_timeout: Duration::from_secs(1),
            buffer_bytes_max: 1 << 20,
            record_bytes_max: 1 << 20,
            partition: None,
            request_timeout: Duration::from_secs(1),
        };
        let ledger = Arc::new(Ledger::new(1 << 20));
        let builders = Builders::new(options);
        let topic = TopicQueues::new("t".into(), 1, 1);
        for bytes in [100, 30 * 4096, 100] {
            let record = ProduceRecord::new("t").value(vec![7; bytes]);
            let reserved = ledger.try_reserve(bytes).unwrap();
            topic.queues[0].push(record, reserved, false, &builders, &ledger).unwrap();
        }
        let identity = InitProducerResponse { producer_id: 9, producer_epoch: 0 };
        Partition::new(topic.queues[0].clone(), Some(identity))
    }

    fn sequence(batch: &Batch) -> (u64, u32) {
        let stamp = batch.stamp.unwrap();
        (stamp.producer_id, stamp.base_sequence)
    }

    #[test]
    fn sequences_follow_each_other_and_are_kept_when_a_batch_comes_back() {
        let mut partition = partition();
        let first = partition.take().unwrap();
        let second = partition.take().unwrap();
        let third = partition.take().unwrap();
        assert_eq!([&first, &second, &third].map(sequence), [(9, 0), (9, 1), (9, 2)]);
        // They come back in any order, and go out in their own.
        partition.put_back(third);
        partition.put_back(first);
        partition.put_back(second);
        for expected in 0..32 {
            assert_eq!(sequence(&partition.take().unwrap()), (9, expected));
        }
        assert!(partition.take().is_none());
    }

    #[test]
    fn near_the_end_of_the_sequences_the_id_changes_but_not_within_a_record() {
        let new = InitProducerResponse { producer_id: 10, producer_epoch: 3 };
        let mut partition = partition();
        assert!(!partition.needs_identity());
        partition.take().unwrap();
        partition.take().unwrap();
        partition.next_sequence = SEQUENCE_SOFT_MAX + 1;
        for _ in 1..30 {
            assert!(!partition.needs_identity());
            partition.take().unwrap();
        }
        assert!(partition.needs_identity(), "the record is complete");
        partition.identify(new);
        assert!(!partition.needs_identity());
        assert_eq!(sequence(&partition.take().unwrap()), (10, 0));
    }
}
