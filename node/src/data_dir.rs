//! The data directory: who holds it, and whose it is.
//!
//! ```text
//! LOCK          held with flock(2) by the running node
//! node.toml     identity: format, node, cluster, virtual nodes; written once
//! PROBE         see crate::io::RealDisk
//! wal/          shard-000/ ... write-ahead log files             (crate::wal)
//! vnode/        00000/checkpoint ...                             (crate::vnode::checkpoint)
//! coordinator/  checkpoint                                       (crate::coordinator::checkpoint)
//! topic/        <topic id>/<partition>/ segments and indexes     (crate::segment, crate::index)
//! ```

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version of the directory's layout that this program reads and writes.
const FORMAT: u32 = 1;

/// How long a start waits for a lock that another process still holds, and how often it tries.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// An operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error(
        "{} is held by another process; stop that node, or choose another directory with \
         --data-dir", path.display()
    )]
    Held {
        /// The directory.
        path: PathBuf,
    },
    /// Its identity is unreadable.
    #[error("{} cannot be understood: {reason}", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It belongs to another node.
    #[error(
        "{} belongs to node {found}, the configuration says node {configured}; set node_id = \
         {found}, or use an empty directory", path.display()
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: u64,
        /// Whose it was to be.
        configured: u64,
    },
}

/// Whose directory it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Version of the layout.
    pub format: u32,
    /// The node's number.
    pub node_id: u64,
    /// The cluster.
    pub cluster_id: String,
    /// Virtual nodes of the cluster.
    pub vnodes: u32,
}

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { operation, path: path.to_owned(), source }
}

impl DataDir {
    /// Takes hold of a directory; makes it, with a new identity, if there is none.
    ///
    /// # Errors
    /// [`DataDirError`], which says how to mend it.
    pub fn open(path: &Path, node_id: u64, vnodes: u32) -> Result<Self, DataDirError> {
        std::fs::create_dir_all(path).map_err(failed("create", path))?;
        let lock_path = path.join("LOCK");
        let lock = File::create(&lock_path).map_err(failed("create", &lock_path))?;
        take_lock(&lock, path)?;
        for folder in ["wal", "vnode", "coordinator", "topic"] {
            let folder = path.join(folder);
            std::fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        }
        sync_folders(path)?;
        let identity = match read_identity(path)? {
            Some(identity) => identity,
            None => create_identity(path, node_id, vnodes)?,
        };
        if identity.node_id != node_id {
            let (found, configured) = (identity.node_id, node_id);
            return Err(DataDirError::OtherNode { path: path.to_owned(), found, configured });
        }
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// One more than the highest number of a WAL folder.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn wal_dirs(&self) -> Result<usize, DataDirError> {
        let root = self.path.join("wal");
        let mut count = 0;
        for entry in std::fs::read_dir(&root).map_err(failed("list", &root))? {
            let name = entry.map_err(failed("list", &root))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("shard-"));
            if let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) {
                count = count.max(number + 1);
            }
        }
        // A folder in between may be missing when shards were added and removed.
        for number in 0..count {
            let dir = crate::wal::recovery::shard_dir(&root, number);
            std::fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        Ok(count)
    }
}

/// Makes the directory's own name and those of its folders durable: what is acknowledged lies below.
fn sync_folders(path: &Path) -> Result<(), DataDirError> {
    let whole = path.canonicalize().map_err(failed("find", path))?;
    for folder in [Some(whole.as_path()), whole.parent()].into_iter().flatten() {
        let sync = || File::open(folder)?.sync_all();
        sync().map_err(failed("sync", folder))?;
    }
    Ok(())
}

/// Locks the directory. A node that was just killed holds its lock until the kernel has taken its
/// rings down, so a restart right after it waits a moment.
fn take_lock(lock: &File, dir: &Path) -> Result<(), DataDirError> {
    use rustix::fs::{FlockOperation, flock};
    let give_up = Instant::now() + LOCK_WAIT;
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < give_up => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DataDirError::Held { path: dir.to_owned() });
            }
            Err(error) => return Err(failed("lock", dir)(error.into())),
        }
    }
}

fn identity_path(dir: &Path) -> PathBuf {
    dir.join("node.toml")
}

fn read_identity(dir: &Path) -> Result<Option<Identity>, DataDirError> {
    let path = identity_path(dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let bad = |reason| DataDirError::BadIdentity { path: path.clone(), reason };
    let identity: Identity =
        toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
    if identity.format != FORMAT {
        let found = identity.format;
        return Err(bad(format!("it has format {found}, this program reads format {FORMAT}")));
    }
    Ok(Some(identity))
}

fn create_identity(dir: &Path, node_id: u64, vnodes: u32) -> Result<Identity, DataDirError> {
    let cluster_id = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
    let identity = Identity { format: FORMAT, node_id, cluster_id, vnodes };
    let path = identity_path(dir);
    let text = toml::to_string(&identity)
        .map_err(|error| failed("write", &path)(io::Error::other(error)))?;
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(failed("write", &path))?;
    Ok(identity)
}
