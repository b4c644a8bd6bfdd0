//! Items over bins within bounds: virtual nodes over nodes, or leaderships over replicas.
//!
//! Four steps. **Keep** what may stay. **Fill** what is missing, at the first bin on the ring that
//! has room. **Shed** what is over a bin's bound, to the emptiest that can take it. **Pull** to a
//! bin far below its share, which is how a newcomer gets something. Where no single move fits, fill
//! and shed look for a chain of them ([`super::augment`]).
//!
//! Invariants: an item is in a bin once; it has no more bins of a group (a rack) than its limit;
//! `items_of` is the inverse of the items' bins.

use std::collections::{BTreeMap, BTreeSet};

use super::augment::{self, Start};
use super::share::Share;
use crate::bound::Slack;
use crate::hash::{Domain, hash_pair};
use crate::ring::Ring;

/// How much a bin should hold.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// What is fair.
    pub(super) share: Share,
    /// The most it may hold.
    pub(super) cap: u64,
    /// Below this it pulls.
    pub(super) low: u64,
}

impl Bounds {
    /// Bounds around a share, for a bin that can hold `most`.
    pub(super) fn new(share: Share, slack: Slack, most: u64) -> Self {
        let cap = share.ceil(slack.percent.saturating_add(100), 1).min(most);
        Bounds { share, cap, low: share.floor(100u32.saturating_sub(slack.percent), 1) }
    }
}

/// What is spread.
pub(super) struct Item {
    /// Bins it should have.
    need: usize,
    /// Most bins of one group.
    group_max: usize,
    /// What it has in groups already, outside of the bins.
    fixed: BTreeMap<usize, usize>,
    /// The bins it may have; all if `None`.
    allowed: Option<BTreeSet<usize>>,
    /// The bins it has.
    bins: BTreeSet<usize>,
}

impl Item {
    pub(super) fn new(need: usize, group_max: usize, fixed: BTreeMap<usize, usize>) -> Self {
        Item { need, group_max, fixed, allowed: None, bins: BTreeSet::new() }
    }

    /// An item for one of these bins, if there are any.
    pub(super) fn one_of(allowed: BTreeSet<usize>) -> Self {
        let need = usize::from(!allowed.is_empty());
        Item { allowed: Some(allowed), ..Item::new(need, 1, BTreeMap::new()) }
    }
}

/// Items over bins.
pub(super) struct Spread {
    /// Node id of each bin, ascending.
    ids: Vec<u64>,
    /// Group of each bin.
    groups: Vec<usize>,
    /// Bins of each group.
    bins_of_group: BTreeMap<usize, Vec<usize>>,
    bounds: Vec<Bounds>,
    items: Vec<Item>,
    items_of: Vec<BTreeSet<usize>>,
}

impl Spread {
    pub(super) fn new(
        ids: Vec<u64>,
        groups: Vec<usize>,
        bounds: Vec<Bounds>,
        items: Vec<Item>,
    ) -> Self {
        let mut bins_of_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (bin, &group) in groups.iter().enumerate() {
            bins_of_group.entry(group).or_default().push(bin);
        }
        let items_of = vec![BTreeSet::new(); ids.len()];
        Spread { ids, groups, bins_of_group, bounds, items, items_of }
    }

    /// Leaves an item in a bin where it is, if it may stay.
    pub(super) fn keep(&mut self, item: usize, bin: usize) {
        if self.is_short(item) && self.can_take(item, bin) {
            self.put(item, bin);
        }
    }

    /// Brings everything within bounds. Gives by how much bounds had to be raised, which is 0
    /// unless items that cannot move are in the way.
    pub(super) fn settle(&mut self, ring: &Ring) -> u64 {
        let raised = self.fill(ring);
        self.shed();
        self.pull();
        raised
    }

    /// The bins of an item, ascending.
    pub(super) fn bins_of_item(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        self.items[item].bins.iter().copied()
    }

