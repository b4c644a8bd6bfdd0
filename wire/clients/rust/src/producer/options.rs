//! A producer's settings: the builder, and the checked values it gives.

use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{
    Acks, BATCH_BYTES_DEFAULT, BATCH_BYTES_MAX, CHUNK_BYTES, CHUNK_OVERHEAD_BYTES_MAX, Compression,
    RECORD_BYTES_DEFAULT_MAX, RECORD_BYTES_MAX,
};

use super::Producer;
use super::error::ProduceError;
use crate::cluster::Cluster;

/// Fewest bytes a batch may be limited to: room for a chunk beside its overhead.
const BATCH_BYTES_MIN: usize = 2 * CHUNK_OVERHEAD_BYTES_MAX;

/// Batches of one partition in flight at once, under idempotence: as many as a node remembers, so
/// that it can always tell a duplicate from a gap.
const PARTITION_IN_FLIGHT_MAX: usize = 5;

/// The checked settings.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) acks: Acks,
    pub(super) linger: Duration,
    pub(super) batch_bytes: usize,
    pub(super) in_flight_max: usize,
    pub(super) compression: Compression,
    pub(super) idempotent: bool,
    pub(super) delivery_timeout: Duration,
    pub(super) buffer_bytes_max: usize,
    pub(super) record_bytes_max: u64,
    pub(super) partition: Option<u32>,
    pub(super) request_timeout: Duration,
}

impl Options {
    /// Bytes of a large record that go into one chunk.
    pub(super) fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES.min(self.batch_bytes - CHUNK_OVERHEAD_BYTES_MAX)
    }

    /// Batches of one partition in flight at once. Without sequences the node cannot keep order
    /// when one of several fails, so there is only one; without answers nothing is tried again
    /// out of order.
    pub(super) fn partition_in_flight_max(&self) -> usize {
        match (self.idempotent, self.acks) {
            (true, _) | (_, Acks::None) => self.in_flight_max.min(PARTITION_IN_FLIGHT_MAX),
            (false, _) => 1,
        }
    }
}

/// Settings of a [`Producer`]. Made by [`Client::producer`](crate::Client::producer).
#[must_use = "nothing is sent before build()"]
#[derive(Clone)]
pub struct ProducerBuilder {
    cluster: Arc<Cluster>,
    options: Options,
}

impl ProducerBuilder {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let options = Options {
            acks: Acks::default(),
            linger: Duration::from_millis(5),
            batch_bytes: BATCH_BYTES_DEFAULT as usize,
            in_flight_max: 5,
            compression: Compression::default(),
            idempotent: true,
            delivery_timeout: Duration::from_secs(120),
            buffer_bytes_max: 64 << 20,
            record_bytes_max: RECORD_BYTES_DEFAULT_MAX,
            partition: None,
            request_timeout: cluster.request_timeout(),
        };
        ProducerBuilder { cluster, options }
    }

    /// When a record counts as delivered: [`Acks::Quorum`] (default) and [`Acks::Leader`], when it
    /// is on stable storage; [`Acks::None`], when it is written to the socket, which turns
    /// idempotence off and gives no offsets.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.options.acks = acks;
        self
    }

    /// How long a batch waits for more records before it is sent; it leaves earlier when it is
    /// full, when somebody flushes, or when the buffer is. Default: 5 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.options.linger = linger;
        self
    }

    /// Largest batch before compression, 8 KiB to 8 MiB. Records larger than that are sent in
    /// chunks. Beyond 1 MiB (default) the topic's `batch_bytes_max` has to allow it.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.options.batch_bytes = bytes;
        self
    }

    /// Requests in flight on each connection, at least 1. Of one partition at most 5 batches are,
    /// and without idempotence only one. Default: 5.
    pub fn in_flight_max(mut self, requests: usize) -> Self {
        self.options.in_flight_max = requests;
        self
    }

    /// How batches are compressed. Default: zstd level 1, where it pays.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = compression;
        self
    }

    /// Whether retries can never put a record into the log twice, and never reorder. Default: yes.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.options.idempotent = idempotent;
        self
    }

    /// How long a record may take from `send` to its acknowledgement, retries included, before
    /// its delivery fails. Default: 120 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.options.delivery_timeout = timeout;
        self
    }

    /// Bytes of records that may wait or be in flight; `send` waits while there is no room. A
    /// single record larger than that waits until it is alone. Default: 64 MiB.
    pub fn buffer_bytes_max(mut self, bytes: usize) -> Self {
        self.options.buffer_bytes_max = bytes;
        self
    }

    /// Largest value of a record, up to 1 GiB. Readers have a limit of their own, and the topic
    /// names one in its settings. Default: 64 MiB.
    pub fn record_bytes_max(mut self, bytes: u64) -> Self {
        self.options.record_bytes_max = bytes;
        self
    }

    /// Sends every record that does not name a partition to this one.
    pub fn partition(mut self, partition: u32) -> Self {
        self.options.partition = Some(partition);
        self
    }

    /// Makes the producer; an idempotent one gets its id from the cluster.
    ///
    /// # Errors
    ///
    /// [`ProduceError::InvalidOption`], or [`ProduceError::Client`] when no server answers.
    pub async fn build(mut self) -> Result<Producer, ProduceError> {
        let options = &mut self.options;
        check("batch_bytes", options.batch_bytes, BATCH_BYTES_MIN, BATCH_BYTES_MAX as usize)?;
        check("in_flight_max", options.in_flight_max, 1, 1024)?;
        check("buffer_bytes_max", options.buffer_bytes_max, 1, u32::MAX as usize)?;
        check("record_bytes_max", options.record_bytes_max, 1, RECORD_BYTES_MAX)?;
        if options.acks == Acks::None {
            options.idempotent = false;
        }
        Producer::start(self.cluster, self.options).await
    }
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

fn check<T: PartialOrd + std::fmt::Display>(
    option: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), ProduceError> {
    if value < min || value > max {
        let (value, allowed) = (value.to_string(), format!("{min} to {max}"));
        return Err(ProduceError::InvalidOption { option, value, allowed });
    }
    Ok(())
}
