//! A shard's counters. Only the shard changes them; others ask for a [`ShardReport`].

use crate::metrics::latency_histogram;
use crate::partition::Counter;
use crate::wal::WalStats;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// What went in and out of one topic on one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct TopicStats {
    /// Records appended.
    pub records_in: u64,
    /// Bytes of batches appended.
    pub bytes_in: u64,
    /// Bytes of batches fetched.
    pub bytes_out: u64,
}

/// A shard's counters.
#[derive(Debug)]
pub struct Stats {
    /// Requests, by api number.
    pub requests: RefCell<BTreeMap<u8, u64>>,
    /// Requests answered with an error as a whole.
    pub request_errors: Counter,
    /// Appends sent on to another shard.
    pub forwarded: Counter,
    /// Batches recognised as duplicates.
    pub duplicates: Counter,
    /// Reads that failed.
    pub read_faults: Counter,
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections handed to another shard.
    pub connections_handed_over: Counter,
    /// Connections closed because of a deadline.
    pub connections_expired: Counter,
    /// Frames that were not frames.
    pub malformed_frames: Counter,
    /// Checkpoints made.
    pub checkpoints: Counter,
    topics: RefCell<BTreeMap<u64, TopicStats>>,
    append: RefCell<Histogram<u64>>,
    request: RefCell<Histogram<u64>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            requests: RefCell::default(),
            request_errors: Counter::default(),
            forwarded: Counter::default(),
            duplicates: Counter::default(),
            read_faults: Counter::default(),
            connections_accepted: Counter::default(),
            connections_handed_over: Counter::default(),
            connections_expired: Counter::default(),
            malformed_frames: Counter::default(),
            checkpoints: Counter::default(),
            topics: RefCell::default(),
            append: RefCell::new(latency_histogram()),
            request: RefCell::new(latency_histogram()),
        }
    }
}

/// A copy of a shard's counters.
#[derive(Debug, Clone)]
pub struct ShardReport {
    /// The shard.
    pub shard: u16,
    /// Version of the metadata there.
    pub metadata_version: u64,
    /// Requests, by api number.
    pub requests: BTreeMap<u8, u64>,
    /// Named counters.
    pub counters: Vec<(&'static str, u64)>,
    /// Named values of the moment.
    pub gauges: Vec<(&'static str, u64)>,
    /// By topic name.
    pub topics: Vec<(String, TopicStats)>,
    /// The log.
    pub wal: WalStats,
    /// Time of write and fdatasync, in microseconds.
    pub flush_latency: Histogram<u64>,
    /// Time from an append's entering the log to its being applied, in microseconds.
    pub append_latency: Histogram<u64>,
    /// Time from a request's last byte to its response, in microseconds.
    pub request_latency: Histogram<u64>,
    /// Time the executor spent running tasks: not waiting, not spinning.
    pub busy: Duration,
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

impl Stats {
    /// Notes an append's latency.
    pub fn append_latency(&self, elapsed: Duration) {
        self.append.borrow_mut().saturating_record(micros(elapsed));
    }

    /// Notes a request and its latency.
    pub fn request_latency(&self, elapsed: Duration) {
        self.request.borrow_mut().saturating_record(micros(elapsed));
    }

    /// Counts a request.
    pub fn request(&self, api: u8) {
        *self.requests.borrow_mut().entry(api).or_default() += 1;
    }

    /// Counts an appended batch.
    pub fn appended(&self, topic: u64, records: u64, bytes: u64) {
        let mut topics = self.topics.borrow_mut();
        let stats = topics.entry(topic).or_default();
        stats.records_in += records;
        stats.bytes_in += bytes;
    }

    /// Counts fetched bytes.
    pub fn fetched(&self, topic: u64, bytes: u64) {
        self.topics.borrow_mut().entry(topic).or_default().bytes_out += bytes;
    }

    /// Forgets topics that are gone.
    pub fn retain_topics(&self, keep: impl Fn(u64) -> bool) {
        self.topics.borrow_mut().retain(|topic, _| keep(*topic));
    }
}

impl super::Shard {
    /// A copy of the counters.
    #[must_use]
    pub fn report(&self) -> ShardReport {
        let (stats, metadata) = (&self.stats, self.metadata());
        let named = |id: &u64| metadata.topic_by_id(*id).map(|topic| topic.name.to_string());
        let topics = stats.topics.borrow();
        let topics = topics.iter().filter_map(|(id, stats)| Some((named(id)?, *stats)));
        let partitions: usize = self.vnodes.values().map(|v| v.state().partition_count()).sum();
        let led = self.vnodes.values().filter(|vnode| vnode.is_leader()).count();
        let storage = &self.storage;
        ShardReport {
            shard: self.id,
            metadata_version: metadata.version(),
            requests: stats.requests.borrow().clone(),
            counters: [
                ("request_errors", stats.request_errors.get()),
                ("forwarded_appends", stats.forwarded.get()),
                ("duplicate_batches", stats.duplicates.get()),
                ("read_faults", stats.read_faults.get()),
                ("connections_accepted", stats.connections_accepted.get()),
                ("connections_handed_over", stats.connections_handed_over.get()),
                ("connections_expired", stats.connections_expired.get()),
                ("malformed_frames", stats.malformed_frames.get()),
                ("checkpoints", stats.checkpoints.get()),
            ]
            .into_iter()
            .chain(storage.counters())
            .collect(),
            gauges: vec![
                ("connections", self.sessions.count() as u64),
                ("in_flight_bytes", self.sessions.in_flight_bytes() as u64),
                ("partitions", partitions as u64),
                ("vnodes_led", led as u64),
                ("cache_bytes", storage.context.cached_bytes()),
                ("dirty_bytes", storage.context.dirty_bytes()),
                ("index_cache_bytes", storage.context.index_cache_bytes()),
                ("open_segment_files", storage.context.open_files() as u64),
                ("out_of_space", u64::from(self.out_of_space.get())),
            ],
            topics: topics.collect(),
            wal: self.wal.stats(),
            flush_latency: self.wal.flush_latency(),
            append_latency: stats.append.borrow().clone(),
            request_latency: stats.request.borrow().clone(),
            busy: crate::io::runtime::busy(),
        }
    }
}
