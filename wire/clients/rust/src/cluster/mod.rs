//! The cluster as a client sees it: connections, and a cache of where every partition is served.
//!
//! The cache holds the topics somebody asked for. It is refreshed when something shows that it is
//! out of date (NotLeader, UnknownTopic, a lost connection), never by a timer. Invariant: one
//! refresh runs at a time; who asks meanwhile takes its result.

mod pool;
mod view;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringspool_wire::{Api, ErrorCode, MetadataRequest, MetadataResponse, Request, Response};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::connection::{ConnectOptions, Connection, ConnectionError, RequestError};
use crate::error::ClientError;
pub(crate) use pool::Endpoint;
use pool::Pool;
pub(crate) use view::{TopicView, View};

/// What a client is built with.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    pub(crate) servers: Vec<Arc<str>>,
    pub(crate) connect: ConnectOptions,
    pub(crate) request_timeout: Duration,
}

/// Whether a request may be sent again when nobody knows if it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Harmless,
    Harmful,
}

pub(crate) struct Cluster {
    options: ClusterOptions,
    pool: Pool,
    view: Mutex<Arc<View>>,
    /// Topics that a refresh asks for.
    wanted: Mutex<BTreeSet<Arc<str>>>,
    /// Held while a refresh runs.
    refreshing: tokio::sync::Mutex<()>,
    /// The server that answered last; it is asked first.
    favourite: Mutex<Option<Arc<str>>>,
}

impl Cluster {
    pub(crate) fn new(options: ClusterOptions) -> Self {
        Cluster {
            pool: Pool::new(options.connect.clone()),
            options,
            view: Mutex::default(),
            wanted: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            favourite: Mutex::default(),
        }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.options.request_timeout
    }

    /// The newest snapshot.
    pub(crate) fn view(&self) -> Arc<View> {
        lock(&self.view).clone()
    }

    /// The connection to a shard, opened if need be.
    pub(crate) async fn connection(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Connection, ConnectionError> {
        self.pool.get(endpoint).await
    }

    /// A snapshot newer than `seen`: of somebody who asked at the same time, or a new one.
    pub(crate) async fn refresh(&self, seen: u64) -> Result<Arc<View>, ClientError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let view = self.view();
        if view.generation > seen {
            return Ok(view);
        }
        let topics = lock(&self.wanted).iter().map(|name| name.to_string()).collect();
        let response = self.metadata(Some(topics)).await?;
        let view = Arc::new(View::new(view.generation + 1, response));
        *lock(&self.view) = view.clone();
        Ok(view)
    }

    /// Nodes, and the topics of these names; `None`: all topics.
    pub(crate) async fn metadata(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<MetadataResponse, ClientError> {
        let request = Request::Metadata(MetadataRequest { topics });
        match self.ask_each_server(&request).await? {
            (_, Response::Metadata(response)) => Ok(response),
            (connection, _) => Err(connection.unexpected(Api::Metadata).into()),
        }
    }

    /// Where a topic is served. Waits while the cluster is getting ready, up to the request
    /// timeout.
    pub(crate) async fn topic(&self, name: &str) -> Result<Arc<TopicView>, ClientError> {
        let mut view = self.view();
        if let Some(Ok(topic)) = view.topic(name) {
            return Ok(topic.clone());
        }
        let deadline = Instant::now() + self.request_timeout();
        let mut backoff = Backoff::default();
        lock(&self.wanted).insert(name.into());
        loop {
            let refreshed = self.refresh(view.generation).await;
            let error = match refreshed {
                Ok(newer) => {
                    view = newer;
                    match view.topic(name) {
                        Some(Ok(topic)) => return Ok(topic.clone()),
                        // That refresh began before the topic was wanted.
                        None => continue,
                        Some(Err(ErrorCode::UnknownTopic)) => {
                            lock(&self.wanted).remove(name);
                            return Err(ClientError::UnknownTopic { topic: name.to_owned() });
                        }
                        Some(Err(code)) if code.is_retriable() => {
                            ClientError::TopicNotReady { topic: name.to_owned(), code: *code }
                        }
                        Some(Err(code)) => {
                            lock(&self.wanted).remove(name);
                            let topic = name.to_owned();
                            return Err(ClientError::TopicRefused { topic, code: *code });
                        }
                    }
                }
                Err(error) if error.is_retriable() => error,
                Err(error) => return Err(error),
            };
            let wait = backoff.next();
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Stops asking for a topic that was deleted, unless there is a new one of its name.
    pub(crate) fn forget_if_unknown(&self, name: &str) {
        if self.view().topic(name).is_none_or(Result::is_err) {
            lock(&self.wanted).remove(name);
        }
    }

    /// Asks any server, again and again while that can help and is harmless, up to the request
    /// timeout.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        repeat: Repeat,
    ) -> Result<(Connection, Response), ClientError> {
        let deadline = Instant::now() + self.request_timeout();
        let mut backoff = Backoff::default();
        loop {
            let error = match self.ask_each_server(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = backoff.next();
            let unknown = repeat == Repeat::Harmful && error.may_have_taken_effect();
            if unknown || !error.is_retriable() || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Asks the servers in turn until one answers for good: with a response, or with a refusal
    /// that every other server would repeat.
    async fn ask_each_server(
        &self,
        request: &Request,
    ) -> Result<(Connection, Response), ClientError> {
        let mut attempts = Vec::new();
        for address in self.addresses() {
            let endpoint = Endpoint::any_shard(address.clone());
            let connection = match self.pool.get(&endpoint).await {
                Ok(connection) => connection,
                Err(error) => {
                    attempts.push(RequestError::NotSent(error));
                    continue;
                }
            };
            match connection.request(request, self.request_timeout()).await {
                Ok(response) => {
                    *lock(&self.favourite) = Some(address);
                    return Ok((connection, response));
                }
                Err(error @ RequestError::Refused { .. }) if error.is_retriable() => {
                    attempts.push(error);
                }
                // A lost connection may have carried the request: the caller decides whether
                // asking again is harmless.
                Err(error) => return Err(error.into()),
            }
        }
        Err(ClientError::NoServerAnswered { attempts })
    }

    /// Whom to ask: who answered last, then the servers that were configured, then the nodes
    /// that were learned.
    fn addresses(&self) -> Vec<Arc<str>> {
        let favourite = lock(&self.favourite).clone();
        let view = self.view();
        let mut addresses: Vec<Arc<str>> = Vec::new();
        for address in favourite.iter().chain(&self.options.servers).chain(&view.addresses) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
