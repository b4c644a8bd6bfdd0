//! Bytes of a snapshot; the layout is in the parent module.

use std::sync::Arc;

use super::super::apply::is_cluster_id;
use super::super::{Metadata, NodeInfo, Topic, name};
use super::{
    DecodeError, Reader, Writer, invalid, put_node, put_settings, take_node, take_settings,
};
use crate::limits::{
    CLUSTER_ID_BYTES_MAX, NODES_MAX, PARTITIONS_PER_TOPIC_MAX, PARTITIONS_TOTAL_MAX, REPLICAS_MAX,
    SNAPSHOT_BYTES_MAX, TOPIC_NAME_BYTES_MAX, TOPICS_MAX, VNODES_MAX,
};

const MAGIC: [u8; 4] = *b"RSMD";
const SNAPSHOT_VERSION: u16 = 1;
const HEAD_BYTES: usize = 8;
const CRC_BYTES: usize = 4;

/// Bytes of the shortest node: empty texts, no rack.
const NODE_BYTES_MIN: usize = 20;
/// Bytes of the shortest topic: empty name, no partitions.
const TOPIC_BYTES_MIN: usize = 54;
const VNODE_BYTES: usize = 2;

impl Metadata {
    /// The snapshot's bytes: the same for the same state, always.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.put(&MAGIC);
        to.u16(SNAPSHOT_VERSION);
        to.u16(0);
        to.u64(self.version);
        to.text(&self.cluster_id);
        to.u32(self.format_version);
        to.u32(self.vnode_count);
        to.u64(self.next_topic_id);
        to.u64(self.next_producer_id);
        to.count(self.nodes.len());
        for node in self.nodes.values() {
            put_node(&mut to, node);
        }
        to.count(self.topics.len());
        for topic in self.topics.values() {
            put_topic(&mut to, topic);
        }
        to.u32(crc32c::crc32c(to.bytes()));
        to.finish()
    }

    /// The state of a snapshot.
    ///
    /// # Errors
    /// Says what is wrong with the bytes: damaged, of another version, or not a state at all.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(check_frame(bytes)?);
        let mut metadata = Metadata::new();
        metadata.version = from.u64()?;
        metadata.cluster_id = from.text("cluster id", CLUSTER_ID_BYTES_MAX)?.to_owned();
        metadata.format_version = from.u32()?;
        let vnode_count = from.u32()?;
        if vnode_count > VNODES_MAX {
            return Err(invalid("virtual nodes", format!("{vnode_count} are too many")));
        }
        metadata.set_vnode_count(vnode_count);
        metadata.next_topic_id = from.u64()?;
        metadata.next_producer_id = from.u64()?;
        if metadata.next_topic_id == 0 || metadata.next_producer_id == 0 {
            return Err(invalid("ids", "the next one is 0; they begin at 1"));
        }
        for _ in 0..from.count("nodes", NODES_MAX, NODE_BYTES_MIN)? {
            add_node(&mut metadata, take_node(&mut from)?)?;
        }
        for _ in 0..from.count("topics", TOPICS_MAX, TOPIC_BYTES_MIN)? {
            add_topic(&mut metadata, take_topic(&mut from)?)?;
        }
        from.finish()?;
        check_cluster(&metadata)?;
        Ok(metadata)
    }
}

/// Checks magic, version and checksum; gives what is between head and checksum.
fn check_frame(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: bytes.len(), bytes_max: SNAPSHOT_BYTES_MAX });
    }
    let mut head = Reader::new(bytes);
    let magic = head.take(MAGIC.len())?;
    if magic != MAGIC {
        let mut found = [0; 4];
        found.copy_from_slice(magic);
        return Err(DecodeError::BadMagic { found });
    }
    let version = head.u16()?;
    if version != SNAPSHOT_VERSION {
        return Err(DecodeError::UnsupportedVersion {
            what: "metadata snapshot",
            version,
            supported: SNAPSHOT_VERSION,
        });
    }
    if bytes.len() < HEAD_BYTES + CRC_BYTES {
        let (needed, left) = (HEAD_BYTES + CRC_BYTES, bytes.len());
        return Err(DecodeError::Truncated { at: 0, needed, left });
    }
    let (covered, trailer) = bytes.split_at(bytes.len() - CRC_BYTES);
    let (stored, found) = (Reader::new(trailer).u32()?, crc32c::crc32c(covered));
    if stored != found {
        return Err(DecodeError::Damaged { found, stored });
    }
    match head.u16()? {
        0 => Ok(&covered[HEAD_BYTES..]),
        number => Err(invalid("reserved", format!("it is {number}, not 0"))),
    }
}

