//! What shards ask of each other. A message carries everything it needs; the answer comes back on
//! a one-shot channel.

use super::stats::ShardReport;
use crate::connection::HandedOver;
use crate::partition::PartitionId;
use crate::vnode::command::AppendBatch;
use bytes::Bytes;
use ringspool_ring::{Applied, Command, Metadata};
use ringspool_wire::{ApiError, OffsetFound, PartitionState, ProduceAck};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// What became of each batch of an append, in order.
pub type AppendReply = Vec<Result<ProduceAck, ApiError>>;

/// One partition to read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Which.
    pub partition: PartitionId,
    /// Its vnode.
    pub vnode: u32,
    /// From where.
    pub offset: u64,
    /// At most about so many bytes; the first partition with data gives a batch in any case.
    pub bytes_max: usize,
}

/// What a read found.
#[derive(Debug)]
pub struct ReadReply {
    /// End of what is committed.
    pub high_watermark: u64,
    /// Start of what is kept.
    pub log_start_offset: u64,
    /// Whole batches in pieces, in order.
    pub outcome: Result<Vec<Bytes>, ApiError>,
}

/// One partition to ask about.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Which.
    pub partition: PartitionId,
    /// Its vnode.
    pub vnode: u32,
}

/// A message to a shard.
pub enum Message {
    /// A client that asked for this shard.
    Connection(HandedOver),
    /// Append batches to partitions of one vnode.
    Append {
        /// The vnode.
        vnode: u32,
        /// The batches.
        batches: Vec<AppendBatch>,
        /// Gets what became of them.
        reply: oneshot::Sender<AppendReply>,
    },
    /// Read partitions, sharing a budget of bytes.
    Read {
        /// The partitions.
        reads: Vec<Read>,
        /// The budget.
        bytes_max: usize,
        /// Gets one reply per partition.
        reply: oneshot::Sender<Vec<ReadReply>>,
    },
    /// Wait until any partition's high watermark passes an offset.
    Wait {
        /// Partitions and offsets.
        partitions: Vec<(Asked, u64)>,
        /// When to give up.
        deadline: Instant,
        /// Told when there is something, or at the deadline.
        reply: oneshot::Sender<()>,
    },
    /// Find offsets: earliest, latest, or by timestamp.
    Offsets {
        /// Partitions and timestamps as in the protocol.
        queries: Vec<(Asked, i64)>,
        /// Gets one answer per query.
        reply: oneshot::Sender<Vec<Result<OffsetFound, ApiError>>>,
    },
    /// Describe partitions.
    States {
        /// The partitions.
        partitions: Vec<Asked>,
        /// Gets one state per partition.
        reply: oneshot::Sender<Vec<PartitionState>>,
    },
    /// To shard 0: change the metadata.
    Change {
        /// The change.
        command: Command,
        /// Gets the result once it is committed, and the version of the metadata that has it.
        reply: oneshot::Sender<Result<(Applied, u64), ApiError>>,
    },
    /// From shard 0: the metadata changed.
    Metadata(Arc<Metadata>),
    /// Answer once partitions here are as the metadata of that version says.
    Reconciled {
        /// The version.
        version: u64,
        /// Told then.
        reply: oneshot::Sender<()>,
    },
    /// Counters and latencies.
    Report {
        /// Gets them.
        reply: oneshot::Sender<ShardReport>,
    },
    /// Stop accepting and finish what is in flight. Other shards are still served: what they have
    /// in flight may need this one.
    Drain {
        /// Told when nothing is in flight here any more.
        reply: oneshot::Sender<()>,
    },
    /// Make checkpoints and end; every shard has been drained.
    Stop {
        /// Told when that is done.
        reply: oneshot::Sender<()>,
    },
}

/// The receiving end of a shard's mailbox.
pub type Mailbox = async_channel::Receiver<Message>;

/// A shard has stopped and takes no more messages.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("shard {0} has stopped")]
pub struct ShardStopped(pub u16);

/// The ways to all shards of the node.
#[derive(Debug, Clone)]
pub struct Mailboxes(Arc<[async_channel::Sender<Message>]>);

impl Mailboxes {
    /// One mailbox per shard.
    #[must_use]
    pub fn new(shards: u16) -> (Self, Vec<Mailbox>) {
        let channels =
            (0..shards).map(|_| async_channel::bounded(crate::limits::MAILBOX_MESSAGES_MAX));
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.unzip();
        (Self(senders.into()), receivers)
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    /// Sends a message; waits while the mailbox is full.
    ///
    /// # Errors
    /// When the shard has stopped.
    pub async fn send(&self, shard: u16, message: Message) -> Result<(), ShardStopped> {
        let sender = self.0.get(usize::from(shard)).ok_or(ShardStopped(shard))?;
        sender.send(message).await.map_err(|_| ShardStopped(shard))
    }

    /// Sends a message from a thread that is no shard.
    ///
    /// # Errors
    /// When the shard has stopped.
    pub fn send_blocking(&self, shard: u16, message: Message) -> Result<(), ShardStopped> {
        let sender = self.0.get(usize::from(shard)).ok_or(ShardStopped(shard))?;
        sender.send_blocking(message).map_err(|_| ShardStopped(shard))
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// When the shard has stopped.
    pub async fn ask<T>(
        &self,
        shard: u16,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, ShardStopped> {
        let (reply, answer) = oneshot::channel();
        self.send(shard, message(reply)).await?;
        answer.await.map_err(|_| ShardStopped(shard))
    }
}
