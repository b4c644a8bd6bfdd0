//! From what is on a disk, real or simulated, to the running groups of a shard.
//!
//! 1. Read this shard's share of the WAL folders (there may be more or fewer than shards).
//! 2. Send each group's records to the shard that owns it now; take those of one's own groups.
//! 3. Load checkpoints, rebuild logs, start the groups; they apply what the checkpoints lack.

use super::route::shard_of;
use super::start::StartError;
use super::storage::ShardStorage;
use crate::coordinator::{self, Coordinator, CoordinatorState};
use crate::io::{Disk, OpenMode, runtime};
use crate::partition::{StorageContext, StorageSettings};
use crate::raft::{Application, GroupId, LogId};
use crate::vnode::state::VnodeState;
use crate::vnode::{self, Vnode};
use crate::wal::log::{LogCache, RecoverLogError};
use crate::wal::recovery::{RecoveredDir, shard_dir};
use crate::wal::{self, GroupLog, RecoveredRecord, Wal, WalFile, WalOptions};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Vnodes started at the same time.
const STARTS_AT_ONCE: usize = 16;

/// What one shard read and another owns.
pub struct Exchange {
    records: Vec<RecoveredRecord>,
    /// Files the records lie in, with their incarnations.
    files: Vec<(PathBuf, u64)>,
}

/// What has to be known to recover a shard.
pub struct Recovery {
    /// Its number.
    pub id: u16,
    /// How many there are.
    pub shards: u16,
    /// The node's number.
    pub node_id: u64,
    /// Virtual nodes of the cluster.
    pub vnodes: u32,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Length of WAL files.
    pub wal_file_bytes: u64,
    /// Bounds of its memory for batches.
    pub storage: StorageSettings,
    /// WAL folders found, by number.
    pub wal_dirs: usize,
    /// Alive while any found WAL file is needed.
    pub found_needed: Arc<()>,
    /// To every shard's exchange.
    pub exchange: Vec<async_channel::Sender<Exchange>>,
    /// This shard's exchange.
    pub exchanged: async_channel::Receiver<Exchange>,
}

/// A shard's log, storage and groups, with all applied that was found.
pub struct Recovered {
    /// The log.
    pub wal: Wal,
    /// What its vnodes share.
    pub storage: Rc<ShardStorage>,
    /// Its vnodes.
    pub vnodes: BTreeMap<u32, Rc<Vnode>>,
    /// On shard 0: the cluster's metadata group.
    pub coordinator: Option<Rc<Coordinator>>,
    /// Bytes of WAL read.
    pub wal_bytes_read: u64,
}

impl Recovery {
    /// Recovers the shard. All shards of a node have to do this at the same time.
    ///
    /// # Errors
    /// When something cannot be read, or a group does not start. Nothing that is needed was removed
    /// or changed then.
    pub async fn run(mut self, disk: Rc<dyn Disk>) -> Result<Recovered, StartError> {
        let found = self.read_wal(&*disk).await?;
        let wal_bytes_read = found.bytes_read;
        let own = self.exchange(&found).await?;
        let wal = self.open_wal(Rc::clone(&disk), found).await?;

        let context = StorageContext::new(Rc::clone(&disk), self.storage);
        let storage = Rc::new(ShardStorage::new(Rc::clone(&disk), context));
        drop(runtime::spawn(Rc::clone(&storage).run_flusher()));

        let mut groups = Groups::new(wal.clone(), own, &self.found_needed);
        let coordinator = match self.id {
            0 => Some(self.start_coordinator(disk, &mut groups).await?),
            _ => None,
        };
        let vnodes = self.start_vnodes(&storage, &mut groups).await?;
        Ok(Recovered { wal, storage, vnodes, coordinator, wal_bytes_read })
    }

    fn wal_dir(&self, number: usize) -> PathBuf {
        shard_dir(&self.data_dir.join("wal"), number)
    }

    fn own_wal_dir(&self) -> PathBuf {
        self.wal_dir(usize::from(self.id))
    }

    /// Reads this shard's share of the WAL folders; its own says where the log goes on.
    async fn read_wal(&self, disk: &dyn Disk) -> Result<RecoveredDir, StartError> {
        let own = self.own_wal_dir();
        disk.create_dir_all(&own).await?;
        disk.sync_dir(&self.data_dir.join("wal")).await?;
        let mut all = wal::recover(disk, &own).await?;
        let first_other = usize::from(self.id) + usize::from(self.shards);
        for number in (first_other..self.wal_dirs).step_by(usize::from(self.shards)) {
            let other = wal::recover(disk, &self.wal_dir(number)).await?;
            all.records.extend(other.records);
            all.files.extend(other.files);
            all.empty.extend(other.empty);
            all.bytes_read += other.bytes_read;
        }
        Ok(all)
    }

