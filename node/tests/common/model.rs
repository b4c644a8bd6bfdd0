//! What was asked of a node and acknowledged by it, and when, by the length of the disk's journal.
//! So for a crash after any operation it is known what must be there and what may be.

use super::node::SimNode;
use super::plan::{Plan, without_term};
use bytes::Bytes;
use ringspool_node::partition::{AppendOutcome, PartitionId, PartitionSettings};
use ringspool_node::vnode::command::{Applied, Command};
use ringspool_ring::Command as MetadataCommand;
use ringspool_wire::batch::{split, verify};
use std::cell::RefCell;

/// Time of all commands.
const NOW_MS: u64 = 1_700_000_000_000;

/// Something that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Operations the disk had seen when it was sent.
    pub sent: usize,
    /// And when it was acknowledged.
    pub acked: usize,
}

impl Change {
    /// It was there before the journal began.
    const THERE: Self = Self { sent: 0, acked: 0 };

    /// Whether a crash that left the first `operations` must have left it.
    fn must_be_there(&self, operations: usize) -> bool {
        self.acked <= operations
    }

    fn may_be_there(&self, operations: usize) -> bool {
        self.must_be_there(operations) || self.sent < operations
    }
}

/// How many of a list of changes a disk holds at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub least: usize,
    pub most: usize,
}

impl Bounds {
    /// After a crash that left the first `operations`. Changes are acknowledged in order.
    pub fn of(changes: &[Change], operations: usize) -> Self {
        Self {
            least: changes.iter().take_while(|change| change.must_be_there(operations)).count(),
            most: changes.iter().take_while(|change| change.may_be_there(operations)).count(),
        }
    }

    fn allow(self, count: usize) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

/// A partition and what happened to it.
pub struct PartitionModel {
    pub id: PartitionId,
    pub vnode: u32,
    settings: PartitionSettings,
    plan: Plan,
    /// One at most.
    created: RefCell<Vec<Change>>,
    /// One at most.
    dropped: RefCell<Vec<Change>>,
    batches: RefCell<Vec<Change>>,
    trims: RefCell<Vec<(u64, Change)>>,
}

/// A node's topics and metadata.
pub struct Model {
    pub partitions: Vec<PartitionModel>,
    /// Blocks of producer ids taken from the metadata.
    metadata: RefCell<Vec<Change>>,
}

impl PartitionModel {
    /// One that is yet to be created, with segments of that size.
    pub fn new(id: PartitionId, vnode: u32, segment_bytes: u64, plan: Plan) -> Self {
        let settings = PartitionSettings { segment_bytes, ..PartitionSettings::default() };
        Self {
            id,
            vnode,
            settings,
            plan,
            created: RefCell::default(),
            dropped: RefCell::default(),
            batches: RefCell::default(),
            trims: RefCell::default(),
        }
    }

    /// What a new run starts from where so many batches were found: all that is there stays.
    fn found(&self, node: &SimNode, operations: usize, batches: usize) -> Self {
        let segment_bytes = self.settings.segment_bytes;
        let found = Self::new(self.id, self.vnode, segment_bytes, self.plan.clone());
        if let Some(partition) = node.partition(self.id) {
            found.created.borrow_mut().push(Change::THERE);
            found.trims.borrow_mut().push((partition.log_start_offset(), Change::THERE));
        } else if Bounds::of(&self.dropped.borrow(), operations).most > 0 {
            found.dropped.borrow_mut().push(Change::THERE);
        }
        found.batches.borrow_mut().extend(vec![Change::THERE; batches]);
        found
    }

    /// Batches acknowledged so far.
    pub fn batches(&self) -> usize {
        self.batches.borrow().len()
    }

    /// Creates it.
    pub async fn create(&self, node: &SimNode) {
        let command = Command::Configure(vec![(self.id, self.settings.clone())]);
        let change = self.write(node, command).await;
        self.created.borrow_mut().push(change);
    }

