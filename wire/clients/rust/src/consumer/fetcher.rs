//! The task that reads ahead: one fetch under way per shard, which covers every partition there.
//!
//! A fetch waits at the node until there is something, so an idle consumer costs one request per
//! shard and wait. Invariants: a partition is part of at most one fetch whose answer counts; an
//! answer counts for a partition only if it is still part of that fetch, so a seek, which takes it
//! out, can never be followed by records of before. While the buffer is full, nothing is fetched.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ringspool_wire::{
    Api, FetchPart, FetchRequest, FetchResponse, PARTS_PER_REQUEST_MAX, Request, Response,
};
use tokio::time::{Instant, sleep_until};

use super::board::{Board, State};
use super::options::Options;
use super::verdict::{self, Verdict};
use crate::backoff::Backoff;
use crate::cluster::{Cluster, Endpoint, View};
use crate::connection::RequestError;
use crate::error::ClientError;

/// After an answer without records that came before its time: a node that is stopping, or one that
/// does not wait. Keeps the consumer from asking in a loop.
const EARLY_ANSWER_PAUSE: Duration = Duration::from_millis(20);

/// Address and shard.
type Place = (Arc<str>, u16);

/// A partition and the offset to fetch from.
type PartitionOffset = (u32, u64);

/// A shard that partitions are read from.
#[derive(Default)]
struct Lane {
    /// The number of the fetch under way whose answer counts.
    fetch: Option<u64>,
    paused_until: Option<Instant>,
    backoff: Backoff,
    /// Where the next fetch begins in the list of partitions, so that each gets its turn.
    turn: usize,
}

enum Event {
    Fetched {
        place: Endpoint,
        number: u64,
        started: Instant,
        parts: Vec<FetchPart>,
        result: Result<FetchResponse, RequestError>,
    },
    Refreshed(Result<(), ClientError>),
}

pub(super) struct Fetcher {
    cluster: Arc<Cluster>,
    board: Arc<Board>,
    options: Options,
    topic_id: u64,
    lanes: HashMap<Endpoint, Lane>,
    next_number: u64,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    refreshing: bool,
    last_error: Arc<str>,
}

