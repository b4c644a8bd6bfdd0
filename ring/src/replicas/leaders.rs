//! Who should lead each virtual node.
//!
//! A virtual node is led by one of its replicas. If each of n possible leaders led an n-th of it,
//! nobody would lead more than the fraction of its replicas; that is the share here, and rounding
//! it up always allows whole numbers. Bounds are around the share, but no further above than the
//! slack on a node's share of all replicas.

use std::collections::BTreeSet;

use super::Policy;
use super::assignment::Assignment;
use super::member::{Cluster, Use};
use super::share::Share;
use super::spread::{Bounds, Item, Spread};
use crate::hash::Domain;
use crate::ring::Ring;

/// Divided by every number of possible leaders without a rest: the least common multiple of 1..=16.
const WHOLE: u64 = 720_720;

/// Chooses the leaders of `target`, and gives the bound of each node that takes replicas.
pub(super) fn choose(
    old: &Assignment,
    target: &mut Assignment,
    cluster: &Cluster,
    replicas: &Spread,
    policy: &Policy,
) -> Vec<u64> {
    let able: Vec<BTreeSet<usize>> = target
        .vnodes
        .iter()
        .map(|held| held.nodes.iter().filter_map(|&node| cluster.bin(node)).collect())
        .collect();
    let bounds: Vec<Bounds> = shares(&able, cluster.taking.len())
        .into_iter()
        .enumerate()
        .map(|(bin, share)| {
            let most = target.vnodes.len() as u64;
            let bounds = Bounds::new(share, policy.slack, most);
            let of_replicas = replicas
                .share(bin)
                .ceil(policy.slack.percent.saturating_add(100), u64::from(policy.replicas.max(1)));
            Bounds { cap: bounds.cap.min(of_replicas).max(share.ceil(100, 1)), ..bounds }
        })
        .collect();
    let caps = bounds.iter().map(|bounds| bounds.cap).collect();

    let groups = (0..cluster.taking.len()).collect();
    let items = able.into_iter().map(Item::one_of).collect();
    let mut spread = Spread::new(cluster.taking.clone(), groups, bounds, items);
    for (vnode, held) in old.vnodes.iter().enumerate() {
        if let Some(bin) = held.leader.and_then(|leader| cluster.bin(leader)) {
            spread.keep(vnode, bin);
        }
    }
    let ring = Ring::new(Domain::NodePoint, cluster.taking.iter().map(|&node| (node, 1)));
    spread.settle(&ring);

    for (vnode, held) in target.vnodes.iter_mut().enumerate() {
        let chosen = spread.bins_of_item(vnode).next().map(|bin| cluster.taking[bin]);
        held.leader = chosen.or_else(|| stand_in(&held.nodes, old, vnode, cluster));
    }
    caps
}

/// The leader of a virtual node that no ordinary node holds: one that leaves before one that is
/// away, and whoever led before.
fn stand_in(nodes: &[u64], old: &Assignment, vnode: usize, cluster: &Cluster) -> Option<u64> {
    let led = old.vnodes[vnode].leader;
    nodes
        .iter()
        .copied()
        .min_by_key(|&node| (cluster.usage(node) != Some(Use::Leaves), led != Some(node), node))
}

/// What each bin would lead if every virtual node was led by all who can, in equal parts.
fn shares(able: &[BTreeSet<usize>], bins: usize) -> Vec<Share> {
    let mut parts = vec![0; bins];
    for able in able {
        for &bin in able {
            // More than 16 replicas are not asked for; were they, shares would be a little low.
            parts[bin] += WHOLE / able.len() as u64;
        }
    }
    parts.into_iter().map(|parts| Share::new(parts, WHOLE)).collect()
}
