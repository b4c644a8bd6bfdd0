//! Crashes at every operation of the disk: what a checkpoint and the commands after it (the WAL's
//! part, here kept by the test) restore is the log, byte for byte, and no file is left behind.
#![allow(clippy::unwrap_used)]

mod partition_support;

use bytes::Bytes;
use futures::executor::block_on;
use partition_support::*;
use ringspool_node::io::{CrashMode, Disk, SimDisk};
use ringspool_node::partition::{
    Partition, PartitionCheckpoint, PartitionSettings, StorageContext, StorageSettings,
};
use ringspool_wire::batch::{BatchHeader, ProducerStamp};
use std::path::{Path, PathBuf};
use std::rc::Rc;

const CHECKPOINT: &str = "/data/checkpoint";

/// What a vnode's log has.
#[derive(Clone)]
enum Command {
    Append(Bytes),
    Trim(u64),
}

/// What a run does.
#[derive(Clone)]
enum Step {
    Do(Command),
    Flush,
    Checkpoint,
}

/// A partition, and the part of a vnode that a test needs.
struct Vnode {
    disk: SimDisk,
    partition: Rc<Partition>,
    /// Commands applied.
    applied: usize,
}

impl Vnode {
    /// As a process finds it that starts on this disk.
    fn start(disk: &SimDisk, settings: &PartitionSettings) -> Self {
        let storage = StorageSettings { cache_bytes: 64 << 10, ..StorageSettings::default() };
        let context = StorageContext::new(Rc::new(disk.clone()), storage);
        let settings = settings.clone();
        let (partition, applied) = match disk.content(Path::new(CHECKPOINT)) {
            Some(bytes) => {
                let (applied, bytes) = bytes.split_first_chunk::<8>().unwrap();
                let checkpoint = PartitionCheckpoint::decode(bytes).unwrap();
                let partition = Partition::restore(ID, checkpoint, settings, dir_of(ID), context);
                (partition, u64::from_le_bytes(*applied) as usize)
            }
            None => (Partition::create(ID, settings, dir_of(ID), context), 0),
        };
        Self { disk: disk.clone(), partition, applied }
    }

    fn apply(&mut self, command: &Command) {
        match command {
            Command::Append(batch) => {
                let header = BatchHeader::decode(batch).unwrap();
                self.partition.append(NOW_MS, TERM, &header, batch.clone());
            }
            Command::Trim(offset) => self.partition.trim(*offset),
        }
        self.applied += 1;
    }

    fn checkpoint(&self) {
        let mut bytes = (self.applied as u64).to_le_bytes().to_vec();
        let checkpoint = self.partition.checkpoint();
        let target = self.partition.flush_target();
        block_on(self.partition.flush(target, true)).unwrap();
        bytes.extend_from_slice(&checkpoint.encode());
        block_on(self.disk.write_file_atomic(Path::new(CHECKPOINT), bytes)).unwrap();
        block_on(self.partition.remove_dead_files()).unwrap();
    }
}

/// What must be there after the first `commands`: the log start, and the batches.
fn model(commands: &[Command]) -> (u64, Vec<(u64, Bytes)>) {
    let (mut start, mut end, mut log) = (0, 0, Vec::new());
    for command in commands {
        match command {
            Command::Append(batch) => {
                log.push((end, stamped(batch, end)));
                end += u64::from(records_of(batch));
            }
            Command::Trim(offset) => start = start.max((*offset).min(end)),
        }
    }
    log.retain(|(base, batch)| base + u64::from(records_of(batch)) > start);
    (start, log)
}

fn check(vnode: &Vnode, commands: &[Command], at: &str) {
    let (start, expected) = model(commands);
    assert_eq!(vnode.partition.log_start_offset(), start, "{at}");
    let read =
        read_all(&vnode.partition, start, 100_000).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert!(read == expected, "{at}: {} batches, not {}", read.len(), expected.len());
}

/// Files that belong to the partition's segments now.
fn expected_files(partition: &Partition, files_now: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(CHECKPOINT)];
    let segments = partition.segment_infos();
    for (index, segment) in segments.iter().enumerate() {
        let name = |extension| dir_of(ID).join(format!("{:020}.{extension}", segment.base_offset));
        let is_sealed = index + 1 < segments.len();
        let has_index = files_now.contains(&name("idx"));
        // The active segment has one when a whole block of entries came together.
        if (is_sealed && segment.bytes > 64 << 10) || (!is_sealed && has_index) {
            files.push(name("idx"));
        }
        if is_sealed || segment.bytes >= 4096 {
            files.push(name("log"));
        }
    }
    files.sort();
    files
}

