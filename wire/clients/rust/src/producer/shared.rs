//! What the handles of a producer and its dispatcher share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ringspool_wire::InitProducerResponse;
use tokio::sync::Notify;

use super::error::ProduceError;
use super::ledger::Ledger;
use super::options::Options;
use super::queue::{Builders, PartitionQueue, TopicQueues};
use crate::cluster::Cluster;

pub(super) struct Shared {
    pub(super) cluster: Arc<Cluster>,
    pub(super) options: Options,
    pub(super) ledger: Arc<Ledger>,
    pub(super) builders: Builders,
    /// What partitions begin with; `None` without idempotence.
    pub(super) identity: Option<InitProducerResponse>,
    topics: RwLock<Topics>,
    inbox: Mutex<Vec<Arc<PartitionQueue>>>,
    wake: Notify,
    /// Batches with a smaller number do not wait for more records.
    flush_below: AtomicU64,
    /// The dispatcher should look again at batches that are being filled.
    pressed: AtomicBool,
    closing: AtomicBool,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Arc<TopicQueues>>,
    /// The dispatcher is gone: nothing may be added.
    ended: bool,
}

impl Shared {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        options: Options,
        identity: Option<InitProducerResponse>,
    ) -> Self {
        Shared {
            cluster,
            ledger: Arc::new(Ledger::new(options.buffer_bytes_max)),
            builders: Builders::new(options.clone()),
            options,
            identity,
            topics: RwLock::default(),
            inbox: Mutex::default(),
            wake: Notify::new(),
            flush_below: AtomicU64::new(0),
            pressed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// The queues of a topic, if it was used before.
    pub(super) fn known(&self, name: &str) -> Option<Arc<TopicQueues>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }

    /// The queues of a topic; asks the cluster for it when it is not known.
    pub(super) async fn look_up(&self, name: &Arc<str>) -> Result<Arc<TopicQueues>, ProduceError> {
        let found = self.cluster.topic(name).await?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.ended {
            return Err(ProduceError::Closed);
        }
        let queues = topics.by_name.entry(name.clone()).or_insert_with(|| {
            Arc::new(TopicQueues::new(name.clone(), found.id, found.partitions()))
        });
        Ok(queues.clone())
    }

    /// The topic of this id is gone: the next record asks the cluster again.
    pub(super) fn remove(&self, name: &str, id: u64) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.by_name.get(name).is_some_and(|queues| queues.topic.id == id) {
            topics.by_name.remove(name);
        }
    }

    /// The dispatcher is gone: fails what waits, and what comes.
    pub(super) fn end(&self, error: &ProduceError) {
        self.ledger.close();
        let topics = {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics.ended = true;
            std::mem::take(&mut topics.by_name)
        };
        for queue in topics.values().flat_map(|topic| &topic.queues) {
            for waiting in queue.end(error.clone()) {
                waiting.fail(error.clone());
            }
        }
    }

    /// Tells the dispatcher that a partition has something new.
    pub(super) fn signal(&self, queue: Arc<PartitionQueue>) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
        self.wake.notify_one();
    }

    pub(super) fn take_signals(&self) -> Vec<Arc<PartitionQueue>> {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the dispatcher sleeps on.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Sends what is being filled: somebody waits for room.
    pub(super) fn press(&self) {
        self.pressed.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    pub(super) fn take_pressed(&self) -> bool {
        self.pressed.swap(false, Ordering::SeqCst)
    }

    /// Sends what was begun until now; gives the number that all of it is below.
    pub(super) fn flush(&self) -> u64 {
        let below = self.ledger.next_number();
        self.flush_below.fetch_max(below, Ordering::SeqCst);
        self.press();
        below
    }

    /// Whether the batch of this number should not wait for more records.
    pub(super) fn is_urgent(&self, number: u64) -> bool {
        self.is_closing()
            || self.ledger.is_pressed()
            || number < self.flush_below.load(Ordering::SeqCst)
    }

    /// No more records are taken; the dispatcher ends when nothing is owed.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.press();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}
