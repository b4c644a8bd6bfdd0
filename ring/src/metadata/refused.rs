//! Why a command was refused. A refusal changes nothing, and says how to mend it.

use super::settings::SettingError;
use crate::limits::{
    CLUSTER_ID_BYTES_MAX, FORMAT_VERSION, NODES_MAX, PARTITIONS_PER_TOPIC_MAX,
    PARTITIONS_TOTAL_MAX, PRODUCER_IDS_PER_COMMAND_MAX, REPLICAS_MAX, TOPIC_NAME_BYTES_MAX,
    TOPICS_MAX, VNODES_MAX,
};

/// A refused command.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The cluster was not created yet.
    #[error("this cluster was not created yet; start its first node and wait until it is ready")]
    NotInitialised,
    /// The cluster exists, and is another one.
    #[error(
        "this is cluster {cluster_id} with {vnode_count} virtual nodes and format {format_version} \
         already; use an empty data directory to create another"
    )]
    AlreadyInitialised {
        /// Id of the cluster that is here.
        cluster_id: String,
        /// Its virtual nodes.
        vnode_count: u32,
        /// Its format.
        format_version: u32,
    },
    /// The cluster's id cannot be one.
    #[error(
        "cluster id {cluster_id:?} is refused; use 1 to {CLUSTER_ID_BYTES_MAX} visible ASCII \
         characters"
    )]
    InvalidClusterId {
        /// The id asked for.
        cluster_id: String,
    },
    /// The number of virtual nodes is out of bounds.
    #[error("{vnode_count} virtual nodes are refused; use 1 to {VNODES_MAX}")]
    InvalidVnodeCount {
        /// The number asked for.
        vnode_count: u32,
    },
    /// The format is newer than this program.
    #[error(
        "format {format_version} is refused: this program serves 1 to {FORMAT_VERSION}; update it"
    )]
    UnsupportedFormat {
        /// The format asked for.
        format_version: u32,
    },
    /// A node's description cannot be one.
    #[error("node {id} is refused: {why}")]
    InvalidNode {
        /// The node's id.
        id: u64,
        /// What is wrong.
        why: String,
    },
    /// Another node has this address.
    #[error(
        "node {id} is refused: node {other} already has the address {address}; give it an address \
         of its own, or remove node {other} first"
    )]
    AddressTaken {
        /// The node that was refused.
        id: u64,
        /// The address it asked for.
        address: String,
        /// The node that has it.
        other: u64,
    },
    /// The cluster is full.
    #[error("node {id} is refused: the cluster has {NODES_MAX} nodes, which is the limit")]
    TooManyNodes {
        /// The node that was refused.
        id: u64,
    },
    /// There is a topic with this name.
    #[error("topic {name} exists already (id {id}); choose another name, or delete it first")]
    TopicExists {
        /// The name.
        name: String,
        /// Id of the topic that has it.
        id: u64,
    },
    /// There is no topic with this name.
    #[error("there is no topic {name}; list the topics to see what there is, or create it")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// No topic can be called this.
    #[error(
        "topic name {name:?} is refused: {why}; use 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, \
         '.', '_' and '-'"
    )]
    InvalidTopicName {
        /// The name, cut short if it is too long.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The number of partitions is out of bounds.
    #[error("{asked} partitions are refused; a topic has 1 to {PARTITIONS_PER_TOPIC_MAX}")]
    InvalidPartitions {
        /// The number asked for.
        asked: u32,
    },
    /// There cannot be that many replicas.
    #[error(
        "{asked} replicas are refused: each is on a node of its own, and {nodes} can take one; \
         use 1 to {most}, or add nodes", most = (*nodes).min(u64::from(REPLICAS_MAX))
    )]
    InvalidReplicas {
        /// The number asked for.
        asked: u16,
        /// Nodes that can take a replica.
        nodes: u64,
    },
    /// A setting is wrong.
    #[error(transparent)]
    InvalidSetting(#[from] SettingError),
    /// The cluster's partitions are used up.
    #[error(
        "{asked} partitions are refused: the cluster has {total} of at most \
         {PARTITIONS_TOTAL_MAX}; ask for fewer, or delete topics"
    )]
    TooManyPartitions {
        /// The number asked for.
        asked: u32,
        /// What there is.
        total: u64,
    },
    /// The cluster's topics are used up.
    #[error(
        "topic {name} is refused: the cluster has {TOPICS_MAX} topics, which is the limit; delete \
         some, or use partitions instead"
    )]
    TooManyTopics {
        /// The topic that was refused.
        name: String,
    },
    /// The number of producer ids is out of bounds.
    #[error("{asked} producer ids are refused; ask for 1 to {PRODUCER_IDS_PER_COMMAND_MAX}")]
    InvalidProducerIds {
        /// The number asked for.
        asked: u32,
    },
    /// All ids of a kind were handed out; needs 2^64 of them.
    #[error("no {what} ids are left in this cluster; create a new one")]
    IdsExhausted {
        /// What kind of id.
        what: &'static str,
    },
}
