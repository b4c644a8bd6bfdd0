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
    /// Which of several virtual nodes a node is given: (vnode, node id).
    Transfer = 5,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: placements that are committed were made with these. They agree with another
    /// implementation of XXH3 (python-xxhash).
    #[test]
    fn golden_vectors() {
        for (bytes, hash) in [
            (&b""[..], 0xa453_6024_78a8_aa49),
            (b"a", 0x5efa_f0ee_ae80_7d7f),
            (b"ringspool", 0x30f1_3e42_54d6_6f0c),
            (&[0; 64], 0xcf3e_6a18_0752_cf14),
            (&[0xab; 300], 0x2ff6_8c5a_71b0_fc92),
        ] {
            assert_eq!(hash_bytes(bytes), hash, "{:#018x} of {bytes:02x?}", hash_bytes(bytes));
        }
        for (domain, first, second, hash) in [
            (Domain::VnodePoint, 0, 0, 0x3a57_505b_3f70_0a00),
            (Domain::Partition, 1, 2, 0x7f5d_8fdf_d419_8148),
            (Domain::NodePoint, 1, 2, 0xa713_aeaf_7ddd_3f7a),
            (Domain::Vnode, 63, 0, 0x6b7d_c5d7_c14d_dbc0),
            (Domain::Transfer, u64::MAX, 7, 0xa4b9_abe9_453e_d8e0),
        ] {
            let found = hash_pair(domain, first, second);
            assert_eq!(found, hash, "{found:#018x} of {domain:?} {first} {second}");
        }
    }

    #[test]
    fn a_pair_is_hashed_as_its_documented_bytes() {
        let key = [2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(hash_pair(Domain::Partition, 1, 2), hash_bytes(&key));
    }
}
