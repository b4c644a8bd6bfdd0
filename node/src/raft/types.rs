//! The types openraft is told to use.

use super::responder::ProposalResponder;
use crate::io::runtime::ShardRuntime;
use bytes::Bytes;
use openraft::alias::EntryOf;
use openraft::{EntryPayload, RaftTypeConfig};
use std::fmt::{Debug, Display};
use std::marker::PhantomData;

/// A Raft group on this node: vnode number, or [`GroupId::COORDINATOR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group that holds the cluster's metadata.
    pub const COORDINATOR: Self = Self(u32::MAX);
}

impl Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::COORDINATOR => f.write_str("coordinator"),
            Self(vnode) => write!(f, "vnode {vnode}"),
        }
    }
}

/// A node's number in the cluster.
pub type NodeId = u64;
/// Term and node of a leader.
pub type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, NodeId>;
/// A vote, committed or not.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// Who votes and who learns.
pub type Membership = openraft::Membership<NodeId, ()>;
/// Position of an entry: who wrote it, and its index.
pub type LogId = openraft::LogId<LeaderId>;
/// A membership and where in the log it stands.
pub type StoredMembership = openraft::StoredMembership<LeaderId, NodeId, ()>;
/// A log entry.
pub type Entry<A> = EntryOf<TypeConfig<A>>;
/// What an entry carries.
pub type Payload<A> = EntryPayload<<A as Application>::Command, NodeId, ()>;

/// A command's bytes: pieces in order, so that a batch need not be copied to be logged.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Encoded {
    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push(piece);
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.len(), pieces: vec![Bytes::from(bytes)] }
    }
}

/// Bytes of the log that are not what they should be although their checksum is right: written by
/// a newer version, or by a bug.
#[derive(Debug, thiserror::Error)]
#[error("a log entry cannot be understood ({0}); was it written by a newer version?")]
pub struct DecodePayloadError(pub String);

/// What a kind of group replicates.
pub trait Application: Debug + Clone + Copy + Default + Eq + Ord + Send + Sync + 'static {
    /// A change to the replicated state.
    type Command: Clone + Debug + Display + Send + Sync + 'static;
    /// What applying a command answers.
    type Applied: Debug + Send + Sync + 'static;

    /// The command's bytes in the log.
    fn encode(command: &Self::Command) -> Encoded;
    /// The command of these bytes; batches are slices of them.
    ///
    /// # Errors
    /// When they are not a command.
    fn decode(bytes: Bytes) -> Result<Self::Command, DecodePayloadError>;
}

/// openraft's type configuration for groups of application `A`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig<A>(PhantomData<A>);

impl<A: Application> RaftTypeConfig for TypeConfig<A> {
    type D = A::Command;
    type R = A::Applied;
    type NodeId = NodeId;
    type Node = ();
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload<A>;
    type Entry = openraft::alias::DefaultEntryOf<Self>;
    type AsyncRuntime = ShardRuntime;
    type Responder<T>
        = ProposalResponder<T>
    where
        T: 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: 'static;
    type ErrorSource = openraft::AnyError;
}