    /// Sends what others own to them and collects what is this shard's.
    async fn exchange(&mut self, found: &RecoveredDir) -> Result<Vec<Exchange>, StartError> {
        let mut shares: Vec<Vec<RecoveredRecord>> = Vec::new();
        shares.resize_with(usize::from(self.shards), Vec::new);
        for record in &found.records {
            let owner = match record.header.group {
                GroupId::COORDINATOR => 0,
                GroupId(vnode) => shard_of(vnode, self.shards),
            };
            shares[usize::from(owner)].push(record.clone());
        }
        // Dropped when all is sent: a shard that failed before this closes the others' channels.
        let senders = std::mem::take(&mut self.exchange);
        for (sender, records) in senders.iter().zip(shares) {
            let exchange = Exchange { records, files: found.files.clone() };
            sender.send(exchange).await.map_err(|_| StartError::OtherShard)?;
        }
        drop(senders);
        let mut own = Vec::new();
        for _ in 0..self.shards {
            own.push(self.exchanged.recv().await.map_err(|_| StartError::OtherShard)?);
        }
        Ok(own)
    }

    async fn open_wal(&self, disk: Rc<dyn Disk>, found: RecoveredDir) -> Result<Wal, StartError> {
        let dir = self.own_wal_dir();
        let file = |(path, incarnation)| Rc::new(WalFile::found(path, incarnation, None));
        let (shard, file_bytes) = (u32::from(self.id), self.wal_file_bytes);
        let options = WalOptions { dir: dir.clone(), shard, file_bytes };
        let before = wal::Found {
            files: found.files.into_iter().map(file).collect(),
            needed: Arc::downgrade(&self.found_needed),
            newest: found.newest,
            next_number: found.next_number,
        };
        let wal = Wal::start(Rc::clone(&disk), options, before);
        for path in found.empty {
            let size = disk.open(&path, OpenMode::Read).await?.size().await?;
            if path.parent() == Some(&*dir) && size == file_bytes {
                wal.add_spare(Rc::new(WalFile::adopt(&*disk, path, shard, file_bytes).await?));
            } else {
                disk.remove_file(&path).await?;
            }
        }
        Ok(wal)
    }

    async fn start_coordinator(
        &self,
        disk: Rc<dyn Disk>,
        groups: &mut Groups,
    ) -> Result<Rc<Coordinator>, StartError> {
        let state = Rc::new(CoordinatorState::new(Rc::clone(&disk), &self.data_dir));
        coordinator::checkpoint::load(&*disk, &self.data_dir, &state).await?;
        let log = groups.log(GroupId::COORDINATOR, state.applied())?;
        Ok(Rc::new(Coordinator::start(self.node_id, state, log).await?))
    }

    async fn start_vnodes(
        &self,
        storage: &Rc<ShardStorage>,
        groups: &mut Groups,
    ) -> Result<BTreeMap<u32, Rc<Vnode>>, StartError> {
        let own = (0..self.vnodes).filter(|vnode| shard_of(*vnode, self.shards) == self.id);
        let mut starts = Vec::new();
        for id in own {
            let state = Rc::new(VnodeState::new(id, &self.data_dir, Rc::clone(storage)));
            vnode::checkpoint::load(&state).await?;
            let log = groups.log(GroupId(id), state.applied())?;
            starts.push((state, log));
        }
        let node = self.node_id;
        stream::iter(starts)
            .map(|(state, log)| async move {
                let vnode = Vnode::start(node, state, log).await?;
                Ok::<_, StartError>((vnode.id(), Rc::new(vnode)))
            })
            .buffer_unordered(STARTS_AT_ONCE)
            .try_collect()
            .await
    }
}

/// The recovered records of this shard's groups, and the files they lie in.
struct Groups {
    wal: Wal,
    cache: Rc<LogCache>,
    records: HashMap<GroupId, Vec<RecoveredRecord>>,
    files: HashMap<Arc<Path>, Rc<WalFile>>,
}

impl Groups {
    fn new(wal: Wal, own: Vec<Exchange>, found_needed: &Arc<()>) -> Self {
        let mut records: HashMap<GroupId, Vec<RecoveredRecord>> = HashMap::new();
        let mut files = HashMap::new();
        for exchange in own {
            for record in exchange.records {
                records.entry(record.header.group).or_default().push(record);
            }
            for (path, incarnation) in exchange.files {
                let needed = Some(Arc::clone(found_needed));
                let file = Rc::new(WalFile::found(path.clone(), incarnation, needed));
                files.insert(Arc::from(path.as_path()), file);
            }
        }
        Self { wal, cache: Rc::default(), records, files }
    }

    fn log<A: Application>(
        &mut self,
        group: GroupId,
        purged: Option<LogId>,
    ) -> Result<Rc<GroupLog<A>>, RecoverLogError> {
        let records = self.records.remove(&group).unwrap_or_default();
        let (wal, cache) = (self.wal.clone(), Rc::clone(&self.cache));
        GroupLog::recover(group, wal, cache, purged, records, &self.files)
    }
}
