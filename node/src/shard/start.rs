//! From the data directory to a shard that serves.
//!
//! 1. Recover log, storage and groups ([`super::recovery`]).
//! 2. On shard 0: create the cluster if it is new, register this node, tell all of the metadata.
//! 3. Put the partitions in place, begin to accept connections.

use super::mailbox::{Mailbox, Mailboxes, Message};
use super::reconcile::ReconcileError;
use super::recovery::{Exchange, Recovery};
use super::{NodeIdentity, Shard};
use crate::connection;
use crate::coordinator::{ChangeError, Coordinator};
use crate::io::{BoundListener, DiskError, RealDisk, runtime};
use crate::limits::{DIRTY_BYTES_MAX, SEGMENT_FLUSH_BYTES, STOP_DEADLINE};
use crate::partition::StorageSettings;
use crate::raft::StartGroupError;
use crate::vnode::checkpoint::CheckpointError;
use crate::wal::RecoveryError;
use crate::wal::log::RecoverLogError;
use futures::future::{Either, select};
use ringspool_ring::{Command, Metadata, NodeInfo};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// Everything a shard is started with.
pub struct Boot {
    /// Its number.
    pub id: u16,
    /// How many there are.
    pub shards: u16,
    /// Whose it is.
    pub identity: NodeIdentity,
    /// How the node describes itself to the cluster.
    pub node: NodeInfo,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Length of WAL files.
    pub wal_file_bytes: u64,
    /// Bytes of batches in memory.
    pub cache_bytes: u64,
    /// WAL folders found, by number.
    pub wal_dirs: usize,
    /// Alive while any found WAL file is needed.
    pub found_needed: Arc<()>,
    /// To every shard's exchange.
    pub exchange: Vec<async_channel::Sender<Exchange>>,
    /// This shard's exchange.
    pub exchanged: async_channel::Receiver<Exchange>,
    /// Mailboxes of all shards.
    pub mailboxes: Mailboxes,
    /// This shard's mailbox.
    pub mailbox: Mailbox,
    /// Where clients come in.
    pub listener: BoundListener,
    /// Told once the shard serves.
    pub ready: std::sync::mpsc::Sender<Result<Ready, (u16, StartError)>>,
}

/// What a shard did to get ready.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The shard.
    pub shard: u16,
    /// Bytes of WAL read.
    pub wal_bytes_read: u64,
}

