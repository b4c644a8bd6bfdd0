//! The commands of a vnode's log, little endian.
//!
//! ```text
//! append     1 u8 | time_ms u64 | count u32 | { topic u64, partition u32, bytes u32, batch }
//! configure  2 u8 | count u32 | { topic u64, partition u32, settings }
//! drop       3 u8 | count u32 | { topic u64, partition u32 }
//! trim       4 u8 | count u32 | { topic u64, partition u32, log_start_offset u64 }
//!
//! settings   segment_bytes u64 | segment_ms u64 | retention_ms u64 | retention_bytes u64 |
//!            batch_bytes_max u32          (retention: all ones means unlimited)
//! ```

use crate::partition::{AppendOutcome, PartitionId, PartitionSettings};
use crate::raft::codec::{CodecError, Reader};
use crate::raft::{Application, DecodePayloadError, Encoded};
use bytes::Bytes;
use ringspool_wire::batch::BatchHeader;
use std::fmt;

/// Most items of a command that is read back.
const ITEMS_MAX: u32 = 1 << 20;
const UNLIMITED: u64 = u64::MAX;

/// The data vnodes' application for openraft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VnodeApp;

/// A batch to append. Its header has been decoded and its checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendBatch {
    /// Where to.
    pub partition: PartitionId,
    /// The batch's header.
    pub header: BatchHeader,
    /// The whole batch.
    pub batch: Bytes,
}

/// A change to a vnode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Appends batches; each succeeds or fails on its own.
    Append {
        /// The leader's wall clock when it was proposed, in milliseconds since 1970.
        time_ms: u64,
        /// The batches, in order.
        batches: Vec<AppendBatch>,
    },
    /// Creates partitions, or gives existing ones new settings.
    Configure(Vec<(PartitionId, PartitionSettings)>),
    /// Drops partitions and their data.
    Drop(Vec<PartitionId>),
    /// Moves log start offsets forward.
    Trim(Vec<(PartitionId, u64)>),
}

/// What applying a command answers.
#[derive(Debug)]
pub enum Applied {
    /// One outcome per batch; `None` when the partition does not exist.
    Append(Vec<Option<AppendOutcome>>),
    /// Nothing to tell.
    Done,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { batches, .. } => write!(f, "append {} batches", batches.len()),
            Self::Configure(partitions) => write!(f, "configure {} partitions", partitions.len()),
            Self::Drop(partitions) => write!(f, "drop {} partitions", partitions.len()),
            Self::Trim(partitions) => write!(f, "trim {} partitions", partitions.len()),
        }
    }
}

fn count(items: usize) -> [u8; 4] {
    u32::try_from(items).unwrap_or(u32::MAX).to_le_bytes()
}

pub(super) fn put_id(out: &mut Vec<u8>, id: PartitionId) {
    out.extend_from_slice(&id.topic.to_le_bytes());
    out.extend_from_slice(&id.partition.to_le_bytes());
}

pub(super) fn id(reader: &mut Reader<'_>) -> Result<PartitionId, CodecError> {
    Ok(PartitionId { topic: reader.u64("topic")?, partition: reader.u32("partition")? })
}

/// Appends settings; also used in checkpoints.
pub fn put_settings(out: &mut Vec<u8>, settings: &PartitionSettings) {
    out.extend_from_slice(&settings.segment_bytes.to_le_bytes());
    out.extend_from_slice(&settings.segment_ms.to_le_bytes());
    out.extend_from_slice(&settings.retention_ms.unwrap_or(UNLIMITED).to_le_bytes());
    out.extend_from_slice(&settings.retention_bytes.unwrap_or(UNLIMITED).to_le_bytes());
    out.extend_from_slice(&settings.batch_bytes_max.to_le_bytes());
}

