//! What a shard does by itself: checkpoints when the WAL needs its files back, retention, watching
//! the disk's free space and the log's health.

use super::Shard;
use crate::io::runtime;
use crate::limits::{CHECKPOINTS_MAX, FREE_BYTES_MIN, WAL_CLOSED_FILES_WANTED};
use crate::raft::ProposeError;
use crate::vnode::command::Command;
use futures::future::select;
use futures::{StreamExt, stream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// How often the shard looks after itself.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two looks at retention.
const RETENTION_TICKS: u64 = 10;
/// How long one checkpoint may take before the next round tries again.
const CHECKPOINT_DEADLINE: Duration = Duration::from_secs(120);

impl Shard {
    /// Looks after the shard until it stops; returns the reason when the log has failed.
    pub async fn run_housekeeping(self: Rc<Self>, data_dir: &Path) -> Option<String> {
        // After a start the files found hold nothing that a checkpoint could not hold.
        self.checkpoint_pinned().await;
        for tick in 1_u64.. {
            let rotated = std::pin::pin!(self.wal.rotated());
            let stopping = std::pin::pin!(self.sessions.stopping());
            let _ = runtime::timeout(TICK, select(rotated, stopping)).await;
            if let Some(error) = self.wal.failure() {
                return Some(error.to_string());
            }
            if self.sessions.is_stopping() {
                return None;
            }
            self.watch_space(data_dir).await;
            if tick.is_multiple_of(RETENTION_TICKS) {
                self.apply_retention().await;
            }
            self.checkpoint_reclaimable().await;
            if self.wal.closed_files() >= WAL_CLOSED_FILES_WANTED {
                self.checkpoint_pinned().await;
            }
        }
        unreachable!("the ticks do not end")
    }

    async fn watch_space(&self, data_dir: &Path) {
        match self.storage.disk().free_bytes(data_dir).await {
            Ok(free) => {
                let full = free < FREE_BYTES_MIN;
                if full != self.out_of_space.replace(full) {
                    tracing::warn!(shard = self.id, free, full, "free space crossed the limit");
                }
            }
            Err(error) => tracing::warn!(shard = self.id, %error, "free space is unknown"),
        }
    }

    async fn apply_retention(&self) {
        let now_ms = runtime::wall_ms();
        for vnode in self.vnodes.values().filter(|vnode| vnode.is_leader()) {
            let partitions = vnode.state().partitions();
            let trims: Vec<_> = partitions
                .iter()
                .filter_map(|p| Some((p.id(), p.retention_trim_offset(now_ms)?)))
                .collect();
            if trims.is_empty() {
                continue;
            }
            if let Err(error) = vnode.write(Command::Trim(trims)).await {
                tracing::warn!(vnode = vnode.id(), %error, "retention is tried again later");
            }
        }
    }

    /// Checkpoints the vnodes for which that removes files.
    async fn checkpoint_reclaimable(&self) {
        let vnodes = self.vnodes.values().filter(|vnode| vnode.state().is_reclaimable());
        stream::iter(vnodes.map(|vnode| vnode.checkpoint(CHECKPOINT_DEADLINE)))
            .buffer_unordered(CHECKPOINTS_MAX)
            .for_each(|result| self.note_checkpoint(&result))
            .await;
    }

    /// Checkpoints every group that keeps a WAL file other than the active one, then gives files
    /// up.
    pub async fn checkpoint_pinned(&self) {
        let pinned = self.vnodes.values().filter(|vnode| vnode.log().pins_closed_file());
        stream::iter(pinned.map(|vnode| vnode.checkpoint(CHECKPOINT_DEADLINE)))
            .buffer_unordered(CHECKPOINTS_MAX)
            .for_each(|result| self.note_checkpoint(&result))
            .await;
        if let Some(coordinator) = &self.coordinator {
            if coordinator.log().pins_closed_file() {
                let result = coordinator.checkpoint(CHECKPOINT_DEADLINE).await;
                self.note_checkpoint(&result).await;
            }
            coordinator.log().rewrite_vote();
        }
        self.vnodes.values().for_each(|vnode| vnode.log().rewrite_vote());
        if let Err(error) = self.wal.reclaim().await {
            tracing::warn!(shard = self.id, %error, "WAL files are given up later");
        }
    }

    /// Checkpoints every group: a start after this replays nothing.
    pub(super) async fn checkpoint_all(&self) {
        let all = self.vnodes.values().map(|vnode| vnode.checkpoint(CHECKPOINT_DEADLINE));
        stream::iter(all)
            .buffer_unordered(CHECKPOINTS_MAX)
            .for_each(|result| self.note_checkpoint(&result))
            .await;
        if let Some(coordinator) = &self.coordinator {
            let result = coordinator.checkpoint(CHECKPOINT_DEADLINE).await;
            self.note_checkpoint(&result).await;
        }
    }

    fn note_checkpoint(&self, result: &Result<(), ProposeError>) -> std::future::Ready<()> {
        match result {
            Ok(()) => self.stats.checkpoints.add(1),
            Err(error) if self.sessions.is_stopping() => {
                tracing::debug!(shard = self.id, %error, "a checkpoint was cut short by the stop");
            }
            Err(error) => tracing::warn!(shard = self.id, %error, "a checkpoint is tried again"),
        }
        std::future::ready(())
    }
}
