//! A vnode's checkpoint file, little endian.
//!
//! ```text
//! magic u64 = "RSPLCKP1" | version u32 = 1 | vnode u32
//! applied log id | membership's log id | membership              (see crate::raft::codec)
//! count u32 | { topic u64, partition u32, settings, bytes u32, partition checkpoint }
//! count u32 | { topic u64, partition u32 }            dropped, their files maybe still there
//! crc u32: CRC32C of everything before
//! ```
//!
//! Once it is durable, whole blocks of the segments below it are immutable, unfinished ones are in
//! it, and the log up to `applied` may go. It is replaced atomically.

use super::command::{id, put_id, put_settings, settings};
use super::state::VnodeState;
use crate::io::{Disk, DiskError, runtime};
use crate::limits::{CHECKPOINT_BYTES_MAX, CHECKPOINT_FLUSHES_MAX};
use crate::partition::{
    FlushTarget, Partition, PartitionCheckpoint, PartitionId, PartitionSettings,
};
use crate::raft::codec::{self, CodecError, Reader};
use crate::raft::{LogId, StoredMembership};
use futures::{StreamExt, TryStreamExt, stream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const MAGIC: u64 = u64::from_le_bytes(*b"RSPLCKP1");
const VERSION: u32 = 1;
/// How long to wait for space before a checkpoint is tried again.
const SPACE_RETRY: Duration = Duration::from_secs(1);

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is damaged.
    #[error(
        "{}: {reason}; restore it from a backup or rebuild this node from its replicas",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The decoded file.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The vnode.
    pub vnode: u32,
    /// The last entry it covers.
    pub applied: Option<LogId>,
    /// The membership then.
    pub membership: StoredMembership,
    /// The partitions then.
    pub partitions: Vec<(PartitionId, PartitionSettings, PartitionCheckpoint)>,
    /// Partitions that were dropped before, and whose files may still be there.
    pub dropped: Vec<PartitionId>,
}

/// The state at one moment between two entries.
pub struct Captured {
    checkpoint: Checkpoint,
    /// What has to be on disk before the checkpoint is.
    partitions: Vec<(Rc<Partition>, FlushTarget)>,
    /// Their files go once the checkpoint is durable. It names them, so that the next start goes on
    /// with that if a crash comes between.
    dropped: Vec<Rc<Partition>>,
}

impl Captured {
    /// The state now.
    #[must_use]
    pub fn now(state: &VnodeState) -> Self {
        let partitions = state.partitions();
        let dropped = state.take_dropped();
        let capture = |partition: &Rc<Partition>| {
            (partition.id(), partition.settings(), partition.checkpoint())
        };
        let checkpoint = Checkpoint {
            vnode: state.vnode(),
            applied: state.applied(),
            membership: state.membership(),
            partitions: partitions.iter().map(capture).collect(),
            dropped: dropped.iter().map(|partition| partition.id()).collect(),
        };
        let target = |partition: Rc<Partition>| {
            let target = partition.flush_target();
            (partition, target)
        };
        Self { checkpoint, partitions: partitions.into_iter().map(target).collect(), dropped }
    }

    /// The last entry applied, and the membership.
    #[must_use]
    pub fn applied(&self) -> (Option<LogId>, StoredMembership) {
        (self.checkpoint.applied, self.checkpoint.membership.clone())
    }
}

/// Where a vnode's checkpoint is.
#[must_use]
pub fn path(data_dir: &Path, vnode: u32) -> PathBuf {
    data_dir.join("vnode").join(format!("{vnode:05}")).join("checkpoint")
}

/// Makes what was captured durable: segments first, then the file; then removes files that nothing
/// needs any more. While space is missing it waits and tries again.
///
/// # Errors
/// When the disk fails for another reason than missing space.
pub async fn write(state: &VnodeState, captured: &mut Captured) -> Result<(), DiskError> {
    loop {
        match try_write(state, captured).await {
            Ok(()) => break,
            Err(error) if error.is_out_of_space() => {
                tracing::warn!(vnode = state.vnode(), %error, "the checkpoint waits for space");
                runtime::sleep(SPACE_RETRY).await;
            }
            Err(error) => {
                state.return_dropped(std::mem::take(&mut captured.dropped));
                return Err(error);
            }
        }
    }
    let (applied, membership) = captured.applied();
    state.set_checkpointed(applied, membership);
    let mut dropped = std::mem::take(&mut captured.dropped).into_iter();
    while let Some(partition) = dropped.next() {
        if let Err(error) = partition.delete_files().await {
            state.return_dropped(std::iter::once(partition).chain(dropped).collect());
            return Err(error);
        }
    }
    for (partition, _) in &captured.partitions {
        partition.remove_dead_files().await?;
    }
    Ok(())
}

