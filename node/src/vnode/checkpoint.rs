//! A vnode's checkpoint file, little endian.
//!
//! ```text
//! magic u64 = "RSPLCKP1" | version u32 = 1 | vnode u32
//! applied log id | membership's log id | membership              (see crate::raft::codec)
//! count u32 | { topic u64, partition u32, settings, bytes u32, partition checkpoint }
//! crc u32: CRC32C of everything before
//! ```
//!
//! Once it is durable, whole blocks of the segments below it are immutable, unfinished ones are in
//! it, and the log up to `applied` may go. It is replaced atomically.

use super::command::{put_settings, settings};
use super::state::{VnodeState, partition_dir};
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
}

/// The state at one moment between two entries.
pub struct Captured {
    /// The last entry applied.
    pub applied: Option<LogId>,
    /// The membership.
    pub membership: StoredMembership,
    partitions: Vec<CapturedPartition>,
    dropped: Vec<Rc<Partition>>,
}

struct CapturedPartition {
    partition: Rc<Partition>,
    settings: PartitionSettings,
    checkpoint: PartitionCheckpoint,
    target: FlushTarget,
}

impl Captured {
    /// The state now.
    #[must_use]
    pub fn now(state: &VnodeState) -> Self {
        let capture = |partition: Rc<Partition>| CapturedPartition {
            checkpoint: partition.checkpoint(),
            target: partition.flush_target(),
            settings: partition.settings(),
            partition,
        };
        Self {
            applied: state.applied(),
            membership: state.membership(),
            partitions: state.partitions().into_iter().map(capture).collect(),
            dropped: state.take_dropped(),
        }
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
    state.set_checkpointed(captured.applied, captured.membership.clone());
    for dropped in std::mem::take(&mut captured.dropped) {
        dropped.delete_files().await?;
    }
    for captured in &captured.partitions {
        captured.partition.remove_dead_files().await?;
    }
    Ok(())
}

async fn try_write(state: &VnodeState, captured: &Captured) -> Result<(), DiskError> {
    let permit = state.storage().checkpoint_permit().await;
    stream::iter(&captured.partitions)
        .map(|captured| captured.partition.flush(captured.target, true))
        .buffer_unordered(CHECKPOINT_FLUSHES_MAX)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    let path = path(state.data_dir(), state.vnode());
    let disk: &dyn Disk = state.storage().disk();
    if let Some(folder) = path.parent() {
        disk.create_dir_all(folder).await?;
    }
    disk.write_file_atomic(&path, encode(state.vnode(), captured)).await?;
    drop(permit);
    Ok(())
}

fn encode(vnode: u32, captured: &Captured) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&vnode.to_le_bytes());
    codec::put_log_id(&mut out, captured.applied);
    codec::put_log_id(&mut out, *captured.membership.log_id());
    codec::put_membership(&mut out, captured.membership.membership());
    let count = u32::try_from(captured.partitions.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for captured in &captured.partitions {
        let id = captured.partition.id();
        out.extend_from_slice(&id.topic.to_le_bytes());
        out.extend_from_slice(&id.partition.to_le_bytes());
        put_settings(&mut out, &captured.settings);
        let bytes = captured.checkpoint.encode();
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
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
        let id =
            PartitionId { topic: reader.u64("topic")?, partition: reader.u32("partition")? };
        let settings = settings(reader)?;
        let bytes = reader.u32("partition length")? as usize;
        let content = reader.take(bytes, "partition")?;
        let checkpoint = PartitionCheckpoint::decode(content);
        let checkpoint = checkpoint.map_err(|_| reader.invalid("partition"))?;
        partitions.push((id, settings, checkpoint));
    }
    let membership = StoredMembership::new(membership_log_id, membership);
    Ok(Checkpoint { vnode, applied, membership, partitions })
}

/// Restores a vnode's state from its checkpoint; without one the vnode has no history.
///
/// # Errors
/// When there is one that cannot be read.
pub async fn load(state: &VnodeState) -> Result<(), CheckpointError> {
    let path = path(state.data_dir(), state.vnode());
    let bytes = match state.storage().disk().read_file(&path, CHECKPOINT_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let checkpoint = decode(&bytes)
        .map_err(|reason| CheckpointError::Damaged { path: path.clone(), reason })?;
    if checkpoint.vnode != state.vnode() {
        let reason = format!("it belongs to vnode {}", checkpoint.vnode);
        return Err(CheckpointError::Damaged { path, reason });
    }
    let restore = |(id, settings, checkpoint): (PartitionId, PartitionSettings, _)| {
        let dir = partition_dir(state.data_dir(), id);
        let context = Rc::clone(&state.storage().context);
        Partition::restore(id, checkpoint, settings, dir, context)
    };
    let partitions = checkpoint.partitions.into_iter().map(restore).collect();
    state.restore(checkpoint.applied, checkpoint.membership, partitions);
    Ok(())
}
