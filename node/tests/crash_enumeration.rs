//! Crashes of a whole node's storage: WAL, segments, checkpoints and metadata, through the real
//! Raft groups, after every operation the disk has seen.
//!
//! A workload runs on a simulated disk that remembers every operation. For each crash the node is
//! recovered from what that leaves, by the code a real node runs, and then: every change that was
//! acknowledged is there, with the same bytes at the same offsets; nothing is there that was not
//! sent; offsets have no gaps; what is sent again is recognised; more can be appended; and what was
//! found stays through the next crash.
//!
//! Each of these mistakes was made on purpose and makes a test here fail:
//! - log: records said to be durable before `sync_data`, or without it; the name of a new file not
//!   synced; the same incarnation with every use; records taken whose checksum is wrong; closed or
//!   found files given up while they are needed; the vote not written again; what a start finds not
//!   synced; records from the folders of other shards left out
//! - checkpoint: without the unfinished block, the producers, or the dropped partitions; durable
//!   before its segments, or without their sync; claiming an entry too many; its folder not synced;
//!   one that a start finds not synced; that of the metadata not written
//!
//! Removing files of trimmed segments and dropped partitions before the checkpoint is durable does
//! no harm that could be seen: the command that made them useless is in the log, and is replayed.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Model, PartitionModel, Plan, Setup, SimNode, on_executor};
use futures::future::{join, join_all};
use ringspool_node::io::{CrashMode, SimDisk};
use ringspool_node::partition::PartitionId;
use ringspool_node::wal::format::FileHeader;
use std::path::Path;
use std::time::Duration;

/// How long a checkpoint may take; it takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(60);

fn partition(
    (topic, partition, vnode): (u64, u32, u32),
    segment_bytes: u64,
    batch_bytes: u64,
    producers: u64,
) -> PartitionModel {
    let id = PartitionId { topic, partition };
    PartitionModel::new(id, vnode, segment_bytes, Plan::new(id, 120, batch_bytes, producers))
}

fn model() -> Model {
    Model::new(vec![
        partition((1, 0, 0), 12_000, 2_600, 1),
        partition((1, 1, 1), 9_000, 3_900, 2),
        partition((2, 0, 0), 16_000, 900, 0),
        partition((3, 0, 1), 12_000, 2_000, 1),
    ])
}

/// Batches to all partitions at the same time, so that they share flushes.
async fn append(model: &Model, node: &SimNode, partitions: &[usize], count: usize) {
    join_all(partitions.iter().map(|n| model.partitions[*n].append(node, count))).await;
}

async fn checkpoint(node: &SimNode, vnode: u32) {
    node.vnode(vnode).checkpoint(DEADLINE).await.unwrap();
}

/// Three runs of a node with changing numbers of shards, each killed.
async fn workload(disk: &SimDisk, rounds: usize) -> Model {
    let model = model();
    let all = [0, 1, 2, 3];
    disk.yield_in_operations(true);
    // Whoever is told too early acts while the sync is still under way.
    disk.yield_in_syncs(60);

    let node = SimNode::start(disk, Setup::shards(2)).await.unwrap();
    model.create_cluster(&node).await;
    join_all(model.partitions.iter().map(|partition| partition.create(&node))).await;
    for _ in 0..rounds {
        append(&model, &node, &all, 2).await;
        model.change_metadata(&node).await;
        // Nothing can be given up yet, or too little.
        node.reclaim().await;
    }
    join(checkpoint(&node, 0), append(&model, &node, &all, 2)).await;
    model.partitions[0].trim(&node, 3).await;
    append(&model, &node, &[1, 3], 3).await;
    node.reclaim().await;
    // Of all there is, so that whoever comes next needs nothing of the log.
    join_all([checkpoint(&node, 0), checkpoint(&node, 1)]).await;
    node.kill().await;

    let node = SimNode::start(disk, Setup::shards(1)).await.unwrap();
    append(&model, &node, &all, 1).await;
    node.checkpoint_pinned().await;
    for _ in 0..rounds {
        append(&model, &node, &all, 2).await;
    }
    model.partitions[1].repeat(&node, "in the workload").await;
    model.partitions[3].drop(&node).await;
    join(checkpoint(&node, 1), append(&model, &node, &[0, 1], 3)).await;
    model.partitions[1].trim(&node, 7).await;
    node.checkpoint_pinned().await;
    append(&model, &node, &[0, 1, 2], 2).await;
    node.kill().await;

    let node = SimNode::start(disk, Setup::shards(2)).await.unwrap();
    join(node.checkpoint_pinned(), append(&model, &node, &[0, 1, 2], 2)).await;
    model.change_metadata(&node).await;
    append(&model, &node, &[0, 1, 2], 1).await;
    node.kill().await;
    model
}

/// The workload has to have met all that can go wrong.
fn check_workload(disk: &SimDisk) {
    let files = disk.files();
    let names: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let under = |folder: &str| names.iter().filter(|name| name.starts_with(folder)).count();
    assert!(under("/data/topic/1/0/") >= 2 && under("/data/topic/1/1/") >= 3, "{names:?}");
    assert_eq!(under("/data/topic/1/1/00000000000000000000"), 0, "it was trimmed: {names:?}");
    assert_eq!(under("/data/topic/3/"), 0, "it was dropped: {names:?}");
    assert!(names.contains(&"/data/vnode/00000/checkpoint"));
    assert!(names.contains(&"/data/coordinator/checkpoint"));
    let is_recycled = |name: &&&str| {
        let bytes = disk.content(Path::new(name)).unwrap();
        let number: u64 = name[name.len() - 12..].trim_end_matches(".wal").parse().unwrap();
        FileHeader::decode(&bytes).is_ok_and(|header| header.sequence > number)
    };
    assert!(names.iter().filter(|name| name.ends_with(".wal")).any(|name| is_recycled(&name)));
}

