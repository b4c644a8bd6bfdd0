//! Prints how even replicas are, and how many move when a node joins or leaves, beside three
//! well-known ways to place them:
//!
//! ```text
//! cargo run -p ringspool-ring --example balance
//! ```
//!
//! The tables in `docs/placement.md` are its output. Nothing in it is random; it prints the same
//! everywhere.

use std::collections::BTreeMap;

use ringspool_ring::hash::{Domain, hash_pair};
use ringspool_ring::replicas::{Assignment, Member, Policy, VnodeReplicas, plan};
use ringspool_ring::{NodeState, Ring, Slack};

const REPLICAS: usize = 3;

/// Points of a node on the plain ring; the same as in `plan`.
const POINTS: u32 = 128;

fn main() {
    for (vnodes, counts) in [(4096, &[3, 10, 100, 1000][..]), (64, &[3, 10, 100][..])] {
        println!("{vnodes} virtual nodes, {REPLICAS} replicas");
        println!();
        println!(
            "| nodes | placement | replicas max/mean | leaders max/mean | moved by joining | \
             moved by leaving |"
        );
        println!("| ---: | --- | ---: | ---: | ---: | ---: |");
        for &nodes in counts {
            for (name, place) in WAYS {
                report(name, place, vnodes, nodes);
            }
            let ideal = |moved: f64| format!("{:.1}%", moved * 100.0);
            let (joining, leaving) = (1.0 / (nodes as f64 + 1.0), 1.0 / nodes as f64);
            // With three nodes a leaving one has nobody to give its replicas to.
            let leaving = if nodes as usize > REPLICAS { ideal(leaving) } else { "-".into() };
            println!("| {nodes} | *ideal* | 1.00 | 1.00 | {} | {leaving} |", ideal(joining));
        }
        println!();
    }
}

/// Places virtual nodes on nodes 1 to n, given where they are.
type Place = fn(u32, u64, &Assignment) -> Assignment;

const WAYS: [(&str, Place); 4] = [
    ("plain ring, 128 points", plain_ring),
    ("rendezvous", rendezvous),
    ("jump", jump),
    ("Ringspool", ringspool),
];

fn report(name: &str, place: Place, vnodes: u32, nodes: u64) {
    let now = place(vnodes, nodes, &Assignment::default());
    let joined = place(vnodes, nodes + 1, &now);
    let left = place(vnodes, nodes - 1, &now);
    let total = f64::from(vnodes) * REPLICAS as f64;
    let most = |of: fn(&Assignment, u64) -> u64| {
        (1..=nodes).map(|node| of(&now, node)).max().unwrap_or(0) as f64
    };
    let percent = |to: &Assignment| format!("{:.1}%", moved(&now, to) as f64 / total * 100.0);
    println!(
        "| {nodes} | {name} | {:.2} | {:.2} | {} | {} |",
        most(Assignment::replicas_of) * nodes as f64 / total,
        most(Assignment::led_by) * nodes as f64 / f64::from(vnodes),
        percent(&joined),
        if nodes as usize > REPLICAS { percent(&left) } else { "-".into() },
    );
}

/// Replicas that are on a node where they were not.
fn moved(old: &Assignment, new: &Assignment) -> usize {
    old.vnodes
        .iter()
        .zip(&new.vnodes)
        .map(|(old, new)| new.nodes.iter().filter(|node| !old.nodes.contains(node)).count())
        .sum()
}

fn each(vnodes: u32, nodes_of: impl Fn(u64) -> Vec<u64>) -> Assignment {
    let vnodes = (0..u64::from(vnodes))
        .map(|vnode| {
            let nodes = nodes_of(vnode);
            VnodeReplicas { leader: nodes.first().copied(), nodes }
        })
        .collect();
    Assignment { vnodes }
}

/// The first nodes along an ordinary ring.
fn plain_ring(vnodes: u32, nodes: u64, _: &Assignment) -> Assignment {
    let ring = Ring::new(Domain::NodePoint, (1..=nodes).map(|node| (node, POINTS)));
    each(vnodes, |vnode| {
        let mut found: Vec<u64> = Vec::new();
        for node in ring.walk(hash_pair(Domain::Vnode, vnode, 0)) {
            if found.len() < REPLICAS && !found.contains(&node) {
                found.push(node);
            }
        }
        found
    })
}

/// The nodes with the highest hashes.
fn rendezvous(vnodes: u32, nodes: u64, _: &Assignment) -> Assignment {
    each(vnodes, |vnode| {
        let by_hash: BTreeMap<u64, u64> =
            (1..=nodes).map(|node| (hash_pair(Domain::Transfer, vnode, node), node)).collect();
        by_hash.into_values().rev().take(REPLICAS).collect()
    })
}

/// Jump consistent hash (Lamping and Veach), with another key until there are enough nodes.
fn jump(vnodes: u32, nodes: u64, _: &Assignment) -> Assignment {
    each(vnodes, |vnode| {
        let mut found: Vec<u64> = Vec::new();
        let mut attempt = 0;
        while found.len() < REPLICAS.min(nodes as usize) {
            let node = jump_bucket(hash_pair(Domain::Vnode, vnode, attempt), nodes) + 1;
            attempt += 1;
            if !found.contains(&node) {
                found.push(node);
            }
        }
        found
    })
}

fn jump_bucket(mut key: u64, buckets: u64) -> u64 {
    let (mut bucket, mut next) = (0, 0);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket
}

/// What this crate does.
fn ringspool(vnodes: u32, nodes: u64, old: &Assignment) -> Assignment {
    let members: Vec<Member> = (1..=nodes)
        .map(|id| Member { id, weight: 100, rack: None, state: NodeState::Active })
        .collect();
    let policy = Policy { replicas: REPLICAS as u16, slack: Slack::DEFAULT };
    plan(old, vnodes, &members, &policy).target
}
