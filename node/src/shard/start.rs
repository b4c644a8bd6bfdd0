//! From the data directory to a shard that serves.
//!
//! 1. Read this shard's share of the WAL folders (there may be more or fewer than shards).
//! 2. Send each group's records to the shard that owns it now; take those of one's own groups.
//! 3. Load checkpoints, rebuild logs, start the groups; they apply what the checkpoints lack.
//! 4. On shard 0: create the cluster if it is new, register this node, tell all of the metadata.
//! 5. Put the partitions in place, begin to accept connections.

use super::mailbox::{Mailbox, Mailboxes, Message};
use super::route::shard_of;
use super::stats::Stats;
use super::storage::ShardStorage;
use super::{NodeIdentity, Shard};
use crate::connection::{self, Sessions};
use crate::coordinator::{self, ChangeError, Coordinator, CoordinatorState};
use crate::io::{BoundListener, Disk, DiskError, RealDisk, runtime};
use crate::partition::{StorageContext, StorageSettings};
use crate::raft::{GroupId, StartGroupError};
use crate::vnode::checkpoint::CheckpointError;
use crate::vnode::state::VnodeState;
use crate::vnode::{self, Vnode};
use crate::wal::log::{LogCache, RecoverLogError};
use crate::wal::recovery::{RecoveredDir, shard_dir};
use crate::wal::{GroupLog, RecoveredRecord, RecoveryError, Wal, WalFile, WalOptions};
use futures::{StreamExt, TryStreamExt, stream};
use ringspool_ring::{Command, Metadata, NodeInfo};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Vnodes started at the same time.
const STARTS_AT_ONCE: usize = 16;

/// What one shard read and another owns.
pub struct Exchange {
    records: Vec<RecoveredRecord>,
    /// Files the records lie in, with their incarnations.
    files: Vec<(PathBuf, u64)>,
}

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
    drop(runtime::spawn(Rc::clone(&shard).run_reconciler()));
    let served = runtime::spawn(Rc::clone(&shard).serve(mailbox));
    // The first metadata a shard hears of is all there is: once its partitions are in place, the
    // shard is ready.
    drop(shard.reconciled.subscribe().wait_for(|version| *version > 0).await);
    drop(runtime::spawn(connection::accept(Rc::clone(&shard), listener)));
    let housekeeping = Rc::clone(&shard);
    let failed = runtime::spawn(async move { housekeeping.run_housekeeping(&data_dir).await });
    drop(ready.send(Ok(report)));
    match futures::future::select(served, failed).await {
        futures::future::Either::Left(_) => Ok(()),
        futures::future::Either::Right((reason, _)) => {
            Err(reason.unwrap_or_else(|_| "housekeeping ended".into()))
        }
    }
}

async fn start(mut boot: Boot) -> Result<(Rc<Shard>, BoundListener, Ready), StartError> {
    let disk: Rc<dyn Disk> = Rc::new(RealDisk::open(&boot.data_dir).await?);
    let found = read_wal(&*disk, &boot).await?;
    let wal_bytes_read = found.bytes_read;
    let own = exchange(&mut boot, &found).await?;
    let wal = open_wal(Rc::clone(&disk), &boot, found).await?;

    let settings = StorageSettings { cache_bytes: boot.cache_bytes, ..StorageSettings::default() };
    let context = StorageContext::new(Rc::clone(&disk), settings);
    let storage = Rc::new(ShardStorage::new(Rc::clone(&disk), context));
    drop(runtime::spawn(Rc::clone(&storage).run_flusher()));

    let mut groups = Groups::new(&boot, wal.clone(), own);
    let coordinator = match boot.id {
        0 => Some(start_coordinator(&boot, &disk, &mut groups).await?),
        _ => None,
    };
    let vnodes = start_vnodes(&boot, &storage, &mut groups).await?;
    drop(groups);

    let shard = Rc::new(Shard {
        id: boot.id,
        shards: boot.shards,
        identity: boot.identity.clone(),
        wal,
        storage,
        vnodes,
        coordinator,
        metadata: RefCell::new(Arc::new(Metadata::new())),
        reconciled: watch::Sender::new(0),
        reconcile_wanted: Notify::new(),
        mailboxes: boot.mailboxes.clone(),
        sessions: Sessions::default(),
        stats: Stats::default(),
        producer_ids: RefCell::new(0..0),
        out_of_space: Cell::new(false),
    });
    Ok((shard, boot.listener, Ready { shard: boot.id, wal_bytes_read }))
}

/// A shard's share of what was found under `wal/`.
struct Found {
    records: Vec<RecoveredRecord>,
    files: Vec<(PathBuf, u64)>,
    empty: Vec<PathBuf>,
    next_number: u64,
    bytes_read: u64,
}

async fn read_wal(disk: &dyn Disk, boot: &Boot) -> Result<Found, StartError> {
    let root = boot.data_dir.join("wal");
    let own = shard_dir(&root, usize::from(boot.id));
    disk.create_dir_all(&own).await?;
    disk.sync_dir(&root).await?;
    let mut found = Found {
        records: Vec::new(),
        files: Vec::new(),
        empty: Vec::new(),
        next_number: 1,
        bytes_read: 0,
    };
    let dirs = boot.wal_dirs.max(usize::from(boot.shards));
    for number in (usize::from(boot.id)..dirs).step_by(usize::from(boot.shards)) {
        let dir = shard_dir(&root, number);
        let RecoveredDir { records, files, empty, next_number, bytes_read } =
            crate::wal::recover(disk, &dir).await?;
        if dir == own {
            found.next_number = next_number;
        }
        found.records.extend(records);
        found.files.extend(files);
        found.empty.extend(empty);
        found.bytes_read += bytes_read;
    }
    Ok(found)
}

