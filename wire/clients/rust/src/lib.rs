//! The Rust client of Ringspool, a distributed, persistent message queue.
//!
//! ```no_run
//! use std::time::Duration;
//! use ringspool_client::{Client, NewTopic, Position, ProduceRecord};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect("127.0.0.1:7400").await?;
//!     client.admin().create_topic(NewTopic::new("orders").partitions(12)).await?;
//!
//!     let producer = client.producer().build().await?;
//!     let record = ProduceRecord::new("orders").key("customer-17").value("a lamp");
//!     let delivery = producer.send_and_wait(record).await?;
//!     println!("stored at partition {}, offset {:?}", delivery.partition, delivery.offset);
//!     producer.close().await?;
//!
//!     let mut consumer = client.consumer().topic("orders").from(Position::Earliest).build().await?;
//!     for consumed in consumer.poll(Duration::from_secs(1)).await? {
//!         println!("{:?}", consumed.record.value);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//!
//! ```text
//!  client.rs ──> admin.rs      topics
//!            ──> producer/     records to batches, order, retries
//!            ──> consumer/     batches to records, reading ahead
//!                    │
//!                 cluster/     where each partition is served; one connection per shard
//!                    │
//!                 connection/  greeting, pipelined requests, deadlines
//! ```
//!
//! Frames, messages, batches and their limits are those of the `ringspool-wire` crate; what a user
//! needs of it is exported here.
//!
//! Everything runs on the tokio runtime that it is called on. Every buffer has a limit, set by the
//! builders; a full one makes the caller wait.

#![forbid(unsafe_code)]

mod admin;
mod backoff;
mod client;
mod cluster;
mod connection;
mod consumer;
mod error;
mod producer;

pub use admin::{Admin, AdminError, NewTopic};
pub use client::{Client, ClientBuilder};
pub use connection::error::{ConnectionError, RequestError};
pub use consumer::{
    ConsumeError, ConsumedRecord, Consumer, ConsumerBuilder, OffsetReset, OutOfRange, Position,
};
pub use error::ClientError;
pub use producer::{
    Delivery, DeliveryFuture, FlushError, ProduceError, ProduceRecord, Producer, ProducerBuilder,
    partition_for_key,
};
pub use ringspool_wire::{
    Acks, ApiError, BatchBuilder, BatchError, Compression, DescribeTopicResponse, EARLIEST,
    ErrorCode, LATEST, MetadataResponse, Node, OffsetAnswer, OffsetFound, PartitionPlace,
    PartitionState, ProduceAck, ProducerStamp, Record, RecordRef, Setting, TopicMetadata,
    TopicSummary,
};
