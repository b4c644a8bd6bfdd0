//! What can be asked of the coordinator: the entries of its log.

use super::node::NodeInfo;
use super::settings::TopicSettings;

/// A change to the metadata. Whoever proposes it fills in what `apply` may not look up itself, such
/// as the time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Creates the cluster. Repeating it with the same arguments changes nothing.
    InitCluster {
        /// The cluster's id; nodes of another cluster are refused by it.
        cluster_id: String,
        /// Virtual nodes, for the cluster's life.
        vnode_count: u32,
        /// The format all its nodes must be able to serve.
        format_version: u32,
    },
    /// Adds a node, or replaces what is known about it.
    RegisterNode(NodeInfo),
    /// Creates a topic and places its partitions.
    CreateTopic {
        /// Its name.
        name: String,
        /// Its number of partitions.
        partitions: u32,
        /// Copies of each partition.
        replicas: u16,
        /// Its settings, complete.
        settings: TopicSettings,
        /// The time, in milliseconds since 1970.
        created_ms: u64,
    },
    /// Changes settings of a topic; what is not named stays.
    AlterTopic {
        /// Its name.
        name: String,
        /// Keys and values as users write them; see [`TopicSettings::merged`].
        settings: Vec<(String, String)>,
    },
    /// Deletes a topic and everything in it.
    DeleteTopic {
        /// Its name.
        name: String,
    },
    /// Reserves producer ids, which are never handed out again.
    AllocateProducerIds {
        /// How many, at least one.
        count: u32,
    },
}
