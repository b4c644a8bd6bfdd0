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
