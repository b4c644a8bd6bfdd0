//! The consumer: reads ahead, checks, and gives out records in the order of each partition.
//!
//! ```text
//!  fetcher (task): one fetch per shard ──> board: fetched batches, bounded by bytes
//!                     ^ room, seeks                 │
//!                     └──────────────── Consumer <──┘ open batch: CRC, decompress, put chunks together
//! ```
//!
//! - [`options`]: the builder; [`board`]: what both sides share;
//! - [`fetcher`], [`verdict`]: reading ahead, and what an answer means; [`offsets`]: positions;
//! - [`cursor`]: how far a partition was read. Batches are opened only when their records are
//!   asked for, so what is held is bounded by the bytes of the wire, not by what they unpack to.

mod board;
mod cursor;
mod error;
mod fetcher;
mod offsets;
mod options;
mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use ringspool_wire::{BatchError, BatchHeader, DecodedBatch, Record};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
pub use board::OffsetReset;
use board::{Board, Fetched};
use cursor::Cursor;
pub use error::ConsumeError;
use fetcher::Fetcher;
use options::Options;
pub use options::{ConsumerBuilder, OutOfRange, Position};

/// A poll ends when it has this many bytes of records, whatever their number.
const POLL_BYTES: usize = 4 << 20;

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The record. Its bytes are slices of its batch, which stays in memory with them.
    pub record: Record,
}

/// Reads partitions of a topic.
///
/// Records of one partition come in the order of their offsets; those of several partitions
/// interleave. The consumer reads ahead in the background, within
/// [`buffer_bytes_max`](ConsumerBuilder::buffer_bytes_max).
///
/// An error that names a partition is reported once, behind the records that came before it; that
/// partition then stands still until [`seek`](Consumer::seek), and the others go on.
///
/// ```no_run
/// # async fn example(client: ringspool_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use ringspool_client::Position;
///
/// let mut consumer = client.consumer().topic("orders").from(Position::Earliest).build().await?;
/// while !consumer.at_end() {
///     for consumed in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{} {:?}", consumed.record.offset, consumed.record.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    cluster: Arc<Cluster>,
    board: Arc<Board>,
    options: Options,
    topic_id: u64,
    partitions: u32,
    cursors: BTreeMap<u32, Cursor>,
    current: Option<Current>,
    held_error: Option<ConsumeError>,
    resets: Vec<OffsetReset>,
    fetcher: AbortHandle,
}

/// Batches of a partition that are being read.
struct Current {
    partition: u32,
    batches: VecDeque<Bytes>,
    open: Option<Open>,
}

struct Open {
    batch: DecodedBatch,
    next: usize,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.fetcher.abort();
    }
}

impl Consumer {
    async fn start(cluster: Arc<Cluster>, options: Options) -> Result<Consumer, ConsumeError> {
        let found = cluster.topic(&options.topic).await?;
        let board = Board::new();
        let fetcher = Fetcher::new(cluster.clone(), board.clone(), options.clone(), found.id);
        let wanted = options.partitions.clone();
        let wanted = wanted.unwrap_or_else(|| (0..found.partitions()).collect());
        let from = options.from;
        let mut consumer = Consumer {
            cluster,
            board,
            options,
            topic_id: found.id,
            partitions: found.partitions(),
            cursors: BTreeMap::new(),
            current: None,
            held_error: None,
            resets: Vec::new(),
            fetcher: tokio::spawn(fetcher.run()).abort_handle(),
        };
        consumer.assign(wanted, from).await?;
        Ok(consumer)
    }