async fn try_write(state: &VnodeState, captured: &Captured) -> Result<(), DiskError> {
    let permit = state.storage().checkpoint_permit().await;
    stream::iter(&captured.partitions)
        .map(|(partition, target)| partition.flush(*target, true))
        .buffer_unordered(CHECKPOINT_FLUSHES_MAX)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    let path = path(state.data_dir(), state.vnode());
    let disk: &dyn Disk = state.storage().disk();
    if let Some(folder) = path.parent() {
        disk.create_dir_all(folder).await?;
        // The log may go once the file is durable, so the folder's own name has to be as well.
        if let Some(above) = folder.parent() {
            disk.sync_dir(above).await?;
        }
    }
    disk.write_file_atomic(&path, encode(&captured.checkpoint)).await?;
    drop(permit);
    Ok(())
}

/// The bytes of a checkpoint file.
#[must_use]
pub fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&checkpoint.vnode.to_le_bytes());
    codec::put_log_id(&mut out, checkpoint.applied);
    codec::put_log_id(&mut out, *checkpoint.membership.log_id());
    codec::put_membership(&mut out, checkpoint.membership.membership());
    out.extend_from_slice(&count(checkpoint.partitions.len()));
    for (id, settings, partition) in &checkpoint.partitions {
        put_id(&mut out, *id);
        put_settings(&mut out, settings);
        let bytes = partition.encode();
        out.extend_from_slice(&count(bytes.len()));
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(&count(checkpoint.dropped.len()));
    checkpoint.dropped.iter().for_each(|id| put_id(&mut out, *id));
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the bytes of a checkpoint file.
///
/// # Errors
/// What is wrong with them, in words.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    let Some((content, trailer)) = bytes.split_last_chunk::<4>() else {
        return Err("it is too short for a checkpoint".into());
    };
    if crc32c::crc32c(content) != u32::from_le_bytes(*trailer) {
        return Err("its checksum is wrong".into());
    }
    let mut reader = Reader::new(content);
    decode_content(&mut reader).map_err(|e| e.to_string())
}

fn decode_content(reader: &mut Reader<'_>) -> Result<Checkpoint, CodecError> {
    if reader.u64("magic")? != MAGIC || reader.u32("version")? != VERSION {
        return Err(reader.invalid("magic or version"));
    }
    let vnode = reader.u32("vnode")?;
    let applied = codec::log_id(reader)?;
    let membership_log_id = codec::log_id(reader)?;
    let membership = codec::membership(reader)?;
    let count = reader.u32("count")?;
    let mut partitions = Vec::new();
    for _ in 0..count {
        let id = id(reader)?;
        let settings = settings(reader)?;
        let bytes = reader.u32("partition length")? as usize;
        let content = reader.take(bytes, "partition")?;
        let checkpoint = PartitionCheckpoint::decode(content);
        let checkpoint = checkpoint.map_err(|_| reader.invalid("partition"))?;
        partitions.push((id, settings, checkpoint));
    }
    let mut dropped = Vec::new();
    for _ in 0..reader.u32("count")? {
        dropped.push(id(reader)?);
    }
    if reader.remaining() > 0 {
        return Err(reader.invalid("end"));
    }
    let membership = StoredMembership::new(membership_log_id, membership);
    Ok(Checkpoint { vnode, applied, membership, partitions, dropped })
}

/// Restores a vnode's state from its checkpoint; without one the vnode has no history.
///
/// # Errors
/// When there is one that cannot be read.
pub async fn load(state: &VnodeState) -> Result<(), CheckpointError> {
    let path = path(state.data_dir(), state.vnode());
    let Some(bytes) = read_durable(state.storage().disk(), &path).await? else { return Ok(()) };
    let checkpoint =
        decode(&bytes).map_err(|reason| CheckpointError::Damaged { path: path.clone(), reason })?;
    if checkpoint.vnode != state.vnode() {
        let reason = format!("it belongs to vnode {}", checkpoint.vnode);
        return Err(CheckpointError::Damaged { path, reason });
    }
    state.restore(checkpoint);
    Ok(())
}

/// Reads a checkpoint file, if there is one.
///
/// A process that was killed may have put it there without making that durable. The log up to it
/// goes because it is there, so it must not vanish again with a loss of power.
///
/// # Errors
/// When the disk refuses.
pub async fn read_durable(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match disk.read_file(path, CHECKPOINT_BYTES_MAX).await {
        Ok(bytes) => {
            if let Some(folder) = path.parent() {
                disk.sync_dir(folder).await?;
            }
            Ok(Some(bytes))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
