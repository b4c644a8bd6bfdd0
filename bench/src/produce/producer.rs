//! One producer: a client, its requests in flight, and the batch that goes next.
//!
//! The next batch is made while the others are under way, so what is between an acknowledgement and
//! the next request is as little as can be. Batches are sent in the order in which they are made,
//! which gives their records' sequences the order in which the partition must have them.
//!
//! Invariant: of each request, its buffer comes back, stamped anew for a later one.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ringspool_client::{Client, ProduceError};

use super::Tally;
use super::quota::Quota;
use crate::error::BenchError;
use crate::payload::{Filler, Stamp};
use crate::progress::Progress;
use crate::settings::LoadSettings;
use crate::stop::Stop;
use crate::template::Template;

/// A larger batch is not written to the socket within `send`: the next one is made after the
/// client had its turn to write this one.
const WRITTEN_LATER_BYTES: usize = 32 << 10;

/// After so many failures, one behind the other, a producer gives up: the server is gone.
const FAILURES_MAX: u32 = 10;

/// How long is waited for what is in flight when the run is stopped.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Producer {
    settings: Arc<LoadSettings>,
    client: ringspool_client::Producer,
    filler: Arc<Filler>,
    quota: Arc<Quota>,
    template: Template,
    free: Vec<BytesMut>,
    stamp: Stamp,
    /// Records that were made for each partition.
    sequences: Vec<u64>,
    partition: u32,
}

/// A batch that can be sent.
struct Made {
    batch: Bytes,
    partition: u32,
    records: u32,
}

/// A request that has ended.
struct Done {
    made: Made,
    sent_at: Instant,
    done_at: Instant,
    outcome: Result<(), ProduceError>,
}

impl Producer {
    pub(super) async fn new(
        run: u32,
        index: u32,
        settings: Arc<LoadSettings>,
        filler: Arc<Filler>,
        quota: Arc<Quota>,
        client: Client,
    ) -> Result<Self, BenchError> {
        let template = settings.template(&filler)?;
        let partitions = settings.partitions.unwrap_or(1);
        Ok(Producer {
            client: client.producer().idempotent(false).build().await?,
            free: (0..=settings.in_flight).map(|_| template.buffer()).collect(),
            template,
            filler,
            quota,
            stamp: Stamp { run, producer: index, slot: 0, sequence: 0 },
            sequences: vec![0; partitions as usize],
            // Producers begin at different partitions.
            partition: index % partitions,
            settings,
        })
    }

    pub(super) async fn run(
        mut self,
        count_from: Instant,
        progress: &Progress,
        stop: Stop,
    ) -> Tally {
        let mut tally = Tally::default();
        let ends = self.quota.ends(count_from);
        let mut in_flight = FuturesUnordered::new();
        let mut stopped = std::pin::pin!(stop.clone().wait());
        let mut failures = 0;
        let mut next = None;
        loop {
            let over = failures >= FAILURES_MAX || ends.is_some_and(|ends| Instant::now() >= ends);
            while !over && in_flight.len() < self.settings.in_flight as usize {
                let Some(made) = next.take().or_else(|| self.make(&mut tally)) else { break };
                in_flight.push(self.send(made));
            }
            // Lets what is new begin, and takes an answer that is there.
            let done = match in_flight.next().now_or_never() {
                Some(done) => done,
                None => {
                    if next.is_none() && !over {
                        if self.template.batch_bytes() >= WRITTEN_LATER_BYTES {
                            tokio::task::yield_now().await;
                        }
                        next = self.make(&mut tally);
                    }
                    tokio::select! {
                        biased;
                        () = &mut stopped => break,
                        done = in_flight.next() => done,
                    }
                }
            };
            let Some(done) = done else { break };
            failures = if done.outcome.is_ok() { 0 } else { failures + 1 };
            self.count(done, &mut tally, count_from, progress);
        }
        // Only a run that is stopped has something in flight here.
        let deadline = tokio::time::Instant::now() + STOP_WAIT_MAX;
        while !in_flight.is_empty() {
            match tokio::time::timeout_at(deadline, in_flight.next()).await {
                Ok(Some(done)) => self.count(done, &mut tally, count_from, progress),
                Ok(None) => break,
                Err(_) => {
                    let seconds = STOP_WAIT_MAX.as_secs();
                    let text = format!("no answer within {seconds} s after the run was stopped");
                    tally.fail(in_flight.len() as u64, text);
                    break;
                }
            }
        }
        tally
    }

    /// The next batch, unless all are made.
    fn make(&mut self, tally: &mut Tally) -> Option<Made> {
        let records = self.quota.take(self.settings.batch);
        if records == 0 {
            return None;
        }
        let partition = self.partition;
        let sequence = &mut self.sequences[partition as usize];
        let stamp = Stamp { sequence: *sequence, ..self.stamp };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp_ms = now.as_millis() as i64;
        let batch = if records == self.template.records() {
            let buffer = self.free.pop().unwrap_or_else(|| self.template.buffer());
            self.template.stamp(buffer, stamp, timestamp_ms)
        } else {
            // The last one of a run that counts.
            let bytes = self.settings.record_bytes as usize;
            match Template::new(&self.filler, records, bytes) {
                Ok(template) => template.stamp(template.buffer(), stamp, timestamp_ms),
                Err(error) => {
                    tally.fail(1, error.to_string());
                    return None;
                }
            }
        };
        *sequence += u64::from(records);
        self.partition = (partition + 1) % self.sequences.len() as u32;
        Some(Made { batch, partition, records })
    }

    fn send(&self, made: Made) -> impl Future<Output = Done> + use<> {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        async move {
            let sent_at = Instant::now();
            let (topic, acks) = (settings.topic.as_str(), settings.acks);
            let outcome =
                client.produce_batch(topic, made.partition, made.batch.clone(), acks).await;
            Done { made, sent_at, done_at: Instant::now(), outcome: outcome.map(|_| ()) }
        }
    }

    fn count(&mut self, done: Done, tally: &mut Tally, count_from: Instant, progress: &Progress) {
        let Made { batch, records, .. } = done.made;
        match done.outcome {
            Ok(()) => {
                progress.add(u64::from(records));
                if done.sent_at >= count_from {
                    tally.records += u64::from(records);
                    tally.bytes += u64::from(records) * u64::from(self.settings.record_bytes);
                    tally.latency.record(done.done_at - done.sent_at);
                    tally.last_ack = tally.last_ack.max(Some(done.done_at));
                }
            }
            Err(error) => tally.fail(1, error.to_string()),
        }
        if records == self.template.records() {
            // Somebody may hold on to the batch after a failure; then there is a copy.
            let buffer = batch.try_into_mut();
            self.free.push(buffer.unwrap_or_else(|batch| BytesMut::from(&batch[..])));
        }
    }
}