/// What is started after a crash has one shard or two.
fn setup(n: usize) -> Setup {
    Setup::shards(1 + (n % 2) as u16)
}

/// Starts a node, which no crash may prevent.
async fn start(disk: &SimDisk, n: usize, at: &str) -> SimNode {
    match SimNode::start(disk, setup(n)).await {
        Ok(node) => node,
        Err(error) => panic!("{at}: {error}"),
    }
}

/// Starts a node after a crash that left `operations` of the model's journal, and checks it. What
/// it found, as the model of a run that starts there.
async fn check(disk: &SimDisk, model: &Model, operations: usize, at: &str) -> (SimNode, Model) {
    let node = start(disk, operations, at).await;
    let found = model.check(&node, operations, at).await;
    (node, found)
}

/// Recovers, checks, goes on, and now and then checks what is there after the next crash.
async fn recover(disk: &SimDisk, model: &Model, operations: usize, at: &str) {
    let (node, found) = check(disk, model, operations, at).await;
    found.go_on(&node, at).await;
    if operations.is_multiple_of(3) {
        node.checkpoint_pinned().await;
        found.check_files(&node, at);
    }
    found.check(&node, disk.journal_len(), at).await;
    node.kill().await;
    if operations.is_multiple_of(2) {
        let lost = disk.crash_at(disk.journal_len(), CrashMode::LoseUnsynced);
        let at = format!("{at}, gone on, crashed");
        let (node, _) = check(&lost, &found, disk.journal_len(), &at).await;
        node.kill().await;
    }
}

/// The crashes that bound all others, and some of those others.
fn modes(operations: usize) -> [CrashMode; 5] {
    let seed = 2 * operations as u64;
    [
        CrashMode::LoseUnsynced,
        CrashMode::KeepUnsynced,
        CrashMode::TearLast,
        CrashMode::Seeded(seed),
        CrashMode::Seeded(seed + 1),
    ]
}

#[test]
fn every_crash_is_recovered_from() {
    on_executor(|| async {
        let disk = SimDisk::new();
        let model = workload(&disk, 2).await;
        check_workload(&disk);
        let end = disk.journal_len();
        for operations in 0..=end {
            for mode in modes(operations) {
                let at = format!("crash after {operations} of {end} operations, {mode:?}");
                recover(&disk.crash_at(operations, mode), &model, operations, &at).await;
            }
        }
    });
}

#[test]
fn crashes_of_a_longer_run_are_recovered_from() {
    on_executor(|| async {
        let disk = SimDisk::new();
        let model = workload(&disk, 12).await;
        check_workload(&disk);
        let end = disk.journal_len();
        for operations in (0..=end).rev().step_by(7) {
            let mode = CrashMode::Seeded(operations as u64);
            let at = format!("crash after {operations} of {end} operations, {mode:?}");
            recover(&disk.crash_at(operations, mode), &model, operations, &at).await;
        }
    });
}

/// Runs the recovery from one crash, and crashes that after each of its operations.
async fn recover_with_crashes(disk: &SimDisk, model: &Model, operations: usize, at: &str) {
    let before = disk.journal_len();
    disk.yield_in_operations(true);
    disk.yield_in_syncs(60);
    let (node, found) = check(disk, model, operations, at).await;
    let ready = disk.journal_len();
    found.go_on(&node, at).await;
    node.checkpoint_pinned().await;
    found.check(&node, disk.journal_len(), at).await;
    node.kill().await;
    for again in before..=disk.journal_len() {
        let mode = modes(again)[again % 5];
        let at = format!("{at}, then after {again} of {} more, {mode:?}", disk.journal_len());
        let crashed = disk.crash_at(again, mode);
        let node = start(&crashed, again, &at).await;
        if again >= ready {
            found.check(&node, again, &at).await;
        } else {
            // Nobody was told of anything new yet.
            model.check(&node, operations, &at).await;
        }
        node.kill().await;
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    on_executor(|| async {
        let disk = SimDisk::new();
        let model = workload(&disk, 1).await;
        for operations in (0..=disk.journal_len()).rev().step_by(23) {
            let mode = CrashMode::Seeded(operations as u64);
            let at = format!("crash after {operations} operations, {mode:?}");
            let crashed = disk.crash_at(operations, mode);
            recover_with_crashes(&crashed, &model, operations, &at).await;
        }
    });
}

#[test]
fn what_a_killed_process_leaves_survives_a_later_crash() {
    on_executor(|| async {
        let disk = SimDisk::new();
        let model = workload(&disk, 1).await;
        for operations in 0..=disk.journal_len() {
            let at = format!("killed after {operations} operations");
            let killed = disk.kill_at(operations);
            let (node, found) = check(&killed, &model, operations, &at).await;
            // What was found may be given up already, since it is in checkpoints.
            node.checkpoint_pinned().await;
            node.kill().await;
            let end = killed.journal_len();
            for mode in [CrashMode::LoseUnsynced, CrashMode::Seeded(operations as u64)] {
                let at = format!("{at}, then crashed, {mode:?}");
                let (node, _) = check(&killed.crash_at(end, mode), &found, end, &at).await;
                node.kill().await;
            }
        }
    });
}

#[test]
fn a_crash_during_recovery_from_a_kill_is_recovered_from() {
    on_executor(|| async {
        let disk = SimDisk::new();
        let model = workload(&disk, 1).await;
        for operations in (5..=disk.journal_len()).step_by(29) {
            let at = format!("killed after {operations} operations");
            recover_with_crashes(&disk.kill_at(operations), &model, operations, &at).await;
        }
    });
}
