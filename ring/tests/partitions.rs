//! How the partitions of topics spread over virtual nodes, shards and everything there is.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use ringspool_ring::{Slack, VnodeLoad, place_partitions};

fn vnodes(count: u32) -> Vec<VnodeLoad> {
    (0..count).map(|vnode| VnodeLoad { vnode, partitions: 0 }).collect()
}

fn place(topic_id: u64, partitions: u32, vnodes: &[VnodeLoad]) -> Vec<u32> {
    place_partitions(topic_id, partitions, vnodes, Slack::DEFAULT)
}

/// Partitions on each of so many shards.
fn on_shards(placed: &[u32], shards: u32) -> Vec<u32> {
    let mut counts = vec![0; shards as usize];
    for vnode in placed {
        counts[(vnode % shards) as usize] += 1;
    }
    counts
}

fn spread(counts: &[u32]) -> u32 {
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

#[test]
fn twelve_partitions_are_on_twelve_virtual_nodes() {
    for topic_id in 1..200 {
        let placed = place(topic_id, 12, &vnodes(64));
        assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 12, "topic {topic_id}");
    }
}

#[test]
fn ten_thousand_partitions_are_even() {
    let counts = on_shards(&place(1, 10_000, &vnodes(64)), 64);
    assert_eq!((counts.iter().min(), counts.iter().max()), (Some(&156), Some(&157)));
}

#[test]
fn a_topic_is_even_over_the_shards_of_a_node_whatever_its_size() {
    for topic_id in 1..40 {
        for partitions in 1..140 {
            let placed = place(topic_id, partitions, &vnodes(64));
            for shards in [2, 4, 8, 16, 32, 64] {
                let counts = on_shards(&placed, shards);
                assert!(spread(&counts) <= 1, "{partitions} on {shards} shards: {counts:?}");
            }
        }
    }
}

#[test]
fn a_topic_is_even_over_three_and_six_shards_too_while_it_is_small() {
    for topic_id in 1..100 {
        for (partitions, shards) in [(2, 3), (3, 3), (6, 3), (2, 6), (3, 6), (6, 6), (12, 6)] {
            let counts = on_shards(&place(topic_id, partitions, &vnodes(64)), shards);
            assert!(spread(&counts) <= 2, "{partitions} on {shards} shards: {counts:?}");
        }
    }
}

#[test]
fn many_small_topics_are_even_together() {
    for partitions in [1, 2, 3, 4, 12] {
        let mut loads = vnodes(64);
        let mut first = BTreeSet::new();
        for topic_id in 1..=500 {
            let placed = place(topic_id, partitions, &loads);
            first.insert(placed[0]);
            for vnode in placed {
                loads[vnode as usize].partitions += 1;
            }
        }
        let mean = f64::from(500 * partitions) / 64.0;
        let max = loads.iter().map(|load| load.partitions).max().unwrap() as f64;
        assert!(max <= (mean * 1.05).ceil(), "{partitions}: {max} where the mean is {mean}");
        assert_eq!(first.len(), 64, "topics begin everywhere");
    }
}

#[test]
fn nothing_to_place_on_gives_nothing() {
    assert!(place(1, 5, &[]).is_empty());
    assert!(place(1, 0, &vnodes(4)).is_empty());
    assert_eq!(place(1, 5, &vnodes(1)), [0; 5]);
}

#[test]
fn of_a_virtual_node_given_twice_the_larger_load_counts() {
    let mut loads = vnodes(2);
    loads.push(VnodeLoad { vnode: 0, partitions: 1000 });
    for _ in 0..2 {
        for topic_id in 1..20 {
            assert_eq!(place(topic_id, 1, &loads), [1], "virtual node 0 has 1000");
        }
        loads.reverse();
    }
}

/// Placements are committed; these may only change with the cluster's format.
#[test]
fn placements_are_frozen() {
    assert_eq!(place(1, 12, &vnodes(64)), FROZEN_12_OF_64);
    assert_eq!(place(7, 8, &vnodes(6)), FROZEN_8_OF_6);
}

const FROZEN_12_OF_64: [u32; 12] = [52, 27, 2, 61, 23, 30, 24, 41, 22, 31, 44, 21];
const FROZEN_8_OF_6: [u32; 8] = [3, 4, 5, 2, 1, 0, 3, 4];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_topic_is_even_over_virtual_nodes(
        topic_id in any::<u64>(), partitions in 0u32..300, count in 1u32..100,
        loads in proptest::collection::vec(0u64..50, 100),
    ) {
        let mut vnodes = vnodes(count);
        for (vnode, load) in vnodes.iter_mut().zip(loads) {
            vnode.partitions = load;
        }
        let placed = place(topic_id, partitions, &vnodes);
        prop_assert_eq!(placed.len(), partitions as usize);
        prop_assert!(placed.iter().all(|&vnode| vnode < count));
        prop_assert!(spread(&on_shards(&placed, count)) <= 1);

        vnodes.reverse();
        prop_assert_eq!(&place(topic_id, partitions, &vnodes), &placed, "order is no matter");
        vnodes.extend_from_within(..);
        prop_assert_eq!(place(topic_id, partitions, &vnodes), placed, "nor is saying it twice");
    }

    #[test]
    fn virtual_nodes_over_their_bound_are_passed_over(
        topic_id in any::<u64>(), full in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let mut vnodes = vnodes(64);
        for (vnode, &full) in vnodes.iter_mut().zip(&full) {
            vnode.partitions = u64::from(full) * 1000;
        }
        let vnode = place(topic_id, 1, &vnodes)[0];
        let few_are_full = full.iter().filter(|full| **full).count() <= 60;
        prop_assert!(!(few_are_full && full[vnode as usize]), "{} has too much already", vnode);
    }

    #[test]
    fn hostile_loads_do_not_overflow(load in prop_oneof![Just(u64::MAX), any::<u64>()]) {
        let vnodes: Vec<VnodeLoad> =
            (0..5).map(|vnode| VnodeLoad { vnode: u32::MAX - vnode, partitions: load }).collect();
        prop_assert_eq!(place(1, 7, &vnodes).len(), 7);
    }
}
