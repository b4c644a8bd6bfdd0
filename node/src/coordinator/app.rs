//! The coordinator's commands as openraft sees them.

use crate::raft::{Application, DecodePayloadError, Encoded};
use bytes::Bytes;
use ringspool_ring::{Applied, Command, Refused};
use std::fmt;

/// The coordinator's application for openraft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoordinatorApp;

/// A change to the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change(pub Command);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Command::InitCluster { cluster_id, .. } => write!(f, "create cluster {cluster_id}"),
            Command::RegisterNode(node) => write!(f, "register node {}", node.id),
            Command::CreateTopic { name, partitions, .. } => {
                write!(f, "create topic {name} with {partitions} partitions")
            }
            Command::AlterTopic { name, .. } => write!(f, "alter topic {name}"),
            Command::DeleteTopic { name } => write!(f, "delete topic {name}"),
            Command::AllocateProducerIds { count } => write!(f, "allocate {count} producer ids"),
        }
    }
}

impl Application for CoordinatorApp {
    type Command = Change;
    type Applied = Result<Applied, Refused>;

    fn encode(command: &Change) -> Encoded {
        command.0.encode().into()
    }

    fn decode(bytes: Bytes) -> Result<Change, DecodePayloadError> {
        Command::decode(&bytes).map(Change).map_err(|e| DecodePayloadError(e.to_string()))
    }
}
