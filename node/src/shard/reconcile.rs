//! Making this shard's vnodes have the partitions that the metadata gives them.
//!
//! The leader of a vnode compares the two after every change of the metadata and proposes the
//! difference. It is the only one who creates or drops partitions, so a crash between the
//! coordinator's commit and the vnode's is mended by the comparison at the next start.

use super::Shard;
use crate::io::runtime;
use crate::partition::{PartitionId, PartitionSettings};
use crate::raft::ProposeError;
use crate::vnode::Vnode;
use crate::vnode::command::Command;
use futures::future::try_join_all;
use ringspool_ring::{Metadata, TopicSettings};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// How long to wait before trying again when a proposal failed.
const RETRY: Duration = Duration::from_millis(200);

/// Why partitions could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A change did not get into a vnode's log.
    #[error(transparent)]
    NotProposed(#[from] ProposeError),
    /// The metadata is older than the data.
    #[error(
        "vnode {vnode} holds data of topic {topic}, which the cluster's metadata has never heard of: \
         the metadata was lost or is older than the data. Nothing was deleted; restore the folders \
         wal and coordinator of the data directory from a backup"
    )]
    MetadataLost {
        /// The topic's id.
        topic: u64,
        /// A vnode with its data.
        vnode: u32,
    },
}

type Wanted = BTreeMap<PartitionId, PartitionSettings>;

impl Shard {
    /// Reconciles after every change. Returns, with the reason, only when it must not go on.
    pub async fn run_reconciler(self: Rc<Self>) -> ReconcileError {
        loop {
            let metadata = self.metadata();
            if metadata.version() == 0 {
                self.reconcile_wanted.notified().await;
                continue;
            }
            match self.reconcile(&metadata).await {
                Ok(()) => {
                    self.reconciled.send_replace(metadata.version());
                    self.reconcile_wanted.notified().await;
                }
                Err(
                    error @ (ReconcileError::MetadataLost { .. }
                    | ReconcileError::NotProposed(ProposeError::Stopped { .. })),
                ) => return error,
                Err(error) => {
                    tracing::warn!(shard = self.id, %error, "partitions are not all in place yet");
                    runtime::sleep(RETRY).await;
                }
            }
        }
    }

    async fn reconcile(&self, metadata: &Metadata) -> Result<(), ReconcileError> {
        let mut wanted: BTreeMap<u32, Wanted> =
            self.vnodes.keys().map(|vnode| (*vnode, Wanted::new())).collect();
        for topic in metadata.topics().values() {
            let settings = partition_settings(&topic.settings);
            for (partition, vnode) in (0..).zip(&topic.vnodes) {
                if let Some(wanted) = wanted.get_mut(vnode) {
                    let id = PartitionId { topic: topic.id, partition };
                    wanted.insert(id, settings.clone());
                }
            }
        }
        let changes = wanted.into_iter().filter_map(|(vnode, wanted)| {
            let vnode = self.vnodes.get(&vnode).filter(|vnode| vnode.is_leader())?;
            Some(bring_to(vnode, wanted, metadata.next_topic_id()))
        });
        try_join_all(changes).await?;
        Ok(())
    }
}

/// Proposes what turns a vnode's partitions into the wanted ones.
async fn bring_to(
    vnode: &Rc<Vnode>,
    wanted: Wanted,
    next_topic_id: u64,
) -> Result<(), ReconcileError> {
    let present: BTreeMap<_, _> =
        vnode.state().partitions().into_iter().map(|p| (p.id(), p.settings())).collect();
    let gone: Vec<_> = present.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
    // Ids are given once and only grow: a topic the metadata has yet to create is one it has lost.
    if let Some(id) = gone.iter().find(|id| id.topic >= next_topic_id) {
        return Err(ReconcileError::MetadataLost { topic: id.topic, vnode: vnode.id() });
    }
    let changed: Vec<_> =
        wanted.into_iter().filter(|(id, settings)| present.get(id) != Some(settings)).collect();
    if !changed.is_empty() {
        vnode.write(Command::Configure(changed)).await?;
    }
    if !gone.is_empty() {
        vnode.write(Command::Drop(gone)).await?;
    }
    Ok(())
}

fn partition_settings(settings: &TopicSettings) -> PartitionSettings {
    PartitionSettings {
        segment_bytes: settings.segment_bytes,
        segment_ms: settings.segment_ms,
        retention_ms: settings.retention_ms,
        retention_bytes: settings.retention_bytes,
        batch_bytes_max: settings.batch_bytes_max,
    }
}
