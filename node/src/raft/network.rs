//! Messages between the replicas of a group. A group whose only replica is here never sends one;
//! a target outside this node is answered as unreachable, which openraft retries.

use super::types::{Application, NodeId, TypeConfig};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use std::future::Future;
use std::marker::PhantomData;

/// Makes the connections of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<S>(PhantomData<S>);

impl<S> Network<S> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// The way to one replica.
#[derive(Debug)]
pub(super) struct Peer<S> {
    node: NodeId,
    snapshot: PhantomData<S>,
}

/// No way leads to that node.
#[derive(Debug, thiserror::Error)]
#[error("node {0} is not a member that this node can reach")]
struct NoRoute(NodeId);

impl<S> Peer<S> {
    fn unreachable<C: openraft::RaftTypeConfig>(&self) -> Unreachable<C> {
        Unreachable::new(&NoRoute(self.node))
    }
}

impl<A: Application, S: 'static> RaftNetworkFactory<TypeConfig<A>> for Network<S> {
    type Network = Peer<S>;
    async fn new_client(&mut self, target: NodeId, _node: &()) -> Peer<S> {
        Peer { node: target, snapshot: PhantomData }
    }
}

impl<A: Application, S: 'static> RaftNetworkV2<TypeConfig<A>> for Peer<S> {
    type SnapshotData = S;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig<A>>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig<A>>, RPCError<TypeConfig<A>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<TypeConfig<A>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<A>>, RPCError<TypeConfig<A>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<TypeConfig<A>>,
        _snapshot: SnapshotOf<TypeConfig<A>, S>,
        _cancel: impl Future<Output = ReplicationClosed> + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<A>>, StreamingError<TypeConfig<A>>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
