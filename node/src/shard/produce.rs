//! Producing. On the shard of the connection: find each batch's owner, check the batch, send it
//! there. On the owner: let it in, put it into the vnode's log, say what became of it.
//!
//! Order: batches of one connection to one partition enter the log in the order they came, because
//! [`Shard::submit`] returns only when they are in it (or in the owner's mailbox).

use super::Shard;
use super::mailbox::{AppendReply, Message};
use super::route::{find, not_ready, stopped};
use crate::io::runtime;
use crate::partition::{AppendOutcome, PartitionId};
use crate::raft::ProposeError;
use crate::vnode::command::{AppendBatch, Applied};
use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use ringspool_wire::{
    ApiError, BatchError, ErrorCode, ProduceAck, ProducePart, ProduceRequest, ProduceResponse,
    ProduceResult, verify,
};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Batches for one vnode, and which parts of the request they are.
#[derive(Default)]
struct Share {
    parts: Vec<usize>,
    batches: Vec<AppendBatch>,
}

type Pending = LocalBoxFuture<'static, AppendReply>;

impl Shard {
    /// Lets a request in; the future resolves to its response when every batch is durable and
    /// applied, or failed.
    pub async fn submit(
        self: &Rc<Self>,
        request: ProduceRequest,
    ) -> impl Future<Output = ProduceResponse> + use<> {
        let mut results: Vec<Option<Result<ProduceAck, ApiError>>> = Vec::new();
        let mut shares: BTreeMap<u32, Share> = BTreeMap::new();
        for (part, produce) in request.parts.into_iter().enumerate() {
            match self.check(produce) {
                Ok((vnode, batch)) => {
                    let share = shares.entry(vnode).or_default();
                    share.parts.push(part);
                    share.batches.push(batch);
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        let mut pending = Vec::new();
        for (vnode, share) in shares {
            let appended = self.send_append(vnode, share.batches).await;
            pending.push(async move { (share.parts, appended.await) });
        }
        let timeout = Duration::from_millis(u64::from(request.timeout_ms));
        async move {
            let all = join_all(pending);
            let outcomes = match timeout.is_zero() {
                true => Some(all.await),
                false => runtime::timeout(timeout, all).await,
            };
            for (parts, outcomes) in outcomes.into_iter().flatten() {
                for (part, outcome) in parts.into_iter().zip(outcomes) {
                    results[part] = Some(outcome);
                }
            }
            let late = || ApiError::new(ErrorCode::Timeout, "not durable within the time given");
            let outcomes = results.into_iter().map(|result| result.unwrap_or_else(|| Err(late())));
            ProduceResponse { results: outcomes.map(|outcome| ProduceResult { outcome }).collect() }
        }
    }

    /// Checks one batch, without changing anything.
    fn check(&self, part: ProducePart) -> Result<(u32, AppendBatch), ApiError> {
        let partition = PartitionId { topic: part.topic_id, partition: part.partition };
        let metadata = self.metadata.borrow();
        let (topic, asked) = find(&metadata, partition)?;
        let bytes_max = topic.settings.batch_bytes_max;
        if part.batch.len() > bytes_max as usize {
            let (name, bytes) = (&topic.name, part.batch.len());
            let text = format!(
                "the batch has {bytes} bytes, topic {name} allows {bytes_max}; send smaller \
                 batches or raise the topic's batch_bytes_max"
            );
            return Err(ApiError::new(ErrorCode::BatchTooLarge, text));
        }
        let header = verify(&part.batch).map_err(|error| invalid_batch(&error))?;
        Ok((asked.vnode, AppendBatch { partition, header, batch: part.batch }))
    }

    /// Sends batches to their vnode, wherever it is.
    async fn send_append(self: &Rc<Self>, vnode: u32, batches: Vec<AppendBatch>) -> Pending {
        let (owner, count) = (self.owner(vnode), batches.len());
        if owner == self.id {
            return self.append(vnode, batches).await;
        }
        self.stats.forwarded.add(1);
        let (reply, answer) = oneshot::channel();
        let sent = self.mailboxes.send(owner, Message::Append { vnode, batches, reply }).await;
        async move {
            let gone = super::mailbox::ShardStopped(owner);
            match sent {
                Ok(()) => answer.await.unwrap_or_else(|_| all(count, &stopped(gone))),
                Err(gone) => all(count, &stopped(gone)),
            }
        }
        .boxed_local()
    }

    /// Puts batches into the log of a vnode of this shard.
    pub(super) async fn append(self: &Rc<Self>, vnode: u32, batches: Vec<AppendBatch>) -> Pending {
        let count = batches.len();
        let failed = |error: ApiError| std::future::ready(all(count, &error)).boxed_local();
        if let Err(error) = self.admit() {
            return failed(error);
        }
        let vnode = match self.vnode(vnode) {
            Ok(vnode) => vnode,
            Err(error) => return failed(error),
        };
        let ids: Vec<(PartitionId, u64, u64)> = batches
            .iter()
            .map(|batch| {
                let (records, bytes) = (batch.header.record_count, batch.batch.len());
                (batch.partition, u64::from(records), bytes as u64)
            })
            .collect();
        let started = runtime::now();
        let applied = match vnode.append(runtime::wall_ms(), batches).await {
            Ok(applied) => applied,
            Err(error) => return failed(not_proposed(&error)),
        };
        let shard = Rc::clone(self);
        async move {
            match applied.await {
                Ok(Applied::Append(outcomes)) => {
                    shard.stats.append_latency(started.elapsed());
                    let outcomes = ids.into_iter().zip(outcomes);
                    outcomes.map(|(id, outcome)| shard.answer(id, outcome)).collect()
                }
                Ok(Applied::Done) => unreachable!("an append is answered with its outcomes"),
                Err(error) => all(count, &not_proposed(&error)),
            }
        }
        .boxed_local()
    }

    /// Whether writes may come in now.
    fn admit(&self) -> Result<(), ApiError> {
        if self.out_of_space.get() {
            let text = "the disk is nearly full, writes are refused and reads go on; free space \
                        or shorten the topics' retention";
            return Err(ApiError::new(ErrorCode::OutOfSpace, text));
        }
        self.wal.can_accept().map_err(|why| {
            let code = match self.wal.failure() {
                Some(_) => ErrorCode::ShuttingDown,
                None => ErrorCode::OutOfSpace,
            };
            ApiError::new(code, format!("writes are refused: {why}"))
        })
    }

    fn answer(
        &self,
        (id, records, bytes): (PartitionId, u64, u64),
        outcome: Option<AppendOutcome>,
    ) -> Result<ProduceAck, ApiError> {
        match outcome {
            Some(AppendOutcome::Appended { base_offset }) => {
                self.stats.appended(id.topic, records, bytes);
                Ok(ProduceAck { base_offset, duplicate: false })
            }
            Some(AppendOutcome::Duplicate { base_offset }) => {
                self.stats.duplicates.add(1);
                Ok(ProduceAck { base_offset, duplicate: true })
            }
            Some(AppendOutcome::OutOfSequence { expected }) => {
                let text = format!("the next sequence of this producer is {expected}");
                Err(ApiError::new(ErrorCode::OutOfSequence, text))
            }
            Some(AppendOutcome::Fenced { epoch }) => {
                let text = format!("this producer id is at epoch {epoch}; get a new producer id");
                Err(ApiError::new(ErrorCode::FencedProducer, text))
            }
            Some(AppendOutcome::UnknownProducer) => {
                let text = "nothing is remembered of this producer; get a new producer id";
                Err(ApiError::new(ErrorCode::UnknownProducer, text))
            }
            Some(AppendOutcome::SequencesUsedUp) => {
                let text = "this epoch has no sequences left; get a new producer id";
                Err(ApiError::new(ErrorCode::UnknownProducer, text))
            }
            None => Err(not_ready(id)),
        }
    }
}

fn all(count: usize, error: &ApiError) -> AppendReply {
    vec![Err(error.clone()); count]
}

fn invalid_batch(error: &BatchError) -> ApiError {
    let code = match error {
        BatchError::CrcMismatch { .. } => ErrorCode::CorruptBatch,
        _ => ErrorCode::InvalidBatch,
    };
    ApiError::new(code, error.to_string())
}

/// What a client is told of a command that was not applied.
pub(super) fn not_proposed(error: &ProposeError) -> ApiError {
    let code = match error {
        ProposeError::NotLeader { .. } => ErrorCode::NotLeader,
        ProposeError::Stopped { .. } => ErrorCode::ShuttingDown,
    };
    ApiError::new(code, error.to_string())
}
