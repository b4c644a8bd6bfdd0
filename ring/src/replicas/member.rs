//! The nodes, as placement sees them.

use std::collections::BTreeMap;

use crate::metadata::{NodeInfo, NodeState};

/// A node that replicas can be on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its share relative to others; one of weight 0 is emptied.
    pub weight: u32,
    /// What fails together with it; a node without a rack stands alone.
    pub rack: Option<String>,
    /// What it is to be used for.
    pub state: NodeState,
}

impl From<&NodeInfo> for Member {
    fn from(node: &NodeInfo) -> Self {
        Member { id: node.id, weight: node.weight, rack: node.rack.clone(), state: node.state }
    }
}

/// What placement does with a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    /// Takes replicas and leads.
    Takes,
    /// Keeps the replicas it has, and leads only if nobody else can.
    Keeps,
    /// Gives its replicas away.
    Leaves,
}

/// The nodes in order, and which of them take replicas.
pub(super) struct Cluster {
    /// Every node's use and rack, by id. Racks are numbered in the order of their first node.
    nodes: BTreeMap<u64, (Use, usize)>,
    /// Nodes that take replicas, ascending: these are the bins, numbered by position.
    pub(super) taking: Vec<u64>,
    /// Weight of each bin.
    pub(super) weight_of_taking: Vec<u32>,
    /// Rack of each bin.
    pub(super) rack_of_taking: Vec<usize>,
    /// Bins on each rack.
    pub(super) taking_on_rack: Vec<usize>,
}

impl Cluster {
    /// Of members with the same id the first in order counts.
    pub(super) fn new(members: &[Member]) -> Self {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort();
        members.dedup_by_key(|member| member.id);
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            taking: Vec::new(),
            weight_of_taking: Vec::new(),
            rack_of_taking: Vec::new(),
            taking_on_rack: Vec::new(),
        };
        let mut racks: BTreeMap<&str, usize> = BTreeMap::new();
        for member in members {
            let new_rack = cluster.taking_on_rack.len();
            let rack = match &member.rack {
                Some(name) => *racks.entry(name).or_insert(new_rack),
                None => new_rack,
            };
            if rack == new_rack {
                cluster.taking_on_rack.push(0);
            }
            let usage = match member.state {
                NodeState::Maintenance => Use::Keeps,
                NodeState::Joining | NodeState::Active if member.weight > 0 => Use::Takes,
                NodeState::Joining | NodeState::Active | NodeState::Draining => Use::Leaves,
            };
            cluster.nodes.insert(member.id, (usage, rack));
            if usage == Use::Takes {
                cluster.taking.push(member.id);
                cluster.weight_of_taking.push(member.weight);
                cluster.rack_of_taking.push(rack);
                cluster.taking_on_rack[rack] += 1;
            }
        }
        cluster
    }

    /// What is done with a node; `None` if it is gone.
    pub(super) fn usage(&self, node: u64) -> Option<Use> {
        self.nodes.get(&node).map(|(usage, _)| *usage)
    }

    /// The rack of a node; `None` if it is gone.
    pub(super) fn rack(&self, node: u64) -> Option<usize> {
        self.nodes.get(&node).map(|(_, rack)| *rack)
    }

    /// The bin of a node that takes replicas.
    pub(super) fn bin(&self, node: u64) -> Option<usize> {
        self.taking.binary_search(&node).ok()
    }
}