/// Why a shard did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The WAL cannot be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A group's log cannot be rebuilt.
    #[error(transparent)]
    Log(#[from] RecoverLogError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A group did not start.
    #[error(transparent)]
    Group(#[from] StartGroupError),
    /// The metadata did not take this node.
    #[error("the cluster's metadata did not accept this node: {0}")]
    Register(#[from] ChangeError),
    /// Data is there of which the metadata knows nothing.
    #[error(transparent)]
    Reconcile(ReconcileError),
    /// Another shard failed; it says why.
    #[error("another shard did not start")]
    OtherShard,
}

/// A shard's whole life. Returns when it was told to stop, or with the reason why it had to.
///
/// # Errors
/// The reason for which the shard stopped by itself.
pub async fn run(boot: Boot) -> Result<(), String> {
    let (ready, mailbox) = (boot.ready.clone(), boot.mailbox.clone());
    let (id, data_dir) = (boot.id, boot.data_dir.clone());
    let (shard, listener, report) = match start(boot).await {
        Ok(started) => started,
        Err(error) => {
            let reason = error.to_string();
            // The node may have given up on this start already.
            drop(ready.send(Err((id, error))));
            return Err(reason);
        }
    };
    let reconciler = runtime::spawn(Rc::clone(&shard).run_reconciler());
    let served = runtime::spawn(Rc::clone(&shard).serve(mailbox));
    // The first metadata a shard hears of is all there is: once its partitions are in place, the
    // shard is ready.
    let mut reconciled = shard.reconciled.subscribe();
    let in_place = std::pin::pin!(reconciled.wait_for(|version| *version > 0));
    if let Either::Right((Ok(error), _)) = select(in_place, reconciler).await {
        let reason = error.to_string();
        drop(ready.send(Err((id, StartError::Reconcile(error)))));
        return Err(reason);
    }
    drop(runtime::spawn(connection::accept(Rc::clone(&shard), listener)));
    let housekeeping = Rc::clone(&shard);
    let failed = runtime::spawn(async move { housekeeping.run_housekeeping(&data_dir).await });
    drop(ready.send(Ok(report)));
    match select(served, failed).await {
        // Housekeeping ends too: a call to the file system must not outlive the executor.
        Either::Left((_, housekeeping)) => {
            if runtime::timeout(STOP_DEADLINE, housekeeping).await.is_none() {
                tracing::warn!(shard = id, "housekeeping was cut off");
            }
            Ok(())
        }
        Either::Right((Ok(Some(reason)), _)) => Err(reason),
        Either::Right((_, served)) => {
            drop(served.await);
            Ok(())
        }
    }
}

async fn start(mut boot: Boot) -> Result<(Rc<Shard>, BoundListener, Ready), StartError> {
    let disk = Rc::new(RealDisk::open(&boot.data_dir).await?);
    let recovery = Recovery {
        id: boot.id,
        shards: boot.shards,
        node_id: boot.identity.node_id,
        vnodes: boot.identity.vnodes,
        data_dir: boot.data_dir.clone(),
        wal_file_bytes: boot.wal_file_bytes,
        storage: StorageSettings {
            cache_bytes: boot.cache_bytes,
            dirty_bytes_max: DIRTY_BYTES_MAX as u64,
            flush_bytes: SEGMENT_FLUSH_BYTES as u64,
            ..StorageSettings::default()
        },
        wal_dirs: boot.wal_dirs,
        found_needed: Arc::clone(&boot.found_needed),
        exchange: std::mem::take(&mut boot.exchange),
        exchanged: boot.exchanged.clone(),
    };
    let recovered = recovery.run(disk).await?;
    if let Some(coordinator) = &recovered.coordinator {
        introduce(&boot, coordinator).await?;
    }
    let wal_bytes_read = recovered.wal_bytes_read;
    let Boot { id, shards, identity, mailboxes, listener, .. } = boot;
    let shard = Rc::new(Shard::new(id, shards, identity, mailboxes, recovered));
    Ok((shard, listener, Ready { shard: id, wal_bytes_read }))
}

/// Makes sure that the cluster exists and knows this node, and has all shards told of the metadata.
async fn introduce(boot: &Boot, coordinator: &Coordinator) -> Result<(), StartError> {
    if !coordinator.metadata().is_initialised() {
        let init = Command::InitCluster {
            cluster_id: boot.identity.cluster_id.to_string(),
            vnode_count: boot.identity.vnodes,
            format_version: ringspool_ring::limits::FORMAT_VERSION,
        };
        coordinator.change(init).await?;
    }
    coordinator.change(Command::RegisterNode(boot.node.clone())).await?;
    let tell = tell_all(boot.mailboxes.clone());
    tell(coordinator.metadata());
    coordinator.follow(tell);
    Ok(())
}

/// Sends metadata to every shard. Versions may overtake each other; shards keep the newest.
fn tell_all(mailboxes: Mailboxes) -> Box<dyn Fn(Arc<Metadata>)> {
    Box::new(move |metadata| {
        for shard in 0..mailboxes.shards() {
            let (mailboxes, metadata) = (mailboxes.clone(), Arc::clone(&metadata));
            drop(runtime::spawn(async move {
                if mailboxes.send(shard, Message::Metadata(metadata)).await.is_err() {
                    tracing::debug!(shard, "has stopped and needs no metadata");
                }
            }));
        }
    })
}