fn add_node(metadata: &mut Metadata, node: NodeInfo) -> Result<(), DecodeError> {
    if let Some(why) = node.fault() {
        return Err(invalid("node", format!("node {}: {why}", node.id)));
    }
    if metadata.nodes.last_key_value().is_some_and(|(&last, _)| last >= node.id) {
        return Err(invalid("nodes", format!("node {} is out of order", node.id)));
    }
    metadata.nodes.insert(node.id, Arc::new(node));
    Ok(())
}

fn add_topic(metadata: &mut Metadata, topic: Topic) -> Result<(), DecodeError> {
    let fault = |why: String| invalid("topic", format!("topic {}: {why}", topic.id));
    if topic.id == 0 || topic.id >= metadata.next_topic_id {
        return Err(fault("its id was never handed out".into()));
    }
    if metadata.topics.last_key_value().is_some_and(|(&last, _)| last >= topic.id) {
        return Err(fault("it is out of order".into()));
    }
    if let Some(why) = name::fault(&topic.name) {
        return Err(fault(format!("name {:?}: {why}", topic.name)));
    }
    if metadata.names.contains_key(&topic.name) {
        return Err(fault(format!("its name {} is taken", topic.name)));
    }
    if !(1..=REPLICAS_MAX).contains(&topic.replicas) {
        return Err(fault(format!("it has {} replicas", topic.replicas)));
    }
    topic.settings.check().map_err(|error| fault(error.to_string()))?;
    if topic.vnodes.is_empty() {
        return Err(fault("it has no partitions".into()));
    }
    if let Some(vnode) = topic.vnodes.iter().find(|&&vnode| vnode >= metadata.vnode_count) {
        return Err(fault(format!("there is no virtual node {vnode}")));
    }
    if metadata.partitions_total + topic.vnodes.len() as u64 > PARTITIONS_TOTAL_MAX {
        return Err(fault("there are too many partitions".into()));
    }
    metadata.insert_topic(topic);
    Ok(())
}

/// Either everything of a cluster is there, or nothing.
fn check_cluster(metadata: &Metadata) -> Result<(), DecodeError> {
    if metadata.is_initialised() {
        if !is_cluster_id(&metadata.cluster_id) {
            return Err(invalid("cluster id", format!("{:?} is none", metadata.cluster_id)));
        }
        if metadata.format_version == 0 {
            return Err(invalid("format version", "it is 0"));
        }
    } else if *metadata != Metadata::new() {
        return Err(invalid("metadata", "a cluster without virtual nodes has something in it"));
    }
    Ok(())
}

fn put_topic(to: &mut Writer, topic: &Topic) {
    to.u64(topic.id);
    to.text(&topic.name);
    to.u16(topic.replicas);
    to.u64(topic.created_ms);
    put_settings(to, &topic.settings);
    to.count(topic.vnodes.len());
    for &vnode in &topic.vnodes {
        // `limits::VNODES_MAX` fits.
        to.u16(vnode as u16);
    }
}

fn take_topic(from: &mut Reader<'_>) -> Result<Topic, DecodeError> {
    Ok(Topic {
        id: from.u64()?,
        name: from.text("topic name", TOPIC_NAME_BYTES_MAX)?.into(),
        replicas: from.u16()?,
        created_ms: from.u64()?,
        settings: take_settings(from)?,
        vnodes: {
            let count = from.count("partitions", PARTITIONS_PER_TOPIC_MAX as usize, VNODE_BYTES)?;
            let vnodes = from.take(count * VNODE_BYTES)?.chunks_exact(VNODE_BYTES);
            vnodes.map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect()
        },
    })
}