/// Reads settings.
///
/// # Errors
/// When they are cut off.
pub fn settings(reader: &mut Reader<'_>) -> Result<PartitionSettings, CodecError> {
    let limited = |value: u64| (value != UNLIMITED).then_some(value);
    Ok(PartitionSettings {
        segment_bytes: reader.u64("settings")?,
        segment_ms: reader.u64("settings")?,
        retention_ms: limited(reader.u64("settings")?),
        retention_bytes: limited(reader.u64("settings")?),
        batch_bytes_max: reader.u32("settings")?,
    })
}

impl Application for VnodeApp {
    type Command = Command;
    type Applied = Applied;

    fn encode(command: &Command) -> Encoded {
        let mut encoded = Encoded::default();
        match command {
            Command::Append { time_ms, batches } => {
                let mut prefix = vec![1];
                prefix.extend_from_slice(&time_ms.to_le_bytes());
                prefix.extend_from_slice(&count(batches.len()));
                for batch in batches {
                    put_id(&mut prefix, batch.partition);
                    prefix.extend_from_slice(&count(batch.batch.len()));
                    encoded.push(std::mem::take(&mut prefix).into());
                    encoded.push(batch.batch.clone());
                }
                return encoded;
            }
            Command::Configure(partitions) => {
                let mut bytes = vec![2];
                bytes.extend_from_slice(&count(partitions.len()));
                for (id, settings) in partitions {
                    put_id(&mut bytes, *id);
                    put_settings(&mut bytes, settings);
                }
                encoded.push(bytes.into());
            }
            Command::Drop(partitions) => {
                let mut bytes = vec![3];
                bytes.extend_from_slice(&count(partitions.len()));
                partitions.iter().for_each(|id| put_id(&mut bytes, *id));
                encoded.push(bytes.into());
            }
            Command::Trim(trims) => {
                let mut bytes = vec![4];
                bytes.extend_from_slice(&count(trims.len()));
                for (id, offset) in trims {
                    put_id(&mut bytes, *id);
                    bytes.extend_from_slice(&offset.to_le_bytes());
                }
                encoded.push(bytes.into());
            }
        }
        encoded
    }

    fn decode(bytes: Bytes) -> Result<Command, DecodePayloadError> {
        let mut reader = Reader::new(&bytes);
        let command = decode(&bytes, &mut reader).map_err(|e| DecodePayloadError(e.to_string()))?;
        match reader.remaining() {
            0 => Ok(command),
            more => Err(DecodePayloadError(format!("{more} bytes follow the command"))),
        }
    }
}

fn decode(bytes: &Bytes, reader: &mut Reader<'_>) -> Result<Command, CodecError> {
    let tag = reader.u8("command")?;
    let time_ms = if tag == 1 { reader.u64("time")? } else { 0 };
    let count = reader.u32("count")?;
    if count > ITEMS_MAX {
        return Err(reader.invalid("count"));
    }
    let items = 0..count;
    match tag {
        1 => {
            let batches = items.map(|_| append_batch(bytes, reader)).collect::<Result<_, _>>()?;
            Ok(Command::Append { time_ms, batches })
        }
        2 => items
            .map(|_| Ok((id(reader)?, settings(reader)?)))
            .collect::<Result<_, _>>()
            .map(Command::Configure),
        3 => items.map(|_| id(reader)).collect::<Result<_, _>>().map(Command::Drop),
        4 => items
            .map(|_| Ok((id(reader)?, reader.u64("log start offset")?)))
            .collect::<Result<_, _>>()
            .map(Command::Trim),
        _ => Err(reader.invalid("command")),
    }
}

fn append_batch(bytes: &Bytes, reader: &mut Reader<'_>) -> Result<AppendBatch, CodecError> {
    let partition = id(reader)?;
    let length = reader.u32("batch length")? as usize;
    let start = reader.position();
    let content = reader.take(length, "batch")?;
    let header = BatchHeader::decode(content).map_err(|_| reader.invalid("batch header"))?;
    Ok(AppendBatch { partition, header, batch: bytes.slice(start..start + length) })
}
