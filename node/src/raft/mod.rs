//! openraft, dressed for this node: one type configuration per kind of group, the binary form of
//! what openraft asks to be kept, and starting a group.
//!
//! Two kinds of group exist: a data vnode ([`crate::vnode`]) and the coordinator
//! ([`crate::coordinator`]). Both use the same log ([`crate::wal`]); they differ in their commands.

pub mod codec;
mod group;
mod network;
mod responder;
mod types;

pub use group::{Group, ProposeError, StartGroupError, start};
pub use responder::{ProposalResponder, Proposed};
pub use types::{
    Application, DecodePayloadError, Encoded, Entry, GroupId, LeaderId, LogId, Membership, NodeId,
    Payload, StoredMembership, TypeConfig, Vote,
};
