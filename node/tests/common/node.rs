//! A node without network on a simulated disk: all its shards on one executor, recovered and kept
//! by the code that a real node runs.

use futures::future::join_all;
use ringspool_node::coordinator::Coordinator;
use ringspool_node::io::{Disk, SimDisk};
use ringspool_node::partition::{Partition, PartitionId, StorageSettings};
use ringspool_node::shard::mailbox::Mailboxes;
use ringspool_node::shard::recovery::Recovery;
use ringspool_node::shard::route::shard_of;
use ringspool_node::shard::start::StartError;
use ringspool_node::shard::{NodeIdentity, Shard};
use ringspool_node::vnode::Vnode;
use rustix::thread::CpuSet;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The data directory.
const DATA: &str = "/data";
/// Virtual nodes of the cluster.
const VNODES: u32 = 2;

/// Runs a test on an executor like a shard's, in a thread of its own.
pub fn on_executor<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    static TESTS: AtomicUsize = AtomicUsize::new(0);
    drop(ringspool_node::io::raise_memlock_limit());
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let cpus = Vec::from_iter((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)));
    let cpu = cpus[TESTS.fetch_add(1, Ordering::Relaxed) % cpus.len()];
    let executor = ringspool_node::io::spawn_pinned("test", cpu, test).unwrap();
    assert!(executor.join().is_some(), "the test panicked, see above");
}

/// How a node is started.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Shards.
    pub shards: u16,
    /// Length of a WAL file. Small, so that files are used again and again.
    pub wal_file_bytes: u64,
}

impl Setup {
    /// With so many shards.
    pub fn shards(shards: u16) -> Self {
        Self { shards, wal_file_bytes: 64 << 10 }
    }
}

/// A running node.
pub struct SimNode {
    pub disk: SimDisk,
    shards: Vec<Rc<Shard>>,
}

impl SimNode {
    /// Starts a node on what is on the disk.
    pub async fn start(disk: &SimDisk, setup: Setup) -> Result<Self, StartError> {
        ringspool_node::io::note_activity();
        let wal_dirs = make_folders(disk, setup.shards).await;
        let exchanges = (0..setup.shards).map(|_| async_channel::bounded(setup.shards.into()));
        let (exchange, exchanged): (Vec<_>, Vec<_>) = exchanges.unzip();
        let found_needed = Arc::new(());
        let recoveries: Vec<_> = (0..setup.shards)
            .zip(exchanged)
            .map(|(id, exchanged)| Recovery {
                id,
                shards: setup.shards,
                node_id: 1,
                vnodes: VNODES,
                data_dir: DATA.into(),
                wal_file_bytes: setup.wal_file_bytes,
                storage: StorageSettings {
                    cache_bytes: 32 << 10,
                    flush_bytes: 8 << 10,
                    ..StorageSettings::default()
                },
                wal_dirs,
                found_needed: Arc::clone(&found_needed),
                exchange: exchange.clone(),
                exchanged,
            })
            .collect();
        drop((exchange, found_needed));
        let recovered =
            join_all(recoveries.into_iter().map(|recovery| recovery.run(Rc::new(disk.clone()))));
        let (mailboxes, _) = Mailboxes::new(setup.shards);
        let (mut shards, mut error) = (Vec::new(), None);
        for (id, recovered) in (0..).zip(recovered.await) {
            let identity = NodeIdentity { node_id: 1, cluster_id: "c".into(), vnodes: VNODES };
            match recovered {
                Ok(recovered) => {
                    let mailboxes = mailboxes.clone();
                    let shard = Shard::new(id, setup.shards, identity, mailboxes, recovered);
                    shards.push(Rc::new(shard));
                }
                // One that failed by itself says more than one that failed because of it.
                Err(StartError::OtherShard) if error.is_some() => {}
                Err(failed) => error = Some(failed),
            }
        }
        let node = Self { disk: disk.clone(), shards };
        match error {
            None => Ok(node),
            Some(error) => {
                node.kill().await;
                Err(error)
            }
        }
    }

    /// Ends all tasks, as a killed process does: nothing more is written.
    pub async fn kill(self) {
        for shard in &self.shards {
            for vnode in shard.vnodes.values() {
                vnode.stop().await;
            }
            if let Some(coordinator) = &shard.coordinator {
                coordinator.stop().await;
            }
            shard.storage.stop();
            shard.wal.close().await;
        }
    }

    /// The metadata group.
    pub fn coordinator(&self) -> &Rc<Coordinator> {
        self.shards[0].coordinator.as_ref().unwrap()
    }

    /// A vnode, on whichever shard it lives.
    pub fn vnode(&self, vnode: u32) -> &Rc<Vnode> {
        let shard = shard_of(vnode, u16::try_from(self.shards.len()).unwrap());
        &self.shards[usize::from(shard)].vnodes[&vnode]
    }

    /// A partition, wherever it lives.
    pub fn partition(&self, id: PartitionId) -> Option<Rc<Partition>> {
        (0..VNODES).find_map(|vnode| self.vnode(vnode).partition(id))
    }

    /// Gives up the files of the log that nothing needs.
    pub async fn reclaim(&self) {
        for shard in &self.shards {
            shard.wal.reclaim().await.unwrap();
        }
    }

    /// What housekeeping does when the log needs its files back, and after a start.
    pub async fn checkpoint_pinned(&self) {
        for shard in &self.shards {
            shard.checkpoint_pinned().await;
        }
    }
}

/// The folders of a data directory; the number of WAL folders. As `DataDir` makes them.
async fn make_folders(disk: &SimDisk, shards: u16) -> usize {
    let root = Path::new(DATA);
    for folder in ["wal", "vnode", "coordinator", "topic"] {
        disk.create_dir_all(&root.join(folder)).await.unwrap();
    }
    disk.sync_dir(root).await.unwrap();
    disk.sync_dir(Path::new("/")).await.unwrap();
    let wal = root.join("wal");
    let names = disk.list_dir(&wal).await.unwrap();
    let number = |name: &String| name.strip_prefix("shard-").unwrap().parse::<usize>().unwrap() + 1;
    let dirs = names.iter().map(number).max().unwrap_or(0);
    for number in 0..dirs {
        disk.create_dir_all(&wal.join(format!("shard-{number:03}"))).await.unwrap();
    }
    dirs.max(shards.into())
}
