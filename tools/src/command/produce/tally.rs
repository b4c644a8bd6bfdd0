//! What became of the records: counted as it happens, printed exactly once.
//!
//! The JSON object is a contract and is printed however the command ends, so the counts are atomics
//! that the signal thread may read at any moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::CommandError;
use crate::output;

/// Counts of one run of `produce`.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    /// With acks none there is nothing to count as acknowledged.
    acknowledged: bool,
    json: bool,
    records: AtomicU64,
    bytes: AtomicU64,
    acked: AtomicU64,
    sent: AtomicU64,
    first_failure: Mutex<Option<String>>,
    /// Whether the result was printed. Held while it is being printed, so that whoever finds it
    /// true may end the process.
    printed: Mutex<bool>,
}

/// The object at the end of `produce --json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// Records taken from the input.
    pub(crate) records: u64,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
    /// Records the server has acknowledged.
    pub(crate) acked: u64,
    /// Records that were not acknowledged, or, with acks none, not sent.
    pub(crate) failed: u64,
    /// Seconds since the start.
    pub(crate) elapsed_s: f64,
}

impl Tally {
    /// Starts the clock.
    pub(crate) fn new(acknowledged: bool, json: bool) -> Self {
        Tally {
            started: Instant::now(),
            acknowledged,
            json,
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            first_failure: Mutex::new(None),
            printed: Mutex::new(false),
        }
    }

    /// A record of `bytes` bytes was taken from the input.
    pub(crate) fn taken(&self, bytes: usize) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A record's delivery succeeded.
    pub(crate) fn delivered(&self) {
        let counter = if self.acknowledged { &self.acked } else { &self.sent };
        counter.fetch_add(1, Relaxed);
    }

    /// A record failed. Only the first reason is kept; the others follow from it.
    pub(crate) fn failed(&self, reason: String) {
        let mut first = self.first_failure.lock().unwrap_or_else(|held| held.into_inner());
        first.get_or_insert(reason);
    }

    /// Why the first record failed that did.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap_or_else(|held| held.into_inner()).clone()
    }

    /// The counts now. A record whose fate is not known counts as failed.
    pub(crate) fn outcome(&self) -> Outcome {
        // Successes first: a record taken in between must not make them exceed the records.
        let acked = self.acked.load(Relaxed);
        let sent = self.sent.load(Relaxed);
        let records = self.records.load(Relaxed);
        let elapsed_ms = self.started.elapsed().as_millis() as f64;
        Outcome {
            records,
            bytes: self.bytes.load(Relaxed),
            acked,
            failed: records.saturating_sub(acked + sent),
            elapsed_s: elapsed_ms / 1000.0,
        }
    }

    /// Prints the result, as JSON or as a sentence, the first time it is called.
    pub(crate) fn print(&self) -> Result<(), CommandError> {
        let mut printed = self.printed.lock().unwrap_or_else(|held| held.into_inner());
        if std::mem::replace(&mut *printed, true) {
            return Ok(());
        }
        let outcome = self.outcome();
        if self.json {
            return output::json(&outcome);
        }
        let elapsed = Duration::from_secs_f64(outcome.elapsed_s);
        let fate = if self.acknowledged { "acknowledged" } else { "sent, not acknowledged" };
        output::line(&format!(
            "{} records ({}) read, {} {fate}, {} failed, in {} ({})",
            output::count(outcome.records),
            output::bytes(outcome.bytes),
            output::count(outcome.records - outcome.failed),
            output::count(outcome.failed),
            output::duration(elapsed),
            output::rate(outcome.bytes, self.started.elapsed()),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_record_counts_as_failed_until_it_is_acknowledged() {
        let tally = Tally::new(true, true);
        tally.taken(10);
        tally.taken(5);
        tally.delivered();
        let now = tally.outcome();
        assert_eq!((now.records, now.bytes, now.acked, now.failed), (2, 15, 1, 1));
    }

    #[test]
    fn without_acks_nothing_is_acknowledged_and_nothing_failed() {
        let tally = Tally::new(false, true);
        tally.taken(10);
        tally.delivered();
        let now = tally.outcome();
        assert_eq!((now.records, now.acked, now.failed), (1, 0, 0));
    }

    #[test]
    fn the_first_reason_is_the_one_that_is_told() {
        let tally = Tally::new(true, true);
        tally.failed("the cause".to_owned());
        tally.failed("its consequence".to_owned());
        assert_eq!(tally.first_failure().unwrap(), "the cause");
    }

    #[test]
    fn the_object_has_the_agreed_keys() {
        let text = serde_json::to_string(&Tally::new(true, true).outcome()).unwrap();
        let start = r#"{"records":0,"bytes":0,"acked":0,"failed":0,"elapsed_s":"#;
        assert!(text.starts_with(start), "{text}");
    }
}
