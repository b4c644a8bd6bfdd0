//! A partition: an ordered log of batches with an offset for each record.
//!
//! ```text
//!   append ──> tail (memory) ──flush──> segments and their indexes (disk)
//!                 │                          │
//!   read <────────┴──────────────────────────┘
//! ```
//!
//! `append`, `trim` and `close` are what commands of the vnode's log do: synchronous, without I/O,
//! and a function of the partition's state and the command, so that a replay after a crash gives
//! the same bytes at the same positions. Files follow later, in `flush`.
//!
//! Invariants:
//! - what a checkpoint says is below its segments' last whole block is durable before the
//!   checkpoint is; the unfinished block is in the checkpoint; everything after it is in the WAL
//! - a file goes only after a checkpoint that does not need it is durable
//! - bytes that do not match their checksum are never returned
//! - memory: dirty bytes stay until they are written, clean ones leave oldest first when the
//!   shard's partitions have more than its budget
//!
//! By what happens: `append.rs`, `producers.rs`, `tail.rs`, `flush.rs`, `read.rs`, `lookup.rs`
//! (where in a file), `timestamp.rs`, `wait.rs`, `retention.rs`, `removal.rs`, `checkpoint.rs` and
//! its `checkpoint_format.rs`. What a shard's partitions share: `context.rs`.

mod append;
mod checkpoint;
mod checkpoint_format;
mod clean_queue;
mod context;
mod counters;
mod error;
mod flush;
mod flush_queue;
mod folders;
mod lookup;
mod lru;
mod producers;
mod read;
mod removal;
mod retention;
mod settings;
mod state;
mod tail;
mod timestamp;
mod varint;
mod wait;

pub use append::AppendOutcome;
pub use checkpoint::PartitionCheckpoint;
pub use checkpoint_format::CheckpointDamage;
pub use context::{StorageContext, StorageSettings};
pub use counters::{Counter, Counters};
pub use error::ReadError;
pub use flush::FlushTarget;
pub use producers::{
    PRODUCER_EXPIRY_MS, PRODUCERS_MAX, Producer, Producers, RECENT_BATCHES_MAX, RecentBatch,
};
pub use read::ReadOutcome;
pub use settings::PartitionSettings;
pub use wait::WaitPast;

use crate::segment::SegmentInfo;
use context::{FileKey, FileKind, Usage};
use futures::lock::Mutex;
use state::State;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

/// Which partition of which topic.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct PartitionId {
    /// The topic's id.
    pub topic: u64,
    /// The partition's number in it, from 0.
    pub partition: u32,
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// A partition of a topic, on the shard that owns it.
#[derive(Debug)]
pub struct Partition {
    id: PartitionId,
    dir: PathBuf,
    context: Rc<StorageContext>,
    me: Weak<Self>,
    state: RefCell<State>,
    /// Held by whoever writes or removes files: one at a time.
    flush_turn: Mutex<()>,
    /// Held by whoever loads or rebuilds an index: the others then find it in the cache.
    index_turn: Mutex<()>,
    /// Whether it stands in the flush queue's two lists.
    is_in_full: Cell<bool>,
    is_in_with_blocks: Cell<bool>,
}

impl Partition {
    /// A new partition without records. `dir` is its folder, made when the first file is.
    #[must_use]
    pub fn create(
        id: PartitionId,
        settings: PartitionSettings,
        dir: PathBuf,
        context: Rc<StorageContext>,
    ) -> Rc<Self> {
        Self::with_state(id, State::new(settings), dir, context)
    }

    fn with_state(
        id: PartitionId,
        state: State,
        dir: PathBuf,
        context: Rc<StorageContext>,
    ) -> Rc<Self> {
        let partition = Rc::new_cyclic(|me| Self {
            id,
            dir,
            context,
            me: me.clone(),
            state: RefCell::new(state),
            flush_turn: Mutex::new(()),
            index_turn: Mutex::new(()),
            is_in_full: Cell::new(false),
            is_in_with_blocks: Cell::new(false),
        });
        partition.settle();
        partition
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The folder of its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> PartitionSettings {
        self.state.borrow().settings.clone()
    }

    /// Takes new settings, from a command of the vnode's log.
    pub fn set_settings(&self, settings: PartitionSettings) {
        self.state.borrow_mut().settings = settings;
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> u64 {
        self.state.borrow().log_start_offset
    }

    /// The offset that the next record gets. Everything below it is committed.
    #[must_use]
    pub fn high_watermark(&self) -> u64 {
        self.state.borrow().high_watermark
    }

    /// Bytes of log, on disk or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state.borrow().segments.iter().map(|segment| segment.info.bytes).sum()
    }

    /// Number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.state.borrow().segments.len()
    }

    /// Its segments, oldest first.
    #[must_use]
    pub fn segment_infos(&self) -> Vec<SegmentInfo> {
        self.state.borrow().segments.iter().map(|segment| segment.info).collect()
    }

    /// Bytes that are not written yet.
    #[must_use]
    pub fn dirty_bytes(&self) -> u64 {
        self.state.borrow().dirty_bytes()
    }

    /// Those of the dirty bytes that a flush would write: all but the unfinished last block.
    #[must_use]
    pub fn flushable_bytes(&self) -> u64 {
        self.state.borrow().flushable_bytes()
    }

    /// Whether it has enough dirty bytes to be worth a flush of its own.
    #[must_use]
    pub fn flush_wanted(&self) -> bool {
        self.flushable_bytes() >= self.context.settings.flush_bytes
    }

    /// Bytes of log in memory.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.state.borrow().tail.bytes()
    }

    /// Idempotent producers remembered.
    #[must_use]
    pub fn producers(&self) -> usize {
        self.state.borrow().producers.len()
    }

    /// Tells the shard's budget of changes. Follows everything that changes the tail.
    fn settle(&self) {
        let mut state = self.state.borrow_mut();
        let now = state.usage();
        let before = std::mem::replace(&mut state.accounted, now);
        drop(state);
        self.context.account(before, now);
    }

    /// Gives up clean bytes before a stream position.
    fn evict(&self, until: u64) {
        let evicted = {
            let mut state = self.state.borrow_mut();
            let written = state.written;
            state.tail.evict(until, written)
        };
        self.context.counters().bytes_evicted.add(evicted);
        self.settle();
    }

    /// Whether it has clean bytes in memory from before a stream position.
    fn holds_before(&self, position: u64) -> bool {
        self.state.borrow().tail.first().is_some_and(|(_, start)| start < position)
    }

    fn me(&self) -> Rc<Self> {
        let Some(me) = self.me.upgrade() else { unreachable!("whoever calls holds an Rc") };
        me
    }

    fn file_key(&self, base_offset: u64, kind: FileKind) -> FileKey {
        FileKey { partition: self.id, base_offset, kind }
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.context.account(self.state.get_mut().accounted, Usage::default());
    }
}
