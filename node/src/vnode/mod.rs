//! A virtual node: a set of partitions and the Raft group that replicates them.
//!
//! - [`command`]: what can be done to it; every change goes through its log.
//! - [`state`]: the replicated state and what applying a command does to it.
//! - [`machine`]: openraft's state machine over that state.
//! - [`checkpoint`]: the state on disk.
//!
//! Invariant: applying is a function of the state and the command. Time, where it matters, is in
//! the command; the disk only ever receives what was applied.

pub mod checkpoint;
pub mod command;
pub mod machine;
pub mod state;

use crate::partition::{Partition, PartitionId};
use crate::raft::{Group, GroupId, ProposeError, StartGroupError};
use crate::wal::{GroupLog, LogStore};
use command::{AppendBatch, Applied, Command, VnodeApp};
use machine::VnodeMachine;
use state::VnodeState;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// A vnode's replica on this shard.
pub struct Vnode {
    id: u32,
    group: Group<VnodeApp, VnodeMachine>,
    state: Rc<VnodeState>,
    log: Rc<GroupLog<VnodeApp>>,
}

impl Vnode {
    /// Starts the replica on its recovered log and checkpoint.
    ///
    /// # Errors
    /// When its group does not start.
    pub async fn start(
        node: u64,
        state: Rc<VnodeState>,
        log: Rc<GroupLog<VnodeApp>>,
    ) -> Result<Self, StartGroupError> {
        let id = state.vnode();
        state.log_is(Rc::clone(&log));
        let machine = VnodeMachine::new(Rc::clone(&state));
        let group =
            crate::raft::start(GroupId(id), node, LogStore(Rc::clone(&log)), machine).await?;
        Ok(Self { id, group, state, log })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its replicated state.
    #[must_use]
    pub fn state(&self) -> &Rc<VnodeState> {
        &self.state
    }

    /// Its part of the WAL.
    #[must_use]
    pub fn log(&self) -> &Rc<GroupLog<VnodeApp>> {
        &self.log
    }

    /// Whether this node leads it.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.group.is_leader()
    }

    /// One of its partitions, if it has been created here.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Rc<Partition>> {
        self.state.partition(id)
    }

    /// Puts batches into the log, in order after all earlier calls. The future resolves, for each
    /// batch, to what became of it once they are durable and applied.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn append(
        self: &Rc<Self>,
        time_ms: u64,
        batches: Vec<AppendBatch>,
    ) -> Result<impl Future<Output = Result<Applied, ProposeError>> + use<>, ProposeError> {
        let proposed = self.group.propose(Command::Append { time_ms, batches }).await?;
        let group = self.group.clone();
        Ok(async move { group.answer(proposed.await) })
    }

    /// Carries out another command.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn write(&self, command: Command) -> Result<Applied, ProposeError> {
        self.group.write(command).await
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
