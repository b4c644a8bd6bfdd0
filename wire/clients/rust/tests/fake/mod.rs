//! A server for tests: the real protocol over real sockets, with a log in memory, and faults on
//! request. It answers as a node does: batches are verified, stamped and numbered, producers'
//! sequences are checked, requests for partitions of another shard are refused with NotLeader.
//!
//! - [`log`]: topics and what a partition holds; [`admin`]: topics and metadata;
//!   [`fault`]: what goes wrong, and when;
//! - [`serve`]: connections and requests.

#![allow(dead_code, clippy::unwrap_used, unreachable_pub, reason = "each test binary uses a part")]

mod admin;
pub mod fault;
pub mod log;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use fault::{Fault, Scripted};
use log::Topic;
use ringspool_client::{Client, ClientBuilder, Record};
use ringspool_wire::{Api, Reassembler};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub api: Api,
    pub connection: u64,
    pub shard: u16,
    /// (partition, batch bytes) of a produce; (partition, offset) of a fetch.
    pub parts: Vec<(u32, u64)>,
}

pub struct State {
    pub topics: Vec<Topic>,
    pub seen: Vec<Seen>,
    pub shards: u16,
    /// What metadata says of the node's address.
    pub address: String,
    script: Vec<Scripted>,
    next_topic_id: u64,
    next_producer_id: u64,
    next_connection: u64,
    /// Produce requests that were taken in and not answered, now and at most.
    pub in_flight: usize,
    pub in_flight_most: usize,
    /// Answers to fetches that were held up and have gone out.
    pub released: usize,
    /// What Hello says of the largest frame.
    pub frame_bytes_max: u32,
}

pub struct Shared {
    pub address: SocketAddr,
    pub state: Mutex<State>,
    /// Something was stored, or seen.
    pub changed: Notify,
}

/// The server. Stops when it is dropped.
pub struct Fake {
    pub shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Fake {
    /// A server with one shard.
    pub async fn start() -> Fake {
        Fake::with_shards(1).await
    }

    pub async fn with_shards(shards: u16) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            topics: Vec::new(),
            seen: Vec::new(),
            shards,
            address: listener.local_addr().unwrap().to_string(),
            script: Vec::new(),
            next_topic_id: 1,
            next_producer_id: 1000,
            next_connection: 0,
            in_flight: 0,
            in_flight_most: 0,
            released: 0,
            frame_bytes_max: ringspool_wire::FRAME_BYTES_MAX,
        };
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { address, state: Mutex::new(state), changed: Notify::new() });
        let listening = tokio::spawn(serve::accept(listener, shared.clone()));
        Fake { shared, listening: Some(listening) }
    }

    /// Stops listening and drops every connection. The log stays.
    pub fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }

    /// Listens again, at the same address.
    pub async fn restart(&mut self) {
        self.stop();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.shared.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.listening = Some(tokio::spawn(serve::accept(listener, self.shared.clone())));
    }

    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    pub fn builder(&self) -> ClientBuilder {
        Client::builder().servers([self.address()])
    }

    pub async fn client(&self) -> Client {
        self.builder().build().await.unwrap()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub fn create_topic(&self, name: &str, partitions: u32) -> u64 {
        self.state().create_topic(name, partitions)
    }

    pub fn delete_topic(&self, name: &str) {
        self.state().topics.retain(|topic| topic.name != name);
    }

    /// The `nth` request of this api from now on (0: the next one) meets this fault.
    pub fn fail(&self, api: Api, nth: usize, fault: Fault) {
        self.state().script.push(Scripted { api, left: nth, fault });
    }

    /// Requests of this api until now.
    pub fn count(&self, api: Api) -> usize {
        self.state().seen.iter().filter(|seen| seen.api == api).count()
    }

    pub fn seen(&self, api: Api) -> Vec<Seen> {
        self.state().seen.iter().filter(|seen| seen.api == api).cloned().collect()
    }

    /// Waits until what is asked of the state is so.
    pub async fn until(&self, mut holds: impl FnMut(&State) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// What a reader sees of a partition.
    pub fn records(&self, topic: &str, partition: u32) -> Vec<Record> {
        let state = self.state();
        let log = &state.topic(topic).unwrap().partitions[partition as usize];
        let mut reassembler = Reassembler::default();
        let mut records = Vec::new();
        for entry in &log.entries {
            let batch = ringspool_wire::DecodedBatch::open(entry.batch.clone()).unwrap();
            match batch.chunk {
                Some(_) => records.extend(reassembler.push(batch).unwrap()),
                None => records.extend(batch.records()),
            }
        }
        records
    }

    /// The values of [`Fake::records`], as text.
    pub fn values(&self, topic: &str, partition: u32) -> Vec<String> {
        let text = |record: &Record| String::from_utf8_lossy(&record.value).into_owned();
        self.records(topic, partition).iter().map(text).collect()
    }
}
