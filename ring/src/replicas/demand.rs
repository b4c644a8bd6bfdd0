//! What each virtual node needs of the nodes that take replicas.

use std::collections::BTreeMap;

use super::assignment::VnodeReplicas;
use super::member::{Cluster, Use};
use super::share::{Level, Share};
use super::spread::Item;

/// The needs of one virtual node.
pub(super) struct Demand {
    /// Nodes that hold it and stay whatever is planned: those away for maintenance, and leaving
    /// ones that nobody can replace.
    pub(super) fixed: Vec<u64>,
    /// Of those, how many are on each rack.
    fixed_on_rack: BTreeMap<usize, usize>,
    /// Replicas wanted from nodes that take them.
    need: usize,
    /// Most replicas on one rack: 1, if the racks allow it.
    rack_max: usize,
}

impl Demand {
    pub(super) fn new(held: &VnodeReplicas, cluster: &Cluster, replicas: u16) -> Self {
        let replicas = usize::from(replicas);
        let used = |usage: Use| {
            held.nodes.iter().copied().filter(move |&node| cluster.usage(node) == Some(usage))
        };
        let mut fixed: Vec<u64> = used(Use::Keeps).take(replicas).collect();
        let need = (replicas - fixed.len()).min(cluster.taking.len());
        let short = replicas - fixed.len() - need;
        fixed.extend(used(Use::Leaves).take(short));

        let mut fixed_on_rack = BTreeMap::new();
        for rack in fixed.iter().filter_map(|&node| cluster.rack(node)) {
            *fixed_on_rack.entry(rack).or_insert(0) += 1;
        }
        let mut demand = Demand { fixed, fixed_on_rack, need, rack_max: 1 };
        while demand.places(cluster).sum::<usize>() < need {
            demand.rack_max += 1;
        }
        demand
    }

    /// Replicas that each rack could take.
    fn places(&self, cluster: &Cluster) -> impl Iterator<Item = usize> {
        cluster.taking_on_rack.iter().enumerate().map(|(rack, &taking)| {
            let fixed = self.fixed_on_rack.get(&rack).copied().unwrap_or(0);
            self.rack_max.saturating_sub(fixed).min(taking)
        })
    }

    /// The virtual node, to be spread over nodes.
    pub(super) fn item(&self) -> Item {
        Item::new(self.need, self.rack_max, self.fixed_on_rack.clone())
    }
}

/// The fair share of each node that takes replicas.
pub(super) fn shares(demands: &[Demand], cluster: &Cluster) -> Vec<Share> {
    let mut rack_max = vec![0; cluster.taking_on_rack.len()];
    for demand in demands {
        for (max, places) in rack_max.iter_mut().zip(demand.places(cluster)) {
            *max += places.min(demand.need) as u64;
        }
    }
    let whole = demands.iter().map(|demand| demand.need as u64).sum();
    let needing = demands.iter().filter(|demand| demand.need > 0).count() as u64;
    Level {
        weights: &cluster.weight_of_taking,
        groups: &cluster.rack_of_taking,
        place_max: needing,
        group_max: &rack_max,
    }
    .shares(whole)
}
