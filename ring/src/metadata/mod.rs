//! The coordinator's state machine: the nodes, the topics and the counters of a cluster.
//!
//! [`Metadata`] changes by [`Command`]s alone, through [`Metadata::apply`], which is deterministic:
//! it looks at the state and the command and at nothing else. The coordinator's log holds the
//! commands; a snapshot ([`Metadata::encode`]) replaces a prefix of it.
//!
//! ```text
//! command    what can be asked          codec     bytes of commands and snapshots
//! apply      the rules, and the change  node      a node of the cluster
//! refused    why a command was refused  topic     a topic and its placement
//! name       what a topic may be called settings  a topic's settings, their keys and values
//! ```
//!
//! Invariants, kept by `apply` and checked by `decode`:
//! - topic ids are unique, below `next_topic_id`, and never used twice, so that a topic created
//!   anew under an old name is another topic; producer ids likewise;
//! - `names` is the inverse of `topics`; `partitions_total` and `vnode_partitions` count them;
//! - every partition's virtual node is below `vnode_count`;
//! - before `InitCluster` there are no nodes, topics or ids.

mod apply;
mod codec;
mod command;
mod name;
mod node;
mod refused;
mod setting_key;
mod setting_value;
mod settings;
mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use apply::Applied;
pub use codec::DecodeError;
pub use command::Command;
pub use node::{NodeInfo, NodeState};
pub use refused::Refused;
pub use setting_key::SettingKey;
pub use settings::{SettingError, SettingPair, TopicSettings};
pub use topic::Topic;

use crate::partitions::VnodeLoad;

/// The cluster's metadata at one version. A clone is cheap: topics and nodes are shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    version: u64,
    cluster_id: String,
    format_version: u32,
    vnode_count: u32,
    nodes: BTreeMap<u64, Arc<NodeInfo>>,
    topics: BTreeMap<u64, Arc<Topic>>,
    next_topic_id: u64,
    next_producer_id: u64,
    /// Derived: name to topic id.
    names: BTreeMap<Arc<str>, u64>,
    /// Derived: partitions of all topics.
    partitions_total: u64,
    /// Derived: partitions of each virtual node.
    vnode_partitions: Vec<u64>,
}

impl Metadata {
    /// The state before the cluster was created: nothing but `InitCluster` is accepted.
    #[must_use]
    pub fn new() -> Self {
        Metadata {
            version: 0,
            cluster_id: String::new(),
            format_version: 0,
            vnode_count: 0,
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            next_topic_id: 1,
            next_producer_id: 1,
            names: BTreeMap::new(),
            partitions_total: 0,
            vnode_partitions: Vec::new(),
        }
    }

    /// Changes made so far; each applied command that changed anything adds one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the cluster was created.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.vnode_count > 0
    }

    /// The cluster's id; empty before the cluster was created.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The cluster's format version; 0 before the cluster was created.
    #[must_use]
    pub fn format_version(&self) -> u32 {
        self.format_version
    }

    /// Virtual nodes of the cluster, numbered from 0; 0 before the cluster was created.
    #[must_use]
    pub fn vnode_count(&self) -> u32 {
        self.vnode_count
    }

    /// Nodes by id.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<u64, Arc<NodeInfo>> {
        &self.nodes
    }

    /// A node by its id.
    #[must_use]
    pub fn node(&self, id: u64) -> Option<&Arc<NodeInfo>> {
        self.nodes.get(&id)
    }

    /// Topics by id.
    #[must_use]
    pub fn topics(&self) -> &BTreeMap<u64, Arc<Topic>> {
        &self.topics
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, id: u64) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// Topics in the order of their names.
    pub fn topics_by_name(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// Partitions of all topics.
    #[must_use]
    pub fn partitions_total(&self) -> u64 {
        self.partitions_total
    }

    /// The id the next topic will get.
    #[must_use]
    pub fn next_topic_id(&self) -> u64 {
        self.next_topic_id
    }

    /// The id the next producer will get.
    #[must_use]
    pub fn next_producer_id(&self) -> u64 {
        self.next_producer_id
    }

    /// Every virtual node and the partitions it serves, in order.
    #[must_use]
    pub fn vnode_loads(&self) -> Vec<VnodeLoad> {
        (0u32..)
            .zip(&self.vnode_partitions)
            .map(|(vnode, &partitions)| VnodeLoad { vnode, partitions })
            .collect()
    }

    /// Sets the number of virtual nodes of a state without topics.
    fn set_vnode_count(&mut self, vnode_count: u32) {
        assert!(self.topics.is_empty(), "virtual nodes are counted before there are topics");
        self.vnode_count = vnode_count;
        self.vnode_partitions = vec![0; vnode_count as usize];
    }

    /// Adds a topic whose id, name and virtual nodes were checked.
    fn insert_topic(&mut self, topic: Topic) {
        for &vnode in &topic.vnodes {
            self.vnode_partitions[vnode as usize] += 1;
        }
        self.partitions_total += topic.vnodes.len() as u64;
        let named = self.names.insert(Arc::clone(&topic.name), topic.id);
        let known = self.topics.insert(topic.id, Arc::new(topic));
        assert!(named.is_none() && known.is_none(), "names and ids of topics are unique");
    }

    /// Removes a topic by its id and gives it back.
    fn remove_topic(&mut self, id: u64) -> Option<Arc<Topic>> {
        let topic = self.topics.remove(&id)?;
        self.names.remove(&topic.name);
        self.partitions_total -= topic.vnodes.len() as u64;
        for &vnode in &topic.vnodes {
            self.vnode_partitions[vnode as usize] -= 1;
        }
        Some(topic)
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata::new()
    }
}
