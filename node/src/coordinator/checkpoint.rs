//! The coordinator's checkpoint file, little endian.
//!
//! ```text
//! magic u64 = "RSPLCRD1" | version u32 = 1
//! applied log id | membership's log id | membership              (see crate::raft::codec)
//! bytes u32 | metadata snapshot                                   (see ringspool-ring)
//! crc u32: CRC32C of everything before
//! ```

use super::machine::CoordinatorState;
use crate::io::Disk;
use crate::raft::codec::{self, CodecError, Reader};
use crate::raft::{LogId, StoredMembership};
use crate::vnode::checkpoint::{CheckpointError, read_durable};
use ringspool_ring::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: u64 = u64::from_le_bytes(*b"RSPLCRD1");
const VERSION: u32 = 1;

/// The decoded file.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinatorCheckpoint {
    /// The last entry it covers.
    pub applied: Option<LogId>,
    /// The membership then.
    pub membership: StoredMembership,
    /// The metadata then.
    pub metadata: Arc<Metadata>,
}

/// Where it is.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("coordinator").join("checkpoint")
}

/// The bytes of a checkpoint file.
#[must_use]
pub fn encode(checkpoint: &CoordinatorCheckpoint) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    codec::put_log_id(&mut out, checkpoint.applied);
    codec::put_log_id(&mut out, *checkpoint.membership.log_id());
    codec::put_membership(&mut out, checkpoint.membership.membership());
    let metadata = checkpoint.metadata.encode();
    out.extend_from_slice(&u32::try_from(metadata.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&metadata);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the bytes of a checkpoint file.
///
/// # Errors
/// What is wrong with them, in words.
pub fn decode(bytes: &[u8]) -> Result<CoordinatorCheckpoint, String> {
    let Some((content, trailer)) = bytes.split_last_chunk::<4>() else {
        return Err("it is too short for a checkpoint".into());
    };
    if crc32c::crc32c(content) != u32::from_le_bytes(*trailer) {
        return Err("its checksum is wrong".into());
    }
    let mut reader = Reader::new(content);
    let (applied, membership, metadata) = decode_content(&mut reader).map_err(|e| e.to_string())?;
    let metadata = Arc::new(Metadata::decode(metadata).map_err(|e| e.to_string())?);
    Ok(CoordinatorCheckpoint { applied, membership, metadata })
}

type Content<'a> = (Option<LogId>, StoredMembership, &'a [u8]);

fn decode_content<'a>(reader: &mut Reader<'a>) -> Result<Content<'a>, CodecError> {
    if reader.u64("magic")? != MAGIC || reader.u32("version")? != VERSION {
        return Err(reader.invalid("magic or version"));
    }
    let applied = codec::log_id(reader)?;
    let membership_log_id = codec::log_id(reader)?;
    let membership = StoredMembership::new(membership_log_id, codec::membership(reader)?);
    let bytes = reader.u32("metadata length")? as usize;
    let metadata = reader.take(bytes, "metadata")?;
    match reader.remaining() {
        0 => Ok((applied, membership, metadata)),
        _ => Err(reader.invalid("end")),
    }
}

/// Restores the state from its checkpoint; without one the cluster is yet to be created.
///
/// # Errors
/// When there is one that cannot be read.
pub async fn load(
    disk: &dyn Disk,
    data_dir: &Path,
    state: &CoordinatorState,
) -> Result<(), CheckpointError> {
    let path = path(data_dir);
    let Some(bytes) = read_durable(disk, &path).await? else { return Ok(()) };
    let checkpoint = decode(&bytes).map_err(|reason| CheckpointError::Damaged { path, reason })?;
    state.restore(checkpoint);
    Ok(())
}

#[cfg(test)]
mod tests;
