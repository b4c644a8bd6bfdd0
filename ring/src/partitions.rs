//! Which virtual node serves a partition; decided once, when the topic is created.
//!
//! Partition `p` of a topic starts at `hash(topic, p)` on a ring of the virtual nodes' points and
//! takes the first one clockwise that is allowed. Allowed is what survives these filters, in this
//! order; each keeps the best of what the ones before it left, so that something is always left:
//!
//! 1. **The topic is even over virtual nodes.** A virtual node gets its second partition of the
//!    topic when every other has its first.
//! 2. **The topic is even over shards.** Virtual node v is served by shard v % shards. Of the n
//!    partitions placed so far and now, a residue that has a share s of the virtual nodes takes at
//!    most ceil(s * n), for 2, 4, 8, ... 64 shards. Each of these classes splits those before it in
//!    two, so the bounds never contradict each other: with a multiple of 64 virtual nodes, shards
//!    differ by one partition of a topic at most, whatever its size.
//! 3. **Everything is even.** A virtual node stays within its bound of all topics' partitions, or,
//!    when none of the rest does, the least loaded are kept.
//! 4. **The topic is even over other numbers of shards**, such as 3 and 6, as far as that is left.
//!
//! After a full round over all virtual nodes the counts of 1 and 2 are even again, so the next
//! round repeats the first.

use std::collections::BTreeMap;

use crate::bound::Slack;
use crate::hash::{Domain, hash_pair};
use crate::ring::Ring;

/// Points of a virtual node on the ring of partitions.
const POINTS_PER_VNODE: u32 = 32;

/// Numbers of shards over which a topic is spread exactly.
const SHARD_COUNTS: [u32; 6] = [2, 4, 8, 16, 32, 64];

/// Numbers of shards over which a topic is spread as well as the first and the bounds allow.
const OTHER_SHARD_COUNTS: [u32; 5] = [3, 6, 12, 24, 48];

/// A virtual node and what it serves already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VnodeLoad {
    /// The virtual node.
    pub vnode: u32,
    /// Partitions of all topics that it serves.
    pub partitions: u64,
}

/// Places the partitions of a new topic: element `p` is the virtual node of partition `p`.
///
/// Depends on the arguments only, and not on the order of `vnodes`; of a virtual node given twice
/// the larger load counts. Without virtual nodes there is nowhere to place anything, and the
/// answer is empty.
#[must_use]
pub fn place_partitions(
    topic_id: u64,
    partitions: u32,
    vnodes: &[VnodeLoad],
    slack: Slack,
) -> Vec<u32> {
    let loads: BTreeMap<u32, u64> =
        vnodes.iter().fold(BTreeMap::new(), |mut loads, &VnodeLoad { vnode, partitions }| {
            let load = loads.entry(vnode).or_insert(partitions);
            *load = partitions.max(*load);
            loads
        });
    if loads.is_empty() {
        return Vec::new();
    }
    let round = first_round(topic_id, partitions, &loads, slack);
    round.iter().copied().cycle().take(partitions as usize).collect()
}

/// The virtual nodes of the first round, in the order of the partitions they get.
fn first_round(
    topic_id: u64,
    partitions: u32,
    loads: &BTreeMap<u32, u64>,
    slack: Slack,
) -> Vec<u32> {
    let count = loads.len() as u64;
    let load_total =
        loads.values().fold(u64::from(partitions), |total, &load| total.saturating_add(load));
    let bound = slack.bound(load_total, 1, count);
    let rounds = u64::from(partitions) / count;
    let left_over = u64::from(partitions) % count;

    let ring = Ring::new(
        Domain::VnodePoint,
        loads.keys().map(|&vnode| (u64::from(vnode), POINTS_PER_VNODE)),
    );
    let classes_of = |shards: &[u32]| -> Vec<Classes> {
        shards.iter().map(|&shards| Classes::new(shards, loads.keys().copied())).collect()
    };
    let mut classes = classes_of(&SHARD_COUNTS);
    let mut other_classes = classes_of(&OTHER_SHARD_COUNTS);
    let mut free: Vec<u32> = loads.keys().copied().collect();
    let mut round = Vec::new();
    for partition in 0..u64::from(partitions).min(count) {
        let mut allowed = free.clone();
        for class in &classes {
            class.keep_bounded(&mut allowed);
        }
        let takes = rounds + u64::from(partition < left_over);
        keep_within(&mut allowed, loads, bound.saturating_sub(takes));
        for class in &other_classes {
            class.keep_bounded(&mut allowed);
        }
        let key = hash_pair(Domain::Partition, topic_id, partition);
        let chosen = ring
            .walk(key)
            .find_map(|owner| {
                allowed.iter().position(|&vnode| u64::from(vnode) == owner).map(|at| allowed[at])
            })
            .unwrap_or(allowed[0]);
        for class in classes.iter_mut().chain(&mut other_classes) {
            class.add(chosen);
        }
        free.retain(|&vnode| vnode != chosen);
        round.push(chosen);
    }
    round
}

/// Keeps the virtual nodes with at most `load_max`, or if there are none the least loaded.
fn keep_within(allowed: &mut Vec<u32>, loads: &BTreeMap<u32, u64>, load_max: u64) {
    let lowest = allowed.iter().map(|vnode| loads[vnode]).min().unwrap_or(0);
    let load_max = load_max.max(lowest);
    allowed.retain(|vnode| loads[vnode] <= load_max);
}

/// The residues of the virtual nodes for one number of shards: how many there are of each, and how
/// many partitions of the topic each has.
struct Classes {
    shards: u32,
    sizes: Vec<u64>,
    placed: Vec<u64>,
    vnodes: u64,
    placed_total: u64,
}

impl Classes {
    fn new(shards: u32, vnodes: impl Iterator<Item = u32>) -> Self {
        let mut sizes = vec![0; shards as usize];
        for vnode in vnodes {
            sizes[(vnode % shards) as usize] += 1;
        }
        let vnodes = sizes.iter().sum();
        Classes { shards, sizes, placed: vec![0; shards as usize], vnodes, placed_total: 0 }
    }

    fn add(&mut self, vnode: u32) {
        self.placed[(vnode % self.shards) as usize] += 1;
        self.placed_total += 1;
    }

    /// By how much the class of a virtual node would be over its bound with one partition more.
    fn excess(&self, vnode: u32) -> u64 {
        let class = (vnode % self.shards) as usize;
        let bound = ((self.placed_total + 1) * self.sizes[class]).div_ceil(self.vnodes);
        (self.placed[class] + 1).saturating_sub(bound)
    }

    /// Keeps those in classes that stay within their bound, or else go over it least.
    fn keep_bounded(&self, allowed: &mut Vec<u32>) {
        let least = allowed.iter().map(|&vnode| self.excess(vnode)).min().unwrap_or(0);
        allowed.retain(|&vnode| self.excess(vnode) == least);
    }
}
