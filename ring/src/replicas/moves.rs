//! The steps from one assignment to another, the most urgent first.
//!
//! Each step leaves an assignment that is no worse than before: a replica goes only when its
//! successor is there. Steps of one virtual node depend on each other and stay in order; steps of
//! equal urgency go round the nodes that receive, so that no prefix of them loads one node.

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::{Assignment, VnodeReplicas};
use super::member::{Cluster, Use};

/// What a step does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// A node gets a replica that nobody gives up.
    Add {
        /// The node.
        node: u64,
    },
    /// A replica moves. If it led, the new one leads.
    Replace {
        /// Who gives it up, once the other has it.
        from: u64,
        /// Who gets it.
        to: u64,
    },
    /// A replica goes. If it led, the remaining one with the lowest id leads.
    Remove {
        /// Whose.
        node: u64,
    },
    /// Leadership moves to another replica.
    Lead {
        /// Who leads then.
        to: u64,
    },
}

impl Step {
    /// The node that has to copy the data, if any.
    #[must_use]
    pub fn receiver(self) -> Option<u64> {
        match self {
            Step::Add { node } => Some(node),
            Step::Replace { to, .. } => Some(to),
            Step::Remove { .. } | Step::Lead { .. } => None,
        }
    }

    /// The nodes it burdens.
    fn nodes(self) -> impl Iterator<Item = u64> {
        let (one, other) = match self {
            Step::Add { node } => (Some(node), None),
            Step::Replace { from, to } => (Some(from), Some(to)),
            Step::Remove { .. } | Step::Lead { .. } => (None, None),
        };
        one.into_iter().chain(other)
    }
}

/// Why a step is taken; the earlier, the more urgent.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// The leader is leaving or away, and another replica can lead at once.
    Relieve,
    /// There are fewer replicas than there should be.
    Repair,
    /// Its node is leaving.
    Drain,
    /// Racks or bounds demand it.
    Balance,
    /// There are more replicas than there should be.
    Trim,
    /// Leaderships are to be even, or a newcomer was meant to lead.
    Lead,
}

/// A step of a plan.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Move {
    /// The virtual node.
    pub vnode: u32,
    /// What to do.
    pub step: Step,
    /// Why.
    pub reason: Reason,
}

/// How much may go on at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Throttle {
    /// Moves of the whole cluster.
    pub moves_max: usize,
    /// Moves a node takes part in, giving or receiving.
    pub moves_per_node_max: usize,
}

impl Throttle {
    /// The moves to begin now, given those under way: in the order of the plan, at most one for
    /// each virtual node. A plan made anew may name moves that are under way already; they are not
    /// begun twice.
    #[must_use]
    pub fn next(&self, plan: &[Move], under_way: &[Move]) -> Vec<Move> {
        let mut busy: BTreeMap<u64, usize> = BTreeMap::new();
        let mut vnodes: BTreeSet<u32> = BTreeSet::new();
        for step in under_way {
            vnodes.insert(step.vnode);
            step.step.nodes().for_each(|node| *busy.entry(node).or_default() += 1);
        }
        let mut begun = Vec::new();
        for step in plan {
            if under_way.len() + begun.len() >= self.moves_max {
                break;
            }
            // Even a step that has to wait holds back the later ones of its virtual node.
            let first = vnodes.insert(step.vnode);
            let free = |node| busy.get(&node).is_none_or(|&n| n < self.moves_per_node_max);
            if first && step.step.nodes().all(free) {
                step.step.nodes().for_each(|node| *busy.entry(node).or_default() += 1);
                begun.push(*step);
            }
        }
        begun
    }
}

