//! A node of the cluster, as the coordinator knows it.

use crate::limits::{ADDRESS_BYTES_MAX, NODE_VERSION_BYTES_MAX, RACK_BYTES_MAX, WEIGHT_MAX};

/// What a node is to be used for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum NodeState {
    /// New: takes replicas, and is catching up.
    Joining = 1,
    /// In service: holds and takes replicas, leads.
    Active = 2,
    /// Being emptied: its replicas move elsewhere, it takes none.
    Draining = 3,
    /// Away for a while: keeps its replicas, takes none, leads nothing.
    Maintenance = 4,
}

impl NodeState {
    /// Every state.
    pub const ALL: [NodeState; 4] =
        [NodeState::Joining, NodeState::Active, NodeState::Draining, NodeState::Maintenance];

    /// The state as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NodeState::Joining => "joining",
            NodeState::Active => "active",
            NodeState::Draining => "draining",
            NodeState::Maintenance => "maintenance",
        }
    }

    /// The state of a number in a file, if there is one.
    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        NodeState::ALL.into_iter().find(|&state| state as u8 == number)
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeInfo {
    /// Its id, from 1.
    pub id: u64,
    /// Where clients and other nodes reach it, `host:port`.
    pub address: String,
    /// Its shards; virtual node v is served by shard v % shards.
    pub shards: u16,
    /// What fails together with it, if that was said: replicas are kept on distinct racks.
    pub rack: Option<String>,
    /// Its share of the data relative to other nodes; 100 is an ordinary one, 0 holds none.
    pub weight: u32,
    /// What it is to be used for.
    pub state: NodeState,
    /// Version of the program it runs.
    pub version: String,
}

impl NodeInfo {
    /// Why this cannot be a node, or `None` if it can.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.id == 0 {
            return Some("node ids begin at 1".into());
        }
        if self.shards == 0 {
            return Some("a node has at least one shard".into());
        }
        if self.weight > WEIGHT_MAX {
            return Some(format!("weight {} is above {WEIGHT_MAX}", self.weight));
        }
        let port = self.address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Some(format!("address {:?} is not HOST:PORT", self.address));
        }
        let rack = self.rack.as_deref().unwrap_or("-");
        if rack.is_empty() {
            return Some("a rack's name is not empty; leave it out instead".into());
        }
        [
            ("address", &*self.address, ADDRESS_BYTES_MAX),
            ("rack", rack, RACK_BYTES_MAX),
            ("version", &self.version, NODE_VERSION_BYTES_MAX),
        ]
        .into_iter()
        .find_map(|(what, text, bytes_max)| {
            if text.len() > bytes_max {
                Some(format!("its {what} has {} bytes; the limit is {bytes_max}", text.len()))
            } else if text.chars().any(char::is_control) {
                Some(format!("its {what} has control characters"))
            } else {
                None
            }
        })
    }
}
