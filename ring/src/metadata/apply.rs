//! The rules: what a command does to the state, or why it is refused.
//!
//! Deterministic: nothing but the state and the command is looked at, and a refused command leaves
//! no trace, so every replica of the log has the same state. A command that finds its work done
//! already (the same node registered again) answers `Done` and keeps the version.

use std::sync::Arc;

use super::{
    Command, Metadata, NodeInfo, NodeState, Refused, SettingError, Topic, TopicSettings, name,
};
use crate::bound::Slack;
use crate::limits::{
    CLUSTER_ID_BYTES_MAX, FORMAT_VERSION, NODES_MAX, PARTITIONS_PER_TOPIC_MAX,
    PARTITIONS_TOTAL_MAX, PRODUCER_IDS_PER_COMMAND_MAX, REPLICAS_MAX, SETTING_PAIRS_MAX,
    TOPICS_MAX, VNODES_MAX,
};
use crate::partitions::place_partitions;

/// What an applied command gives back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Applied {
    /// It is done.
    Done,
    /// A topic was created.
    TopicCreated {
        /// Its id.
        id: u64,
    },
    /// Producer ids `first..first + count` belong to the caller.
    ProducerIds {
        /// The first of them.
        first: u64,
        /// How many.
        count: u32,
    },
}

impl Metadata {
    /// Applies a command.
    ///
    /// # Errors
    /// Says why the command was refused; the state is then unchanged.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, Refused> {
        if !self.is_initialised() && !matches!(command, Command::InitCluster { .. }) {
            return Err(Refused::NotInitialised);
        }
        match command {
            Command::InitCluster { cluster_id, vnode_count, format_version } => {
                self.init_cluster(cluster_id, *vnode_count, *format_version)
            }
            Command::RegisterNode(node) => self.register_node(node),
            Command::CreateTopic { name, partitions, replicas, settings, created_ms } => {
                self.create_topic(name, *partitions, *replicas, settings, *created_ms)
            }
            Command::AlterTopic { name, settings } => self.alter_topic(name, settings),
            Command::DeleteTopic { name } => self.delete_topic(name),
            Command::AllocateProducerIds { count } => self.allocate_producer_ids(*count),
        }
    }

    fn init_cluster(
        &mut self,
        cluster_id: &str,
        vnode_count: u32,
        format_version: u32,
    ) -> Result<Applied, Refused> {
        if self.is_initialised() {
            let same = self.cluster_id == cluster_id
                && self.vnode_count == vnode_count
                && self.format_version == format_version;
            return if same {
                Ok(Applied::Done)
            } else {
                Err(Refused::AlreadyInitialised {
                    cluster_id: self.cluster_id.clone(),
                    vnode_count: self.vnode_count,
                    format_version: self.format_version,
                })
            };
        }
        if !is_cluster_id(cluster_id) {
            let cluster_id = cluster_id.chars().take(CLUSTER_ID_BYTES_MAX).collect();
            return Err(Refused::InvalidClusterId { cluster_id });
        }
        if !(1..=VNODES_MAX).contains(&vnode_count) {
            return Err(Refused::InvalidVnodeCount { vnode_count });
        }
        if !(1..=FORMAT_VERSION).contains(&format_version) {
            return Err(Refused::UnsupportedFormat { format_version });
        }
        self.cluster_id = cluster_id.to_owned();
        self.format_version = format_version;
        self.set_vnode_count(vnode_count);
        self.version += 1;
        Ok(Applied::Done)
    }

    fn register_node(&mut self, node: &NodeInfo) -> Result<Applied, Refused> {
        let id = node.id;
        if let Some(why) = node.fault() {
            return Err(Refused::InvalidNode { id, why });
        }
        if let Some(other) =
            self.nodes.values().find(|other| other.id != id && other.address == node.address)
        {
            let address = node.address.clone();
            return Err(Refused::AddressTaken { id, address, other: other.id });
        }
        let known = self.nodes.get(&id);
        if known.is_none() && self.nodes.len() >= NODES_MAX {
            return Err(Refused::TooManyNodes { id });
        }
        if known.is_none_or(|known| **known != *node) {
            self.nodes.insert(id, Arc::new(node.clone()));
            self.version += 1;
        }
        Ok(Applied::Done)
    }

    fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        replicas: u16,
        settings: &TopicSettings,
        created_ms: u64,
    ) -> Result<Applied, Refused> {
        if let Some(why) = name::fault(name) {
            return Err(Refused::InvalidTopicName { name: name.chars().take(64).collect(), why });
        }
        if let Some(topic) = self.topic_by_name(name) {
            return Err(Refused::TopicExists { name: name.to_owned(), id: topic.id });
        }
        if !(1..=PARTITIONS_PER_TOPIC_MAX).contains(&partitions) {
            return Err(Refused::InvalidPartitions { asked: partitions });
        }
        let nodes = self.nodes_taking_replicas();
        if replicas == 0 || replicas > REPLICAS_MAX || u64::from(replicas) > nodes {
            return Err(Refused::InvalidReplicas { asked: replicas, nodes });
        }
        settings.check()?;
        if self.topics.len() >= TOPICS_MAX {
            return Err(Refused::TooManyTopics { name: name.to_owned() });
        }
        if self.partitions_total + u64::from(partitions) > PARTITIONS_TOTAL_MAX {
            let total = self.partitions_total;
            return Err(Refused::TooManyPartitions { asked: partitions, total });
        }
        let id = self.next_topic_id;
        self.next_topic_id = id.checked_add(1).ok_or(Refused::IdsExhausted { what: "topic" })?;
        let vnodes = place_partitions(id, partitions, &self.vnode_loads(), Slack::DEFAULT);
        self.insert_topic(Topic {
            id,
            name: name.into(),
            replicas,
            settings: settings.clone(),
            vnodes,
            created_ms,
        });
        self.version += 1;
        Ok(Applied::TopicCreated { id })
    }

    fn alter_topic(
        &mut self,
        name: &str,
        settings: &[(String, String)],
    ) -> Result<Applied, Refused> {
        let topic = self.topic_by_name(name).ok_or_else(|| unknown_topic(name))?;
        if settings.len() > SETTING_PAIRS_MAX {
            return Err(SettingError::TooMany { pairs: settings.len() }.into());
        }
        let settings = topic.settings.merged(settings)?;
        if settings != topic.settings {
            let topic = Topic { settings, ..Topic::clone(topic) };
            self.topics.insert(topic.id, Arc::new(topic));
            self.version += 1;
        }
        Ok(Applied::Done)
    }

    fn delete_topic(&mut self, name: &str) -> Result<Applied, Refused> {
        let id = self.topic_by_name(name).ok_or_else(|| unknown_topic(name))?.id;
        self.remove_topic(id);
        self.version += 1;
        Ok(Applied::Done)
    }

    fn allocate_producer_ids(&mut self, count: u32) -> Result<Applied, Refused> {
        if !(1..=PRODUCER_IDS_PER_COMMAND_MAX).contains(&count) {
            return Err(Refused::InvalidProducerIds { asked: count });
        }
        let first = self.next_producer_id;
        self.next_producer_id = first
            .checked_add(u64::from(count))
            .ok_or(Refused::IdsExhausted { what: "producer" })?;
        self.version += 1;
        Ok(Applied::ProducerIds { first, count })
    }

    /// Nodes that hold data and are not being emptied.
    fn nodes_taking_replicas(&self) -> u64 {
        self.nodes
            .values()
            .filter(|node| node.weight > 0 && node.state != NodeState::Draining)
            .count() as u64
    }
}

/// Whether this can be a cluster's id.
pub(super) fn is_cluster_id(cluster_id: &str) -> bool {
    (1..=CLUSTER_ID_BYTES_MAX).contains(&cluster_id.len())
        && cluster_id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unknown_topic(name: &str) -> Refused {
    Refused::UnknownTopic { name: name.chars().take(256).collect() }
}
