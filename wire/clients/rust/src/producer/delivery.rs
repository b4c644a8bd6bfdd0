//! How a sender learns what became of its record.
//!
//! A batch has one completion, shared by the futures of its records; a future is a pointer and an
//! index. Invariant: a completion is completed exactly once, whatever happens to the batch, since
//! the ledger's `Obligation` does so when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::ProduceError;
use super::record::Delivery;

/// Where a batch is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// The offset of its first record (of a large record: of its last chunk).
    pub(super) base_offset: Option<u64>,
    pub(super) duplicate: bool,
}

pub(super) type Outcome = Result<Stored, ProduceError>;

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchCompletion {
    outcome: OnceLock<Outcome>,
    wakers: Mutex<Vec<Waker>>,
}

impl BatchCompletion {
    pub(super) fn complete(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            // After the outcome is set: a future that registers later sees it.
            for waker in std::mem::take(&mut *self.lock()) {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the record is acknowledged, or has failed for good.
///
/// Dropping it does not take the record back; [`Producer::flush`](crate::Producer::flush) reports
/// failures that nobody waited for.
#[derive(Debug)]
#[must_use = "the record may fail; await this, or check flush() or close()"]
pub struct DeliveryFuture {
    pub(super) completion: Arc<BatchCompletion>,
    pub(super) index: u32,
    pub(super) partition: u32,
    pub(super) timestamp_ms: i64,
    /// This future's place among the completion's wakers.
    pub(super) waker_slot: Option<usize>,
}

impl DeliveryFuture {
    /// The partition the record goes to.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    fn delivery(&self, outcome: &Outcome) -> Result<Delivery, ProduceError> {
        match outcome {
            Ok(stored) => Ok(Delivery {
                partition: self.partition,
                offset: stored.base_offset.map(|base| base + u64::from(self.index)),
                timestamp_ms: self.timestamp_ms,
                duplicate: stored.duplicate,
            }),
            Err(error) => Err(error.clone()),
        }
    }
}

impl Future for DeliveryFuture {
    type Output = Result<Delivery, ProduceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(outcome) = this.completion.outcome.get() {
            return Poll::Ready(this.delivery(outcome));
        }
        {
            let mut wakers = this.completion.lock();
            match this.waker_slot.and_then(|slot| wakers.get_mut(slot)) {
                Some(waker) => waker.clone_from(context.waker()),
                None => {
                    this.waker_slot = Some(wakers.len());
                    wakers.push(context.waker().clone());
                }
            }
        }
        // It may have been completed since the first look, with the wakers taken before this one
        // was there.
        match this.completion.outcome.get() {
            Some(outcome) => Poll::Ready(this.delivery(outcome)),
            None => Poll::Pending,
        }
    }
}
