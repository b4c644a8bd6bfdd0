//! From a topic and partition to the vnode and the shard that own it.

use super::Shard;
use super::mailbox::Asked;
use crate::partition::PartitionId;
use crate::vnode::Vnode;
use ringspool_ring::{Metadata, Topic};
use ringspool_wire::{ApiError, ErrorCode};
use std::rc::Rc;
use std::sync::Arc;

/// The shard a vnode lives on, on a node with that many shards.
#[must_use]
pub fn shard_of(vnode: u32, shards: u16) -> u16 {
    u16::try_from(vnode % u32::from(shards)).unwrap_or(0)
}

/// Finds a partition in the metadata.
///
/// # Errors
/// `UnknownTopic` or `UnknownPartition`.
pub fn find(metadata: &Metadata, id: PartitionId) -> Result<(&Arc<Topic>, Asked), ApiError> {
    let topic = metadata.topic_by_id(id.topic).ok_or_else(|| {
        let text = format!("no topic has id {}; it may have been deleted", id.topic);
        ApiError::new(ErrorCode::UnknownTopic, text)
    })?;
    let vnode = topic.vnode(id.partition).ok_or_else(|| {
        let (name, count) = (&topic.name, topic.partitions());
        let text = format!("topic {name} has partitions 0 to {}, not {}", count - 1, id.partition);
        ApiError::new(ErrorCode::UnknownPartition, text)
    })?;
    Ok((topic, Asked { partition: id, vnode }))
}

impl Shard {
    /// The shard a vnode lives on.
    #[must_use]
    pub fn owner(&self, vnode: u32) -> u16 {
        shard_of(vnode, self.shards)
    }

    /// A vnode of this shard.
    ///
    /// # Errors
    /// `NotLeader` when it is not here.
    pub fn vnode(&self, vnode: u32) -> Result<&Rc<Vnode>, ApiError> {
        self.vnodes.get(&vnode).ok_or_else(|| {
            let text = format!("vnode {vnode} is not on shard {} of this node", self.id);
            ApiError::new(ErrorCode::NotLeader, text)
        })
    }

    /// A partition of this shard.
    ///
    /// # Errors
    /// `NotReady` when it is to be here but is not yet.
    pub fn partition(&self, asked: Asked) -> Result<Rc<crate::partition::Partition>, ApiError> {
        let partition = self.vnode(asked.vnode)?.partition(asked.partition);
        partition.ok_or_else(|| not_ready(asked.partition))
    }
}

/// The error for a partition that the metadata knows and its vnode does not yet.
#[must_use]
pub fn not_ready(id: PartitionId) -> ApiError {
    let text = format!(
        "partition {} of topic {} is being created or deleted; try again",
        id.partition, id.topic
    );
    ApiError::new(ErrorCode::NotReady, text)
}

/// The error for a shard that no longer answers.
#[must_use]
pub fn stopped(error: super::mailbox::ShardStopped) -> ApiError {
    ApiError::new(ErrorCode::ShuttingDown, format!("the node is shutting down ({error})"))
}
