//! What the client knows of the cluster: an immutable snapshot, replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use ringspool_wire::{ErrorCode, MetadataResponse};

use super::pool::Endpoint;

/// A snapshot of the cluster's nodes, and of the topics this client has asked for.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Counts the snapshots of this client; 0 is the empty one it starts with.
    pub(crate) generation: u64,
    pub(crate) addresses: Vec<Arc<str>>,
    topics: HashMap<Arc<str>, Result<Arc<TopicView>, ErrorCode>>,
}

/// A topic, and where each of its partitions is served.
#[derive(Debug)]
pub(crate) struct TopicView {
    pub(crate) name: Arc<str>,
    pub(crate) id: u64,
    places: Vec<Result<Endpoint, ErrorCode>>,
}

impl View {
    pub(crate) fn new(generation: u64, response: MetadataResponse) -> Self {
        let nodes: HashMap<u64, Arc<str>> =
            response.nodes.into_iter().map(|node| (node.id, Arc::from(node.address))).collect();
        let place = |place: ringspool_wire::PartitionPlace| match place.error {
            ErrorCode::None => match nodes.get(&place.leader) {
                Some(address) => Ok(Endpoint { address: address.clone(), shard: place.shard }),
                None => Err(ErrorCode::NotReady),
            },
            error => Err(error),
        };
        let topics = response.topics.into_iter().map(|topic| {
            let name: Arc<str> = topic.name.into();
            let found = match topic.error {
                ErrorCode::None => Ok(Arc::new(TopicView {
                    name: name.clone(),
                    id: topic.id,
                    places: topic.partitions.into_iter().map(place).collect(),
                })),
                error => Err(error),
            };
            (name, found)
        });
        let topics = topics.collect();
        View { generation, addresses: nodes.into_values().collect(), topics }
    }

    /// What is known of a topic; `None` when it was not part of this snapshot.
    pub(crate) fn topic(&self, name: &str) -> Option<&Result<Arc<TopicView>, ErrorCode>> {
        self.topics.get(name)
    }

    /// Where a partition is served, if the topic still is the one of this id and has a leader.
    pub(crate) fn place(&self, name: &str, id: u64, partition: u32) -> Option<&Endpoint> {
        match self.topics.get(name) {
            Some(Ok(topic)) if topic.id == id => topic.place(partition),
            _ => None,
        }
    }

    /// Whether this snapshot says that a topic that an earlier one had is gone. It leaves the
    /// snapshots only when somebody was told that it does not exist.
    pub(crate) fn is_gone(&self, name: &str, id: u64) -> bool {
        match self.topics.get(name) {
            Some(Ok(topic)) => topic.id != id,
            Some(Err(error)) => *error == ErrorCode::UnknownTopic,
            None => true,
        }
    }
}

impl TopicView {
    pub(crate) fn partitions(&self) -> u32 {
        self.places.len() as u32
    }

    /// Where a partition is served; `None` while it has no leader.
    pub(crate) fn place(&self, partition: u32) -> Option<&Endpoint> {
        self.places.get(partition as usize)?.as_ref().ok()
    }
}