impl VnodeReplicas {
    /// The virtual node after a step.
    pub(super) fn take_step(&mut self, step: Step) {
        let add = |nodes: &mut Vec<u64>, node| {
            if let Err(at) = nodes.binary_search(&node) {
                nodes.insert(at, node);
            }
        };
        match step {
            Step::Add { node } => add(&mut self.nodes, node),
            Step::Replace { from, to } => {
                add(&mut self.nodes, to);
                self.nodes.retain(|&node| node != from);
                self.leader = self.leader.map(|leader| if leader == from { to } else { leader });
            }
            Step::Remove { node } => {
                self.nodes.retain(|&other| other != node);
                self.leader = self
                    .leader
                    .filter(|&leader| leader != node)
                    .or_else(|| self.nodes.first().copied());
            }
            Step::Lead { to } => self.leader = Some(to),
        }
    }
}

impl Assignment {
    /// Takes one step of a plan that was made from this assignment.
    pub fn take_step(&mut self, step: &Move) {
        if let Some(replicas) = self.vnodes.get_mut(step.vnode as usize) {
            replicas.take_step(step.step);
        }
    }
}

/// The steps from `old` to `target`, both normalised.
pub(super) fn between(old: &Assignment, target: &Assignment, cluster: &Cluster) -> Vec<Move> {
    let mut ranked = Vec::new();
    // The n-th step for a receiver comes after the n-1st of all others.
    let mut turns: BTreeMap<(Reason, usize, Option<u64>), u64> = BTreeMap::new();
    for (vnode, (old, target)) in (0u32..).zip(old.vnodes.iter().zip(&target.vnodes)) {
        let alive = old.nodes.iter().filter(|&&node| cluster.usage(node).is_some()).count();
        for (reason, step) in steps(old, target, cluster) {
            let turn = turns.entry((reason, alive, step.receiver())).or_insert(0);
            ranked.push((reason, alive, *turn, Move { vnode, step, reason }));
            *turn += 1;
        }
    }
    ranked.sort_by_key(|&(reason, alive, turn, _)| (reason, alive, turn));
    ranked.into_iter().map(|(_, _, _, step)| step).collect()
}

/// The steps of one virtual node.
fn steps(old: &VnodeReplicas, target: &VnodeReplicas, cluster: &Cluster) -> Vec<(Reason, Step)> {
    let mut state = old.clone();
    let mut steps = Vec::new();
    let can_lead = |node: u64| cluster.usage(node) == Some(Use::Takes);
    if let (Some(leads), Some(to)) = (old.leader, target.leader)
        && leads != to
        && old.nodes.contains(&to)
        && !(can_lead(leads) && target.nodes.contains(&leads))
    {
        steps.push((Reason::Relieve, Step::Lead { to }));
    }

    let gone_first = |&node: &u64| (cluster.usage(node).is_some(), node);
    let mut goes: Vec<u64> =
        old.nodes.iter().copied().filter(|node| !target.nodes.contains(node)).collect();
    goes.sort_by_key(gone_first);
    let comes: Vec<u64> =
        target.nodes.iter().copied().filter(|node| !old.nodes.contains(node)).collect();
    // A lost replica needs its successor most, so it is paired first.
    let mut changes: Vec<(Reason, Step)> = Vec::new();
    for at in 0..goes.len().max(comes.len()) {
        changes.push(match (goes.get(at), comes.get(at)) {
            (Some(&from), Some(&to)) => {
                let reason = match cluster.usage(from) {
                    None => Reason::Repair,
                    Some(Use::Leaves) => Reason::Drain,
                    Some(Use::Takes | Use::Keeps) => Reason::Balance,
                };
                (reason, Step::Replace { from, to })
            }
            (None, Some(&node)) => (Reason::Repair, Step::Add { node }),
            (Some(&node), None) => (Reason::Trim, Step::Remove { node }),
            (None, None) => break,
        });
    }
    changes.sort_by_key(|&(reason, _)| reason);
    steps.extend(changes);

    for &(_, step) in &steps {
        state.take_step(step);
    }
    if let Some(to) = target.leader
        && state.leader != Some(to)
    {
        steps.push((Reason::Lead, Step::Lead { to }));
    }
    steps
}
