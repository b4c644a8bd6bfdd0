//! A consumer's settings: the builder, and the checked values it gives.

use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{BATCH_BYTES_MAX, RECORD_BYTES_DEFAULT_MAX, RECORD_BYTES_MAX};

use super::Consumer;
use super::error::ConsumeError;
use crate::cluster::Cluster;

/// From where to read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first record there is.
    Earliest,
    /// What will be written from now on.
    Latest,
    /// This offset.
    Offset(u64),
    /// The first record at or after a time, in milliseconds since 1970; times before are 1970.
    Timestamp(i64),
}

/// What to do when the position is outside of what the partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutOfRange {
    /// Go on at the first record there is; see [`Consumer::take_resets`].
    Earliest,
    /// Go on at the end; see [`Consumer::take_resets`].
    Latest,
    /// Report [`ConsumeError::OffsetOutOfRange`].
    #[default]
    Error,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) topic: Arc<str>,
    pub(super) partitions: Option<Vec<u32>>,
    pub(super) from: Position,
    pub(super) out_of_range: OutOfRange,
    pub(super) fetch_bytes_max: u32,
    pub(super) buffer_bytes_max: usize,
    pub(super) wait_max: Duration,
    pub(super) poll_records_max: usize,
    pub(super) record_bytes_max: u64,
    pub(super) request_timeout: Duration,
}

/// Settings of a [`Consumer`]. Made by [`Client::consumer`](crate::Client::consumer).
#[must_use = "nothing is read before build()"]
#[derive(Clone)]
pub struct ConsumerBuilder {
    cluster: Arc<Cluster>,
    options: Options,
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let options = Options {
            topic: "".into(),
            partitions: None,
            from: Position::Earliest,
            out_of_range: OutOfRange::default(),
            fetch_bytes_max: 8 << 20,
            buffer_bytes_max: 32 << 20,
            wait_max: Duration::from_millis(500),
            poll_records_max: 10_000,
            record_bytes_max: RECORD_BYTES_DEFAULT_MAX,
            request_timeout: cluster.request_timeout(),
        };
        ConsumerBuilder { cluster, options }
    }

    /// The topic to read.
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.options.topic = topic.into();
        self
    }

    /// The partitions to read. Default: all.
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = u32>) -> Self {
        self.options.partitions = Some(partitions.into_iter().collect());
        self
    }

    /// Where to begin in every partition. Default: [`Position::Earliest`].
    pub fn from(mut self, position: Position) -> Self {
        self.options.from = position;
        self
    }

    /// What to do when a position is outside of what its partition has. Default:
    /// [`OutOfRange::Error`].
    pub fn out_of_range(mut self, policy: OutOfRange) -> Self {
        self.options.out_of_range = policy;
        self
    }

    /// About how much one fetch may bring, 1 KiB to 8 MiB; a single batch can be more. Default:
    /// 8 MiB.
    pub fn fetch_bytes_max(mut self, bytes: u32) -> Self {
        self.options.fetch_bytes_max = bytes;
        self
    }

    /// Bytes to read ahead, as they come over the wire. What the fetches under way bring is added,
    /// at most as much again. Default: 32 MiB.
    pub fn buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.options.buffer_bytes_max = bytes;
        self
    }

    /// How long the node holds a fetch that finds nothing, up to 10 minutes. Default: 500 ms.
    pub fn wait_max(mut self, wait: Duration) -> Self {
        self.options.wait_max = wait;
        self
    }

    /// Most records that one poll gives. Default: 10 000.
    pub fn poll_records_max(mut self, records: usize) -> Self {
        self.options.poll_records_max = records;
        self
    }

    /// Largest record to take, up to 1 GiB: what may be in memory for one that comes in chunks.
    /// Default: 64 MiB.
    pub fn record_bytes_max(mut self, bytes: u64) -> Self {
        self.options.record_bytes_max = bytes;
        self
    }

    /// Makes the consumer: looks up the topic and the positions, and begins to read ahead.
    ///
    /// # Errors
    ///
    /// [`ConsumeError::InvalidOption`], [`ConsumeError::UnknownPartition`], or
    /// [`ConsumeError::Client`] when the topic does not exist or no server answers.
    pub async fn build(self) -> Result<Consumer, ConsumeError> {
        let options = &self.options;
        check("topic", options.topic.len(), 1, usize::MAX)?;
        check("fetch_bytes_max", options.fetch_bytes_max, 1 << 10, BATCH_BYTES_MAX)?;
        check("buffer_bytes_max", options.buffer_bytes_max, 1, usize::MAX)?;
        check("poll_records_max", options.poll_records_max, 1, usize::MAX)?;
        check("record_bytes_max", options.record_bytes_max, 1, RECORD_BYTES_MAX)?;
        check("wait_max in ms", options.wait_max.as_millis(), 1, 600_000)?;
        Consumer::start(self.cluster, self.options).await
    }
}

impl std::fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

fn check<T: PartialOrd + std::fmt::Display>(
    option: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), ConsumeError> {
    if value < min || value > max {
        let (value, allowed) = (value.to_string(), format!("{min} to {max}"));
        return Err(ConsumeError::InvalidOption { option, value, allowed });
    }
    Ok(())
}
