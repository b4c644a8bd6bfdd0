//! A vnode's replicated state: its partitions, and what applying a command does to them.

use super::checkpoint::Checkpoint;
use super::command::{AppendBatch, Applied, Command, VnodeApp};
use crate::partition::{AppendOutcome, Partition, PartitionId, PartitionSettings};
use crate::raft::{LogId, StoredMembership};
use crate::shard::storage::ShardStorage;
use crate::wal::GroupLog;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Batches up to this size are copied out of the buffer they came in.
const COPY_BYTES_MAX: usize = 16 << 10;

/// Folder of a partition's segments below the data directory.
#[must_use]
pub fn partition_dir(data_dir: &Path, id: PartitionId) -> PathBuf {
    data_dir.join("topic").join(id.topic.to_string()).join(id.partition.to_string())
}

/// The state.
pub struct VnodeState {
    vnode: u32,
    data_dir: PathBuf,
    storage: Rc<ShardStorage>,
    partitions: RefCell<BTreeMap<PartitionId, Rc<Partition>>>,
    /// Dropped partitions whose files go when a checkpoint without them is durable.
    dropped: RefCell<Vec<Rc<Partition>>>,
    applied: Cell<Option<LogId>>,
    membership: RefCell<StoredMembership>,
    checkpointed: RefCell<Option<(Option<LogId>, StoredMembership)>>,
    /// Something was trimmed or dropped: a checkpoint would give space back.
    reclaimable: Cell<bool>,
    log: RefCell<Option<Rc<GroupLog<VnodeApp>>>>,
}

impl VnodeState {
    /// A vnode without history.
    #[must_use]
    pub fn new(vnode: u32, data_dir: &Path, storage: Rc<ShardStorage>) -> Self {
        Self {
            vnode,
            data_dir: data_dir.to_owned(),
            storage,
            partitions: RefCell::default(),
            dropped: RefCell::default(),
            applied: Cell::new(None),
            membership: RefCell::default(),
            checkpointed: RefCell::new(None),
            reclaimable: Cell::new(false),
            log: RefCell::new(None),
        }
    }

    /// Takes over what a checkpoint holds.
    pub fn restore(&self, checkpoint: Checkpoint) {
        let Checkpoint { vnode: _, applied, membership, partitions, dropped } = checkpoint;
        self.applied.set(applied);
        *self.checkpointed.borrow_mut() = Some((applied, membership.clone()));
        *self.membership.borrow_mut() = membership;
        let context = &self.storage.context;
        let restore = |(id, settings, checkpoint): (PartitionId, _, _)| {
            let dir = partition_dir(&self.data_dir, id);
            (id, Partition::restore(id, checkpoint, settings, dir, Rc::clone(context)))
        };
        let partitions: BTreeMap<_, _> = partitions.into_iter().map(restore).collect();
        let gone = dropped.into_iter().filter(|id| !partitions.contains_key(id)).map(|id| {
            let dir = partition_dir(&self.data_dir, id);
            Partition::create(id, PartitionSettings::default(), dir, Rc::clone(context))
        });
        let gone: Vec<_> = gone.inspect(|partition| partition.close()).collect();
        self.reclaimable.set(!gone.is_empty());
        *self.dropped.borrow_mut() = gone;
        *self.partitions.borrow_mut() = partitions;
    }

    /// Tells which log the state is applied from, so that it can let go of applied entries.
    pub(super) fn log_is(&self, log: Rc<GroupLog<VnodeApp>>) {
        *self.log.borrow_mut() = Some(log);
    }

