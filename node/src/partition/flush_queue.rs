//! Which partitions are to be flushed next, without looking at all of them.
//!
//! Two queues, each holding a partition at most once: those with enough to fill a large write, and
//! all that have a block to write, in the order in which they got it.

use super::Partition;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::Waker;

#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    full: VecDeque<Weak<Partition>>,
    with_blocks: VecDeque<Weak<Partition>>,
    waiting: Vec<Waker>,
}

impl FlushQueue {
    /// Puts a partition where its `flushable_bytes` say it belongs, and returns whom to wake.
    pub(super) fn put(
        &mut self,
        partition: &Rc<Partition>,
        flushable_bytes: u64,
        flush_bytes: u64,
        is_over_budget: bool,
    ) -> Vec<Waker> {
        if flushable_bytes > 0 && !partition.is_in_with_blocks.replace(true) {
            self.with_blocks.push_back(Rc::downgrade(partition));
        }
        if flushable_bytes >= flush_bytes && !partition.is_in_full.replace(true) {
            self.full.push_back(Rc::downgrade(partition));
        }
        if self.has_work(is_over_budget) { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }

    pub(super) fn has_work(&self, is_over_budget: bool) -> bool {
        !self.full.is_empty() || (is_over_budget && !self.with_blocks.is_empty())
    }

    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// The next partition to flush: a full one, or when over budget the one that has had a block
    /// for longest.
    pub(super) fn take(&mut self, flush_bytes: u64, is_over_budget: bool) -> Option<Rc<Partition>> {
        while let Some(partition) = self.full.pop_front() {
            let Some(partition) = partition.upgrade() else { continue };
            partition.is_in_full.set(false);
            if partition.flushable_bytes() >= flush_bytes {
                return Some(partition);
            }
        }
        while is_over_budget && let Some(partition) = self.with_blocks.pop_front() {
            let Some(partition) = partition.upgrade() else { continue };
            partition.is_in_with_blocks.set(false);
            if partition.flushable_bytes() > 0 {
                return Some(partition);
            }
        }
        None
    }
}