/// Runs the steps; for each command the length of the disk's journal when it was given.
fn run(steps: &[Step], settings: &PartitionSettings) -> (SimDisk, Vec<Command>, Vec<usize>) {
    let disk = SimDisk::new();
    block_on(disk.create_dir_all(Path::new("/data"))).unwrap();
    block_on(disk.sync_dir(Path::new("/"))).unwrap();
    let disk = disk.crash_at(disk.journal_len(), CrashMode::LoseUnsynced);
    let mut vnode = Vnode::start(&disk, settings);
    let (mut commands, mut given) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Do(command) => {
                commands.push(command.clone());
                given.push(disk.journal_len());
                vnode.apply(command);
            }
            Step::Flush => {
                block_on(vnode.partition.flush(vnode.partition.flush_target(), false)).unwrap();
            }
            Step::Checkpoint => vnode.checkpoint(),
        }
    }
    check(&vnode, &commands, "before any crash");
    (disk, commands, given)
}

/// Recovers from a crashed disk with the WAL's commands, and checks all that must hold.
fn recover(disk: &SimDisk, settings: &PartitionSettings, commands: &[Command], at: &str) {
    let mut vnode = Vnode::start(disk, settings);
    assert!(vnode.applied <= commands.len(), "{at}: a checkpoint from the future");
    for command in &commands[vnode.applied..] {
        vnode.apply(command);
    }
    check(&vnode, commands, at);
    vnode.checkpoint();
    check(&vnode, commands, at);
    let files: Vec<PathBuf> = disk
        .files()
        .into_iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "tmp"))
        .collect();
    assert_eq!(files, expected_files(&vnode.partition, &files), "{at}");
    // And what is on disk alone is the log too.
    let lost = disk.crash_at(disk.journal_len(), CrashMode::LoseUnsynced);
    let vnode = Vnode::start(&lost, settings);
    assert_eq!(vnode.applied, commands.len());
    check(&vnode, commands, at);
}

/// A workload of appends of all sizes, flushes, checkpoints and trims.
fn steps(appends: u64, bytes: impl Fn(u64) -> usize, trims: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    for n in 0..appends {
        let producer = ProducerStamp {
            producer_id: 1 + n % 3,
            producer_epoch: 0,
            base_sequence: (n / 3 * 2) as u32,
        };
        let batch = batch_of(n, 2, bytes(n), NOW_MS as i64 + n as i64, producer);
        steps.push(Step::Do(Command::Append(batch)));
        match n % 29 {
            3 | 13 => steps.push(Step::Flush),
            7 | 21 | 22 => steps.push(Step::Checkpoint),
            17 if trims => steps.push(Step::Do(Command::Trim(n))),
            _ => {}
        }
        if trims && n == appends / 2 {
            steps.push(Step::Do(Command::Trim(u64::MAX)));
        }
    }
    steps
}

fn modes(seeds: u64) -> impl Iterator<Item = CrashMode> {
    let fixed = [CrashMode::LoseUnsynced, CrashMode::KeepUnsynced, CrashMode::TearLast];
    fixed.into_iter().chain((0..seeds).map(CrashMode::Seeded))
}

#[test]
fn every_crash_is_recovered_from() {
    let settings = segments_of(12_000);
    let steps = steps(90, |n| (n as usize * 379) % 2_600, true);
    let (disk, commands, given) = run(&steps, &settings);
    for prefix in 0..=disk.journal_len() {
        let known = given.partition_point(|length| *length <= prefix);
        for mode in modes(3) {
            let at = format!("crash after {prefix} operations, {mode:?}");
            recover(&disk.crash_at(prefix, mode), &settings, &commands[..known], &at);
        }
    }
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    let settings = segments_of(12_000);
    let steps = steps(60, |n| (n as usize * 379) % 2_600, true);
    let (disk, commands, given) = run(&steps, &settings);
    for prefix in (0..=disk.journal_len()).step_by(11) {
        let known = given.partition_point(|length| *length <= prefix);
        let crashed = disk.crash_at(prefix, CrashMode::Seeded(prefix as u64));
        recover(&crashed, &settings, &commands[..known], "the first recovery");
        for again in 0..=crashed.journal_len() {
            let at = format!("crash after {prefix}, and {again} more");
            let crashed = crashed.crash_at(again, CrashMode::Seeded(again as u64));
            recover(&crashed, &settings, &commands[..known], &at);
        }
    }
}

#[test]
fn segments_with_indexes_are_recovered_too() {
    let settings = segments_of(17 << 20);
    let steps = steps(260, |n| if n % 7 == 0 { 90_000 } else { 34_000 }, false);
    let (disk, commands, given) = run(&steps, &settings);
    for prefix in (0..=disk.journal_len()).rev().step_by(7) {
        let known = given.partition_point(|length| *length <= prefix);
        let at = format!("crash after {prefix} operations");
        let crashed = disk.crash_at(prefix, CrashMode::Seeded(prefix as u64));
        recover(&crashed, &settings, &commands[..known], &at);
    }
}
