//! How much of the whole is fair for each node.
//!
//! By weight, except that a node can hold each virtual node once, and a rack only so many replicas
//! of each: what is over such a limit is shared among the others, by weight again, like water that
//! finds its level. Exact fractions; the shares add up to the whole.

use std::cmp::Ordering;

/// A fair share: `load / parts`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    load: u128,
    parts: u128,
}

impl Share {
    /// The share `load / parts`; nothing if there are no parts.
    pub(super) fn new(load: u64, parts: u64) -> Self {
        Share { load: u128::from(load), parts: u128::from(parts.max(1)) }
    }

    fn of(load: u64, weight: u64, weight_total: u64) -> Self {
        Share {
            load: u128::from(load) * u128::from(weight),
            parts: u128::from(weight_total.max(1)),
        }
    }

    /// `percent` of this share divided by `by`, rounded down.
    pub(super) fn floor(self, percent: u32, by: u64) -> u64 {
        narrow(self.load * u128::from(percent) / self.divisor(by))
    }

    /// `percent` of this share divided by `by`, rounded up.
    pub(super) fn ceil(self, percent: u32, by: u64) -> u64 {
        narrow((self.load * u128::from(percent)).div_ceil(self.divisor(by)))
    }

    fn divisor(self, by: u64) -> u128 {
        self.parts * 100 * u128::from(by.max(1))
    }

    /// Compares how full two places are: their loads, each in relation to its share. A place that
    /// should have nothing is fuller than any that should have something.
    pub(super) fn compare_fill(self, load: u64, other: Share, other_load: u64) -> Ordering {
        if self.load == 0 || other.load == 0 {
            return (self.load == 0, load).cmp(&(other.load == 0, other_load));
        }
        let mine = u128::from(load) * self.parts * other.load;
        let theirs = u128::from(other_load) * other.parts * self.load;
        mine.cmp(&theirs)
    }
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Shares of places in groups.
pub(super) struct Level<'a> {
    /// Weight of each place.
    pub(super) weights: &'a [u32],
    /// Group of each place.
    pub(super) groups: &'a [usize],
    /// The most a place can hold.
    pub(super) place_max: u64,
    /// The most each group can hold.
    pub(super) group_max: &'a [u64],
}

