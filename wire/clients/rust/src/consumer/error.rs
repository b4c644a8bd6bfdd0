//! Why records cannot be read.

use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{ApiError, BatchError};
use thiserror::Error;

use crate::connection::human;
use crate::error::ClientError;

/// Why records cannot be read. After an error that names a partition, that partition stands still
/// until [`Consumer::seek`](crate::Consumer::seek); the others go on. Only after
/// [`Unavailable`](ConsumeError::Unavailable) does everything go on by itself.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// A setting of the builder is out of its range.
    #[error("the consumer's {option} is {value}, allowed is {allowed}")]
    InvalidOption {
        /// The builder's method.
        option: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: String,
    },
    /// The topic could not be looked up, or its offsets could not be found.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The topic does not have this partition.
    #[error("topic {topic:?} has partitions 0 to {last}, there is no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: Arc<str>,
        /// What was asked for.
        partition: u32,
        /// The topic's last partition.
        last: u32,
    },
    /// The partition is not among those this consumer reads.
    #[error("partition {partition} of topic {topic:?} is not assigned to this consumer; assign it")]
    NotAssigned {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The topic was deleted.
    #[error("topic {topic:?} was deleted")]
    TopicDeleted {
        /// The topic.
        topic: Arc<str>,
    },
    /// The records at the position were removed by retention, or never existed.
    #[error(
        "partition {partition} of topic {topic:?} has offsets {log_start_offset} to \
         {high_watermark}, there is no {offset}; seek to one it has"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// What was asked for.
        offset: u64,
        /// The first offset there is.
        log_start_offset: u64,
        /// The offset the next record will get.
        high_watermark: u64,
    },
    /// The stored bytes are damaged: found by the node, or by this client when it checked a batch.
    #[error(
        "partition {partition} of topic {topic:?} is damaged at offset {offset}: {detail}; seek \
         past it to go on{}",
        next(.next_offset)
    )]
    Damaged {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The first offset that cannot be read.
        offset: u64,
        /// The first offset behind the damage, if it is known.
        next_offset: Option<u64>,
        /// What is wrong.
        detail: Arc<str>,
    },
    /// A record in chunks is larger than this consumer takes.
    #[error(
        "partition {partition} of topic {topic:?} has a record of {bytes} bytes, from offset \
         {offset} on, and the consumer takes {bytes_max}; raise record_bytes_max, or seek past it \
         ({next_offset})"
    )]
    RecordTooLarge {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The offset of its first chunk.
        offset: u64,
        /// Where to seek to skip it.
        next_offset: u64,
        /// Bytes of the value.
        bytes: u64,
        /// The consumer's `record_bytes_max`.
        bytes_max: u64,
    },
    /// The chunks of a large record do not fit together.
    #[error(
        "partition {partition} of topic {topic:?} has a record in chunks that cannot be put \
         together at offset {offset}: {source}; seek past it ({next_offset}) to go on"
    )]
    BrokenRecord {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The offset of the chunk that shows it.
        offset: u64,
        /// Where to seek to skip it.
        next_offset: u64,
        /// What is wrong.
        source: BatchError,
    },
    /// The node refused to read the partition.
    #[error("partition {partition} of topic {topic:?} cannot be read: {source}")]
    Refused {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The node's words.
        source: ApiError,
    },
    /// Partitions could not be read for longer than the request timeout. The consumer goes on
    /// trying; this comes again when it still fails after as long again.
    #[error(
        "topic {topic:?}, partitions {partitions:?}: nothing could be read for {}; last: {last}; \
         still trying",
        human(*.since)
    )]
    Unavailable {
        /// The topic.
        topic: Arc<str>,
        /// The partitions.
        partitions: Vec<u32>,
        /// For how long.
        since: Duration,
        /// What went wrong last.
        last: Arc<str>,
    },
    /// The runtime that ran the consumer's task was shut down.
    #[error("the consumer's task ended; was its runtime shut down?")]
    Ended,
}

impl ConsumeError {
    /// The partition that stands still because of this, and where to seek to read on behind what
    /// is wrong, if that is known.
    pub fn stands_still(&self) -> Option<(u32, Option<u64>)> {
        match self {
            ConsumeError::OffsetOutOfRange { partition, .. }
            | ConsumeError::Refused { partition, .. } => Some((*partition, None)),
            ConsumeError::Damaged { partition, next_offset, .. } => {
                Some((*partition, *next_offset))
            }
            ConsumeError::RecordTooLarge { partition, next_offset, .. }
            | ConsumeError::BrokenRecord { partition, next_offset, .. } => {
                Some((*partition, Some(*next_offset)))
            }
            _ => None,
        }
    }
}

fn next(offset: &Option<u64>) -> String {
    offset.map(|offset| format!(" ({offset})")).unwrap_or_default()
}
