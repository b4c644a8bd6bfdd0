//! Reading a node's WAL back at start.
//!
//! The node may have had another number of shards before. So each shard scans its share of the
//! folders found under `wal/`, and what it reads goes to the shards that own the groups now: a
//! [`RecoveredRecord`] can be sent. Per group, records are put in order by their sequence.
//!
//! What is read was made durable first: a process that was killed may have written what it could
//! not sync any more, and nothing may be built on bytes that a loss of power can still take away.

use super::file::FilePlace;
use super::format::{FileHeader, Previous, RecordHeader, record_bytes};
use super::scan::{Scan, ScanError, scan};
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
    /// A file ends before its last flush.
    #[error(
        "{}: damaged at byte {position}: {expected} flushes were in it when {} was begun, {found} \
         are whole, so acknowledged records were lost here. Restore the file from a backup or \
         rebuild this node from its replicas; the file was left as it is",
        path.display(), next.display()
    )]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Where the first missing flush should be.
        position: u64,
        /// Flushes it held.
        expected: u64,
        /// Flushes that are whole.
        found: u64,
        /// The file that was written next.
        next: PathBuf,
    },
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
    /// The file that was written last.
    pub newest: Previous,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Folder of a shard's WAL.
#[must_use]
pub fn shard_dir(wal_root: &Path, shard: usize) -> PathBuf {
    wal_root.join(format!("shard-{shard:03}"))
}

/// A file that was read.
struct Found {
    path: PathBuf,
    scan: Scan,
}

impl Found {
    fn sequence(&self) -> u64 {
        self.scan.header.map_or(0, |header| header.sequence)
    }

    /// What the next file's header should say of this one.
    fn as_previous(&self) -> Previous {
        Previous { sequence: self.sequence(), flushes: self.scan.flushes.len() as u64 }
    }

    /// The header, if the file holds anything.
    fn used(&self) -> Option<FileHeader> {
        self.scan.header.filter(|_| !self.scan.flushes.is_empty())
    }
}

/// Reads a shard's folder.
///
/// # Errors
/// When a file cannot be read or is damaged.
pub async fn recover(disk: &dyn Disk, dir: &Path) -> Result<RecoveredDir, RecoveryError> {
    let mut recovered = RecoveredDir {
        records: Vec::new(),
        files: Vec::new(),
        empty: Vec::new(),
        next_number: 1,
        newest: Previous::default(),
        bytes_read: 0,
    };
    let mut found = Vec::new();
    disk.sync_dir(dir).await?;
    for name in disk.list_dir(dir).await? {
        let Some(number) = name.strip_suffix(".wal").and_then(|n| n.parse::<u64>().ok()) else {
            continue;
        };
        let path = dir.join(&name);
        let file = disk.open(&path, OpenMode::Read).await?;
        file.sync_data().await?;
        let read = Found { path, scan: scan(&*file).await? };
        recovered.bytes_read += file.size().await?;
        recovered.next_number = recovered.next_number.max(number + 1).max(read.sequence() + 1);
        found.push(read);
    }
    found.sort_by_key(Found::sequence);
    hold_to_successors(&mut found)?;
    for file in found {
        let Some(header) = file.used() else {
            recovered.empty.push(file.path);
            continue;
        };
        recovered.newest = file.as_previous();
        recovered.files.push((file.path.clone(), header.incarnation));
        recovered.take_records(file, header.incarnation);
    }
    Ok(recovered)
}

/// Holds each file to what the next one says of it. Fewer flushes: it was damaged. More: they
/// reached the disk after the node that wrote them had been killed and its successor had read the
/// file. Nobody was told that they are durable, and the successor went on without them.
fn hold_to_successors(found: &mut [Found]) -> Result<(), RecoveryError> {
    let said: Vec<(PathBuf, Previous)> = found
        .iter()
        .filter_map(|next| Some((next.path.clone(), next.scan.header?.previous)))
        .filter(|(_, previous)| previous.sequence > 0)
        .collect();
    for (next, previous) in said {
        let of_previous = |file: &&mut Found| file.sequence() == previous.sequence;
        let Some(file) = found.iter_mut().find(of_previous) else { continue };
        let flushes = &mut file.scan.flushes;
        let count = flushes.len() as u64;
        if count < previous.flushes {
            return Err(RecoveryError::CutShort {
                path: file.path.clone(),
                position: file.scan.end,
                expected: previous.flushes,
                found: count,
                next,
            });
        }
        flushes.truncate(usize::try_from(previous.flushes).unwrap_or(usize::MAX));
    }
    Ok(())
}

impl RecoveredDir {
    fn take_records(&mut self, file: Found, incarnation: u64) {
        let path: Arc<Path> = Arc::from(file.path.as_path());
        for flush in file.scan.flushes {
            for record in flush.records {
                let bytes = record_bytes(record.payload.len());
                self.records.push(RecoveredRecord {
                    header: record.header,
                    payload: flush.bytes.slice(record.payload),
                    place: FilePlace {
                        path: Arc::clone(&path),
                        incarnation,
                        position: flush.position + record.start as u64,
                        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                    },
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
