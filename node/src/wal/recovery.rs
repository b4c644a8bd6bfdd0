//! Reading a node's WAL back at start.
//!
//! The node may have had another number of shards before. So each shard scans its share of the
//! folders found under `wal/`, and what it reads goes to the shards that own the groups now: a
//! [`RecoveredRecord`] can be sent. Per group, records are put in order by their sequence.

use super::file::FilePlace;
use super::format::{RecordHeader, record_bytes};
use super::scan::{ScanError, scan};
use crate::io::{Disk, DiskError, OpenMode};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A record that was read back.
#[derive(Debug, Clone)]
pub struct RecoveredRecord {
    /// Its header.
    pub header: RecordHeader,
    /// Its payload.
    pub payload: Bytes,
    /// Where it lies.
    pub place: FilePlace,
}

/// Why the WAL of a shard cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file cannot be used.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A group's log has a hole.
    #[error(
        "the log of {group} continues at index {found} where {expected} is due ({}): a write-ahead \
         log file is missing. Put it back or rebuild this node from its replicas", path.display()
    )]
    Gap {
        /// The group.
        group: crate::raft::GroupId,
        /// Index that is missing.
        expected: u64,
        /// Index that was found.
        found: u64,
        /// The file it was found in.
        path: PathBuf,
    },
}

/// What one folder held.
pub struct RecoveredDir {
    /// All valid records.
    pub records: Vec<RecoveredRecord>,
    /// Files with records and their incarnations, oldest first.
    pub files: Vec<(PathBuf, u64)>,
    /// Files without, to be used again.
    pub empty: Vec<PathBuf>,
    /// Above the number and the sequence of every file.
    pub next_number: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Folder of a shard's WAL.
#[must_use]
pub fn shard_dir(wal_root: &Path, shard: usize) -> PathBuf {
    wal_root.join(format!("shard-{shard:03}"))
}

/// Reads a shard's folder.
///
/// # Errors
/// When a file cannot be read or is damaged.
pub async fn recover(disk: &dyn Disk, dir: &Path) -> Result<RecoveredDir, RecoveryError> {
    let mut scans = Vec::new();
    let mut recovered = RecoveredDir {
        records: Vec::new(),
        files: Vec::new(),
        empty: Vec::new(),
        next_number: 1,
        bytes_read: 0,
    };
    for name in disk.list_dir(dir).await? {
        let Some(number) = name.strip_suffix(".wal").and_then(|n| n.parse::<u64>().ok()) else {
            continue;
        };
        let path = dir.join(&name);
        let file = disk.open(&path, OpenMode::Read).await?;
        let scanned = scan(&*file).await?;
        recovered.bytes_read += file.size().await?;
        let sequence = scanned.header.map_or(0, |header| header.sequence);
        recovered.next_number = recovered.next_number.max(number + 1).max(sequence + 1);
        scans.push((sequence, path, scanned));
    }
    scans.sort_by_key(|(sequence, ..)| *sequence);
    for (_, path, scanned) in scans {
        let Some(header) = scanned.header.filter(|_| !scanned.flushes.is_empty()) else {
            recovered.empty.push(path);
            continue;
        };
        let shared: Arc<Path> = Arc::from(path.as_path());
        for flush in scanned.flushes {
            for record in flush.records {
                let bytes = record_bytes(record.payload.len());
                recovered.records.push(RecoveredRecord {
                    header: record.header,
                    payload: flush.bytes.slice(record.payload),
                    place: FilePlace {
                        path: Arc::clone(&shared),
                        incarnation: header.incarnation,
                        position: flush.position + record.start as u64,
                        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                    },
                });
            }
        }
        recovered.files.push((path, header.incarnation));
    }
    Ok(recovered)
}
