//! Fetching: read what is there; if that is too little, wait until something is appended to any of
//! the partitions, and read again. Nothing polls.

use super::Shard;
use super::mailbox::{Asked, Message, Read, ReadReply};
use super::route::{find, stopped};
use crate::connection::{AnswerRoom, AnswerShare};
use crate::io::runtime;
use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX, RESPONSE_BATCHES_BYTES_MAX};
use crate::partition::{Partition, PartitionId, ReadError};
use bytes::Bytes;
use futures::future::{join_all, select, select_all};
use futures::{FutureExt, future::LocalBoxFuture};
use ringspool_wire::{ApiError, ErrorCode, FetchPart, FetchRequest, FetchResponse, FetchResult};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Parts of a request that belong to one shard.
#[derive(Default)]
struct Share {
    parts: Vec<usize>,
    reads: Vec<Read>,
}

impl Shard {
    /// Carries out a fetch of a connection. The room is what the batches take up until they are sent.
    pub async fn fetch(
        self: &Rc<Self>,
        request: FetchRequest,
        share: &AnswerShare,
    ) -> (FetchResponse, AnswerRoom) {
        let wait = Duration::from_millis(u64::from(request.wait_ms_max)).min(FETCH_WAIT_MAX);
        let deadline = runtime::now() + wait;
        let bytes_max = (request.bytes_max as usize).min(FETCH_BYTES_MAX);
        let bytes_min = (request.bytes_min as usize).min(bytes_max);
        loop {
            let room = self.sessions.admit_response(share, bytes_max).await;
            let mut results = self.read_parts(&request.parts, bytes_max).await;
            let outcomes = results.iter().map(|result| &result.outcome);
            let failed = outcomes.clone().any(Result::is_err);
            let bytes: usize = outcomes.flatten().flatten().map(Bytes::len).sum();
            let is_late = runtime::now() >= deadline || self.sessions.is_stopping();
            if failed || bytes >= bytes_min || is_late {
                // A first batch larger than asked for is sent all the same.
                fit_into_frame(&mut results);
                return (FetchResponse { results }, room.shrink(bytes.min(bytes_max)));
            }
            drop(room);
            // A node that stops does not wait for data that nobody can send any more.
            let wait = std::pin::pin!(self.wait_any(&results, deadline));
            select(wait, std::pin::pin!(self.sessions.stopping())).await;
        }
    }

    /// Reads every part once.
    async fn read_parts(
        self: &Rc<Self>,
        parts: &[FetchPart],
        bytes_max: usize,
    ) -> Vec<FetchResult> {
        let mut replies: Vec<Option<ReadReply>> = Vec::with_capacity(parts.len());
        let mut shares: BTreeMap<u16, Share> = BTreeMap::new();
        {
            let metadata = self.metadata.borrow();
            for (part, fetch) in parts.iter().enumerate() {
                let partition = PartitionId { topic: fetch.topic_id, partition: fetch.partition };
                replies.push(match find(&metadata, partition) {
                    Ok((_, Asked { vnode, .. })) => {
                        let share = shares.entry(self.owner(vnode)).or_default();
                        let bytes_max = fetch.bytes_max as usize;
                        let offset = fetch.offset;
                        share.parts.push(part);
                        share.reads.push(Read { partition, vnode, offset, bytes_max });
                        None
                    }
                    Err(error) => Some(failed(error)),
                });
            }
        }
        let budget = bytes_max / shares.len().max(1);
        let shares = shares.into_iter().map(|(owner, share)| async move {
            (share.parts, self.read_on(owner, share.reads, budget).await)
        });
        for (parts, found) in join_all(shares).await {
            for (part, reply) in parts.into_iter().zip(found) {
                replies[part] = Some(reply);
            }
        }
        let results = parts.iter().zip(replies).map(|(part, reply)| {
            let reply = reply.unwrap_or_else(|| unreachable!("every part was asked or refused"));
            FetchResult {
                topic_id: part.topic_id,
                partition: part.partition,
                high_watermark: reply.high_watermark,
                log_start_offset: reply.log_start_offset,
                outcome: reply.outcome,
            }
        });
        results.collect()
    }

    async fn read_on(
        self: &Rc<Self>,
        owner: u16,
        reads: Vec<Read>,
        bytes_max: usize,
    ) -> Vec<ReadReply> {
        if owner == self.id {
            return self.read(&reads, bytes_max).await;
        }
        let count = reads.len();
        let ask = self.mailboxes.ask(owner, |reply| Message::Read { reads, bytes_max, reply });
        let gone = |error| (0..count).map(|_| failed(stopped(error))).collect();
        ask.await.unwrap_or_else(gone)
    }

