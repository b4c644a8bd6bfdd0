//! The accumulator: for every partition a line of batches, the last of which is being filled.
//!
//! Senders push, the dispatcher takes; a partition's lock is held for one push or one take. A
//! record costs its sender that lock and a copy into the batch, and wakes nobody unless it begins
//! or fills a batch.
//!
//! Invariants: `signalled` is set while the partition stands in the dispatcher's inbox, so it
//! stands there once; records leave in the order they came.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringspool_wire::{BatchBuilder, BatchError, RECORDS_PER_BATCH_MAX, RecordRef};
use tokio::time::Instant;

use super::delivery::DeliveryFuture;
use super::error::ProduceError;
use super::large::{LargeRecord, header_refs};
use super::ledger::{Ledger, Obligation, Reserved};
use super::options::Options;
use super::partitioner::Sticky;
use super::record::{ProduceRecord, now_ms};

/// Empty builders that are kept, so that new batches find their memory ready.
const BUILDERS_KEPT_MAX: usize = 8;

/// What a batch takes for a record beside its bytes (and per header): four offsets, and two.
const RECORD_OVERHEAD_BYTES: usize = 16;
const HEADER_OVERHEAD_BYTES: usize = 8;

/// A topic that this producer sends to.
pub(super) struct TopicQueues {
    pub(super) topic: Arc<Topic>,
    pub(super) queues: Vec<Arc<PartitionQueue>>,
}

pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) id: u64,
    pub(super) sticky: Sticky,
}

impl TopicQueues {
    pub(super) fn new(name: Arc<str>, id: u64, partitions: u32) -> Self {
        let topic = Arc::new(Topic { name, id, sticky: Sticky::new(partitions) });
        let queue = |partition| Arc::new(PartitionQueue::new(topic.clone(), partition));
        TopicQueues { queues: (0..partitions).map(queue).collect(), topic }
    }
}

/// Builders that wait for the next batch.
pub(super) struct Builders {
    kept: Mutex<Vec<BatchBuilder>>,
    options: Options,
}

impl Builders {
    pub(super) fn new(options: Options) -> Self {
        Builders { kept: Mutex::default(), options }
    }

    fn take(&self) -> BatchBuilder {
        lock(&self.kept).pop().unwrap_or_else(|| BatchBuilder::new(self.options.compression))
    }

    pub(super) fn give(&self, mut builder: BatchBuilder) {
        builder.clear();
        let mut kept = lock(&self.kept);
        if kept.len() < BUILDERS_KEPT_MAX {
            kept.push(builder);
        }
    }
}

/// A batch of whole records.
pub(super) struct RecordsBatch {
    pub(super) builder: BatchBuilder,
    pub(super) obligation: Obligation,
    pub(super) begun: Instant,
}

/// What stands in line.
pub(super) enum Waiting {
    Records(RecordsBatch),
    Large(LargeRecord, Instant),
}

/// What the dispatcher finds when it looks at a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Nothing,
    /// There is a batch to send; it was begun then.
    Ready(Instant),
    /// The only batch may still be filled; it was begun then.
    Filling {
        begun: Instant,
        number: u64,
    },
}

struct State {
    line: VecDeque<Waiting>,
    /// The batch that is being filled; it stands behind the line.
    filling: Option<RecordsBatch>,
    signalled: bool,
    /// Set once nothing will be taken any more; says why.
    ended: Option<ProduceError>,
}

/// One partition's line.
pub(super) struct PartitionQueue {
    pub(super) topic: Arc<Topic>,
    pub(super) partition: u32,
    /// The dispatcher's number for this partition; `usize::MAX` until it has one.
    pub(super) index: AtomicUsize,
    state: Mutex<State>,
}

/// What became of a push. `signal`: the dispatcher must be told.
pub(super) enum Pushed {
    Taken {
        delivery: DeliveryFuture,
        signal: bool,
    },
    /// The batch was full, and is complete now. The record, which belongs nowhere in particular,
    /// had better go where the next batch fills up, instead of beginning one here.
    Full {
        record: ProduceRecord,
        reserved: Reserved,
        signal: bool,
    },
}

impl PartitionQueue {
    fn new(topic: Arc<Topic>, partition: u32) -> Self {
        let state = State { line: VecDeque::new(), filling: None, signalled: false, ended: None };
        let index = AtomicUsize::new(usize::MAX);
        PartitionQueue { topic, partition, index, state: Mutex::new(state) }
    }

