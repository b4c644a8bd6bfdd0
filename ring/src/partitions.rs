//! Which virtual node serves a partition; decided once, when the topic is created.
//!
//! Partition `p` of a topic starts at `hash(topic, p)` on a ring of the virtual nodes' points and
//! takes the first one clockwise that is allowed. Allowed is what survives these filters, in this
//! order; each keeps the best of what the ones before it left, so that something is always left:
//!
//! 1. **The topic is even over virtual nodes.** A virtual node gets its second partition of the
//!    topic when every other has its first.
//! 2. **The topic is even over shards.** Virtual node v is served by shard v % shards, so for each
//!    likely number of shards the residues with the fewest partitions of this topic (for their
//!    size) are kept. The powers of two come first and hold exactly; see [`SHARD_COUNTS`].
//! 3. **Everything is even.** A virtual node stays within its bound of all topics' partitions, or,
//!    when none of the rest does, the least loaded are kept.
//!
//! After a full round over all virtual nodes the counts of 1 and 2 are even again, so the next
//! round repeats the first.

use std::collections::BTreeMap;

use crate::bound::Slack;
use crate::hash::{Domain, hash_pair};
use crate::ring::Ring;

/// Points of a virtual node on the ring of partitions.
const POINTS_PER_VNODE: u32 = 32;

/// Numbers of shards over which a topic is spread evenly, most important first. A power of two
/// only splits the classes of the one before it, so these never contradict each other; the rest is
/// kept as well as they allow.
const SHARD_COUNTS: [u32; 11] = [2, 4, 8, 16, 32, 64, 3, 6, 12, 24, 48];

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
    let load_total = loads.values().sum::<u64>().saturating_add(u64::from(partitions));
    let bound = slack.bound(load_total, 1, count);
    let rounds = u64::from(partitions) / count;
    let left_over = u64::from(partitions) % count;

    let ring = Ring::new(
        Domain::VnodePoint,
        loads.keys().map(|&vnode| (u64::from(vnode), POINTS_PER_VNODE)),
    );
    let mut classes: Vec<Classes> =
        SHARD_COUNTS.iter().map(|&shards| Classes::new(shards, loads.keys().copied())).collect();
    let mut free: Vec<u32> = loads.keys().copied().collect();
    let mut round = Vec::new();
    for partition in 0..u64::from(partitions).min(count) {
        let mut allowed = free.clone();
        for class in &classes {
            class.keep_emptiest(&mut allowed);
        }
        let takes = rounds + u64::from(partition < left_over);
        keep_within(&mut allowed, loads, bound.saturating_sub(takes));
        let key = hash_pair(Domain::Partition, topic_id, partition);
        let chosen = ring
            .walk(key)
            .find_map(|owner| {
                allowed.iter().position(|&vnode| u64::from(vnode) == owner).map(|at| allowed[at])
            })
            .unwrap_or(allowed[0]);
        for class in &mut classes {
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
}

impl Classes {
    fn new(shards: u32, vnodes: impl Iterator<Item = u32>) -> Self {
        let mut sizes = vec![0; shards as usize];
        for vnode in vnodes {
            sizes[(vnode % shards) as usize] += 1;
        }
        Classes { shards, sizes, placed: vec![0; shards as usize] }
    }

    fn class(&self, vnode: u32) -> usize {
        (vnode % self.shards) as usize
    }

    fn add(&mut self, vnode: u32) {
        let class = self.class(vnode);
        self.placed[class] += 1;
    }

    /// Keeps those in classes with the fewest partitions for their size.
    fn keep_emptiest(&self, allowed: &mut Vec<u32>) {
        let fuller =
            |a: usize, b: usize| self.placed[a] * self.sizes[b] > self.placed[b] * self.sizes[a];
        let Some(&first) = allowed.first() else { return };
        let emptiest = allowed.iter().fold(self.class(first), |best, &vnode| {
            let class = self.class(vnode);
            if fuller(best, class) { class } else { best }
        });
        allowed.retain(|&vnode| !fuller(self.class(vnode), emptiest));
    }
}
