//! The write-ahead log of a shard: the Raft log of every group whose replica lives here.
//!
//! - [`format`](mod@format): the bytes. A file is a header block and flushes; a flush is records
//!   padded to whole blocks.
//! - [`file`](mod@file): prewritten files that are reused, never grown.
//! - [`writer`]: group commit. One write and one fdatasync for all groups of the core.
//! - [`log`](mod@log): one group's view of it, as openraft's log storage.
//! - [`scan`] and [`recovery`]: reading it back.
//!
//! Invariants:
//! - A block that holds acknowledged bytes is never written again while they are needed.
//! - After a start nothing is appended to the files that were found; new files are begun.
//! - Files are given up oldest first, so what is left on the disk is always the newest part of
//!   each group's history.

pub mod file;
pub mod format;
pub mod log;
mod queue;
pub mod recovery;
pub mod scan;
pub mod writer;

pub use file::{FilePlace, WalFile};
pub use log::{GroupLog, LogStore};
pub use queue::{Append, Done, Placed, Placement, QueuedRecord};
pub use recovery::{RecoveredRecord, RecoveryError, recover};
pub use writer::{Found, Wal, WalError, WalOptions, WalStats};

#[cfg(test)]
mod testing;
