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

type Wanted = BTreeMap<PartitionId, PartitionSettings>;

impl Shard {
    /// Reconciles after every change. Does not return.
    pub async fn run_reconciler(self: Rc<Self>) {
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
                Err(ProposeError::Stopped { .. }) => return,
                Err(error) => {
                    tracing::warn!(shard = self.id, %error, "partitions are not all in place yet");
                    runtime::sleep(RETRY).await;
                }
            }
        }
    }

    async fn reconcile(&self, metadata: &Metadata) -> Result<(), ProposeError> {
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
            Some(bring_to(vnode, wanted))
        });
        try_join_all(changes).await?;
        Ok(())
    }
}

/// Proposes what turns a vnode's partitions into the wanted ones.
async fn bring_to(vnode: &Rc<Vnode>, wanted: Wanted) -> Result<(), ProposeError> {
    let present: BTreeMap<_, _> =
        vnode.state().partitions().into_iter().map(|p| (p.id(), p.settings())).collect();
    let gone: Vec<_> = present.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
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