    /// Drops it.
    pub async fn drop(&self, node: &SimNode) {
        let change = self.write(node, Command::Drop(vec![self.id])).await;
        self.dropped.borrow_mut().push(change);
    }

    /// Trims it to where a batch begins.
    pub async fn trim(&self, node: &SimNode, batch: usize) {
        let offset = self.plan.batch(batch).base_offset;
        let change = self.write(node, Command::Trim(vec![(self.id, offset)])).await;
        self.trims.borrow_mut().push((offset, change));
    }

    async fn write(&self, node: &SimNode, command: Command) -> Change {
        let sent = node.disk.journal_len();
        node.vnode(self.vnode).write(command).await.unwrap();
        Change { sent, acked: node.disk.journal_len() }
    }

    /// Sends the next batches, each in a command of its own, all before the first is answered.
    pub async fn append(&self, node: &SimNode, count: usize) {
        let vnode = node.vnode(self.vnode);
        let mut pending = Vec::new();
        for n in self.batches()..self.batches() + count {
            let batch = self.plan.batch(n).batch.clone();
            let sent = node.disk.journal_len();
            pending.push((n, sent, vnode.append(NOW_MS + n as u64, vec![batch]).await.unwrap()));
        }
        for (n, sent, applied) in pending {
            let base_offset = self.plan.batch(n).base_offset;
            let Applied::Append(outcomes) = applied.await.unwrap() else { panic!("an append") };
            assert_eq!(outcomes, [Some(AppendOutcome::Appended { base_offset })], "{}", self.id);
            let acked = node.disk.journal_len();
            self.batches.borrow_mut().push(Change { sent, acked });
        }
    }

    /// Sends the last batches again: those of idempotent producers are recognised.
    pub async fn repeat(&self, node: &SimNode, at: &str) {
        let end = self.batches();
        for n in end.saturating_sub(4)..end {
            let planned = self.plan.batch(n);
            if !planned.is_idempotent {
                return;
            }
            let again = vec![planned.batch.clone()];
            let applied = node.vnode(self.vnode).append(NOW_MS, again).await.unwrap();
            let Applied::Append(outcomes) = applied.await.unwrap() else { panic!("an append") };
            let base_offset = planned.base_offset;
            let expected = [Some(AppendOutcome::Duplicate { base_offset })];
            assert_eq!(outcomes, expected, "{at}: batch {n} of {} sent again", self.id);
        }
    }

    fn check_trims(&self, start: u64, operations: usize, at: &str) {
        let trims = self.trims.borrow();
        let mut done = trims.iter().filter(|(_, trim)| trim.must_be_there(operations));
        assert!(
            done.all(|(offset, _)| start >= *offset),
            "{at}: starts at {start}, as if untrimmed"
        );
        let mut sent = trims.iter().filter(|(_, trim)| trim.may_be_there(operations));
        assert!(start == 0 || sent.any(|(offset, _)| *offset == start), "{at}: starts at {start}");
    }

