//! A running Raft group.

use super::network::Network;
use super::responder::{ProposalResponder, Proposed};
use super::types::{Application, GroupId, NodeId, TypeConfig};
use crate::wal::LogStore;
use openraft::alias::WriteResponderOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::ClientWriteResponse;
use openraft::storage::RaftStateMachine;
use openraft::{Config, Raft, SnapshotPolicy};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often a leader is heard at least. Every group so far has one replica, which nobody has to
/// hear: a tick only costs (65 groups at 500 ms: 4% of a core). Groups with followers need less.
const HEARTBEAT_MS: u64 = 5000;
/// How long a follower waits before it stands for election; the upper end is twice that.
const ELECTION_TIMEOUT_MS: u64 = 15000;
/// Proposals that one round of a group takes from its channel.
const API_BATCH_CAPACITY: u64 = 128;
/// How long a start waits for its groups to lead and to have applied what was found.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// Why a group did not start.
#[derive(Debug, thiserror::Error)]
#[error("{group} did not start: {reason}")]
pub struct StartGroupError {
    group: GroupId,
    reason: String,
}

/// Why a proposal was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, if any does.
    #[error("{group} is not led by this node{}", leader.map_or(String::new(), |n| format!(", but by node {n}")))]
    NotLeader {
        /// The group.
        group: GroupId,
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// The group has stopped.
    #[error("{group} has stopped: {reason}")]
    Stopped {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
}

/// A replica of a Raft group on this shard.
pub struct Group<A: Application, S: RaftStateMachine<TypeConfig<A>>> {
    id: GroupId,
    raft: Raft<TypeConfig<A>, S>,
}

impl<A: Application, S: RaftStateMachine<TypeConfig<A>>> Clone for Group<A, S> {
    fn clone(&self) -> Self {
        Self { id: self.id, raft: self.raft.clone() }
    }
}

/// What a proposal resolves to.
pub(super) type Outcome<A> =
    Result<ClientWriteResponse<TypeConfig<A>>, ClientWriteError<TypeConfig<A>>>;

/// Starts a replica. A group without any history becomes one with this node as its only voter.
/// Returns when everything found in the log has been applied.
///
/// # Errors
/// When the log or the state cannot be used, or nobody leads in time.
pub async fn start<A, S>(
    id: GroupId,
    node: NodeId,
    log: LogStore<A>,
    state_machine: S,
) -> Result<Group<A, S>, StartGroupError>
where
    A: Application,
    S: RaftStateMachine<TypeConfig<A>>,
{
    let failed = |reason: String| StartGroupError { group: id, reason };
    let config = Config {
        cluster_name: "ringspool".into(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_TIMEOUT_MS,
        election_timeout_max: 2 * ELECTION_TIMEOUT_MS,
        // Checkpoints are made when the WAL needs its files back, not by counting entries.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        purge_batch_size: 1,
        // openraft allocates these ahead, once per group; the connections' budgets bound what can
        // be in flight anyway.
        api_batch_capacity: API_BATCH_CAPACITY,
        ..Config::default()
    };
    let config = config.validate().map_err(|e| failed(e.to_string()))?;
    let last_index = log.0.next_index();
    let fresh = !log.0.has_vote() && last_index == 0;
    let network = Network::new();
    let raft = Raft::new(node, Arc::new(config), network, log, state_machine).await;
    let raft = raft.map_err(|e| failed(e.to_string()))?;
    if fresh {
        let members = BTreeSet::from([node]);
        raft.initialize(members).await.map_err(|e| failed(e.to_string()))?;
    } else if raft.voter_ids().eq([node]) && !raft.is_leader() {
        // Nobody else can vote: there is no reason to wait for the election timeout.
        raft.trigger().elect(false).await.map_err(|e| failed(e.to_string()))?;
    }
    let ready = raft.wait(Some(START_DEADLINE));
    let ready = ready
        .metrics(
            |m| {
                m.current_leader == Some(node)
                    && m.last_applied.map_or(0, |applied| applied.index + 1) >= last_index.max(1)
            },
            "to lead and to have applied the log",
        )
        .await;
    ready.map_err(|e| failed(e.to_string()))?;
    Ok(Group { id, raft })
}

impl<A: Application, S: RaftStateMachine<TypeConfig<A>>> Group<A, S> {
    /// The group.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Puts a command into the log after all earlier ones; the result resolves when it was applied.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn propose(&self, command: A::Command) -> Result<Proposed<Outcome<A>>, ProposeError> {
        let (responder, proposed): (WriteResponderOf<TypeConfig<A>>, _) =
            ProposalResponder::channel();
        match self.raft.client_write_ff(command, Some(responder)).await {
            Ok(()) => Ok(proposed),
            Err(fatal) => Err(self.stopped(&fatal)),
        }
    }

    /// The answer of a proposal that resolved to `outcome`.
    ///
    /// # Errors
    /// When it was not applied.
    pub fn answer(&self, outcome: Option<Outcome<A>>) -> Result<A::Applied, ProposeError> {
        match outcome {
            Some(Ok(response)) => Ok(response.data),
            Some(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { group: self.id, leader: forward.leader_id })
            }
            Some(Err(other)) => {
                Err(ProposeError::Stopped { group: self.id, reason: other.to_string() })
            }
            None => {
                Err(ProposeError::Stopped { group: self.id, reason: "it is shutting down".into() })
            }
        }
    }

    /// Proposes and waits for the answer.
    ///
    /// # Errors
    /// When it was not applied.
    pub async fn write(&self, command: A::Command) -> Result<A::Applied, ProposeError> {
        let proposed = self.propose(command).await?;
        self.answer(proposed.await)
    }

    /// Whether this node leads the group.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Makes a checkpoint of all that is applied now, and waits for it.
    ///
    /// # Errors
    /// When the group has stopped or the checkpoint takes too long.
    pub async fn checkpoint(&self, deadline: Duration) -> Result<(), ProposeError> {
        let applied = self.raft.metrics().borrow_watched().last_applied;
        let Some(applied) = applied else { return Ok(()) };
        self.raft.trigger().snapshot().await.map_err(|e| self.stopped(&e))?;
        let wait = self.raft.wait(Some(deadline));
        let done = wait.metrics(
            |m| {
                m.snapshot.is_some_and(|snapshot| snapshot.index >= applied.index)
                    && m.purged.is_some_and(|purged| purged.index >= applied.index)
            },
            "to be checkpointed",
        );
        match done.await {
            Ok(_) => Ok(()),
            Err(e) => Err(ProposeError::Stopped { group: self.id, reason: e.to_string() }),
        }
    }

    /// Stops the replica; what is applied stays.
    pub async fn stop(&self) {
        if self.raft.shutdown().await.is_err() {
            tracing::debug!(group = %self.id, "had stopped before");
        }
    }

    fn stopped(&self, fatal: &Fatal<TypeConfig<A>>) -> ProposeError {
        ProposeError::Stopped { group: self.id, reason: fatal.to_string() }
    }
}
