//! What the vnodes of a shard share of the disk, and the task that moves applied batches from
//! memory to segments.

use crate::io::{Disk, runtime};
use crate::limits::{CHECKPOINTS_MAX, SEGMENT_FLUSHES_MAX};
use crate::partition::StorageContext;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// How long the flusher waits after a failure before it tries again.
const FLUSH_RETRY: Duration = Duration::from_secs(1);

/// Segments, caches and budgets of a shard.
pub struct ShardStorage {
    /// What partitions share.
    pub context: Rc<StorageContext>,
    disk: Rc<dyn Disk>,
    stopped: Notify,
    checkpoints: Semaphore,
    flushes: Arc<Semaphore>,
}

impl ShardStorage {
    /// Over that disk and context.
    #[must_use]
    pub fn new(disk: Rc<dyn Disk>, context: Rc<StorageContext>) -> Self {
        Self {
            context,
            disk,
            stopped: Notify::new(),
            checkpoints: Semaphore::new(CHECKPOINTS_MAX),
            flushes: Arc::new(Semaphore::new(SEGMENT_FLUSHES_MAX)),
        }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Permission to write a checkpoint: bounds how many are being made at once.
    pub async fn checkpoint_permit(&self) -> SemaphorePermit<'_> {
        let permit = self.checkpoints.acquire().await;
        permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"))
    }

    /// Counters of segments and indexes.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = self.context.counters();
        vec![
            ("batches_appended", counters.batches_appended.get()),
            ("bytes_appended", counters.bytes_appended.get()),
            ("reads_from_memory", counters.reads_from_memory.get()),
            ("reads_from_disk", counters.reads_from_disk.get()),
            ("bytes_from_memory", counters.bytes_from_memory.get()),
            ("bytes_from_disk", counters.bytes_from_disk.get()),
            ("damage_met", counters.damage_met.get()),
            ("segments_begun", counters.segments_begun.get()),
            ("segments_removed", counters.segments_removed.get()),
            ("segment_bytes_written", counters.bytes_flushed.get()),
            ("segment_files_synced", counters.files_synced.get()),
            ("segment_files_opened", counters.files_opened.get()),
            ("bytes_evicted", counters.bytes_evicted.get()),
            ("indexes_loaded", counters.indexes_loaded.get()),
            ("indexes_rebuilt", counters.indexes_rebuilt.get()),
        ]
    }

    /// Flushes partitions as they have enough to write, until [`ShardStorage::stop`] is called.
    pub async fn run_flusher(self: Rc<Self>) {
        let stopped = std::pin::pin!(self.stopped.notified());
        futures::future::select(std::pin::pin!(self.flush_all()), stopped).await;
    }

    /// Ends the flusher; flushes under way are finished.
    pub fn stop(&self) {
        self.stopped.notify_one();
    }

    async fn flush_all(self: &Rc<Self>) {
        loop {
            let Ok(permit) = Arc::clone(&self.flushes).acquire_owned().await else { return };
            self.context.flush_wanted().await;
            let Some(partition) = self.context.next_flush() else { continue };
            drop(runtime::spawn(async move {
                let target = partition.flush_target();
                if let Err(error) = partition.flush(target, false).await {
                    tracing::warn!(partition = ?partition.id(), %error, "a flush will be retried");
                    runtime::sleep(FLUSH_RETRY).await;
                }
                drop(permit);
            }));
        }
    }
}
