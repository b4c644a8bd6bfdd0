//! The task that sends what the accumulator holds. There is one per producer, so all decisions
//! about order are made in one place, without locks.
//!
//! ```text
//!  inbox, timers, answers ──> evaluate(partition) ──> the link's line ──> pump(link)
//!                                   ^                                        │ take, stamp, encode
//!                                   └── settle(batch) <── answer <── Connection::start
//! ```
//!
//! - [`partition`]: a partition's batches in order, its producer id and sequence;
//! - [`link`]: a shard's connection and who waits for it;
//! - [`send`]: from a link's line to requests; [`settle`]: what an answer means.
//!
//! Invariants: a partition stands in at most one line, once; its batches are in flight on one
//! link at a time; every batch is in exactly one of accumulator, backlog, and a request.

mod link;
mod partition;
mod send;
mod settle;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ringspool_wire::{BatchError, InitProducerResponse, ProduceResponse};
use tokio::time::{Instant, sleep_until};

use super::error::ProduceError;
use super::queue::PartitionQueue;
use super::shared::Shared;
use crate::backoff::Backoff;
use crate::cluster::{Endpoint, View};
use crate::connection::{Connection, ConnectionError, RequestError};
use crate::error::ClientError;
use link::{Link, Part};
use partition::{Partition, Work};

/// A part of a request, and whether it could be encoded.
pub(super) type Encoded = (Part, Result<(), BatchError>);

/// What the dispatcher waited for.
enum Event {
    Opened {
        link: usize,
        result: Result<Connection, ConnectionError>,
    },
    Encoded {
        link: usize,
        number: u64,
        parts: Vec<Encoded>,
    },
    /// `Ok(None)`: written, with acks=none.
    Answered {
        link: usize,
        parts: Vec<Part>,
        result: Result<Option<ProduceResponse>, RequestError>,
    },
    Identified {
        partition: usize,
        result: Result<InitProducerResponse, ClientError>,
    },
    Refreshed(Result<(), ClientError>),
}

pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    partitions: Vec<Partition>,
    links: Vec<Link>,
    link_of: HashMap<Endpoint, usize>,
    /// When to look at which partition; at most one entry each.
    timers: BTreeSet<(Instant, usize)>,
    /// Partitions whose only batch waits for more records.
    filling: HashSet<usize>,
    /// Partitions with something to send and no leader.
    homeless: HashSet<usize>,
    /// Links that may be able to send something.
    active: BTreeSet<usize>,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    view: Arc<View>,
    refreshing: bool,
    refresh_backoff: Backoff,
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Dispatcher {
            view: shared.cluster.view(),
            shared,
            partitions: Vec::new(),
            links: Vec::new(),
            link_of: HashMap::new(),
            timers: BTreeSet::new(),
            filling: HashSet::new(),
            homeless: HashSet::new(),
            active: BTreeSet::new(),
            events: FuturesUnordered::new(),
            refreshing: false,
            refresh_backoff: Backoff::default(),
        }
    }

    /// Runs until the producer is closed and owes nothing.
    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.view = self.shared.cluster.view();
            self.take_signals(now);
            self.fire_timers(now);
            while let Some(link) = self.active.pop_first() {
                self.pump(link, now);
            }
            if self.shared.is_closing() && self.shared.ledger.is_settled() {
                return;
            }
            let wake_at = self.timers.first().map(|(at, _)| *at);
            let shared = self.shared.clone();
            tokio::select! {
                () = shared.woken() => {}
                Some(event) = self.events.next(), if !self.events.is_empty() => {
                    self.handle(event);
                    while let Some(Some(event)) = self.events.next().now_or_never() {
                        self.handle(event);
                    }
                }
                () = sleep_until(wake_at.unwrap_or(now)), if wake_at.is_some() => {}
            }
        }
    }

    fn take_signals(&mut self, now: Instant) {
        for queue in self.shared.take_signals() {
            queue.clear_signal();
            let index = self.index_of(queue);
            self.evaluate(index, now);
        }
        if self.shared.take_pressed() {
            for index in std::mem::take(&mut self.filling) {
                self.evaluate(index, now);
            }
        }
    }

    fn index_of(&mut self, queue: Arc<PartitionQueue>) -> usize {
        match queue.index.load(Ordering::Relaxed) {
            usize::MAX => {
                let index = self.partitions.len();
                queue.index.store(index, Ordering::Relaxed);
                self.partitions.push(Partition::new(queue, self.shared.identity));
                index
            }
            index => index,
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some((at, index)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.remove(&(at, index));
            self.partitions[index].wake_at = None;
            self.evaluate(index, now);
        }
    }

    /// Looks at the partition at this time, or earlier if that was planned.
    fn wake_at(&mut self, index: usize, at: Instant) {
        let partition = &mut self.partitions[index];
        match partition.wake_at {
            Some(planned) if planned <= at => return,
            Some(planned) => {
                self.timers.remove(&(planned, index));
            }
            None => {}
        }
        partition.wake_at = Some(at);
        self.timers.insert((at, index));
    }

    /// Decides what a partition waits for: nothing, time, an answer, a producer id, a leader, or
    /// its link. Called whenever something about it has changed.
    fn evaluate(&mut self, index: usize, now: Instant) {
        let options = &self.shared.options;
        let partition = &mut self.partitions[index];
        partition.expire(now, options);
        let begun = match partition.work() {
            Work::Nothing => return,
            Work::Ready(begun) => begun,
            Work::Filling { begun, number } => {
                let due = begun + options.linger;
                if due > now && !self.shared.is_urgent(number) {
                    self.filling.insert(index);
                    self.wake_at(index, due);
                    return;
                }
                begun
            }
        };
        let in_flight_max = options.partition_in_flight_max();
        let expires = begun + options.delivery_timeout;
        self.wake_at(index, expires);
        let partition = &mut self.partitions[index];
        if partition.in_line {
            return;
        }
        if let Some(until) = partition.backoff_until {
            if until > now {
                self.wake_at(index, until);
                return;
            }
            partition.backoff_until = None;
        }
        let quiet = partition.in_flight.is_empty();
        if partition.in_flight.len() >= in_flight_max
            || (!quiet && (partition.recovering || partition.broken))
        {
            return;
        }
        partition.recovering = false;
        if partition.needs_identity() {
            if quiet {
                self.identify(index);
            }
            return;
        }
        let topic = &partition.queue.topic;
        let Some(place) = self.view.place(&topic.name, topic.id, partition.queue.partition) else {
            if self.view.is_gone(&topic.name, topic.id) {
                self.end_partition(index);
            } else {
                self.homeless.insert(index);
                self.refresh();
            }
            return;
        };
        let link = match self.link_of.get(place) {
            Some(link) => *link,
            None => {
                self.links.push(Link::new(place.clone()));
                self.link_of.insert(place.clone(), self.links.len() - 1);
                self.links.len() - 1
            }
        };
        if !quiet && partition.link != Some(link) {
            // What is in flight on the old link comes back first.
            return;
        }
        partition.link = Some(link);
        partition.in_line = true;
        self.links[link].line.push_back(index);
        self.active.insert(link);
    }

    /// Its topic was deleted.
    fn end_partition(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let topic = partition.queue.topic.clone();
        partition.end(&ProduceError::TopicDeleted { topic: topic.name.clone() });
        self.shared.remove(&topic.name, topic.id);
        self.shared.cluster.forget_if_unknown(&topic.name);
    }

    fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let (cluster, seen) = (self.shared.cluster.clone(), self.view.generation);
        self.events
            .push(async move { Event::Refreshed(cluster.refresh(seen).await.map(|_| ())) }.boxed());
    }

    fn identify(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.identifying {
            return;
        }
        partition.identifying = true;
        let cluster = self.shared.cluster.clone();
        self.events.push(
            async move {
                let result = super::init_producer(&cluster).await;
                Event::Identified { partition: index, result }
            }
            .boxed(),
        );
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Opened { link, result } => self.opened(link, result, now),
            Event::Encoded { link, number, parts } => self.encoded(link, number, parts, now),
            Event::Answered { link, parts, result } => self.answered(link, parts, result, now),
            Event::Identified { partition: index, result } => {
                let partition = &mut self.partitions[index];
                partition.identifying = false;
                match result {
                    Ok(identity) => partition.identify(identity),
                    Err(error) => {
                        partition.last_error = Some(error.to_string().into());
                        partition.backoff_until = Some(now + partition.backoff.next());
                    }
                }
                self.evaluate(index, now);
            }
            Event::Refreshed(result) => {
                self.refreshing = false;
                self.view = self.shared.cluster.view();
                match &result {
                    Ok(()) => self.refresh_backoff.reset(),
                    Err(error) => tracing::warn!(%error, "cannot refresh the metadata"),
                }
                let wait = self.refresh_backoff.next();
                for index in std::mem::take(&mut self.homeless) {
                    let partition = &mut self.partitions[index];
                    let topic = &partition.queue.topic;
                    let number = partition.queue.partition;
                    let gone = self.view.is_gone(&topic.name, topic.id);
                    if !gone && self.view.place(&topic.name, topic.id, number).is_none() {
                        let why = result.as_ref().err().map(ToString::to_string);
                        let why = why.unwrap_or_else(|| "the partition has no leader".to_owned());
                        partition.last_error = Some(why.into());
                        partition.backoff_until = Some(now + wait);
                    }
                    self.evaluate(index, now);
                }
            }
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // Closed in order, nothing is owed any more, and this only refuses what comes later.
        let graceful = self.shared.is_closing() && self.shared.ledger.is_settled();
        let error = if graceful { ProduceError::Closed } else { ProduceError::Abandoned };
        self.shared.end(&error);
    }
}
