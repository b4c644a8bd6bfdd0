//! A consistent-hash ring: owners own points, a key belongs to the first point at or after it.
//!
//! Invariants: points are in ascending order of (position, owner), so equal positions do not make
//! the ring depend on the order its owners were given in; an owner without points is not on it.

use crate::hash::{Domain, hash_pair};

/// Owners on a ring of 64-bit positions.
#[derive(Clone, Debug)]
pub struct Ring {
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Point {
    position: u64,
    owner: u64,
}

impl Ring {
    /// A ring where each `(owner, points)` has that many points. The order of owners is of no
    /// consequence.
    #[must_use]
    pub fn new(domain: Domain, owners: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut points: Vec<Point> = owners
            .into_iter()
            .flat_map(|(owner, count)| {
                (0..u64::from(count))
                    .map(move |n| Point { position: hash_pair(domain, owner, n), owner })
            })
            .collect();
        points.sort_unstable();
        points.dedup();
        Ring { points }
    }

    /// Owners from `key` clockwise, once around: as often as they have points.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = u64> + '_ {
        let start = self.points.partition_point(|point| point.position < key);
        self.points[start..].iter().chain(&self.points[..start]).map(|point| point.owner)
    }

    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nobody is on the ring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn owner(ring: &Ring, key: u64) -> Option<u64> {
        ring.walk(key).next()
    }

    #[test]
    fn a_walk_goes_once_around() {
        let ring = Ring::new(Domain::NodePoint, [(1, 10), (2, 20), (3, 0)]);
        assert_eq!((ring.len(), ring.is_empty()), (30, false));
        for key in [0, 1 << 63, u64::MAX] {
            let mut visits: BTreeMap<u64, usize> = BTreeMap::new();
            for owner in ring.walk(key) {
                *visits.entry(owner).or_default() += 1;
            }
            assert_eq!(visits, BTreeMap::from([(1, 10), (2, 20)]));
        }
    }

    #[test]
    fn a_key_belongs_to_the_point_at_or_after_it() {
        let ring = Ring::new(Domain::NodePoint, [(1, 1), (2, 1)]);
        let (one, two) = (hash_pair(Domain::NodePoint, 1, 0), hash_pair(Domain::NodePoint, 2, 0));
        assert_eq!((owner(&ring, one), owner(&ring, two)), (Some(1), Some(2)));
        let (low, high) = if one < two { (1, 2) } else { (2, 1) };
        assert_eq!(owner(&ring, one.min(two) + 1), Some(high));
        assert_eq!(owner(&ring, one.max(two) + 1), Some(low), "around the end");
    }

    #[test]
    fn the_order_of_owners_is_of_no_consequence() {
        let one = Ring::new(Domain::NodePoint, [(1, 8), (2, 8), (3, 8)]);
        let other = Ring::new(Domain::NodePoint, [(3, 8), (1, 8), (2, 8)]);
        assert_eq!(one.points, other.points);
    }

    #[test]
    fn an_empty_ring_owns_nothing() {
        let ring = Ring::new(Domain::NodePoint, []);
        assert!(ring.is_empty());
        assert_eq!(owner(&ring, 7), None);
    }
}
