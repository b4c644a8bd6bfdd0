//! Damage, not crashes: bits that flipped in what was acknowledged long ago. A start refuses, with
//! an error that names the file and the place, and leaves every file as it is.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Model, PartitionModel, Plan, Setup, SimNode, on_executor};
use ringspool_node::io::SimDisk;
use ringspool_node::partition::PartitionId;
use ringspool_node::wal::format::{FlushHeader, flush_bytes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const WAL: &str = "/data/wal/shard-000";

/// A model of one partition on each vnode.
fn model() -> Model {
    let partition = |vnode| {
        let id = PartitionId { topic: 1, partition: vnode };
        PartitionModel::new(id, vnode, 20_000, Plan::new(id, 100, 3_000, 1))
    };
    Model::new(vec![partition(0), partition(1)])
}

/// A node with two WAL files and checkpoints, killed.
async fn disk_with_data() -> SimDisk {
    let (disk, model) = (SimDisk::new(), model());
    let node = SimNode::start(&disk, Setup::shards(1)).await.unwrap();
    model.create_cluster(&node).await;
    for partition in &model.partitions {
        partition.create(&node).await;
        partition.append(&node, 8).await;
    }
    node.kill().await;
    // The start makes checkpoints of what it finds, and begins another file.
    let node = SimNode::start(&disk, Setup::shards(1)).await.unwrap();
    node.checkpoint_pinned().await;
    for _ in 0..10 {
        for partition in &model.partitions {
            partition.append(&node, 1).await;
        }
    }
    node.kill().await;
    disk
}

fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().map(|path| (path.clone(), disk.content(&path).unwrap())).collect()
}

/// Starts on a copy of a disk where a byte has changed. The error; and that it changed nothing.
async fn refused(disk: &SimDisk, path: &Path, byte: u64) -> String {
    let damaged = disk.kill_at(disk.journal_len());
    assert!(damaged.flip_bit(path, byte));
    let before = contents(&damaged);
    let error = match SimNode::start(&damaged, Setup::shards(1)).await {
        Ok(_) => panic!("byte {byte} of {} is not missed", path.display()),
        Err(error) => error.to_string(),
    };
    let after = contents(&damaged);
    for (path, content) in &before {
        // What is found damaged after the log was opened costs files without content a header.
        let is_spare = || path.starts_with(WAL) && flushes(content).is_empty();
        assert!(is_spare() || after.get(path) == Some(content), "{} changed", path.display());
    }
    error
}

/// Where each flush of a WAL file starts and ends.
fn flushes(content: &[u8]) -> Vec<(u64, u64)> {
    let incarnation = content.get(24..32);
    let mut flushes = Vec::new();
    let mut at = 4096;
    while let Some(header) = content.get(at..).and_then(FlushHeader::decode) {
        if Some(&header.incarnation.to_le_bytes()[..]) != incarnation {
            break;
        }
        let end = at + 32 + header.records_bytes;
        flushes.push((at as u64, end as u64));
        at += flush_bytes(header.records_bytes);
    }
    flushes
}

/// WAL files with flushes, in the order of their use.
fn used_files(disk: &SimDisk) -> Vec<(PathBuf, Vec<(u64, u64)>)> {
    let mut files: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with(WAL))
        .map(|path| {
            let content = disk.content(&path).unwrap();
            let sequence = u64::from_le_bytes(content[16..24].try_into().unwrap());
            (sequence, path, flushes(&content))
        })
        .filter(|(_, _, flushes)| !flushes.is_empty())
        .collect();
    files.sort();
    files.into_iter().map(|(_, path, flushes)| (path, flushes)).collect()
}

#[test]
fn a_flip_anywhere_in_the_log_before_its_tail_is_refused() {
    on_executor(|| async {
        let disk = disk_with_data().await;
        let files = used_files(&disk);
        assert!(files.len() >= 2, "{files:?}");
        for (number, (path, flushes)) in files.iter().enumerate() {
            let is_newest = number + 1 == files.len();
            let error = refused(&disk, path, 17).await;
            assert!(
                error.starts_with(&format!("{}: damaged at byte 0:", path.display())),
                "{error}"
            );
            // Only the last flush of the newest file cannot be told from one that was cut short.
            let missed = &flushes[..flushes.len() - usize::from(is_newest)];
            for (start, _) in missed {
                for byte in [*start, start + 20, start + 32 + 3, start + 32 + 47] {
                    let error = refused(&disk, path, byte).await;
                    let expected = format!("{}: damaged at byte {start}:", path.display());
                    assert!(error.starts_with(&expected), "{error}");
                }
            }
        }
    });
}

#[test]
fn a_flip_anywhere_in_a_checkpoint_is_refused() {
    on_executor(|| async {
        let disk = disk_with_data().await;
        let checkpoints = [
            "/data/vnode/00000/checkpoint",
            "/data/vnode/00001/checkpoint",
            "/data/coordinator/checkpoint",
        ];
        for path in checkpoints.map(Path::new) {
            let bytes = disk.content(path).unwrap().len();
            for byte in (0..bytes).step_by(bytes / 20 + 1).chain([bytes - 1]) {
                let error = refused(&disk, path, byte as u64).await;
                let expected = format!("{}: its checksum is wrong", path.display());
                assert!(error.starts_with(&expected), "{error}");
            }
        }
    });
}

#[test]
fn a_missing_file_of_the_log_is_refused() {
    on_executor(|| async {
        let disk = disk_with_data().await;
        let files = used_files(&disk);
        let damaged = disk.kill_at(disk.journal_len());
        let (first, _) = &files[0];
        let (second, _) = &files[1];
        ringspool_node::io::Disk::remove_file(&damaged, first).await.unwrap();
        let error = SimNode::start(&damaged, Setup::shards(1)).await.err().unwrap().to_string();
        assert!(error.contains("a write-ahead log file is missing"), "{error}");
        assert!(error.contains(second.to_str().unwrap()), "{error}");
    });
}

#[test]
fn the_undamaged_disk_starts() {
    on_executor(|| async {
        let disk = disk_with_data().await;
        let node = SimNode::start(&disk, Setup::shards(1)).await.unwrap();
        let high_watermarks: Vec<_> = (0..2)
            .map(|partition| PartitionId { topic: 1, partition })
            .map(|id| node.partition(id).unwrap().high_watermark())
            .collect();
        assert!(high_watermarks.iter().all(|offset| *offset >= 18), "{high_watermarks:?}");
        node.kill().await;
    });
}
