//! Which nodes hold a virtual node's replicas, and which of them should lead.
//!
//! [`plan`] takes what is committed, the nodes and the policy, and proposes a target and the moves
//! that lead there. What can stay stays; the hash ring chooses among the places that are allowed.
//!
//! ```text
//! demand   what each virtual node still needs, and what it has that cannot move
//! share    how much of the whole is fair for each node: by weight, within what racks allow
//! spread   keep, fill, shed, pull: replicas over nodes within their bounds
//!   augment  a chain of moves where no single one fits; the reason why bounds always hold
//! leaders  the same once more, for who leads
//! moves    from old to target, one step at a time, the most urgent first
//! degraded what was asked for and cannot be had
//! ```
//!
//! Invariants of a target: no node twice for a virtual node; no more replicas on a rack than its
//! nodes force; every node within [`NodeBounds`]; nothing new on a node that is leaving or away;
//! planning again from a target proposes nothing.

mod assignment;
mod augment;
mod degraded;
mod demand;
mod leaders;
mod member;
mod moves;
mod share;
mod spread;

use std::collections::BTreeMap;

pub use assignment::{Assignment, VnodeReplicas};
pub use degraded::Degraded;
pub use member::Member;
pub use moves::{Move, Reason, Step, Throttle};

use crate::bound::Slack;
use crate::hash::{Domain, hash_pair};
use crate::limits::WEIGHT_DEFAULT;
use crate::ring::Ring;
use demand::Demand;
use member::Cluster;
use spread::Spread;

/// Points on the ring of a node of ordinary weight.
const POINTS_PER_NODE: u64 = 128;

/// What the cluster is to look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Replicas of each virtual node; 0 is taken for 1, because data is never given up.
    pub replicas: u16,
    /// How far a node may be from its share before anything is moved.
    pub slack: Slack,
}

/// The most a node may hold in a plan's target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NodeBounds {
    /// Replicas.
    pub replicas_max: u64,
    /// Virtual nodes led.
    pub leaders_max: u64,
}

/// A proposal: where to go, how, and what is not as it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The assignment when all moves are done.
    pub target: Assignment,
    /// Steps from the old assignment to the target, to be taken in this order.
    pub moves: Vec<Move>,
    /// What was asked for and cannot be had with these nodes; empty if all is well.
    pub degraded: Vec<Degraded>,
    /// Bounds of every node that takes replicas, by node id.
    pub bounds: BTreeMap<u64, NodeBounds>,
}

/// Proposes how to get from `old` to an assignment of `vnode_count` virtual nodes that fits the
/// nodes and the policy, moving as little as possible.
///
/// Depends on the arguments only, and not on the order of members or replicas. Total: it answers
/// for no node, for one, for fewer than there should be replicas, and for an `old` that names nodes
/// that are gone. Steps towards a target may be interrupted: planning again from what is then
/// committed goes on from there.
#[must_use]
pub fn plan(old: &Assignment, vnode_count: u32, members: &[Member], policy: &Policy) -> Plan {
    let cluster = Cluster::new(members);
    let old = old.normalised(vnode_count);
    let demands: Vec<Demand> =
        old.vnodes.iter().map(|held| Demand::new(held, &cluster, policy.replicas.max(1))).collect();

    let mut spread = spread_replicas(&old, &demands, &cluster, policy);
    let raised = spread.settle(&ring_of(&cluster));

    let mut target = Assignment { vnodes: Vec::with_capacity(demands.len()) };
    for (vnode, demand) in demands.iter().enumerate() {
        let mut nodes: Vec<u64> = demand.fixed.clone();
        nodes.extend(spread.bins_of_item(vnode).map(|bin| cluster.taking[bin]));
        nodes.sort_unstable();
        target.vnodes.push(VnodeReplicas { leader: None, nodes });
    }
    let leaders_max = leaders::choose(&old, &mut target, &cluster, &spread, policy);
    let bounds = (0..cluster.taking.len())
        .map(|bin| {
            let bounds =
                NodeBounds { replicas_max: spread.cap(bin), leaders_max: leaders_max[bin] };
            (cluster.taking[bin], bounds)
        })
        .collect();
    let moves = moves::between(&old, &target, &cluster);
    let degraded = degraded::find(&target, &cluster, policy.replicas.max(1), raised);
    Plan { target, moves, degraded, bounds }
}

/// Replicas over nodes, with everything in its place that may stay there.
fn spread_replicas(
    old: &Assignment,
    demands: &[Demand],
    cluster: &Cluster,
    policy: &Policy,
) -> Spread {
    let shares = demand::shares(demands, cluster);
    let bounds = shares
        .iter()
        .map(|share| spread::Bounds::new(*share, policy.slack, demands.len() as u64))
        .collect();
    let items = demands.iter().map(Demand::item).collect();
    let mut spread =
        Spread::new(cluster.taking.clone(), cluster.rack_of_taking.clone(), bounds, items);
    for (vnode, held) in old.vnodes.iter().enumerate() {
        let mut bins: Vec<usize> =
            held.nodes.iter().filter_map(|&node| cluster.bin(node)).collect();
        // The leader stays before others do; those are in no particular order.
        bins.sort_by_key(|&bin| {
            let node = cluster.taking[bin];
            (held.leader != Some(node), hash_pair(Domain::Transfer, vnode as u64, node))
        });
        for bin in bins {
            spread.keep(vnode, bin);
        }
    }
    spread
}

/// The ring of the nodes that take replicas.
fn ring_of(cluster: &Cluster) -> Ring {
    let points = cluster.taking.iter().zip(&cluster.weight_of_taking).map(|(&node, &weight)| {
        let points = u64::from(weight) * POINTS_PER_NODE / u64::from(WEIGHT_DEFAULT);
        (node, u32::try_from(points.max(1)).unwrap_or(u32::MAX))
    });
    Ring::new(Domain::NodePoint, points)
}
