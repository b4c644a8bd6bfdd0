//! What a shard's storage counts for `/metrics`. All only ever rise.

use std::cell::Cell;

/// A number that only its shard adds to.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds to it.
    pub(crate) fn add(&self, amount: u64) {
        self.0.set(self.0.get() + amount);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The counters of one shard's partitions.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches appended.
    pub batches_appended: Counter,
    /// Their bytes.
    pub bytes_appended: Counter,
    /// Batches refused or answered as duplicates, by the producer table.
    pub batches_not_appended: Counter,
    /// Segments begun.
    pub segments_begun: Counter,
    /// Reads answered from memory.
    pub reads_from_memory: Counter,
    /// Reads answered from disk.
    pub reads_from_disk: Counter,
    /// Bytes of batches returned from memory.
    pub bytes_from_memory: Counter,
    /// Bytes of batches returned from disk.
    pub bytes_from_disk: Counter,
    /// Reads that met damage.
    pub damage_met: Counter,
    /// Bytes written to segments, padding included.
    pub bytes_flushed: Counter,
    /// Files synced.
    pub files_synced: Counter,
    /// Folders synced.
    pub folders_synced: Counter,
    /// Files opened.
    pub files_opened: Counter,
    /// Clean bytes dropped from memory.
    pub bytes_evicted: Counter,
    /// Index files read.
    pub indexes_loaded: Counter,
    /// Indexes rebuilt from their segments because the file was missing or damaged.
    pub indexes_rebuilt: Counter,
    /// Segment files removed.
    pub segments_removed: Counter,
}
