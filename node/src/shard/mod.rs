//! A shard: one core's executor and everything it owns. Nothing is shared between shards; they
//! pass messages.
//!
//! - [`start`]: from the data directory to a shard that serves.
//! - [`recovery`]: from what is on disk to running groups.
//! - [`mailbox`]: what shards ask of each other; [`serve`]: answering it.
//! - [`route`]: from a partition to the vnode and the shard that own it.
//! - [`produce`], [`fetch`], [`offsets`], [`topics`]: the requests of clients, on the shard of the
//!   connection; each part goes to its owner, which may be this shard.
//! - [`storage`]: what the vnodes of the shard share; its flusher.
//! - [`reconcile`]: making the partitions that the metadata says should be here.
//! - [`housekeeping`]: checkpoints, retention, free space.

pub mod fetch;
pub mod housekeeping;
pub mod mailbox;
pub mod offsets;
pub mod produce;
pub mod reconcile;
pub mod recovery;
pub mod route;
pub mod serve;
pub mod start;
pub mod stats;
pub mod storage;
pub mod topics;

use crate::connection::Sessions;
use crate::coordinator::Coordinator;
use crate::vnode::Vnode;
use crate::wal::Wal;
use mailbox::Mailboxes;
use recovery::Recovered;
use ringspool_ring::Metadata;
use stats::Stats;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use storage::ShardStorage;
use tokio::sync::{Notify, watch};

/// What a shard is told about its node.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// The node's number.
    pub node_id: u64,
    /// The cluster.
    pub cluster_id: Arc<str>,
    /// Virtual nodes of the cluster.
    pub vnodes: u32,
}

/// One core's share of the node.
pub struct Shard {
    /// Its number, from 0.
    pub id: u16,
    /// How many there are.
    pub shards: u16,
    /// Whose shard it is.
    pub identity: NodeIdentity,
    /// The log of everything on this shard.
    pub wal: Wal,
    /// Segments, caches, budgets.
    pub storage: Rc<ShardStorage>,
    /// The replicas that live here.
    pub vnodes: BTreeMap<u32, Rc<Vnode>>,
    /// On shard 0: the cluster's metadata group.
    pub coordinator: Option<Rc<Coordinator>>,
    /// The metadata as last heard.
    pub metadata: RefCell<Arc<Metadata>>,
    /// Version of the metadata up to which partitions here are as they should be.
    pub reconciled: watch::Sender<u64>,
    /// The metadata changed.
    pub reconcile_wanted: Notify,
    /// The ways to all shards.
    pub mailboxes: Mailboxes,
    /// Connections served here.
    pub sessions: Sessions,
    /// Counters.
    pub stats: Stats,
    /// Producer ids not yet given out.
    pub producer_ids: RefCell<Range<u64>>,
    /// Why writes are refused, if they are: the disk is full.
    pub out_of_space: Cell<bool>,
}

impl Shard {
    /// A shard of what was recovered, before it has heard of the metadata.
    #[must_use]
    pub fn new(
        id: u16,
        shards: u16,
        identity: NodeIdentity,
        mailboxes: Mailboxes,
        recovered: Recovered,
    ) -> Self {
        let Recovered { wal, storage, vnodes, coordinator, wal_bytes_read: _ } = recovered;
        Self {
            id,
            shards,
            identity,
            wal,
            storage,
            vnodes,
            coordinator,
            metadata: RefCell::new(Arc::new(Metadata::new())),
            reconciled: watch::Sender::new(0),
            reconcile_wanted: Notify::new(),
            mailboxes,
            sessions: Sessions::default(),
            stats: Stats::default(),
            producer_ids: RefCell::new(0..0),
            out_of_space: Cell::new(false),
        }
    }

    /// The metadata as last heard.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.metadata.borrow())
    }
}
