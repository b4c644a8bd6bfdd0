//! Which partition a record goes to, when it does not say.
//!
//! With a key: by a hash of it, the same in every client of every language (the golden values in
//! the tests are the definition). Without: to one partition until a batch is full or leaves, and
//! then to the next, so that batches fill up instead of many being begun.

use std::sync::atomic::{AtomicU32, Ordering};

use xxhash_rust::xxh3::xxh3_64;

/// The partition of a key: XXH3-64 of its bytes (seed 0), modulo the number of partitions.
///
/// ```
/// assert_eq!(ringspool_client::partition_for_key(b"customer-17", 12), 8);
/// ```
///
/// # Panics
///
/// If `partitions` is 0.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    (xxh3_64(key) % u64::from(partitions)) as u32
}

/// The partition for records without a key.
#[derive(Debug)]
pub(super) struct Sticky {
    current: AtomicU32,
    partitions: u32,
}

impl Sticky {
    /// Begins anywhere, so that many producers do not all begin with partition 0.
    pub(super) fn new(partitions: u32) -> Self {
        Sticky { current: AtomicU32::new(rand::random_range(0..partitions.max(1))), partitions }
    }

    pub(super) fn current(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// A batch of `partition` is complete: goes on to the next partition, once per batch.
    pub(super) fn advance(&self, partition: u32) {
        let next = (partition + 1) % self.partitions.max(1);
        // Somebody else has moved on already when this fails.
        let _ =
            self.current.compare_exchange(partition, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticky_moves_once_per_batch_of_the_current_partition() {
        let sticky = Sticky { current: AtomicU32::new(2), partitions: 3 };
        sticky.advance(1);
        assert_eq!(sticky.current(), 2, "a batch of another partition moves nothing");
        sticky.advance(2);
        assert_eq!(sticky.current(), 0);
        sticky.advance(2);
        assert_eq!(sticky.current(), 0);
    }
}
