//! The producer: records in, batches out, every record answered for.
//!
//! ```text
//!  send() ─ ledger: room in the buffer ─ partitioner ─ queue: the partition's accumulator
//!                                                         │  (inbox)
//!                                                    dispatcher ── Connection (one per shard)
//!  DeliveryFuture <── completion, one per batch <─────────┘
//! ```
//!
//! - [`options`]: the builder; [`record`], [`delivery`]: what goes in and what comes back;
//! - [`ledger`]: the budget, and who is owed an answer; [`queue`], [`large`]: what waits;
//! - [`batch`], [`dispatcher`]: sending, order, sequences, retries.

mod batch;
mod delivery;
mod dispatcher;
mod error;
mod large;
mod ledger;
mod options;
mod partitioner;
mod queue;
mod record;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringspool_wire::{
    Acks, Api, InitProducerResponse, ProduceAck, ProducePart, ProduceRequest, Request, Response,
};

use crate::cluster::{Cluster, Repeat};
use crate::connection::RequestError;
use crate::error::ClientError;
pub use delivery::DeliveryFuture;
use dispatcher::Dispatcher;
pub use error::{FlushError, ProduceError};
use options::Options;
pub use options::ProducerBuilder;
pub use partitioner::partition_for_key;
use queue::Pushed;
pub use record::{Delivery, ProduceRecord};
use shared::Shared;

/// Sends records. Clones are cheap and share everything: buffer, batches, connections.
///
/// # Order and duplicates
///
/// Records of one partition are stored in the order of their `send` calls. An idempotent producer
/// (the default) stores each acknowledged record once, whatever is tried again. A batch that fails
/// for good (refused, or the delivery timeout ran out) fails its records, and the producer goes on
/// with the records behind it under a new producer id. So order holds for what was stored, but
/// there can be a hole; and sending a record again whose delivery timed out can store it twice,
/// since nobody knows what became of the first try.
///
/// Without idempotence, retries can store records twice, and only one batch of each partition is
/// in flight, so that they never reorder.
///
/// # Large records
///
/// A record that is larger than a batch goes out in chunks, and is put together by the reader. It
/// is delivered when its last chunk is; its offset is that of the last chunk.
///
/// # Dropping
///
/// [`close`](Producer::close) a producer. When the last handle is dropped instead, what it holds is
/// still sent in the background, as long as the runtime runs, and nobody learns of failures.
///
/// ```no_run
/// # async fn example(client: ringspool_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use ringspool_client::ProduceRecord;
///
/// let producer = client.producer().build().await?;
/// let mut deliveries = Vec::new();
/// for n in 0..1000 {
///     let record = ProduceRecord::new("orders").key(format!("customer-{}", n % 7)).value("lamp");
///     // Waits only while the buffer is full.
///     deliveries.push(producer.send(record).await?);
/// }
/// for delivery in deliveries {
///     let delivery = delivery.await?;
///     println!("partition {} offset {:?}", delivery.partition, delivery.offset);
/// }
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.begin_closing();
    }
}

impl Producer {
    async fn start(cluster: Arc<Cluster>, options: Options) -> Result<Producer, ProduceError> {
        let identity = match options.idempotent {
            true => Some(init_producer(&cluster).await?),
            false => None,
        };
        let shared = Arc::new(Shared::new(cluster, options, identity));
        tokio::spawn(Dispatcher::new(shared.clone()).run());
        Ok(Producer { handle: Arc::new(Handle { shared }) })
    }

    /// Takes a record. Waits only while the buffer is full (and, for a topic's first record, to
    /// look the topic up); the future it gives resolves when the record is acknowledged.
    ///
    /// # Errors
    ///
    /// When the record is not taken: its topic or partition does not exist, it is too large, or
    /// the producer is closed.
    pub async fn send(&self, record: ProduceRecord) -> Result<DeliveryFuture, ProduceError> {
        let shared = &self.handle.shared;
        let options = &shared.options;
        if shared.is_closing() {
            return Err(ProduceError::Closed);
        }
        let bytes = record.value.len() as u64;
        if bytes > options.record_bytes_max {
            let (topic, bytes_max) = (record.topic, options.record_bytes_max);
            return Err(ProduceError::RecordTooLarge { topic, bytes, bytes_max });
        }
        let topic = match shared.known(&record.topic) {
            Some(topic) => topic,
            None => shared.look_up(&record.topic).await?,
        };
        let partitions = topic.queues.len() as u32;
        let (partition, mut movable) = match record.partition.or(options.partition) {
            Some(partition) => (partition, false),
            None if record.key.is_empty() => (topic.topic.sticky.current(), partitions > 1),
            None => (partition_for_key(&record.key, partitions.max(1)), false),
        };
        let Some(mut queue) = topic.queues.get(partition as usize) else {
            let (topic, last) = (record.topic, partitions.saturating_sub(1));
            return Err(ProduceError::UnknownPartition { topic, partition, last });
        };
        let bytes = record.bytes();
        let reserved = match shared.ledger.try_reserve(bytes) {
            Some(reserved) => reserved,
            None => {
                let reserving = shared.ledger.reserve(bytes);
                let mut reserving = std::pin::pin!(reserving);
                // The first poll puts this into the queue of those who wait, so that the
                // dispatcher, when it is woken, sees that somebody does.
                match futures::poll!(reserving.as_mut()) {
                    std::task::Poll::Ready(reserved) => reserved?,
                    std::task::Poll::Pending => {
                        shared.press();
                        reserving.await?
                    }
                }
            }
        };
        let (mut record, mut reserved) = (record, reserved);
        loop {
            match queue.push(record, reserved, movable, &shared.builders, &shared.ledger)? {
                Pushed::Taken { delivery, signal } => {
                    if signal {
                        shared.signal(queue.clone());
                    }
                    return Ok(delivery);
                }
                Pushed::Full { record: back, reserved: room, signal } => {
                    if signal {
                        shared.signal(queue.clone());
                    }
                    (record, reserved, movable) = (back, room, false);
                    queue =
                        topic.queues.get(topic.topic.sticky.current() as usize).unwrap_or(queue);
                }
            }
        }
    }

