//! What an answer means for a batch: it is delivered, it is tried again, or it has failed for good.

use ringspool_wire::{ApiError, BatchError, ErrorCode, ProduceAck, ProduceResponse};
use tokio::time::Instant;

use super::super::batch::Batch;
use super::super::delivery::Stored;
use super::super::error::ProduceError;
use super::Dispatcher;
use super::link::Part;
use crate::connection::{Connection, ConnectionError, RequestError};

/// Why a batch came back.
pub(super) enum Failure {
    Encode(BatchError),
    Request(RequestError),
    Refused(ApiError),
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Try again. `stored`: whether that attempt may have stored it (`None`: as before it).
    Again { stored: Option<bool>, refresh: bool },
    /// The node misses a batch before this one.
    Gap,
    /// The node does not know the producer id (any more); nothing was stored under it.
    Forgotten,
    /// Trying again does not help.
    Final,
}

fn verdict(failure: &Failure) -> Verdict {
    match failure {
        Failure::Encode(_) | Failure::Request(RequestError::TooLarge(..)) => Verdict::Final,
        Failure::Request(RequestError::NotSent(_)) => {
            Verdict::Again { stored: None, refresh: true }
        }
        Failure::Request(RequestError::Lost(..)) => {
            Verdict::Again { stored: Some(true), refresh: true }
        }
        Failure::Request(RequestError::Refused { source, .. }) | Failure::Refused(source) => {
            match source.code {
                ErrorCode::Timeout => Verdict::Again { stored: Some(true), refresh: false },
                // If the topic was deleted, the next look at the metadata shows it.
                ErrorCode::NotLeader
                | ErrorCode::UnknownTopic
                | ErrorCode::NotReady
                | ErrorCode::ShuttingDown => Verdict::Again { stored: None, refresh: true },
                ErrorCode::OutOfSequence => Verdict::Gap,
                ErrorCode::UnknownProducer => Verdict::Forgotten,
                code if code.is_retriable() => Verdict::Again { stored: None, refresh: false },
                _ => Verdict::Final,
            }
        }
    }
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Failure::Encode(error) => error.to_string(),
            Failure::Request(error) => error.to_string(),
            Failure::Refused(error) => error.to_string(),
        }
    }
}

impl Dispatcher {
    /// A connection is open, or could not be opened: then who waits for it looks at the metadata
    /// again after a while, since the partitions may have moved.
    pub(super) fn opened(
        &mut self,
        link_index: usize,
        result: Result<Connection, ConnectionError>,
        now: Instant,
    ) {
        let link = &mut self.links[link_index];
        link.opening = false;
        match result {
            Ok(connection) => {
                link.backoff.reset();
                link.connection = Some(connection);
            }
            Err(error) => {
                let until = now + link.backoff.next();
                let why: std::sync::Arc<str> = error.to_string().into();
                tracing::warn!(endpoint = %link.endpoint, %error, "cannot connect to send records");
                for index in std::mem::take(&mut link.line) {
                    let partition = &mut self.partitions[index];
                    partition.in_line = false;
                    partition.last_error = Some(why.clone());
                    partition.backoff_until = Some(until);
                    self.evaluate(index, now);
                }
                self.refresh();
            }
        }
        self.active.insert(link_index);
    }

    /// A request was answered, or will not be.
    pub(super) fn answered(
        &mut self,
        link_index: usize,
        parts: Vec<Part>,
        result: Result<Option<ProduceResponse>, RequestError>,
        now: Instant,
    ) {
        self.links[link_index].in_flight -= 1;
        self.active.insert(link_index);
        let indexes: Vec<usize> = parts.iter().map(|(index, _)| *index).collect();
        match result {
            Ok(Some(response)) => {
                for ((index, batch), result) in parts.into_iter().zip(response.results) {
                    let outcome = result.outcome.map(Some).map_err(Failure::Refused);
                    self.settle(index, batch, outcome, now);
                }
            }
            Ok(None) => {
                for (index, batch) in parts {
                    self.settle(index, batch, Ok(None), now);
                }
            }
            Err(error) => {
                for (index, batch) in parts {
                    self.settle(index, batch, Err(Failure::Request(error.clone())), now);
                }
            }
        }
        for index in indexes {
            self.evaluate(index, now);
        }
    }

    /// A batch is back.
    pub(super) fn settle(
        &mut self,
        index: usize,
        mut batch: Batch,
        outcome: Result<Option<ProduceAck>, Failure>,
        now: Instant,
    ) {
        let partition = &mut self.partitions[index];
        partition.in_flight.remove(&batch.position);
        let failure = match outcome {
            Ok(ack) => {
                let stored = Stored {
                    base_offset: ack.map(|ack| ack.base_offset),
                    duplicate: ack.is_some_and(|ack| ack.duplicate),
                };
                partition.delivered(batch, Ok(stored));
                return;
            }
            Err(failure) => failure,
        };
        let text = failure.text();
        let (again, refresh) = match verdict(&failure) {
            Verdict::Again { stored, refresh } => {
                batch.maybe_stored = stored.unwrap_or(batch.maybe_stored);
                (true, refresh)
            }
            Verdict::Gap if partition.broken => {
                // The gap is known, and this answer says that the batch is not stored.
                batch.maybe_stored = false;
                (true, false)
            }
            Verdict::Gap => (partition.has_earlier(batch.position), false),
            // The batch that would make the producer known there is still on its way.
            Verdict::Forgotten if !partition.broken && partition.has_earlier(batch.position) => {
                (true, false)
            }
            Verdict::Forgotten if batch.stamp.is_some() => {
                partition.broken = true;
                batch.maybe_stored = false;
                (true, false)
            }
            Verdict::Forgotten | Verdict::Final => (false, false),
        };
        let (topic, number) = (partition.queue.topic.name.clone(), partition.queue.partition);
        if again {
            tracing::debug!(%topic, partition = number, why = %text, "a batch is tried again");
            partition.recovering = true;
            partition.last_error = Some(text.into());
            partition.backoff_until = Some(now + partition.backoff.next());
            partition.put_back(batch);
        } else {
            tracing::warn!(%topic, partition = number, why = %text, "a batch has failed");
            let error = match failure {
                Failure::Encode(source) => ProduceError::InvalidRecord { topic, source },
                Failure::Request(RequestError::Refused { source, .. })
                | Failure::Refused(source) => {
                    ProduceError::Refused { topic, partition: number, source }
                }
                Failure::Request(source) => {
                    ProduceError::Request { topic, partition: number, source }
                }
            };
            partition.fail(batch, error);
        }
        if refresh {
            self.refresh();
        }
    }
}
