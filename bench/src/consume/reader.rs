//! One consumer: reads its partitions to their ends and checks every record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringspool_client::{Client, ConsumeError, ConsumedRecord, Consumer, Position};

use super::Tally;
use super::check::Checker;
use crate::payload::Filler;
use crate::progress::Progress;
use crate::settings::{Limit, LoadSettings};
use crate::stop::Stop;

/// Nothing for so long, with records still to come, is a failure.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A partition to be read up to an end.
#[derive(Clone, Debug)]
pub(super) struct Part {
    partition: u32,
    end: u64,
    checker: Checker,
}

impl Part {
    pub(super) fn new(partition: u32, start: u64, end: u64) -> Self {
        Part { partition, end, checker: Checker::new(partition, start) }
    }

    pub(super) fn partition(&self) -> u32 {
        self.partition
    }

    fn is_at_end(&self) -> bool {
        self.checker.next_offset() >= self.end
    }
}

pub(super) struct Reader {
    settings: Arc<LoadSettings>,
    filler: Arc<Filler>,
    /// Records that all readers together still want.
    wanted: Arc<AtomicU64>,
    parts: Vec<Part>,
    /// The part that the latest record was of.
    latest: usize,
}

impl Reader {
    pub(super) fn new(
        settings: Arc<LoadSettings>,
        filler: Arc<Filler>,
        wanted: Arc<AtomicU64>,
        parts: Vec<Part>,
    ) -> Self {
        Reader { settings, filler, wanted, parts, latest: 0 }
    }

    pub(super) async fn run(
        mut self,
        client: Client,
        count_from: Instant,
        progress: &Progress,
        stop: Stop,
    ) -> Tally {
        let mut tally = Tally::default();
        let ends = match self.settings.limit {
            Some(Limit::Duration(duration)) => Some(count_from + duration),
            _ => None,
        };
        let reading = async {
            let mut consumer = self.consumer(client).await.map_err(|error| error.to_string())?;
            while !self.is_done() {
                let asked = Instant::now();
                let wait = ends.map_or(STALL_MAX, |ends| STALL_MAX.min(ends - asked));
                let records = consumer.poll(wait).await.map_err(|error| error.to_string())?;
                let now = Instant::now();
                if records.is_empty() && ends.is_none() {
                    return Err(self.stalled());
                }
                if !records.is_empty() {
                    tally.latency.record(now - asked);
                    let before = tally.records;
                    let checked = self.take(&records, &mut tally);
                    tally.last_read = Some(Instant::now());
                    progress.add(tally.records - before);
                    checked?;
                }
                if ends.is_some_and(|ends| now >= ends) {
                    break;
                }
            }
            Ok::<(), String>(())
        };
        let outcome = tokio::select! {
            biased;
            outcome = reading => outcome,
            () = stop.wait() => Ok(()),
        };
        if let Err(text) = outcome {
            tally.fail(text);
        }
        tally
    }

    async fn consumer(&self, client: Client) -> Result<Consumer, ConsumeError> {
        client
            .consumer()
            .topic(self.settings.topic.as_str())
            .partitions(self.parts.iter().map(Part::partition))
            .from(Position::Earliest)
            .build()
            .await
    }

    fn is_done(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == 0 || self.parts.iter().all(Part::is_at_end)
    }

    /// Checks records and counts them, as many as are wanted. What was written after the run began
    /// is none of its business.
    fn take(&mut self, records: &[ConsumedRecord], tally: &mut Tally) -> Result<(), String> {
        let claim = |wanted: u64| wanted.checked_sub(wanted.min(records.len() as u64));
        let before = self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        let claimed = before.unwrap_or_else(|wanted| wanted).min(records.len() as u64);
        let mut counted = 0;
        let mut outcome = Ok(());
        for consumed in records {
            if counted == claimed {
                break;
            }
            let Some(part) = self.part(consumed.partition) else { continue };
            let part = &mut self.parts[part];
            if part.is_at_end() {
                continue;
            }
            if let Err(mismatch) = part.checker.check(&self.filler, &consumed.record) {
                outcome = Err(mismatch.to_string());
                break;
            }
            counted += 1;
            tally.bytes += consumed.record.value.len() as u64;
        }
        self.wanted.fetch_add(claimed - counted, Ordering::Relaxed);
        tally.records += counted;
        outcome
    }

    /// Where a partition is among the parts. Records come in runs of one partition.
    fn part(&mut self, partition: u32) -> Option<usize> {
        if self.parts.get(self.latest).is_none_or(|part| part.partition != partition) {
            self.latest = self.parts.iter().position(|part| part.partition == partition)?;
        }
        Some(self.latest)
    }

    fn stalled(&self) -> String {
        let seconds = STALL_MAX.as_secs();
        match self.parts.iter().find(|part| !part.is_at_end()) {
            Some(part) => format!(
                "partition {}: nothing came for {seconds} s at offset {}, and its end is {}",
                part.partition,
                part.checker.next_offset(),
                part.end
            ),
            None => format!("nothing came for {seconds} s"),
        }
    }
}