/// Sends what others own to them and collects what is this shard's.
async fn exchange(boot: &mut Boot, found: &Found) -> Result<Vec<Exchange>, StartError> {
    let mut shares: Vec<Vec<RecoveredRecord>> = Vec::new();
    shares.resize_with(usize::from(boot.shards), Vec::new);
    for record in &found.records {
        let owner = match record.header.group {
            GroupId::COORDINATOR => 0,
            GroupId(vnode) => shard_of(vnode, boot.shards),
        };
        shares[usize::from(owner)].push(record.clone());
    }
    // Dropped when all is sent: a shard that failed before this closes the others' channels.
    let senders = std::mem::take(&mut boot.exchange);
    for (sender, records) in senders.iter().zip(shares) {
        let exchange = Exchange { records, files: found.files.clone() };
        sender.send(exchange).await.map_err(|_| StartError::OtherShard)?;
    }
    drop(senders);
    let mut own = Vec::new();
    for _ in 0..boot.shards {
        own.push(boot.exchanged.recv().await.map_err(|_| StartError::OtherShard)?);
    }
    Ok(own)
}

async fn open_wal(disk: Rc<dyn Disk>, boot: &Boot, found: Found) -> Result<Wal, StartError> {
    let dir = shard_dir(&boot.data_dir.join("wal"), usize::from(boot.id));
    let files = found.files.into_iter();
    let files = files.map(|(path, incarnation)| Rc::new(WalFile::found(path, incarnation, None)));
    let shard = u32::from(boot.id);
    let file_bytes = boot.wal_file_bytes;
    let options = WalOptions { dir: dir.clone(), shard, file_bytes };
    let needed = Arc::downgrade(&boot.found_needed);
    let wal =
        Wal::start(Rc::clone(&disk), options, files.collect(), needed, found.next_number);
    for path in found.empty {
        let size = disk.open(&path, crate::io::OpenMode::Read).await?.size().await?;
        if path.parent() == Some(&*dir) && size == file_bytes {
            wal.add_spare(Rc::new(WalFile::adopt(&*disk, path, shard, file_bytes).await?));
        } else {
            disk.remove_file(&path).await?;
        }
    }
    Ok(wal)
}

/// The recovered records of this shard's groups, and the files they lie in.
struct Groups {
    wal: Wal,
    cache: Rc<LogCache>,
    records: HashMap<GroupId, Vec<RecoveredRecord>>,
    files: HashMap<Arc<Path>, Rc<WalFile>>,
}

impl Groups {
    fn new(boot: &Boot, wal: Wal, own: Vec<Exchange>) -> Self {
        let mut records: HashMap<GroupId, Vec<RecoveredRecord>> = HashMap::new();
        let mut files = HashMap::new();
        for exchange in own {
            for record in exchange.records {
                records.entry(record.header.group).or_default().push(record);
            }
            for (path, incarnation) in exchange.files {
                let needed = Some(Arc::clone(&boot.found_needed));
                let file = Rc::new(WalFile::found(path.clone(), incarnation, needed));
                files.insert(Arc::from(path.as_path()), file);
            }
        }
        Self { wal, cache: Rc::default(), records, files }
    }

    fn log<A: crate::raft::Application>(
        &mut self,
        group: GroupId,
        purged: Option<crate::raft::LogId>,
    ) -> Result<Rc<GroupLog<A>>, RecoverLogError> {
        let records = self.records.remove(&group).unwrap_or_default();
        let (wal, cache) = (self.wal.clone(), Rc::clone(&self.cache));
        GroupLog::recover(group, wal, cache, purged, records, &self.files)
    }
}

async fn start_vnodes(
    boot: &Boot,
    storage: &Rc<ShardStorage>,
    groups: &mut Groups,
) -> Result<BTreeMap<u32, Rc<Vnode>>, StartError> {
    let own = (0..boot.identity.vnodes).filter(|vnode| shard_of(*vnode, boot.shards) == boot.id);
    let mut starts = Vec::new();
    for id in own {
        let state = Rc::new(VnodeState::new(id, &boot.data_dir, Rc::clone(storage)));
        vnode::checkpoint::load(&state).await?;
        let log = groups.log(GroupId(id), state.applied())?;
        starts.push((state, log));
    }
    let node = boot.identity.node_id;
    stream::iter(starts)
        .map(|(state, log)| async move {
            let vnode = Vnode::start(node, state, log).await?;
            Ok::<_, StartError>((vnode.id(), Rc::new(vnode)))
        })
        .buffer_unordered(STARTS_AT_ONCE)
        .try_collect()
        .await
}

/// Starts the coordinator and makes sure that the cluster exists and knows this node.
async fn start_coordinator(
    boot: &Boot,
    disk: &Rc<dyn Disk>,
    groups: &mut Groups,
) -> Result<Rc<Coordinator>, StartError> {
    let state = Rc::new(CoordinatorState::new(Rc::clone(disk), &boot.data_dir));
    coordinator::checkpoint::load(&**disk, &boot.data_dir, &state).await?;
    let log = groups.log(GroupId::COORDINATOR, state.applied())?;
    let coordinator = Coordinator::start(boot.identity.node_id, Rc::clone(&state), log).await?;
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
    state.follow(tell);
    Ok(Rc::new(coordinator))
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
