//! What was asked for and cannot be had: said, never passed over.

use std::collections::BTreeMap;
use std::fmt;

use super::assignment::Assignment;
use super::member::{Cluster, Use};

/// A way in which a target is less than what was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Degraded {
    /// There are too few nodes for all replicas.
    TooFewReplicas {
        /// Virtual nodes concerned.
        vnodes: u32,
        /// Replicas asked for.
        wanted: u16,
        /// Replicas of the virtual node that has the fewest.
        fewest: u16,
    },
    /// Replicas of a virtual node share a rack, because there are too few racks.
    SharedRack {
        /// Virtual nodes concerned.
        vnodes: u32,
        /// Most replicas of one virtual node on one rack.
        most: u16,
        /// Racks with nodes that take replicas.
        racks: u32,
    },
    /// A node that should be emptied has to keep replicas, because nobody can take them.
    CannotLeave {
        /// The node.
        node: u64,
        /// Virtual nodes it keeps.
        vnodes: u32,
    },
    /// A node in maintenance has to lead, because nobody else can.
    LedInMaintenance {
        /// The node.
        node: u64,
        /// Virtual nodes it leads.
        vnodes: u32,
    },
    /// Nodes hold more than their bound, because what is in maintenance cannot move.
    OverBound {
        /// By how many replicas at most.
        replicas: u64,
    },
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Degraded::TooFewReplicas { vnodes, wanted, fewest } => write!(
                f,
                "{vnodes} virtual nodes have fewer than {wanted} replicas (at least {fewest}); \
                 add nodes"
            ),
            Degraded::SharedRack { vnodes, most, racks } => write!(
                f,
                "{vnodes} virtual nodes have up to {most} replicas on one rack, because only \
                 {racks} racks take replicas; add nodes on other racks"
            ),
            Degraded::CannotLeave { node, vnodes } => write!(
                f,
                "node {node} keeps {vnodes} virtual nodes, because no other node can take them; \
                 add a node, or ask for fewer replicas, before it is removed"
            ),
            Degraded::LedInMaintenance { node, vnodes } => write!(
                f,
                "node {node} is in maintenance and leads {vnodes} virtual nodes that no other \
                 node holds; they are away while it is"
            ),
            Degraded::OverBound { replicas } => write!(
                f,
                "some nodes hold up to {replicas} replicas more than their bound until \
                 maintenance is over"
            ),
        }
    }
}

/// Finds what a target lacks.
pub(super) fn find(
    target: &Assignment,
    cluster: &Cluster,
    wanted: u16,
    raised: u64,
) -> Vec<Degraded> {
    let mut found = Vec::new();
    let short =
        || target.vnodes.iter().map(|held| held.nodes.len()).filter(|&n| n < usize::from(wanted));
    if let Some(fewest) = short().min() {
        let vnodes = short().count() as u32;
        found.push(Degraded::TooFewReplicas { vnodes, wanted, fewest: fewest as u16 });
    }

    let sharing =
        || target.vnodes.iter().map(|held| most_on_a_rack(&held.nodes, cluster)).filter(|&n| n > 1);
    if let Some(most) = sharing().max() {
        let racks = cluster.taking_on_rack.iter().filter(|&&taking| taking > 0).count() as u32;
        found.push(Degraded::SharedRack { vnodes: sharing().count() as u32, most, racks });
    }

    let mut kept: BTreeMap<u64, u32> = BTreeMap::new();
    let mut led: BTreeMap<u64, u32> = BTreeMap::new();
    for held in &target.vnodes {
        for &node in held.nodes.iter().filter(|&&node| cluster.usage(node) == Some(Use::Leaves)) {
            *kept.entry(node).or_default() += 1;
        }
        if let Some(leader) = held.leader.filter(|&node| cluster.usage(node) == Some(Use::Keeps)) {
            *led.entry(leader).or_default() += 1;
        }
    }
    found.extend(kept.into_iter().map(|(node, vnodes)| Degraded::CannotLeave { node, vnodes }));
    found.extend(led.into_iter().map(|(node, vnodes)| Degraded::LedInMaintenance { node, vnodes }));
    if raised > 0 {
        found.push(Degraded::OverBound { replicas: raised });
    }
    found
}

fn most_on_a_rack(nodes: &[u64], cluster: &Cluster) -> u16 {
    let mut on_rack: BTreeMap<usize, u16> = BTreeMap::new();
    for rack in nodes.iter().filter_map(|&node| cluster.rack(node)) {
        *on_rack.entry(rack).or_default() += 1;
    }
    on_rack.into_values().max().unwrap_or(0)
}