impl Level<'_> {
    /// Shares a whole that fits.
    pub(super) fn shares(&self, whole: u64) -> Vec<Share> {
        let full = self.full_groups(whole);
        let open: Vec<usize> =
            (0..self.weights.len()).filter(|&place| !full[self.groups[place]]).collect();
        let in_full: u64 = self.sum_max(&full);
        let mut shares = vec![Share::new(0, 1); self.weights.len()];
        self.share_among(&open, whole.saturating_sub(in_full), &mut shares);
        for (group, _) in full.iter().enumerate().filter(|(_, full)| **full) {
            let places: Vec<usize> =
                (0..self.weights.len()).filter(|&place| self.groups[place] == group).collect();
            self.share_among(&places, self.group_max[group], &mut shares);
        }
        shares
    }

    fn sum_max(&self, full: &[bool]) -> u64 {
        full.iter().zip(self.group_max).filter(|(full, _)| **full).map(|(_, max)| max).sum()
    }

    /// Groups that would hold more than they can. Closing one raises the level for the others, so
    /// it is done until no other is over.
    fn full_groups(&self, whole: u64) -> Vec<bool> {
        let mut full = vec![false; self.group_max.len()];
        loop {
            let open: Vec<usize> =
                (0..self.weights.len()).filter(|&place| !full[self.groups[place]]).collect();
            let left = whole.saturating_sub(self.sum_max(&full));
            let (at_max, level) = self.level(&open, left);
            // Load of each group, times the weight the level is divided by.
            let mut loads = vec![0u128; full.len()];
            for &place in &open {
                loads[self.groups[place]] += if at_max[place] {
                    u128::from(self.place_max) * level.1
                } else {
                    level.0 * u128::from(self.weights[place])
                };
            }
            let before = full.clone();
            for (group, load) in loads.into_iter().enumerate() {
                full[group] |= load > u128::from(self.group_max[group]) * level.1;
            }
            if full == before {
                return full;
            }
        }
    }

    /// Shares a load among places by weight; what one cannot hold goes to the others.
    fn share_among(&self, places: &[usize], load: u64, shares: &mut [Share]) {
        let (at_max, (left, weight)) = self.level(places, load);
        for &place in places {
            shares[place] = if at_max[place] {
                Share::new(self.place_max, 1)
            } else {
                Share::of(narrow(left), u64::from(self.weights[place]), narrow(weight))
            };
        }
    }

    /// Which of the places are at their maximum, and the load per weight of the others as
    /// (load, weight).
    fn level(&self, places: &[usize], load: u64) -> (Vec<bool>, (u128, u128)) {
        let mut at_max = vec![false; self.weights.len()];
        loop {
            let held = places.iter().filter(|&&place| at_max[place]).count() as u64;
            let left = u128::from(load.saturating_sub(held * self.place_max));
            let weight: u128 = places
                .iter()
                .filter(|&&place| !at_max[place])
                .map(|&place| u128::from(self.weights[place]))
                .sum();
            let mut changed = false;
            for &place in places {
                let over =
                    left * u128::from(self.weights[place]) > u128::from(self.place_max) * weight;
                if over && !at_max[place] {
                    at_max[place] = true;
                    changed = true;
                }
            }
            if !changed {
                return (at_max, (left, weight.max(1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], groups: &[usize], group_max: &[u64], whole: u64) -> Vec<u64> {
        let level = Level { weights, groups, place_max: 64, group_max };
        // Hundredths, so that fractions show.
        level.shares(whole).into_iter().map(|share| share.floor(10_000, 1)).collect()
    }

    #[test]
    fn shares_go_by_weight() {
        assert_eq!(shares(&[100, 100], &[0, 1], &[64, 64], 64), [3200, 3200]);
        assert_eq!(shares(&[300, 100], &[0, 1], &[64, 64], 64), [4800, 1600]);
        assert_eq!(shares(&[1, 1, 1], &[0, 1, 2], &[64; 3], 64), [2133; 3]);
    }

    #[test]
    fn what_a_place_cannot_hold_goes_to_the_others() {
        assert_eq!(
            shares(&[1000, 100, 100, 100], &[0, 1, 2, 3], &[64; 4], 190),
            [6400, 4200, 4200, 4200]
        );
    }

    #[test]
    fn what_a_rack_cannot_hold_goes_to_the_others() {
        // Four nodes on one rack and one on each of two more: each rack holds a third.
        assert_eq!(
            shares(&[100; 6], &[0, 0, 0, 0, 1, 2], &[64; 3], 192),
            [1600, 1600, 1600, 1600, 6400, 6400]
        );
        // The heavy node of a full rack is not at its maximum there.
        assert_eq!(
            shares(&[300, 100, 100, 100], &[0, 0, 1, 2], &[64; 3], 180),
            [4800, 1600, 5800, 5800]
        );
    }

    #[test]
    fn fill_is_compared_by_share_and_is_a_total_order() {
        let (nothing, one, two) = (Share::new(0, 1), Share::new(1, 3), Share::new(2, 3));
        assert_eq!(one.compare_fill(1, two, 2), Ordering::Equal);
        assert_eq!(one.compare_fill(1, two, 1), Ordering::Greater);
        assert_eq!(one.compare_fill(9, nothing, 0), Ordering::Less);
        assert_eq!(nothing.compare_fill(0, one, 0), Ordering::Greater, "not equal to everything");
        assert_eq!(nothing.compare_fill(1, nothing, 0), Ordering::Greater);
    }

    #[test]
    fn nothing_is_shared_among_nobody() {
        assert!(shares(&[], &[], &[], 64).is_empty());
        assert_eq!(shares(&[100, 100], &[0, 1], &[0, 0], 0), [0, 0]);
    }
}
