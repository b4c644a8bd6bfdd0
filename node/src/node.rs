//! A whole node: the data directory, one executor per shard, the admin thread.

use crate::admin::{Admin, AdminError};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::io::{
    ExecutorHandle, LimitTooLow, bind_shared, check_memlock, check_nofile, raise_memlock_limit,
    raise_nofile_limit, spawn_pinned,
};
use crate::limits::STOP_DEADLINE;
use crate::shard::NodeIdentity;
use crate::shard::mailbox::{Mailboxes, Message};
use crate::shard::start::{self, Boot, Ready};
use ringspool_ring::{NodeInfo, NodeState};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// Open files a node needs at least: caches, connections, logs.
const FILES_NEEDED: u64 = 1024;
/// Weight of an ordinary node on the ring.
const WEIGHT: u32 = 100;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A limit of the process is too low.
    #[error(transparent)]
    Limit(#[from] LimitTooLow),
    /// The address is not available.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Clients could not be told where to connect.
    #[error(
        "listening on the wildcard {0} needs `advertise = \"HOST:PORT\"` in the configuration, so \
         that clients can be told where to connect"
    )]
    NoAddress(SocketAddr),
    /// An executor did not start.
    #[error(
        "cannot start the executor of shard {shard} on CPU {cpu}: {source}; run `ringspool doctor`"
    )]
    Executor {
        /// The shard.
        shard: u16,
        /// The CPU.
        cpu: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A shard did not start.
    #[error("shard {shard}: {error}")]
    Shard {
        /// The shard.
        shard: u16,
        /// Why.
        error: start::StartError,
    },
    /// A shard ended without saying why.
    #[error("a shard ended during the start; its log says more")]
    ShardEnded,
    /// The admin thread did not start.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// A node that did not stop as it should.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StopError(String);

/// A storage node.
#[derive(Debug)]
pub struct Node;

/// A running node.
pub struct NodeHandle {
    identity: NodeIdentity,
    listen: SocketAddr,
    mailboxes: Mailboxes,
    shards: Vec<ExecutorHandle<Result<(), String>>>,
    failures: async_channel::Receiver<String>,
    admin: Option<Admin>,
    data_dir: DataDir,
}

impl Node {
    /// Starts a node; returns when it accepts requests.
    ///
    /// # Errors
    /// [`StartError`]. Nothing keeps running then.
    pub fn start(config: Config) -> Result<NodeHandle, StartError> {
        let cpus = available_cpus();
        let shards = config.shards.unwrap_or(u16::try_from(cpus.len()).unwrap_or(1).max(1));
        check_limits(shards)?;
        let data_dir = DataDir::open(&config.data_dir, config.node_id, config.vnodes)?;
        let listeners = bind_shared(config.listen, usize::from(shards))
            .map_err(|source| StartError::Listen { address: config.listen, source })?;
        let listen = listeners.first().map_or(config.listen, |listener| listener.address());
        if listen.ip().is_unspecified() && config.advertise.is_none() {
            return Err(StartError::NoAddress(listen));
        }
        let identity = NodeIdentity {
            node_id: data_dir.identity().node_id,
            cluster_id: data_dir.identity().cluster_id.as_str().into(),
            vnodes: data_dir.identity().vnodes,
        };
        let node = NodeInfo {
            id: identity.node_id,
            address: config.advertise.clone().unwrap_or_else(|| listen.to_string()),
            shards,
            rack: None,
            weight: WEIGHT,
            state: NodeState::Active,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let wal_dirs = data_dir.wal_dirs()?;
        let (mailboxes, inboxes) = Mailboxes::new(shards);
        let (ready_tx, ready_rx) = mpsc::channel();
        let (failed_tx, failures) = async_channel::unbounded();
        let exchanges = (0..shards).map(|_| async_channel::bounded(usize::from(shards)));
        let (exchange, exchanged): (Vec<_>, Vec<_>) = exchanges.unzip();
        let found_needed = Arc::new(());

        let mut handles = Vec::new();
        let parts = (0..shards).zip(listeners).zip(inboxes).zip(exchanged);
        for (((id, listener), mailbox), exchanged) in parts {
            let boot = Boot {
                id,
                shards,
                identity: identity.clone(),
                node: node.clone(),
                data_dir: config.data_dir.clone(),
                wal_file_bytes: config.wal_file_bytes,
                cache_bytes: config.cache_bytes,
                wal_dirs,
                found_needed: Arc::clone(&found_needed),
                exchange: exchange.clone(),
                exchanged,
                mailboxes: mailboxes.clone(),
                mailbox,
                listener,
                ready: ready_tx.clone(),
            };
            let cpu = cpus.get(usize::from(id) % cpus.len().max(1)).copied().unwrap_or(0);
            let failed = failed_tx.clone();
            let handle = spawn_pinned(&format!("shard-{id}"), cpu, move || async move {
                let result = start::run(boot).await;
                if let Err(reason) = &result {
                    drop(failed.send(format!("shard {id}: {reason}")).await);
                }
                result
            })
            .map_err(|source| StartError::Executor { shard: id, cpu, source })?;
            handles.push(handle);
        }
        drop((ready_tx, failed_tx, exchange, found_needed));
        wait_ready(&ready_rx, shards)?;
        let admin = Admin::start(config.admin, mailboxes.clone(), identity.clone())?;
        let admin = Some(admin);
        Ok(NodeHandle { identity, listen, mailboxes, shards: handles, failures, admin, data_dir })
    }
}

/// CPUs this process may run on.
fn available_cpus() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(error) => {
            tracing::warn!(%error, "the CPUs of this process are unknown; using CPU 0");
            vec![0]
        }
    }
}