    /// Checks what is there against what may be; the number of batches.
    async fn check(&self, node: &SimNode, operations: usize, at: &str) -> usize {
        let at = format!("{at}, partition {}", self.id);
        let bounds = Bounds::of(&self.batches.borrow(), operations);
        let dropped = Bounds::of(&self.dropped.borrow(), operations);
        let created = Bounds::of(&self.created.borrow(), operations);
        let Some(partition) = node.partition(self.id) else {
            assert!(created.least == 0 || dropped.most > 0, "{at}: it is lost");
            assert!(bounds.least == 0 || dropped.most > 0, "{at}: it is lost with its batches");
            return 0;
        };
        assert!(created.most > 0, "{at}: nobody asked for it");
        assert_eq!(dropped.least, 0, "{at}: it was dropped");
        let high_watermark = partition.high_watermark();
        let found = self.plan.batches_until(high_watermark);
        let found = found.unwrap_or_else(|| panic!("{at}: no batch ends at {high_watermark}"));
        assert!(bounds.allow(found), "{at}: {found} batches where {bounds:?} should be");

        let start = partition.log_start_offset();
        self.check_trims(start, operations, &at);

        let expected = (0..found).map(|n| self.plan.batch(n));
        let expected: Vec<(u64, Bytes)> = expected
            .filter(|batch| batch.base_offset >= start)
            .map(|batch| (batch.base_offset, batch.stored()))
            .collect();
        let mut read = Vec::new();
        let mut offset = start;
        while offset < high_watermark {
            let outcome = partition.read(offset, 10_000).await;
            let outcome = outcome.unwrap_or_else(|error| panic!("{at}: at {offset}: {error}"));
            for batch in split(Bytes::from(outcome.batches.concat())) {
                let batch = batch.unwrap();
                let header = verify(&batch).unwrap();
                assert_eq!(header.base_offset, offset, "{at}: a gap");
                offset = header.last_offset() + 1;
                read.push((header.base_offset, without_term(&batch, header.base_offset)));
            }
        }
        assert!(read == expected, "{at}: other batches than were sent");
        found
    }
}

impl Model {
    /// Of these partitions, which are yet to be created.
    pub fn new(partitions: Vec<PartitionModel>) -> Self {
        Self { partitions, metadata: RefCell::default() }
    }

    /// Takes producer ids from the metadata.
    pub async fn change_metadata(&self, node: &SimNode) {
        let sent = node.disk.journal_len();
        let command = MetadataCommand::AllocateProducerIds { count: 1 };
        node.coordinator().change(command).await.unwrap();
        self.metadata.borrow_mut().push(Change { sent, acked: node.disk.journal_len() });
    }

    /// Creates the cluster, once.
    pub async fn create_cluster(&self, node: &SimNode) {
        let command = MetadataCommand::InitCluster {
            cluster_id: "c".into(),
            vnode_count: 2,
            format_version: ringspool_ring::limits::FORMAT_VERSION,
        };
        let sent = node.disk.journal_len();
        node.coordinator().change(command).await.unwrap();
        self.metadata.borrow_mut().push(Change { sent, acked: node.disk.journal_len() });
    }

    /// Checks everything on a node that was started after a crash which left `operations` of the
    /// journal that the model was made with. Answers what it found, as the model of a run that
    /// starts there.
    pub async fn check(&self, node: &SimNode, operations: usize, at: &str) -> Model {
        let changes = node.coordinator().metadata().version() as usize;
        let bounds = Bounds::of(&self.metadata.borrow(), operations);
        assert!(bounds.allow(changes), "{at}: version {changes} of the metadata, not {bounds:?}");
        let mut partitions = Vec::new();
        for partition in &self.partitions {
            let batches = partition.check(node, operations, at).await;
            partitions.push(partition.found(node, operations, batches));
        }
        Model { partitions, metadata: RefCell::new(vec![Change::THERE; changes]) }
    }

    /// Goes on: what was there is recognised when it is sent again, and more is appended.
    pub async fn go_on(&self, node: &SimNode, at: &str) {
        if self.metadata.borrow().is_empty() {
            self.create_cluster(node).await;
        }
        self.change_metadata(node).await;
        for partition in &self.partitions {
            if !partition.dropped.borrow().is_empty() {
                continue;
            }
            if partition.created.borrow().is_empty() {
                partition.create(node).await;
            }
            partition.repeat(node, at).await;
            partition.append(node, 2).await;
        }
    }

    /// Whether files of partitions that are gone are left.
    pub fn check_files(&self, node: &SimNode, at: &str) {
        for partition in &self.partitions {
            let folder = format!("/data/topic/{}/{}", partition.id.topic, partition.id.partition);
            let is_there = node.disk.files().iter().any(|path| path.starts_with(&folder));
            let is_wanted = node.partition(partition.id).is_some();
            assert!(is_wanted || !is_there, "{at}: files of {} are left", partition.id);
        }
    }
}