    /// Reads partitions of this shard in order until the budget is used up.
    pub(super) async fn read(&self, reads: &[Read], bytes_max: usize) -> Vec<ReadReply> {
        let mut replies = Vec::with_capacity(reads.len());
        let mut left = bytes_max;
        for (read, index) in reads.iter().zip(0..) {
            let asked = Asked { partition: read.partition, vnode: read.vnode };
            let reply = match self.partition(asked) {
                Ok(partition) if left == 0 && index > 0 => nothing(&partition),
                Ok(partition) => {
                    let bytes_max = read.bytes_max.min(left).max(1);
                    self.read_one(&partition, read.offset, bytes_max).await
                }
                Err(error) => failed(error),
            };
            if let Ok(batches) = &reply.outcome {
                left = left.saturating_sub(batches.iter().map(Bytes::len).sum());
            }
            replies.push(reply);
        }
        replies
    }

    async fn read_one(&self, partition: &Partition, offset: u64, bytes_max: usize) -> ReadReply {
        // Watermarks of after the read could promise records the read has not seen: take them
        // before.
        let mut reply = nothing(partition);
        if offset == reply.high_watermark {
            return reply;
        }
        reply.outcome = match partition.read(offset, bytes_max).await {
            Ok(read) => {
                self.stats.fetched(partition.id().topic, read.bytes as u64);
                Ok(read.batches)
            }
            Err(error) => Err(self.unreadable(partition, &error)),
        };
        reply
    }

    pub(super) fn unreadable(&self, partition: &Partition, error: &ReadError) -> ApiError {
        let code = match error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Damaged { .. } => ErrorCode::DamagedData,
            _ => ErrorCode::Internal,
        };
        if code != ErrorCode::OffsetOutOfRange {
            self.stats.read_faults.add(1);
            tracing::error!(partition = ?partition.id(), %error, "a read failed");
        }
        ApiError::new(code, error.to_string())
    }

    /// Waits until any partition has more than it had when `results` were read.
    async fn wait_any(self: &Rc<Self>, results: &[FetchResult], deadline: Instant) {
        let mut shares: BTreeMap<u16, Vec<(Asked, u64)>> = BTreeMap::new();
        {
            let metadata = self.metadata.borrow();
            for result in results {
                let id = PartitionId { topic: result.topic_id, partition: result.partition };
                if let Ok((_, asked)) = find(&metadata, id) {
                    let share = shares.entry(self.owner(asked.vnode)).or_default();
                    share.push((asked, result.high_watermark));
                }
            }
        }
        let waits: Vec<LocalBoxFuture<'_, ()>> = shares
            .into_iter()
            .map(|(owner, partitions)| match owner == self.id {
                true => self.wait(partitions, deadline).boxed_local(),
                false => self.wait_on(owner, partitions, deadline).boxed_local(),
            })
            .collect();
        if !waits.is_empty() {
            select_all(waits).await;
        }
    }

    async fn wait_on(&self, owner: u16, partitions: Vec<(Asked, u64)>, deadline: Instant) {
        let ask = self.mailboxes.ask(owner, |reply| Message::Wait { partitions, deadline, reply });
        if ask.await.is_err() {
            tracing::debug!(owner, "a wait ended with its shard");
        }
    }

    /// Waits until a partition of this shard passes its offset, or the deadline.
    pub(super) async fn wait(&self, partitions: Vec<(Asked, u64)>, deadline: Instant) {
        let members: Vec<_> = partitions
            .into_iter()
            .filter_map(|(asked, offset)| Some((self.partition(asked).ok()?, offset)))
            .collect();
        let waits: Vec<_> = members
            .iter()
            .map(|(partition, offset)| partition.wait_past(*offset).boxed_local())
            .collect();
        let left = deadline.saturating_duration_since(runtime::now());
        if waits.is_empty() {
            return;
        }
        // Whether something came or the time ran out, the caller reads again.
        drop(runtime::timeout(left, select_all(waits)).await);
    }
}

/// Takes out what a frame has no room for: each shard may give one batch more than was asked of it,
/// and each partition's first. The next fetch gets it.
fn fit_into_frame(results: &mut [FetchResult]) {
    let mut left = RESPONSE_BATCHES_BYTES_MAX;
    for batches in results.iter_mut().filter_map(|result| result.outcome.as_mut().ok()) {
        let bytes = batches.iter().map(Bytes::len).sum();
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => batches.clear(),
        }
    }
}

fn nothing(partition: &Partition) -> ReadReply {
    ReadReply {
        high_watermark: partition.high_watermark(),
        log_start_offset: partition.log_start_offset(),
        outcome: Ok(Vec::new()),
    }
}

fn failed(error: ApiError) -> ReadReply {
    ReadReply { high_watermark: 0, log_start_offset: 0, outcome: Err(error) }
}
