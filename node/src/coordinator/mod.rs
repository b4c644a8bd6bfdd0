//! Running the coordinator: the Raft group that holds the cluster's metadata. The state machine
//! itself is pure and stands in `ringspool-ring`; here it gets a log and a checkpoint.
//!
//! It lives on shard 0. After every change it hands a snapshot of the metadata to whoever follows
//! it; shards keep that snapshot and never ask per request.

mod app;
pub mod checkpoint;
mod machine;

pub use app::{Change, CoordinatorApp};

use crate::raft::{Group, GroupId, ProposeError, StartGroupError};
use crate::wal::{GroupLog, LogStore};
use machine::CoordinatorMachine;
pub use machine::CoordinatorState;
use ringspool_ring::{Applied, Command, Metadata, Refused};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The coordinator's replica.
pub struct Coordinator {
    group: Group<CoordinatorApp, CoordinatorMachine>,
    state: Rc<CoordinatorState>,
    log: Rc<GroupLog<CoordinatorApp>>,
}

/// Why a change to the metadata was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is against the rules.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It did not get into the log.
    #[error(transparent)]
    NotProposed(#[from] ProposeError),
}

impl Coordinator {
    /// Starts the replica on its recovered log and checkpoint.
    ///
    /// # Errors
    /// When its group does not start.
    pub async fn start(
        node: u64,
        state: Rc<CoordinatorState>,
        log: Rc<GroupLog<CoordinatorApp>>,
    ) -> Result<Self, StartGroupError> {
        let machine = CoordinatorMachine::new(Rc::clone(&state));
        let store = LogStore(Rc::clone(&log));
        let group = crate::raft::start(GroupId::COORDINATOR, node, store, machine).await?;
        Ok(Self { group, state, log })
    }

    /// Has `follower` told of every change of the metadata from now on.
    pub fn follow(&self, follower: Box<dyn Fn(Arc<Metadata>)>) {
        self.state.follow(follower);
    }

    /// The metadata as applied here.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        self.state.metadata()
    }

    /// Its part of the WAL.
    #[must_use]
    pub fn log(&self) -> &Rc<GroupLog<CoordinatorApp>> {
        &self.log
    }

    /// Makes a change; returns when it is committed and applied here.
    ///
    /// # Errors
    /// When it is refused or not led by this node.
    pub async fn change(&self, command: Command) -> Result<Applied, ChangeError> {
        Ok(self.group.write(Change(command)).await??)
    }

    /// Makes a checkpoint of what is applied now.
    ///
    /// # Errors
    /// When the group has stopped or it takes longer than `deadline`.
    pub async fn checkpoint(&self, deadline: Duration) -> Result<(), ProposeError> {
        self.group.checkpoint(deadline).await
    }

    /// Stops the replica.
    pub async fn stop(&self) {
        self.group.stop().await;
    }
}
