//! The storage node of Ringspool: one executor per core, one write-ahead log per core, nothing
//! shared between cores.
//!
//! The modules stand in the order in which a record meets them:
//!
//! ```text
//! connection   accept, hand-over to a shard, framing, deadlines, budgets
//! shard        one executor and what it owns; requests to the owner of each partition
//! vnode        the replicated state machine: commands, apply, checkpoint
//! raft         openraft, dressed for this node
//! wal          the core's log: format, group commit, recycling, recovery
//! partition    offsets, the tail in memory, producers, reading, retention
//! segment      a partition's files;   index   by offset and by time
//!
//! coordinator  the group that holds the cluster's metadata
//! io           the seams to the machine: disk, network, runtime; all unsafe code
//! admin        metrics and health, on a thread of its own
//! node         all of it together;   config, data_dir, limits, metrics
//! ```
//!
//! `docs/ARCHITECTURE.md` follows a record through them.

pub mod admin;
pub mod config;
pub mod connection;
pub mod coordinator;
pub mod data_dir;
#[doc(hidden)]
pub mod fuzzing;
pub mod index;
pub mod io;
pub mod limits;
pub mod metrics;
mod node;
pub mod partition;
pub mod raft;
pub mod segment;
pub mod shard;
#[cfg(test)]
mod testing;
pub mod vnode;
pub mod wal;

pub use node::{Node, NodeHandle, StartError, StopError};