    /// Appends a record, for which there is room in the buffer. `movable`: it may as well go to
    /// another partition.
    pub(super) fn push(
        &self,
        record: ProduceRecord,
        reserved: Reserved,
        movable: bool,
        builders: &Builders,
        ledger: &Arc<Ledger>,
    ) -> Result<Pushed, ProduceError> {
        let options = &builders.options;
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(now_ms);
        let bytes =
            record.bytes() + RECORD_OVERHEAD_BYTES + record.headers.len() * HEADER_OVERHEAD_BYTES;
        let mut state = lock(&self.state);
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        let mut sealed = false;
        if let Some(filling) = &state.filling
            && (filling.builder.bytes_estimate() + bytes > options.batch_bytes
                || filling.builder.len() >= RECORDS_PER_BATCH_MAX as usize)
        {
            self.seal(&mut state);
            sealed = true;
            if movable {
                return Ok(Pushed::Full { record, reserved, signal: state.signal() });
            }
        }
        if state.filling.is_none() {
            let builder = builders.take();
            if builder.bytes_estimate() + bytes > options.batch_bytes {
                builders.give(builder);
                let delivery =
                    self.push_large(&mut state, record, timestamp_ms, reserved, options, ledger);
                return Ok(Pushed::Taken { delivery, signal: state.signal() });
            }
            state.begin(builder, ledger);
        }
        let headers;
        let headers: &[(&str, &[u8])] = if record.headers.is_empty() {
            &[]
        } else {
            headers = header_refs(&record);
            &headers
        };
        let reference = RecordRef { key: &record.key, value: &record.value, timestamp_ms, headers };
        let pushed = match state.push(&reference) {
            // The batch spans too much time for its columns: the record begins another one.
            Err(BatchError::TimestampSpan { .. }) => {
                self.seal(&mut state);
                sealed = true;
                state.begin(builders.take(), ledger);
                state.push(&reference)
            }
            pushed => pushed,
        };
        let filling = match (pushed, &mut state.filling) {
            (Ok(()), Some(filling)) => filling,
            (Err(source), _) => {
                // Nothing may be left behind that was begun for this record alone.
                if let Some(empty) = state.filling.take_if(|filling| filling.builder.is_empty()) {
                    builders.give(empty.builder);
                    empty.obligation.settle(Err(ProduceError::Closed));
                }
                return Err(ProduceError::InvalidRecord { topic: self.topic.name.clone(), source });
            }
            (Ok(()), None) => unreachable!("a record was pushed into the batch being filled"),
        };
        let delivery = DeliveryFuture {
            completion: filling.obligation.completion().clone(),
            index: filling.obligation.add(reserved),
            partition: self.partition,
            timestamp_ms,
            waker_slot: None,
        };
        let begins = filling.builder.len() == 1;
        if filling.builder.bytes_estimate() >= options.batch_bytes {
            self.seal(&mut state);
            sealed = true;
        }
        let signal = (begins || sealed) && state.signal();
        Ok(Pushed::Taken { delivery, signal })
    }

    fn push_large(
        &self,
        state: &mut State,
        record: ProduceRecord,
        timestamp_ms: i64,
        reserved: Reserved,
        options: &Options,
        ledger: &Arc<Ledger>,
    ) -> DeliveryFuture {
        let mut obligation = ledger.begin();
        obligation.add(reserved);
        let delivery = DeliveryFuture {
            completion: obligation.completion().clone(),
            index: 0,
            partition: self.partition,
            timestamp_ms,
            waker_slot: None,
        };
        let large = LargeRecord::new(record, timestamp_ms, options.chunk_bytes(), obligation);
        state.line.push_back(Waiting::Large(large, Instant::now()));
        self.topic.sticky.advance(self.partition);
        delivery
    }

    /// The batch being filled joins the line.
    fn seal(&self, state: &mut State) {
        if let Some(filling) = state.filling.take() {
            state.line.push_back(Waiting::Records(filling));
            self.topic.sticky.advance(self.partition);
        }
    }

    /// The dispatcher has taken the partition out of its inbox.
    pub(super) fn clear_signal(&self) {
        lock(&self.state).signalled = false;
    }

    pub(super) fn look(&self) -> Look {
        let state = lock(&self.state);
        match (state.line.front(), &state.filling) {
            (Some(Waiting::Records(batch)), _) => Look::Ready(batch.begun),
            (Some(Waiting::Large(_, begun)), _) => Look::Ready(*begun),
            (None, Some(filling)) => {
                Look::Filling { begun: filling.begun, number: filling.obligation.number() }
            }
            (None, None) => Look::Nothing,
        }
    }

    /// Takes what is first in line, the batch being filled if there is nothing else.
    pub(super) fn take(&self) -> Option<Waiting> {
        let mut state = lock(&self.state);
        if state.line.is_empty() {
            self.seal(&mut state);
        }
        state.line.pop_front()
    }

    /// Takes everything, and refuses what comes later.
    pub(super) fn end(&self, error: ProduceError) -> Vec<Waiting> {
        let mut state = lock(&self.state);
        self.seal(&mut state);
        state.ended = Some(error);
        state.line.drain(..).collect()
    }
}

impl State {
    fn begin(&mut self, builder: BatchBuilder, ledger: &Arc<Ledger>) {
        let (obligation, begun) = (ledger.begin(), Instant::now());
        self.filling = Some(RecordsBatch { builder, obligation, begun });
    }

    fn push(&mut self, record: &RecordRef<'_>) -> Result<(), BatchError> {
        match &mut self.filling {
            Some(filling) => filling.builder.push(record),
            None => Err(BatchError::Empty),
        }
    }

    /// Whether the dispatcher must be told; it then counts as told.
    fn signal(&mut self) -> bool {
        !std::mem::replace(&mut self.signalled, true)
    }
}

impl Waiting {
    /// Fails the records.
    pub(super) fn fail(self, error: ProduceError) {
        match self {
            Waiting::Records(batch) => batch.obligation.settle(Err(error)),
            Waiting::Large(large, _) => large.settle(Err(error)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