    /// The items of a bin, ascending.
    pub(super) fn items_of_bin(&self, bin: usize) -> impl Iterator<Item = usize> + '_ {
        self.items_of[bin].iter().copied()
    }

    /// The most a bin may hold.
    pub(super) fn cap(&self, bin: usize) -> u64 {
        self.bounds[bin].cap
    }

    /// What is fair for a bin.
    pub(super) fn share(&self, bin: usize) -> Share {
        self.bounds[bin].share
    }

    /// What a bin holds.
    pub(super) fn load(&self, bin: usize) -> u64 {
        self.items_of[bin].len() as u64
    }

    /// The group of a bin.
    pub(super) fn group(&self, bin: usize) -> usize {
        self.groups[bin]
    }

    /// Groups in which an item may have one more bin.
    pub(super) fn open_groups(&self, item: usize) -> impl Iterator<Item = usize> + '_ {
        self.bins_of_group
            .keys()
            .copied()
            .filter(move |&group| self.in_group(item, group) < self.items[item].group_max)
    }

    /// Bins of a group that an item may have and has not.
    pub(super) fn new_bins(&self, item: usize, group: usize) -> impl Iterator<Item = usize> + '_ {
        let bins = self.bins_of_group.get(&group).map_or(&[][..], Vec::as_slice);
        bins.iter().copied().filter(move |&bin| self.may_have(item, bin))
    }

    pub(super) fn put(&mut self, item: usize, bin: usize) {
        let new = self.items[item].bins.insert(bin) & self.items_of[bin].insert(item);
        assert!(new, "an item is put into a bin once");
    }

    pub(super) fn take(&mut self, item: usize, bin: usize) {
        let had = self.items[item].bins.remove(&bin) & self.items_of[bin].remove(&item);
        assert!(had, "an item is taken from a bin that has it");
    }

    fn is_short(&self, item: usize) -> bool {
        self.items[item].bins.len() < self.items[item].need
    }

    fn may_have(&self, item: usize, bin: usize) -> bool {
        let item = &self.items[item];
        !item.bins.contains(&bin)
            && item.allowed.as_ref().is_none_or(|allowed| allowed.contains(&bin))
    }

    fn in_group(&self, item: usize, group: usize) -> usize {
        let item = &self.items[item];
        let bins = item.bins.iter().filter(|&&bin| self.groups[bin] == group).count();
        bins + item.fixed.get(&group).copied().unwrap_or(0)
    }

    fn can_take(&self, item: usize, bin: usize) -> bool {
        self.may_have(item, bin)
            && self.in_group(item, self.groups[bin]) < self.items[item].group_max
    }

    fn can_move(&self, item: usize, from: usize, to: usize) -> bool {
        self.may_have(item, to) && (self.groups[from] == self.groups[to] || self.can_take(item, to))
    }

    /// Gives every item the bins it lacks.
    fn fill(&mut self, ring: &Ring) -> u64 {
        let mut raised = 0;
        for item in 0..self.items.len() {
            while self.is_short(item) {
                if let Some(bin) = self.first_fit(item, ring) {
                    self.put(item, bin);
                } else if !augment::augment(self, Start::Item(item)) {
                    let most = self.items.len() as u64;
                    if self.bounds.iter().all(|bounds| bounds.cap >= most) {
                        break;
                    }
                    raised += 1;
                    for bounds in &mut self.bounds {
                        bounds.cap += 1;
                    }
                }
            }
        }
        raised
    }

    /// The first bin on the ring with room for an item: alone in its group before sharing it; far
    /// below its share before just below it, up to it before up to the bound. What is filled first
    /// need not be pulled to later.
    fn first_fit(&self, item: usize, ring: &Ring) -> Option<usize> {
        let levels: [fn(&Bounds) -> u64; 4] = [
            |b| b.low,
            |b| b.share.floor(100, 1).min(b.cap),
            |b| b.share.ceil(100, 1).min(b.cap),
            |b| b.cap,
        ];
        for sharing in 1..=self.items[item].group_max {
            for level in levels {
                let fits = |bin: usize| {
                    self.load(bin) < level(&self.bounds[bin])
                        && self.may_have(item, bin)
                        && self.in_group(item, self.groups[bin]) < sharing
                };
                // A walk of the whole ring is long; it is taken only when it will find something.
                if (0..self.ids.len()).any(fits) {
                    return ring
                        .walk(hash_pair(Domain::Vnode, item as u64, 0))
                        .filter_map(|id| self.ids.binary_search(&id).ok())
                        .find(|&bin| fits(bin));
                }
            }
        }
        None
    }

    /// Takes from every bin what is over its bound.
    fn shed(&mut self) {
        for bin in 0..self.ids.len() {
            while self.load(bin) > self.bounds[bin].cap {
                let mut others = self.by_fill();
                others.retain(|&to| to != bin && self.load(to) < self.bounds[to].cap);
                let moved = others.into_iter().any(|to| self.move_one(bin, to));
                if !moved && !augment::augment(self, Start::Bin(bin)) {
                    break;
                }
            }
        }
    }

    /// Brings bins that are far below their share up to their lower bound, as far as others are
    /// above theirs.
    fn pull(&mut self) {
        loop {
            let mut low = self.by_fill();
            low.retain(|&bin| self.load(bin) < self.bounds[bin].low);
            let moved = low.into_iter().any(|to| {
                let mut others = self.by_fill();
                others.retain(|&from| self.load(from) > self.bounds[from].share.floor(100, 1));
                others.into_iter().rev().any(|from| self.move_one(from, to))
            });
            if !moved {
                return;
            }
        }
    }

    /// Bins from the emptiest to the fullest.
    fn by_fill(&self) -> Vec<usize> {
        let mut bins: Vec<usize> = (0..self.ids.len()).collect();
        bins.sort_by(|&a, &b| {
            self.share(a).compare_fill(self.load(a), self.share(b), self.load(b)).then(a.cmp(&b))
        });
        bins
    }

    /// Moves one item from a bin to another, if any can move: the one the hash prefers there.
    fn move_one(&mut self, from: usize, to: usize) -> bool {
        let id = self.ids[to];
        let item = self.items_of[from]
            .iter()
            .copied()
            .filter(|&item| self.can_move(item, from, to))
            .min_by_key(|&item| (hash_pair(Domain::Transfer, item as u64, id), item));
        if let Some(item) = item {
            self.take(item, from);
            self.put(item, to);
        }
        item.is_some()
    }
}
