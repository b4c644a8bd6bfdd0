//! What the producer owes its senders: room in the buffer, and an answer for every record.
//!
//! An [`Obligation`] is the debt for one batch (or one large record): it holds the batch's share of
//! the buffer budget and its completion. Invariants: bytes taken from the budget come back exactly
//! once; an obligation that is dropped without an outcome fails its records as abandoned, so no
//! future waits for ever; batches are numbered in the order they are begun, which is how flush
//! knows what it waits for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::delivery::{BatchCompletion, Outcome};
use super::error::{FlushError, ProduceError};

pub(super) struct Ledger {
    budget: Semaphore,
    budget_bytes: u32,
    waiting: AtomicUsize,
    next_number: AtomicU64,
    open: Mutex<BTreeSet<u64>>,
    settled: Notify,
    failures: Mutex<Option<FlushError>>,
}

/// Bytes taken from the budget; given back when dropped, unless an obligation takes them over.
pub(super) struct Reserved {
    ledger: Arc<Ledger>,
    bytes: u32,
}

impl Ledger {
    pub(super) fn new(budget_bytes: usize) -> Self {
        let budget_bytes = u32::try_from(budget_bytes).unwrap_or(u32::MAX);
        Ledger {
            budget: Semaphore::new(budget_bytes as usize),
            budget_bytes,
            waiting: AtomicUsize::new(0),
            next_number: AtomicU64::new(0),
            open: Mutex::default(),
            settled: Notify::new(),
            failures: Mutex::default(),
        }
    }

    /// Takes room for a record, if there is. A record larger than the whole budget takes it all.
    pub(super) fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let bytes = self.share(bytes);
        self.budget.try_acquire_many(bytes).ok()?.forget();
        Some(Reserved { ledger: self.clone(), bytes })
    }

    /// Takes room for a record, when there is. First come, first served.
    pub(super) async fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reserved, ProduceError> {
        let bytes = self.share(bytes);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        match self.budget.acquire_many(bytes).await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(ProduceError::Closed),
        }
        Ok(Reserved { ledger: self.clone(), bytes })
    }

    /// Whether somebody waits for room.
    pub(super) fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Who waits for room, and who comes later, gets an error.
    pub(super) fn close(&self) {
        self.budget.close();
    }

    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.budget_bytes)
    }

    /// The debt for a batch that is begun now.
    pub(super) fn begin(self: &Arc<Self>) -> Obligation {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(number);
        Obligation {
            ledger: self.clone(),
            completion: Arc::default(),
            number,
            bytes: 0,
            records: 0,
            settled: false,
        }
    }

    /// Every batch with a smaller number has been begun.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number.load(Ordering::Relaxed)
    }

    /// Waits until every batch with a number below `end` is settled.
    pub(super) async fn settled_below(&self, end: u64) {
        loop {
            let mut changed = std::pin::pin!(self.settled.notified());
            changed.as_mut().enable();
            if lock(&self.open).first().is_none_or(|first| *first >= end) {
                return;
            }
            changed.await;
        }
    }

    /// Whether nothing is owed.
    pub(super) fn is_settled(&self) -> bool {
        lock(&self.open).is_empty()
    }

    /// What failed since this was last asked.
    pub(super) fn take_failures(&self) -> Result<(), FlushError> {
        match lock(&self.failures).take() {
            Some(failures) => Err(failures),
            None => Ok(()),
        }
    }

    fn note_failure(&self, records: u32, error: &ProduceError) {
        let mut failures = lock(&self.failures);
        let failures =
            failures.get_or_insert_with(|| FlushError { records: 0, first: error.clone() });
        failures.records += u64::from(records);
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.ledger.budget.add_permits(self.bytes as usize);
    }
}

/// The debt for one batch.
pub(super) struct Obligation {
    ledger: Arc<Ledger>,
    completion: Arc<BatchCompletion>,
    number: u64,
    bytes: usize,
    records: u32,
    settled: bool,
}

impl Obligation {
    /// One more record, with its room. Gives the record's index in the batch.
    pub(super) fn add(&mut self, mut reserved: Reserved) -> u32 {
        self.bytes += std::mem::take(&mut reserved.bytes) as usize;
        self.records += 1;
        self.records - 1
    }

    pub(super) fn completion(&self) -> &Arc<BatchCompletion> {
        &self.completion
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Tells the senders.
    pub(super) fn settle(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.settled = true;
        if let Err(error) = &outcome
            && self.records > 0
        {
            self.ledger.note_failure(self.records, error);
        }
        // Completed before it leaves the list of open ones: after a flush, every future is ready.
        self.completion.complete(outcome);
        self.ledger.budget.add_permits(self.bytes);
        lock(&self.ledger.open).remove(&self.number);
        self.ledger.settled.notify_waiters();
    }
}

impl Drop for Obligation {
    fn drop(&mut self) {
        if !self.settled {
            self.finish(Err(ProduceError::Abandoned));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
