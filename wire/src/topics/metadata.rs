//! Metadata: the nodes, and for topics where each partition is served (node and shard), so that a
//! client can send a request directly to the core that owns the partition.

use flatbuffers::WIPOffset;

use crate::codec::{self, Builder, DecodeError};
use crate::error::ErrorCode;
use crate::generated::fb;
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_PER_REQUEST_MAX};

/// Asks for the place of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MetadataRequest {
    /// Names of topics; `None`: every topic.
    pub topics: Option<Vec<String>>,
}

impl MetadataRequest {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::MetadataRequest<'static>> {
        let topics = self.topics.as_ref().map(|topics| {
            let topics: Vec<_> = topics.iter().map(|topic| builder.create_string(topic)).collect();
            builder.create_vector(&topics)
        });
        fb::MetadataRequest::create(builder, &fb::MetadataRequestArgs { topics })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::MetadataRequest<'_>>("MetadataRequest", message)?;
        let Some(topics) = table.topics() else { return Ok(MetadataRequest { topics: None }) };
        codec::at_most("topics", topics.len(), TOPICS_PER_REQUEST_MAX)?;
        Ok(MetadataRequest { topics: Some(topics.iter().map(str::to_string).collect()) })
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Never 0.
    pub id: u64,
    /// Host and port for clients.
    pub address: String,
    /// Shards of the node.
    pub shards: u16,
    /// Where it stands, if it was told.
    pub rack: Option<String>,
}

/// Where a partition is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPlace {
    /// Id of the node that leads it; 0: none at the moment.
    pub leader: u64,
    /// The virtual node that owns it.
    pub vnode: u32,
    /// The leader's shard that serves it.
    pub shard: u16,
    /// Why it cannot be used at the moment, or [`ErrorCode::None`].
    pub error: ErrorCode,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// The name that was asked for.
    pub name: String,
    /// At least 1; 0 if `error` says there is no such topic.
    pub id: u64,
    /// Why there is no more to say, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// `partitions[i]` is where partition i is served.
    pub partitions: Vec<PartitionPlace>,
}

impl TopicMetadata {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::TopicMetadata<'static>> {
        let name = Some(builder.create_string(&self.name));
        let places = self.partitions.iter().map(|place| {
            fb::PartitionPlace::new(place.leader, place.vnode, place.shard, place.error as u16)
        });
        let partitions =
            (!self.partitions.is_empty()).then(|| builder.create_vector_from_iter(places));
        let args =
            fb::TopicMetadataArgs { name, id: self.id, error: self.error as u16, partitions };
        fb::TopicMetadata::create(builder, &args)
    }

    pub(crate) fn from_table(table: fb::TopicMetadata<'_>) -> Result<Self, DecodeError> {
        let count = table.partitions().map_or(0, |partitions| partitions.len());
        codec::at_most("partitions", count, PARTITIONS_PER_TOPIC_MAX as usize)?;
        let partitions = table.partitions().into_iter().flatten().map(|place| PartitionPlace {
            leader: place.leader(),
            vnode: place.vnode(),
            shard: place.shard(),
            error: ErrorCode::from_u16(place.error()),
        });
        Ok(TopicMetadata {
            name: table.name().to_string(),
            id: table.id(),
            error: ErrorCode::from_u16(table.error()),
            partitions: partitions.collect(),
        })
    }
}

/// The cluster as the answering node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataResponse {
    /// The cluster's identity; a client that is given another one is talking to the wrong cluster.
    pub cluster_id: String,
    /// Grows with every change of the metadata: of two answers the higher one is newer.
    pub version: u64,
    /// Every node.
    pub nodes: Vec<Node>,
    /// The topics that were asked for, unknown ones with their error.
    pub topics: Vec<TopicMetadata>,
}

impl MetadataResponse {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::MetadataResponse<'static>> {
        let cluster_id = Some(builder.create_string(&self.cluster_id));
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let address = Some(builder.create_string(&node.address));
                let rack = node.rack.as_deref().map(|rack| builder.create_string(rack));
                let args = fb::NodeArgs { id: node.id, address, shards: node.shards, rack };
                fb::Node::create(builder, &args)
            })
            .collect();
        let nodes = Some(builder.create_vector(&nodes));
        let topics: Vec<_> = self.topics.iter().map(|topic| topic.write(builder)).collect();
        let topics = Some(builder.create_vector(&topics));
        let args = fb::MetadataResponseArgs { cluster_id, version: self.version, nodes, topics };
        fb::MetadataResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root_of_list::<fb::MetadataResponse<'_>>("MetadataResponse", message)?;
        let nodes = table.nodes().iter().map(|node| Node {
            id: node.id(),
            address: node.address().to_string(),
            shards: node.shards(),
            rack: node.rack().map(str::to_string),
        });
        Ok(MetadataResponse {
            cluster_id: table.cluster_id().to_string(),
            version: table.version(),
            nodes: nodes.collect(),
            topics: table
                .topics()
                .iter()
                .map(TopicMetadata::from_table)
                .collect::<Result<_, _>>()?,
        })
    }
}
