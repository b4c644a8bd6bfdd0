//! Checkpoints: of a vnode, and of the coordinator.

use std::path::Path;

use ringspool_node::coordinator::checkpoint as coordinator;
use ringspool_node::raft::{LogId, StoredMembership};
use ringspool_node::vnode::checkpoint as vnode;
use serde::Serialize;

use super::{Damage, Listing, read_all, time};
use crate::error::CommandError;

/// Position of an entry in a group's log.
#[derive(Serialize)]
struct LogIdItem {
    term: u64,
    node: u64,
    index: u64,
}

impl LogIdItem {
    fn new(id: LogId) -> Self {
        LogIdItem { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

fn log_id_text(id: Option<&LogIdItem>) -> String {
    match id {
        Some(id) => format!("index {} of term {} by node {}", id.index, id.term, id.node),
        None => "nothing".to_owned(),
    }
}

fn voters(membership: &StoredMembership) -> Vec<u64> {
    membership.membership().voter_ids().collect()
}

#[derive(Serialize)]
struct VnodeItem {
    vnode: u32,
    applied: Option<LogIdItem>,
    voters: Vec<u64>,
    partitions: usize,
}

#[derive(Serialize)]
struct PartitionItem {
    topic: u64,
    partition: u32,
    log_start_offset: u64,
    high_watermark: u64,
    segments: Vec<SegmentItem>,
    unfinished_bytes: usize,
    producers: usize,
    dead_segments: Vec<u64>,
}

#[derive(Serialize)]
struct SegmentItem {
    base_offset: u64,
    bytes: u64,
    opened: u64,
}

impl PartitionItem {
    fn text(&self) -> String {
        let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let mut text = format!(
            "{:>10} {:>9} {:>12} {:>12} {:>8} {:>14} {:>10} {:>9} {:>5}",
            self.topic,
            self.partition,
            self.log_start_offset,
            self.high_watermark,
            self.segments.len(),
            bytes,
            self.unfinished_bytes,
            self.producers,
            self.dead_segments.len()
        );
        for segment in &self.segments {
            let opened = time(i64::try_from(segment.opened).unwrap_or(i64::MAX));
            text.push_str(&format!(
                "\n           segment {:020}: {} bytes, opened {opened}",
                segment.base_offset, segment.bytes
            ));
        }
        text
    }
}

/// Lists what the vnode's checkpoint at `path` holds.
pub(crate) fn list_vnode(
    path: &Path,
    listing: &mut Listing,
) -> Result<Option<Damage>, CommandError> {
    let checkpoint = match vnode::decode(&read_all(path)?) {
        Ok(checkpoint) => checkpoint,
        Err(reason) => return Ok(Some(damaged(reason))),
    };
    let item = VnodeItem {
        vnode: checkpoint.vnode,
        applied: checkpoint.applied.map(LogIdItem::new),
        voters: voters(&checkpoint.membership),
        partitions: checkpoint.partitions.len(),
    };
    listing.item(&item, || {
        format!(
            "vnode {}, applied {}, voters {:?}, {} partitions",
            item.vnode,
            log_id_text(item.applied.as_ref()),
            item.voters,
            item.partitions
        )
    })?;
    listing.text(&format!(
        "{:>10} {:>9} {:>12} {:>12} {:>8} {:>14} {:>10} {:>9} {:>5}",
        "TOPIC",
        "PARTITION",
        "START",
        "END",
        "SEGMENTS",
        "BYTES",
        "UNFINISHED",
        "PRODUCERS",
        "DEAD"
    ))?;
    for (id, _, partition) in checkpoint.partitions {
        let segments = partition.segments.iter().map(|segment| SegmentItem {
            base_offset: segment.base_offset,
            bytes: segment.bytes,
            opened: segment.opened_ms,
        });
        let item = PartitionItem {
            topic: id.topic,
            partition: id.partition,
            log_start_offset: partition.log_start_offset,
            high_watermark: partition.high_watermark,
            segments: segments.collect(),
            unfinished_bytes: partition.unfinished_block.len(),
            producers: partition.producers.len(),
            dead_segments: partition.dead,
        };
        listing.item(&item, || item.text())?;
    }
    Ok(None)
}

#[derive(Serialize)]
struct CoordinatorItem<'a> {
    cluster_id: &'a str,
    version: u64,
    vnodes: u32,
    applied: Option<LogIdItem>,
    voters: Vec<u64>,
    next_topic_id: u64,
    next_producer_id: u64,
}

#[derive(Serialize)]
struct NodeItem<'a> {
    node: u64,
    address: &'a str,
    shards: u16,
}

#[derive(Serialize)]
struct TopicItem<'a> {
    topic: u64,
    name: &'a str,
    partitions: u32,
    replicas: u16,
}

/// Lists what the coordinator's checkpoint at `path` holds.
pub(crate) fn list_coordinator(
    path: &Path,
    listing: &mut Listing,
) -> Result<Option<Damage>, CommandError> {
    let checkpoint = match coordinator::decode(&read_all(path)?) {
        Ok(checkpoint) => checkpoint,
        Err(reason) => return Ok(Some(damaged(reason))),
    };
    let metadata = &checkpoint.metadata;
    let item = CoordinatorItem {
        cluster_id: metadata.cluster_id(),
        version: metadata.version(),
        vnodes: metadata.vnode_count(),
        applied: checkpoint.applied.map(LogIdItem::new),
        voters: voters(&checkpoint.membership),
        next_topic_id: metadata.next_topic_id(),
        next_producer_id: metadata.next_producer_id(),
    };
    listing.item(&item, || {
        format!(
            "cluster {}, version {}, {} vnodes, applied {}, voters {:?}, next topic {}, next \
             producer {}",
            item.cluster_id,
            item.version,
            item.vnodes,
            log_id_text(item.applied.as_ref()),
            item.voters,
            item.next_topic_id,
            item.next_producer_id
        )
    })?;
    for node in metadata.nodes().values() {
        let item = NodeItem { node: node.id, address: &node.address, shards: node.shards };
        listing.item(&item, || {
            format!("node {}: {}, {} shards", item.node, item.address, item.shards)
        })?;
    }
    for topic in metadata.topics().values() {
        let item = TopicItem {
            topic: topic.id,
            name: &topic.name,
            partitions: topic.partitions(),
            replicas: topic.replicas,
        };
        listing.item(&item, || {
            format!(
                "topic {}: {}, {} partitions, {} replicas",
                item.topic, item.name, item.partitions, item.replicas
            )
        })?;
    }
    Ok(None)
}

/// A checkpoint has one checksum, so it is damaged as a whole.
fn damaged(reason: String) -> Damage {
    Damage {
        position: 0,
        reason: format!(
            "{reason}. Restore the file from a backup or rebuild the node from its replicas"
        ),
    }
}