    /// Its number.
    #[must_use]
    pub fn vnode(&self) -> u32 {
        self.vnode
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What its partitions share with the others of the shard.
    #[must_use]
    pub fn storage(&self) -> &Rc<ShardStorage> {
        &self.storage
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Option<LogId> {
        self.applied.get()
    }

    /// The last membership applied.
    #[must_use]
    pub fn membership(&self) -> StoredMembership {
        self.membership.borrow().clone()
    }

    /// What the last durable checkpoint covers.
    #[must_use]
    pub fn checkpointed(&self) -> Option<(Option<LogId>, StoredMembership)> {
        self.checkpointed.borrow().clone()
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&id).cloned()
    }

    /// All partitions, in order.
    #[must_use]
    pub fn partitions(&self) -> Vec<Rc<Partition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.borrow().len()
    }

    /// Whether a checkpoint would give space back.
    #[must_use]
    pub fn is_reclaimable(&self) -> bool {
        self.reclaimable.get()
    }

    /// Notes that everything up to `log_id` was applied.
    pub(super) fn set_applied(&self, log_id: LogId) {
        self.applied.set(Some(log_id));
        if let Some(log) = self.log.borrow().as_ref() {
            log.applied(log_id.index);
        }
    }

    pub(super) fn set_membership(&self, membership: StoredMembership) {
        *self.membership.borrow_mut() = membership;
    }

    /// Takes the dropped partitions that a checkpoint made now will not hold.
    pub(super) fn take_dropped(&self) -> Vec<Rc<Partition>> {
        self.reclaimable.set(false);
        std::mem::take(&mut *self.dropped.borrow_mut())
    }

    /// Gives dropped partitions back when their checkpoint failed.
    pub(super) fn return_dropped(&self, dropped: Vec<Rc<Partition>>) {
        self.reclaimable.set(true);
        self.dropped.borrow_mut().extend(dropped);
    }

    pub(super) fn set_checkpointed(&self, applied: Option<LogId>, membership: StoredMembership) {
        *self.checkpointed.borrow_mut() = Some((applied, membership));
    }

    /// Applies a command written in `term`.
    pub(super) fn apply(&self, term: u64, command: Command) -> Applied {
        match command {
            Command::Append { time_ms, batches } => {
                let members = self.partitions.borrow();
                let outcomes = batches.into_iter().map(|batch| {
                    let partition = members.get(&batch.partition)?;
                    Some(append(partition, time_ms, term, batch))
                });
                return Applied::Append(outcomes.collect());
            }
            Command::Configure(partitions) => {
                partitions.into_iter().for_each(|(id, settings)| self.configure(id, settings));
            }
            Command::Drop(partitions) => {
                let mut members = self.partitions.borrow_mut();
                let gone: Vec<_> = partitions.iter().filter_map(|id| members.remove(id)).collect();
                gone.iter().for_each(|partition| partition.close());
                self.dropped.borrow_mut().extend(gone);
                self.reclaimable.set(true);
            }
            Command::Trim(trims) => {
                let partitions = self.partitions.borrow();
                for (id, offset) in trims {
                    if let Some(partition) = partitions.get(&id) {
                        partition.trim(offset);
                    }
                }
                self.reclaimable.set(true);
            }
        }
        Applied::Done
    }

    fn configure(&self, id: PartitionId, settings: PartitionSettings) {
        let mut partitions = self.partitions.borrow_mut();
        if let Some(partition) = partitions.get(&id) {
            partition.set_settings(settings);
            return;
        }
        let dir = partition_dir(&self.data_dir, id);
        let context = Rc::clone(&self.storage.context);
        partitions.insert(id, Partition::create(id, settings, dir, context));
    }
}

fn append(partition: &Partition, time_ms: u64, term: u64, batch: AppendBatch) -> AppendOutcome {
    // Terms grow by one per election; a log with 2^32 of them is not reachable.
    let term = u32::try_from(term).unwrap_or(u32::MAX);
    // A small batch is a slice of a buffer that may be a thousand times its size and would be kept
    // as long as the batch: for a quiet partition, for ever.
    let bytes = match batch.batch.len() <= COPY_BYTES_MAX {
        true => Bytes::copy_from_slice(&batch.batch),
        false => batch.batch,
    };
    partition.append(time_ms, term, &batch.header, bytes)
}
