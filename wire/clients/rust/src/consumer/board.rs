//! What the consumer and its fetcher share: the assignment, and what was fetched and not yet read.
//!
//! Invariants: what stands in `fetched` for a partition goes on without gap or overlap from where
//! the consumer reads to `fetch_offset`; a seek removes it and forgets the fetches under way, whose
//! answers are then dropped. `bytes` is the size of all batches in `fetched`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::ConsumeError;

/// How far reading ahead has got in a partition.
#[derive(Debug)]
pub(super) struct Progress {
    /// From where to fetch next.
    pub(super) fetch_offset: u64,
    pub(super) high_watermark: u64,
    /// The fetch that it is part of.
    pub(super) in_fetch: Option<u64>,
    /// Nothing is fetched after an error, until a seek.
    pub(super) stopped: bool,
    pub(super) backoff_until: Option<Instant>,
    pub(super) failing_since: Option<Instant>,
}

impl Progress {
    pub(super) fn new(fetch_offset: u64, high_watermark: u64) -> Self {
        Progress {
            fetch_offset,
            high_watermark,
            in_fetch: None,
            stopped: false,
            backoff_until: None,
            failing_since: None,
        }
    }
}

/// What the consumer finds.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Batches of a partition, one slice each.
    Batches {
        partition: u32,
        batches: VecDeque<Bytes>,
        bytes: usize,
    },
    /// The position was out of range, and was moved.
    Moved(OffsetReset),
    Failed {
        partition: Option<u32>,
        error: ConsumeError,
    },
}

/// A position that was out of range, and was moved as
/// [`ConsumerBuilder::out_of_range`](crate::ConsumerBuilder::out_of_range) asked for. The records
/// between the two were not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetReset {
    /// The partition.
    pub partition: u32,
    /// The position that is not there.
    pub from: u64,
    /// Where reading went on.
    pub to: u64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) partitions: BTreeMap<u32, Progress>,
    pub(super) fetched: VecDeque<Fetched>,
    pub(super) bytes: usize,
    /// The assignment or a position has changed since the fetcher looked.
    pub(super) changed: bool,
    /// The fetcher is gone.
    pub(super) ended: bool,
}

#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    /// There is something to read.
    pub(super) filled: Notify,
    /// There is room, or the assignment has changed.
    pub(super) wanted: Notify,
}

impl Board {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was fetched first; with its bytes taken, there may be room again.
    pub(super) fn take(&self) -> Option<Fetched> {
        let mut state = self.lock();
        let fetched = state.fetched.pop_front()?;
        if let Fetched::Batches { bytes, .. } = &fetched {
            state.bytes -= bytes;
            self.wanted.notify_one();
        }
        Some(fetched)
    }

    /// Reads a partition from here on; forgets what was fetched of it.
    pub(super) fn seek(&self, partition: u32, offset: u64, high_watermark: u64) {
        let mut state = self.lock();
        state.forget(partition);
        state.partitions.insert(partition, Progress::new(offset, high_watermark));
        state.changed = true;
        self.wanted.notify_one();
    }

    /// Reads a partition no more.
    pub(super) fn remove(&self, partition: u32) {
        let mut state = self.lock();
        state.forget(partition);
        state.partitions.remove(&partition);
        state.changed = true;
        self.wanted.notify_one();
    }

    /// The consumer met an error in a partition: nothing more of it, until a seek.
    pub(super) fn stop(&self, partition: u32) {
        let mut state = self.lock();
        state.forget(partition);
        if let Some(progress) = state.partitions.get_mut(&partition) {
            progress.stopped = true;
            progress.in_fetch = None;
        }
    }
}

impl State {
    fn forget(&mut self, gone: u32) {
        let mut bytes_gone = 0;
        self.fetched.retain(|fetched| match fetched {
            Fetched::Batches { partition, bytes, .. } if *partition == gone => {
                bytes_gone += bytes;
                false
            }
            Fetched::Moved(reset) => reset.partition != gone,
            Fetched::Failed { partition, .. } => *partition != Some(gone),
            Fetched::Batches { .. } => true,
        });
        self.bytes -= bytes_gone;
    }
}