fn check_limits(shards: u16) -> Result<(), LimitTooLow> {
    // What cannot be raised is found by the checks, which say what is missing.
    drop(raise_memlock_limit());
    drop(raise_nofile_limit());
    check_memlock(u64::from(shards))?;
    check_nofile(FILES_NEEDED)
}

fn wait_ready(
    ready: &mpsc::Receiver<Result<Ready, (u16, start::StartError)>>,
    shards: u16,
) -> Result<(), StartError> {
    let mut first_error: Option<(u16, start::StartError)> = None;
    for _ in 0..shards {
        match ready.recv() {
            Ok(Ok(ready)) => {
                let bytes = ready.wal_bytes_read;
                tracing::info!(shard = ready.shard, wal_bytes_read = bytes, "ready");
            }
            Ok(Err(error)) => {
                // A shard that failed by itself says more than those that failed because of it.
                let consequence = matches!(error.1, start::StartError::OtherShard);
                if first_error.is_none() || !consequence {
                    first_error = Some(error);
                }
            }
            Err(_) => return Err(StartError::ShardEnded),
        }
        if let Some((shard, error)) = first_error.take() {
            if matches!(error, start::StartError::OtherShard) {
                first_error = Some((shard, error));
                continue;
            }
            return Err(StartError::Shard { shard, error });
        }
    }
    match first_error {
        Some((shard, error)) => Err(StartError::Shard { shard, error }),
        None => Ok(()),
    }
}

impl NodeHandle {
    /// The node's number.
    #[must_use]
    pub fn node_id(&self) -> u64 {
        self.identity.node_id
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where metrics and health are.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.as_ref().map_or(self.listen, Admin::address)
    }

    /// How many shards it has.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.mailboxes.shards()
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        self.data_dir.path()
    }

    /// Resolves, with the reason, when a shard had to stop by itself: its disk failed. The node
    /// should be stopped then.
    pub async fn failed(&self) -> String {
        match self.failures.recv().await {
            Ok(reason) => reason,
            // All shards have ended in good order: there is no failure to come.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends every shard a message and waits for all answers. A shard that has ended gives none.
    fn tell_all(&self, message: impl Fn(oneshot::Sender<()>) -> Message) {
        let mut answers = Vec::new();
        for shard in 0..self.shards() {
            let (reply, answer) = oneshot::channel();
            if self.mailboxes.send_blocking(shard, message(reply)).is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            drop(answer.blocking_recv());
        }
    }

    /// Stops in good order: no new requests, those in flight are answered, checkpoints are made.
    ///
    /// # Errors
    /// When a shard did not end as it should; what was acknowledged is safe all the same.
    pub fn stop(mut self) -> Result<(), StopError> {
        self.tell_all(|reply| Message::Drain { reply });
        self.tell_all(|reply| Message::Stop { reply });
        if let Some(admin) = self.admin.take() {
            admin.stop(STOP_DEADLINE);
        }
        let ended: Vec<_> = self.shards.drain(..).map(ExecutorHandle::join).collect();
        for result in ended {
            match result {
                Some(Ok(())) => {}
                Some(Err(reason)) => return Err(StopError(reason)),
                None => return Err(StopError("a shard's thread panicked".into())),
            }
        }
        Ok(())
    }
}
