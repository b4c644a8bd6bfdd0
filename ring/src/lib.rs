//! Ringspool's decisions, as pure code: no I/O, no clock, no randomness.
//!
//! Two things live here. **Placement** says where data goes: which virtual node serves a partition
//! ([`place_partitions`]), and which nodes hold a virtual node ([`replicas::plan`]). **Metadata** is
//! the coordinator's state machine: commands go in, a new state or a refusal comes out, and the same
//! commands give the same bytes on every machine and in every year.
//!
//! ```text
//! hash ──> ring ──> partitions ──> metadata::apply <── metadata::command
//!            └────> replicas::plan ──> moves
//! ```
//!
//! What is decided here is committed by the coordinator and then *is* the truth; nothing is
//! recomputed at run time. A change to the hash or to a placement rule therefore changes what
//! `apply` answers, and needs a new format version of the cluster (see [`limits::FORMAT_VERSION`]).

#![forbid(unsafe_code)]

pub mod hash;
pub mod limits;
pub mod metadata;
pub mod replicas;

mod bound;
mod partitions;
mod ring;

pub use bound::Slack;
pub use metadata::{
    Applied, Command, DecodeError, Metadata, NodeInfo, NodeState, Refused, SettingError,
    SettingPair, Topic, TopicSettings,
};
pub use partitions::{VnodeLoad, place_partitions};
pub use ring::Ring;
