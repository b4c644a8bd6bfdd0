//! A topic and where its partitions are.

use std::sync::Arc;

use super::settings::TopicSettings;

/// A topic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    /// Its id, from 1; never used again after the topic is deleted.
    pub id: u64,
    /// Its name, unique among the topics there are.
    pub name: Arc<str>,
    /// Copies of each of its partitions, itself included.
    pub replicas: u16,
    /// Its settings.
    pub settings: TopicSettings,
    /// Element i is the virtual node of partition i.
    pub vnodes: Vec<u32>,
    /// When it was created, by the clock of whoever proposed it, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Topic {
    /// Number of partitions.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        // `limits::PARTITIONS_PER_TOPIC_MAX` fits.
        self.vnodes.len() as u32
    }

    /// The virtual node of a partition, if the topic has that partition.
    #[must_use]
    pub fn vnode(&self, partition: u32) -> Option<u32> {
        self.vnodes.get(partition as usize).copied()
    }
}
