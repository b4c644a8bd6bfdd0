//! openraft's state machine over the metadata.

use super::app::{Change, CoordinatorApp};
use super::checkpoint::{self, CoordinatorCheckpoint};
use crate::io::{Disk, DiskError, runtime};
use crate::raft::{LogId, StoredMembership, TypeConfig};
use futures::{Stream, TryStreamExt};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder};
use ringspool_ring::{Applied, Metadata};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const SPACE_RETRY: Duration = Duration::from_secs(1);

/// Told of the metadata after every change.
pub(super) type Follower = Box<dyn Fn(Arc<Metadata>)>;

/// The coordinator's replicated state.
pub struct CoordinatorState {
    disk: Rc<dyn Disk>,
    data_dir: PathBuf,
    metadata: RefCell<Arc<Metadata>>,
    applied: Cell<Option<LogId>>,
    membership: RefCell<StoredMembership>,
    checkpointed: RefCell<Option<(Option<LogId>, StoredMembership)>>,
    follower: RefCell<Option<Follower>>,
}

impl CoordinatorState {
    /// A cluster yet to be created.
    #[must_use]
    pub fn new(disk: Rc<dyn Disk>, data_dir: &Path) -> Self {
        Self {
            disk,
            data_dir: data_dir.to_owned(),
            metadata: RefCell::new(Arc::new(Metadata::new())),
            applied: Cell::new(None),
            membership: RefCell::default(),
            checkpointed: RefCell::new(None),
            follower: RefCell::new(None),
        }
    }

    /// Takes over what a checkpoint holds.
    pub fn restore(&self, checkpoint: CoordinatorCheckpoint) {
        let CoordinatorCheckpoint { applied, membership, metadata } = checkpoint;
        *self.metadata.borrow_mut() = metadata;
        self.applied.set(applied);
        *self.checkpointed.borrow_mut() = Some((applied, membership.clone()));
        *self.membership.borrow_mut() = membership;
    }

    /// Has `follower` told of every change from now on.
    pub fn follow(&self, follower: Follower) {
        *self.follower.borrow_mut() = Some(follower);
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> Option<LogId> {
        self.applied.get()
    }

    /// The metadata as applied.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata.borrow())
    }

    fn apply(&self, change: &Change) -> Result<Applied, ringspool_ring::Refused> {
        let before = self.metadata.borrow().version();
        let result = Arc::make_mut(&mut self.metadata.borrow_mut()).apply(&change.0);
        let metadata = self.metadata();
        if metadata.version() != before
            && let Some(follower) = self.follower.borrow().as_ref()
        {
            follower(metadata);
        }
        result
    }
}

/// The state machine.
pub(super) struct CoordinatorMachine(Rc<CoordinatorState>);

impl CoordinatorMachine {
    pub(super) fn new(state: Rc<CoordinatorState>) -> Self {
        Self(state)
    }
}

/// Stands for a checkpoint file that is durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct CheckpointRef;

/// Writes the checkpoint of the moment it was made.
pub(super) struct CheckpointBuilder {
    state: Rc<CoordinatorState>,
    captured: CoordinatorCheckpoint,
}

type Config = TypeConfig<CoordinatorApp>;

fn snapshot(
    applied: Option<LogId>,
    membership: StoredMembership,
) -> SnapshotOf<Config, CheckpointRef> {
    let meta = SnapshotMetaOf::<Config> { last_log_id: applied, last_membership: membership };
    SnapshotOf::<Config, CheckpointRef> { meta, snapshot: CheckpointRef }
}

impl CheckpointBuilder {
    async fn write(&self) -> Result<(), DiskError> {
        let path = checkpoint::path(&self.state.data_dir);
        if let Some(folder) = path.parent() {
            self.state.disk.create_dir_all(folder).await?;
            // The log may go once the file is durable, so the folder's own name has to be as well.
            self.state.disk.sync_dir(&self.state.data_dir).await?;
        }
        loop {
            let bytes = checkpoint::encode(&self.captured);
            match self.state.disk.write_file_atomic(&path, bytes).await {
                Err(error) if error.is_out_of_space() => {
                    tracing::warn!(%error, "the coordinator's checkpoint waits for space");
                    runtime::sleep(SPACE_RETRY).await;
                }
                other => return other,
            }
        }
    }
}

impl RaftSnapshotBuilder<Config> for CheckpointBuilder {
    type SnapshotData = CheckpointRef;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Config, CheckpointRef>, io::Error> {
        self.write().await.map_err(io::Error::other)?;
        let CoordinatorCheckpoint { applied, membership, .. } = self.captured.clone();
        *self.state.checkpointed.borrow_mut() = Some((applied, membership.clone()));
        Ok(snapshot(applied, membership))
    }
}

impl RaftStateMachine<Config> for CoordinatorMachine {
    type SnapshotData = CheckpointRef;
    type SnapshotBuilder = CheckpointBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.0.applied.get(), self.0.membership.borrow().clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Config>, io::Error>> + Unpin,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let log_id = entry.log_id;
            let applied = match entry.payload {
                EntryPayload::Blank => Ok(Applied::Done),
                EntryPayload::Normal(change) => self.0.apply(&change),
                EntryPayload::Membership(membership) => {
                    *self.0.membership.borrow_mut() =
                        StoredMembership::new(Some(log_id), membership);
                    Ok(Applied::Done)
                }
            };
            self.0.applied.set(Some(log_id));
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointBuilder {
        let captured = CoordinatorCheckpoint {
            applied: self.0.applied.get(),
            membership: self.0.membership.borrow().clone(),
            metadata: self.0.metadata(),
        };
        CheckpointBuilder { state: Rc::clone(&self.0), captured }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Config>,
        _snapshot: CheckpointRef,
    ) -> Result<(), io::Error> {
        if meta.last_log_id <= self.0.applied.get() {
            return Ok(());
        }
        let why = "a replica's state can so far only come from its own checkpoint";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Config, CheckpointRef>>, io::Error> {
        let checkpointed = self.0.checkpointed.borrow().clone();
        Ok(checkpointed.map(|(applied, membership)| snapshot(applied, membership)))
    }
}