    /// Sends one record and waits for its acknowledgement. With a linger, that waits too; a
    /// program that sends one record at a time sets it to zero.
    ///
    /// # Errors
    ///
    /// When the record is not taken, or not delivered.
    pub async fn send_and_wait(&self, record: ProduceRecord) -> Result<Delivery, ProduceError> {
        self.send(record).await?.await
    }

    /// Sends everything that was taken until now without waiting for more, and waits until it is
    /// acknowledged or has failed.
    ///
    /// # Errors
    ///
    /// When records failed since the last flush, whether or not their futures were awaited.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let shared = &self.handle.shared;
        let below = shared.flush();
        shared.ledger.settled_below(below).await;
        shared.ledger.take_failures()
    }

    /// Takes no more records, waits until all are acknowledged or have failed, and ends.
    ///
    /// # Errors
    ///
    /// As [`flush`](Producer::flush).
    pub async fn close(&self) -> Result<(), FlushError> {
        self.handle.shared.begin_closing();
        self.flush().await
    }

    /// Sends one batch, built by [`BatchBuilder`](crate::BatchBuilder), in a request of its own,
    /// once, and waits for its answer. Past the buffer, the linger and the retries of the
    /// producer: for benchmarks, and for programs that batch by themselves. With [`Acks::None`] it
    /// gives `None` when the request is written.
    ///
    /// # Errors
    ///
    /// When the topic is not known, the partition has no leader, or the request failed or was
    /// refused. A lost connection does not tell whether the batch was stored.
    pub async fn produce_batch(
        &self,
        topic: &str,
        partition: u32,
        batch: Bytes,
        acks: Acks,
    ) -> Result<Option<ProduceAck>, ProduceError> {
        let cluster = &self.handle.shared.cluster;
        let found = cluster.topic(topic).await?;
        let name = || found.name.clone();
        if partition >= found.partitions() {
            let last = found.partitions().saturating_sub(1);
            return Err(ProduceError::UnknownPartition { topic: name(), partition, last });
        }
        let Some(endpoint) = found.place(partition) else {
            let code = ringspool_wire::ErrorCode::NotReady;
            let error = ClientError::TopicNotReady { topic: topic.to_owned(), code };
            return Err(error.into());
        };
        let failed = |source| ProduceError::Request { topic: name(), partition, source };
        let connection = cluster.connection(endpoint).await;
        let connection = connection.map_err(|error| failed(RequestError::NotSent(error)))?;
        let timeout = cluster.request_timeout();
        let request = Request::Produce(ProduceRequest {
            acks,
            timeout_ms: timeout.as_millis().try_into().unwrap_or(u32::MAX),
            parts: vec![ProducePart { topic_id: found.id, partition, batch }],
        });
        if acks == Acks::None {
            connection.start_unanswered(&request, timeout).await.map_err(failed)?;
            return Ok(None);
        }
        let result = match connection.request(&request, timeout).await.map_err(failed)? {
            Response::Produce(mut response) => response.results.pop(),
            _ => None,
        };
        match result.map(|result| result.outcome) {
            Some(Ok(ack)) => Ok(Some(ack)),
            Some(Err(source)) => Err(ProduceError::Refused { topic: name(), partition, source }),
            None => Err(failed(connection.unexpected(Api::Produce))),
        }
    }

    /// How long records wait for others at most.
    pub fn linger(&self) -> Duration {
        self.handle.shared.options.linger
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("options", &self.handle.shared.options).finish()
    }
}

/// A producer id of its own.
async fn init_producer(cluster: &Cluster) -> Result<InitProducerResponse, ClientError> {
    match cluster.ask(&Request::InitProducer, Repeat::Harmless).await? {
        (_, Response::InitProducer(identity)) => Ok(identity),
        (connection, _) => Err(connection.unexpected(Api::InitProducer).into()),
    }
}
