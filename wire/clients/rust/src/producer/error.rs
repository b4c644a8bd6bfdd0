//! Why a record was not taken, or not delivered.

use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{ApiError, BatchError};
use thiserror::Error;

use crate::connection::{RequestError, human};
use crate::error::ClientError;

/// Why a record was not taken, or not delivered. All records of a batch share one.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// A setting of the builder is out of its range.
    #[error("the producer's {option} is {value}, allowed is {allowed}")]
    InvalidOption {
        /// The builder's method.
        option: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: String,
    },
    /// The topic could not be looked up, or the cluster could not be asked for a producer id.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The topic was deleted while the record waited.
    #[error("topic {topic:?} was deleted; create it again, and send the record again")]
    TopicDeleted {
        /// The topic.
        topic: Arc<str>,
    },
    /// The record names a partition that the topic does not have.
    #[error("topic {topic:?} has partitions 0 to {last}, there is no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: Arc<str>,
        /// What the record asked for.
        partition: u32,
        /// The topic's last partition.
        last: u32,
    },
    /// The record is larger than this producer takes.
    #[error(
        "a record for topic {topic:?} has {bytes} bytes, the producer takes {bytes_max}; raise \
         its record_bytes_max (and the readers')"
    )]
    RecordTooLarge {
        /// The topic.
        topic: Arc<str>,
        /// Bytes of the value.
        bytes: u64,
        /// The producer's `record_bytes_max`.
        bytes_max: u64,
    },
    /// The record cannot be put into a batch: its key or headers are too large.
    #[error("a record for topic {topic:?} cannot be sent: {source}")]
    InvalidRecord {
        /// The topic.
        topic: Arc<str>,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The node refused the batch for good. It is not in the log.
    #[error("partition {partition} of topic {topic:?} refused the batch: {source}")]
    Refused {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The node's words.
        source: ApiError,
    },
    /// The request failed in a way that trying again does not mend.
    #[error("the batch for partition {partition} of topic {topic:?} cannot be sent: {source}")]
    Request {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// What happened.
        source: RequestError,
    },
    /// The delivery timeout ran out while the record waited or was tried again.
    #[error(
        "the batch for partition {partition} of topic {topic:?} was not acknowledged within {}{}; \
         last: {last}",
        human(*.timeout),
        if *.maybe_stored { " (it may be stored all the same)" } else { "" }
    )]
    TimedOut {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The delivery timeout.
        timeout: Duration,
        /// A request with the batch was sent and never answered, so it may be in the log.
        maybe_stored: bool,
        /// What went wrong last.
        last: Arc<str>,
    },
    /// The producer is closed.
    #[error("the producer is closed; build another one")]
    Closed,
    /// The runtime that ran the producer's task was shut down. The record may be stored.
    #[error(
        "the producer's task ended before the record was acknowledged; was its runtime shut down?"
    )]
    Abandoned,
}

/// What [`Producer::flush`](crate::Producer::flush) and [`Producer::close`](crate::Producer::close)
/// report: records that failed since the last flush.
#[derive(Clone, Debug, Error)]
#[error("{records} records were not delivered; the first: {first}")]
pub struct FlushError {
    /// How many.
    pub records: u64,
    /// Why the first of them failed.
    #[source]
    pub first: ProduceError,
}