impl Fetcher {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        board: Arc<Board>,
        options: Options,
        topic_id: u64,
    ) -> Self {
        Fetcher {
            cluster,
            board,
            options,
            topic_id,
            lanes: HashMap::new(),
            next_number: 0,
            events: FuturesUnordered::new(),
            refreshing: false,
            last_error: "".into(),
        }
    }

    /// Runs until it is dropped, with its consumer.
    pub(super) async fn run(mut self) {
        let board = self.board.clone();
        loop {
            let wake_at = self.plan(Instant::now());
            tokio::select! {
                () = board.wanted.notified() => {}
                Some(event) = self.events.next(), if !self.events.is_empty() => {
                    self.handle(event, Instant::now());
                }
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    /// Starts the fetches that can be started; gives the time at which another one can be.
    fn plan(&mut self, now: Instant) -> Option<Instant> {
        let view = self.cluster.view();
        let board = self.board.clone();
        let mut state = board.lock();
        if std::mem::take(&mut state.changed) {
            // Fetches under way do not cover what has changed: their answers no longer count.
            for lane in self.lanes.values_mut() {
                lane.fetch = None;
            }
            for progress in state.partitions.values_mut() {
                progress.in_fetch = None;
            }
        }
        if state.bytes >= self.options.buffer_bytes_max {
            return None;
        }
        let mut wake_at: Option<Instant> = None;
        let mut sooner = |at: Instant| wake_at = Some(wake_at.map_or(at, |other| other.min(at)));
        let mut ready: BTreeMap<Place, Vec<PartitionOffset>> = BTreeMap::new();
        let mut homeless = false;
        for (partition, progress) in &mut state.partitions {
            if progress.stopped || progress.in_fetch.is_some() {
                continue;
            }
            if let Some(until) = progress.backoff_until.filter(|until| *until > now) {
                sooner(until);
                continue;
            }
            let Some(place) = view.place(&self.options.topic, self.topic_id, *partition) else {
                progress.failing_since.get_or_insert(now);
                homeless = true;
                continue;
            };
            let place = (place.address.clone(), place.shard);
            ready.entry(place).or_default().push((*partition, progress.fetch_offset));
        }
        let places = ready.len().max(1);
        let share = (self.options.buffer_bytes_max / places).clamp(1 << 10, u32::MAX as usize);
        let bytes_max = self.options.fetch_bytes_max.min(share as u32);
        for ((address, shard), partitions) in ready {
            let place = Endpoint { address, shard };
            let lane = self.lanes.entry(place.clone()).or_default();
            if lane.fetch.is_some() {
                continue;
            }
            if let Some(until) = lane.paused_until.filter(|until| *until > now) {
                sooner(until);
                continue;
            }
            lane.turn = (lane.turn + 1) % partitions.len();
            let number = self.next_number;
            self.next_number += 1;
            lane.fetch = Some(number);
            let turn = partitions.iter().cycle().skip(lane.turn).take(partitions.len());
            let part = |(partition, offset): &PartitionOffset| FetchPart {
                topic_id: self.topic_id,
                partition: *partition,
                offset: *offset,
                bytes_max,
            };
            let parts: Vec<FetchPart> = turn.take(PARTS_PER_REQUEST_MAX).map(part).collect();
            for part in &parts {
                if let Some(progress) = state.partitions.get_mut(&part.partition) {
                    progress.in_fetch = Some(number);
                }
            }
            self.events.push(self.fetch(place, number, parts, bytes_max, now));
        }
        if homeless {
            if view.is_gone(&self.options.topic, self.topic_id) {
                verdict::topic_gone(&self.options.topic, &mut state);
                self.cluster.forget_if_unknown(&self.options.topic);
                self.board.filled.notify_one();
            } else {
                self.report_failing(&mut state, now);
                self.refresh(&view);
            }
        }
        wake_at
    }

    fn fetch(
        &self,
        place: Endpoint,
        number: u64,
        parts: Vec<FetchPart>,
        bytes_max: u32,
        started: Instant,
    ) -> BoxFuture<'static, Event> {
        let wait = self.options.wait_max;
        let request = Request::Fetch(FetchRequest {
            wait_ms_max: wait.as_millis() as u32,
            bytes_min: 1,
            bytes_max,
            parts: parts.clone(),
        });
        let cluster = self.cluster.clone();
        let timeout = self.options.request_timeout + wait;
        async move {
            let result = async {
                let connection = cluster.connection(&place).await.map_err(RequestError::NotSent)?;
                match connection.request(&request, timeout).await? {
                    Response::Fetch(response) if response.results.len() == parts.len() => {
                        Ok(response)
                    }
                    _ => Err(connection.unexpected(Api::Fetch)),
                }
            };
            let result = result.await;
            Event::Fetched { place, number, started, parts, result }
        }
        .boxed()
    }

    fn refresh(&mut self, view: &View) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let (cluster, seen) = (self.cluster.clone(), view.generation);
        self.events
            .push(async move { Event::Refreshed(cluster.refresh(seen).await.map(|_| ())) }.boxed());
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Fetched { place, number, started, parts, result } => {
                self.fetched(&place, number, started, &parts, result, now);
            }
            Event::Refreshed(result) => {
                self.refreshing = false;
                let view = self.cluster.view();
                let board = self.board.clone();
                let mut state = board.lock();
                let mut backoff = Backoff::default();
                let why: Arc<str> = match &result {
                    Ok(()) => "the partition has no leader".into(),
                    Err(error) => error.to_string().into(),
                };
                // Who has no leader yet looks again after a while.
                for (partition, progress) in &mut state.partitions {
                    let place = view.place(&self.options.topic, self.topic_id, *partition);
                    if place.is_none() && progress.in_fetch.is_none() && !progress.stopped {
                        progress.backoff_until = Some(now + 4 * backoff.next());
                        backoff.reset();
                        self.last_error = why.clone();
                    }
                }
                self.report_failing(&mut state, now);
            }
        }
    }

    fn fetched(
        &mut self,
        place: &Endpoint,
        number: u64,
        started: Instant,
        parts: &[FetchPart],
        result: Result<FetchResponse, RequestError>,
        now: Instant,
    ) {
        let board = self.board.clone();
        let mut state = board.lock();
        let counts = |state: &State, partition: u32| {
            state.partitions.get(&partition).is_some_and(|p| p.in_fetch == Some(number))
        };
        let lane = self.lanes.entry(place.clone()).or_default();
        if lane.fetch == Some(number) {
            lane.fetch = None;
        }
        let view = self.cluster.view();
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%place, %error, "cannot fetch");
                self.last_error = error.to_string().into();
                lane.paused_until = Some(now + lane.backoff.next());
                for progress in state.partitions.values_mut() {
                    if progress.in_fetch.take_if(|fetch| *fetch == number).is_some() {
                        progress.failing_since.get_or_insert(started);
                    }
                }
                self.report_failing(&mut state, now);
                drop(state);
                self.refresh(&view);
                return;
            }
        };
        lane.backoff.reset();
        let mut news = false;
        let mut refresh = false;
        let mut failing = false;
        for (part, result) in parts.iter().zip(response.results) {
            if !counts(&state, part.partition) {
                continue;
            }
            match verdict::judge(&self.options, &mut state, part, result) {
                Verdict::Nothing => {}
                Verdict::News => news = true,
                Verdict::Again { refresh: stale, why } => {
                    refresh |= stale;
                    failing = true;
                    self.last_error = why.into();
                    if let Some(progress) = state.partitions.get_mut(&part.partition) {
                        progress.failing_since.get_or_insert(now);
                        progress.backoff_until = Some(now + 4 * Backoff::default().next());
                    }
                }
            }
        }
        if !news && !failing && now - started < self.options.wait_max / 2 {
            lane.paused_until = Some(now + EARLY_ANSWER_PAUSE);
        }
        if failing {
            self.report_failing(&mut state, now);
        }
        drop(state);
        if news {
            self.board.filled.notify_one();
        }
        if refresh {
            self.refresh(&view);
        }
    }

    /// Tells the consumer of partitions that could not be read for long.
    fn report_failing(&self, state: &mut State, now: Instant) {
        let patience = self.options.request_timeout;
        if verdict::report_failing(&self.options.topic, state, now, patience, &self.last_error) {
            self.board.filled.notify_one();
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.board.lock().ended = true;
        self.board.filled.notify_one();
    }
}