    /// Reads these partitions from now on. Those that are read already go on where they are;
    /// others begin at `position`; those that are not named are read no more.
    ///
    /// # Errors
    ///
    /// When a partition does not exist, or its position cannot be found; nothing has changed then.
    pub async fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = u32>,
        position: Position,
    ) -> Result<(), ConsumeError> {
        let mut wanted: Vec<u32> = partitions.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        if let Some(partition) = wanted.iter().find(|partition| **partition >= self.partitions) {
            let (topic, last) = (self.options.topic.clone(), self.partitions.saturating_sub(1));
            return Err(ConsumeError::UnknownPartition { topic, partition: *partition, last });
        }
        let new: Vec<(u32, Position)> = wanted
            .iter()
            .filter(|partition| !self.cursors.contains_key(partition))
            .map(|partition| (*partition, position))
            .collect();
        let found = offsets::find(&self.cluster, &self.options.topic, self.topic_id, &new).await?;
        let gone: Vec<u32> =
            self.cursors.keys().filter(|key| wanted.binary_search(key).is_err()).copied().collect();
        for partition in gone {
            self.forget(partition);
            self.cursors.remove(&partition);
            self.board.remove(partition);
        }
        for found in found {
            self.begin(found);
        }
        Ok(())
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> impl Iterator<Item = u32> + '_ {
        self.cursors.keys().copied()
    }

    /// Reads a partition from here on. What was read ahead of it is forgotten.
    ///
    /// # Errors
    ///
    /// When the partition is not assigned, or the position cannot be found; nothing has changed
    /// then. An offset that does not exist is met when it is read.
    pub async fn seek(&mut self, partition: u32, position: Position) -> Result<(), ConsumeError> {
        self.cursor(partition)?;
        let wanted = [(partition, position)];
        let found =
            offsets::find(&self.cluster, &self.options.topic, self.topic_id, &wanted).await?;
        for found in found {
            self.forget(partition);
            self.begin(found);
        }
        Ok(())
    }

    /// The next records: what is there, or as soon as something is, up to
    /// [`poll_records_max`](ConsumerBuilder::poll_records_max) of them. After `wait_max` without
    /// any: none.
    ///
    /// # Errors
    ///
    /// See [`ConsumeError`].
    pub async fn poll(&mut self, wait_max: Duration) -> Result<Vec<ConsumedRecord>, ConsumeError> {
        let deadline = Instant::now() + wait_max;
        loop {
            let board = self.board.clone();
            let mut filled = std::pin::pin!(board.filled.notified());
            filled.as_mut().enable();
            let mut records = Vec::new();
            let mut bytes = 0;
            while records.len() < self.options.poll_records_max && bytes < POLL_BYTES {
                match self.try_next() {
                    Some(Ok(consumed)) => {
                        bytes += consumed.record.key.len() + consumed.record.value.len();
                        records.push(consumed);
                    }
                    Some(Err(error)) if records.is_empty() => return Err(error),
                    Some(Err(error)) => {
                        self.held_error = Some(error);
                        break;
                    }
                    None => break,
                }
            }
            if !records.is_empty() || timeout_at(deadline, filled).await.is_err() {
                return Ok(records);
            }
        }
    }

    /// The next record, as soon as there is one. Can be cancelled without losing any.
    ///
    /// # Errors
    ///
    /// See [`ConsumeError`].
    pub async fn next(&mut self) -> Result<ConsumedRecord, ConsumeError> {
        loop {
            let board = self.board.clone();
            let mut filled = std::pin::pin!(board.filled.notified());
            filled.as_mut().enable();
            if let Some(next) = self.try_next() {
                return next;
            }
            filled.await;
        }
    }

    /// The records as a stream. It never ends; after an error it goes on as [`ConsumeError`] says.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: ringspool_client::Consumer)
    /// # -> Result<(), ringspool_client::ConsumeError> {
    /// use futures::TryStreamExt;
    ///
    /// let mut records = consumer.stream();
    /// while let Some(consumed) = records.try_next().await? {
    ///     println!("{}", consumed.record.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(
        &mut self,
    ) -> impl Stream<Item = Result<ConsumedRecord, ConsumeError>> + Send + Unpin + '_ {
        Box::pin(futures::stream::unfold(self, |consumer| async {
            let next = consumer.next().await;
            Some((next, consumer))
        }))
    }

    /// The offset behind the last record of the partition that was given out.
    ///
    /// # Errors
    ///
    /// When the partition is not assigned.
    pub fn position(&self, partition: u32) -> Result<u64, ConsumeError> {
        Ok(self.cursor(partition)?.position)
    }

    /// From where another consumer misses nothing. That is [`position`](Consumer::position),
    /// unless a large record of several chunks begins before it and ends behind it: then it is
    /// where that record begins, and records in between come again.
    ///
    /// # Errors
    ///
    /// When the partition is not assigned.
    pub fn safe_position(&self, partition: u32) -> Result<u64, ConsumeError> {
        Ok(self.cursor(partition)?.safe_position())
    }

    /// The offset the partition's next record will get, as of the last answer of the node.
    ///
    /// # Errors
    ///
    /// When the partition is not assigned.
    pub fn high_watermark(&self, partition: u32) -> Result<u64, ConsumeError> {
        self.cursor(partition)?;
        let state = self.board.lock();
        Ok(state.partitions.get(&partition).map_or(0, |progress| progress.high_watermark))
    }

    /// Whether every partition was read to its high watermark. Records whose last chunk is not
    /// there yet do not count.
    pub fn at_end(&self) -> bool {
        if self.held_error.is_some() {
            return false;
        }
        let state = self.board.lock();
        self.cursors.iter().all(|(partition, cursor)| {
            let progress = state.partitions.get(partition);
            progress.is_some_and(|p| cursor.position.max(cursor.scanned) >= p.high_watermark)
        })
    }

    /// The positions that were out of range and were moved, since this was last asked. Each is
    /// also logged.
    pub fn take_resets(&mut self) -> Vec<OffsetReset> {
        std::mem::take(&mut self.resets)
    }

    fn cursor(&self, partition: u32) -> Result<&Cursor, ConsumeError> {
        let topic = &self.options.topic;
        self.cursors
            .get(&partition)
            .ok_or_else(|| ConsumeError::NotAssigned { topic: topic.clone(), partition })
    }

    /// Forgets what was taken from the board and not given out.
    fn forget(&mut self, partition: u32) {
        self.current.take_if(|current| current.partition == partition);
        let of_partition = |error: &mut ConsumeError| {
            error.stands_still().is_some_and(|(stands, _)| stands == partition)
        };
        self.held_error.take_if(of_partition);
    }

    fn begin(&mut self, found: offsets::Found) {
        let cursor = Cursor::new(found.offset, self.options.record_bytes_max);
        self.cursors.insert(found.partition, cursor);
        self.board.seek(found.partition, found.offset, found.high_watermark);
    }

    /// The next record or error, if it is there.
    fn try_next(&mut self) -> Option<Result<ConsumedRecord, ConsumeError>> {
        if let Some(error) = self.held_error.take() {
            return Some(Err(error));
        }
        loop {
            if self.current.is_some() {
                match self.next_of_current() {
                    Ok(Some(consumed)) => return Some(Ok(consumed)),
                    Ok(None) => self.current = None,
                    Err(error) => {
                        if let Some(current) = self.current.take() {
                            self.board.stop(current.partition);
                        }
                        return Some(Err(error));
                    }
                }
            }
            match self.board.take() {
                Some(Fetched::Batches { partition, batches, .. }) => {
                    self.current = Some(Current { partition, batches, open: None });
                }
                Some(Fetched::Moved(reset)) => {
                    tracing::warn!(topic = %self.options.topic, partition = reset.partition,
                        from = reset.from, to = reset.to, "the position was out of range");
                    let cursor = Cursor::new(reset.to, self.options.record_bytes_max);
                    self.cursors.insert(reset.partition, cursor);
                    self.resets.push(reset);
                }
                Some(Fetched::Failed { error, .. }) => return Some(Err(error)),
                None if self.board.lock().ended => return Some(Err(ConsumeError::Ended)),
                None => return None,
            }
        }
    }

    /// The next record of the batches that are being read; `None`: there is none left.
    fn next_of_current(&mut self) -> Result<Option<ConsumedRecord>, ConsumeError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        let partition = current.partition;
        let Some(cursor) = self.cursors.get_mut(&partition) else { return Ok(None) };
        let topic = &self.options.topic;
        loop {
            if let Some(open) = &mut current.open {
                let skipped = cursor.position.saturating_sub(open.batch.header.base_offset);
                open.next = open.next.max(usize::try_from(skipped).unwrap_or(usize::MAX));
                if let Some(record) = open.batch.records().nth(open.next) {
                    open.next += 1;
                    cursor.position = record.offset.saturating_add(1);
                    return Ok(Some(ConsumedRecord { topic: topic.clone(), partition, record }));
                }
                let behind = open.batch.header.last_offset().saturating_add(1);
                cursor.scanned = cursor.scanned.max(behind);
                current.open = None;
            }
            let Some(bytes) = current.batches.pop_front() else { return Ok(None) };
            let batch = DecodedBatch::open(bytes.clone()).map_err(|error| {
                let header = BatchHeader::decode(&bytes).ok();
                ConsumeError::Damaged {
                    topic: topic.clone(),
                    partition,
                    offset: header.map_or(cursor.scanned, |header| header.base_offset),
                    next_offset: header.map(|header| header.last_offset().saturating_add(1)),
                    detail: error.to_string().into(),
                }
            })?;
            let Some(chunk) = batch.chunk else {
                current.open = Some(Open { batch, next: 0 });
                continue;
            };
            let offset = batch.header.base_offset;
            let record = cursor.push_chunk(chunk, batch).map_err(|source| {
                let (topic, next_offset) = (topic.clone(), offset.saturating_add(1));
                match source {
                    BatchError::RecordTooLarge { bytes, bytes_max, .. } => {
                        ConsumeError::RecordTooLarge {
                            topic,
                            partition,
                            offset,
                            next_offset,
                            bytes,
                            bytes_max,
                        }
                    }
                    source => {
                        ConsumeError::BrokenRecord { topic, partition, offset, next_offset, source }
                    }
                }
            })?;
            if let Some(record) = record.filter(|record| record.offset >= cursor.position) {
                cursor.position = record.offset.saturating_add(1);
                return Ok(Some(ConsumedRecord { topic: topic.clone(), partition, record }));
            }
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let positions: Vec<(u32, u64)> =
            self.cursors.iter().map(|(partition, cursor)| (*partition, cursor.position)).collect();
        f.debug_struct("Consumer")
            .field("topic", &self.options.topic)
            .field("positions", &positions)
            .finish_non_exhaustive()
    }
}
