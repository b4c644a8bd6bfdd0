//! Waiting for records to come, without polling.

use super::Partition;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Who waits for which offset.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: Vec<Waiter>,
    next_key: u64,
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    offset: u64,
    waker: Waker,
}

impl Waiters {
    /// Takes out those that wait for an offset below `high_watermark`.
    pub(super) fn take_reached(&mut self, high_watermark: u64) -> Vec<Waker> {
        if self.waiting.iter().all(|waiter| waiter.offset >= high_watermark) {
            return Vec::new();
        }
        let reached = self.waiting.extract_if(.., |waiter| waiter.offset < high_watermark);
        reached.map(|waiter| waiter.waker).collect()
    }

    /// Registers a waiter, or renews its waker, and returns its key.
    fn register(&mut self, key: Option<u64>, offset: u64, waker: &Waker) -> u64 {
        let known = self.waiting.iter_mut().find(|waiter| Some(waiter.key) == key);
        if let Some(waiter) = known {
            waiter.waker.clone_from(waker);
            return waiter.key;
        }
        let key = self.next_key;
        self.next_key += 1;
        self.waiting.push(Waiter { key, offset, waker: waker.clone() });
        key
    }

    fn forget(&mut self, key: u64) {
        self.waiting.retain(|waiter| waiter.key != key);
        if self.waiting.is_empty() {
            self.waiting.shrink_to_fit();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Resolves when a partition's high watermark is past an offset, or the partition is gone.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitPast {
    partition: Rc<Partition>,
    offset: u64,
    key: Option<u64>,
}

impl Partition {
    /// Resolves when the record at `offset` is there (the high watermark is greater), or the
    /// partition is closed.
    pub fn wait_past(self: &Rc<Self>, offset: u64) -> WaitPast {
        WaitPast { partition: self.clone(), offset, key: None }
    }

    /// Futures of [`Partition::wait_past`] that were polled and neither resolved nor dropped.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.state.borrow().waiters.len()
    }
}

impl Future for WaitPast {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (offset, key) = (self.offset, self.key);
        let key = {
            let mut state = self.partition.state.borrow_mut();
            if state.high_watermark > offset || state.is_closed {
                if let Some(key) = key {
                    state.waiters.forget(key);
                }
                None
            } else {
                Some(state.waiters.register(key, offset, context.waker()))
            }
        };
        self.key = key;
        if key.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for WaitPast {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.partition.state.borrow_mut().waiters.forget(key);
        }
    }
}
