//! openraft's state machine over a [`VnodeState`]. A snapshot, in openraft's words, is the vnode's
//! checkpoint file.

use super::checkpoint::{self, Captured};
use super::command::VnodeApp;
use super::state::VnodeState;
use crate::raft::{LogId, StoredMembership, TypeConfig};
use futures::{Stream, TryStreamExt};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder};
use std::io;
use std::rc::Rc;

/// The state machine.
#[derive(Clone)]
pub struct VnodeMachine(Rc<VnodeState>);

impl VnodeMachine {
    /// Over that state.
    #[must_use]
    pub fn new(state: Rc<VnodeState>) -> Self {
        Self(state)
    }
}

/// Stands for a checkpoint file that is durable.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointRef;

/// Writes the checkpoint of the moment it was made.
pub struct CheckpointBuilder {
    state: Rc<VnodeState>,
    captured: Captured,
}

fn snapshot(
    applied: Option<LogId>,
    membership: StoredMembership,
) -> SnapshotOf<TypeConfig<VnodeApp>, CheckpointRef> {
    let meta = SnapshotMetaOf::<TypeConfig<VnodeApp>> {
        last_log_id: applied,
        last_membership: membership,
    };
    SnapshotOf::<TypeConfig<VnodeApp>, CheckpointRef> { meta, snapshot: CheckpointRef }
}

impl RaftSnapshotBuilder<TypeConfig<VnodeApp>> for CheckpointBuilder {
    type SnapshotData = CheckpointRef;

    async fn build_snapshot(
        &mut self,
    ) -> Result<SnapshotOf<TypeConfig<VnodeApp>, CheckpointRef>, io::Error> {
        checkpoint::write(&self.state, &mut self.captured).await.map_err(io::Error::other)?;
        let (applied, membership) = self.captured.applied();
        Ok(snapshot(applied, membership))
    }
}

impl RaftStateMachine<TypeConfig<VnodeApp>> for VnodeMachine {
    type SnapshotData = CheckpointRef;
    type SnapshotBuilder = CheckpointBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.0.applied(), self.0.membership()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig<VnodeApp>>, io::Error>> + Unpin,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            // Memory for what is not yet in segments is bounded here: the log goes on only when
            // there is room.
            self.0.storage().context.room_for_dirty().await;
            let log_id = entry.log_id;
            let applied = match entry.payload {
                EntryPayload::Blank => super::command::Applied::Done,
                EntryPayload::Normal(command) => self.0.apply(log_id.leader_id.term, command),
                EntryPayload::Membership(membership) => {
                    self.0.set_membership(StoredMembership::new(Some(log_id), membership));
                    super::command::Applied::Done
                }
            };
            self.0.set_applied(log_id);
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointBuilder {
        let captured = Captured::now(&self.0);
        CheckpointBuilder { state: Rc::clone(&self.0), captured }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig<VnodeApp>>,
        _snapshot: CheckpointRef,
    ) -> Result<(), io::Error> {
        if meta.last_log_id <= self.0.applied() {
            return Ok(());
        }
        let why = "a replica's state can so far only come from its own checkpoint";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig<VnodeApp>, CheckpointRef>>, io::Error> {
        Ok(self.0.checkpointed().map(|(applied, membership)| snapshot(applied, membership)))
    }
}
