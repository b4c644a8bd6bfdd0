//! All connections of a shard: how many bytes they may have in flight, when one has taken too long,
//! and stopping them.

use crate::io::{StreamCloser, runtime};
use crate::limits::{
    CONNECTION_ANSWERS_BYTES_MAX, CONNECTIONS_MAX, FRAME_DEADLINE, HANDSHAKE_DEADLINE,
    IDLE_DEADLINE, SHARD_BYTES_MAX,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// What the sweeper knows of a connection.
pub(super) struct Watched {
    closer: StreamCloser,
    /// By when the handshake or the frame at hand must be there.
    pub(super) read_by: Cell<Option<Instant>>,
    /// By when the write at hand must be done.
    pub(super) write_by: Cell<Option<Instant>>,
    /// Since when nothing was asked.
    pub(super) idle_since: Cell<Instant>,
    /// Requests not yet answered.
    pub(super) in_flight: Cell<usize>,
}

impl Watched {
    fn is_expired(&self, now: Instant) -> bool {
        let passed = |by: Option<Instant>| by.is_some_and(|by| by < now);
        let idle = self.in_flight.get() == 0 && self.idle_since.get() + IDLE_DEADLINE < now;
        passed(self.read_by.get()) || passed(self.write_by.get()) || idle
    }

    /// A frame has begun to come in.
    pub(super) fn frame_begins(&self) {
        self.read_by.set(Some(runtime::now() + FRAME_DEADLINE));
    }

    /// The frame is there.
    pub(super) fn frame_ends(&self) {
        self.read_by.set(None);
        self.idle_since.set(runtime::now());
    }

    /// A write begins.
    pub(super) fn write_begins(&self) {
        self.write_by.set(Some(runtime::now() + FRAME_DEADLINE));
    }

    /// The write is done.
    pub(super) fn write_ends(&self) {
        self.write_by.set(None);
        self.idle_since.set(runtime::now());
    }
}

/// How much of its shard's budget for fetched batches one connection may take up.
#[derive(Clone)]
pub struct AnswerShare(Arc<Semaphore>);

impl Default for AnswerShare {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTION_ANSWERS_BYTES_MAX)))
    }
}

/// Room that fetched batches take up until they are sent.
pub struct AnswerRoom {
    connection: OwnedSemaphorePermit,
    shard: OwnedSemaphorePermit,
}

impl AnswerRoom {
    /// Gives back all but `bytes` bytes, which are no more than were asked for.
    #[must_use]
    pub fn shrink(mut self, bytes: usize) -> Self {
        let keep = |permit: &mut OwnedSemaphorePermit| {
            let kept = permit.split(bytes);
            kept.unwrap_or_else(|| unreachable!("it is no more than was asked"))
        };
        Self { connection: keep(&mut self.connection), shard: keep(&mut self.shard) }
    }
}

/// All connections of a shard.
pub struct Sessions {
    watched: RefCell<BTreeMap<u64, Rc<Watched>>>,
    next: Cell<u64>,
    is_stopping: Cell<bool>,
    stopping: Notify,
    gone: Notify,
    /// Bytes of requests being carried out.
    requests: Arc<Semaphore>,
    /// Bytes of fetched batches on their way out.
    responses: Arc<Semaphore>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            watched: RefCell::default(),
            next: Cell::new(0),
            is_stopping: Cell::new(false),
            stopping: Notify::new(),
            gone: Notify::new(),
            requests: Arc::new(Semaphore::new(SHARD_BYTES_MAX)),
            responses: Arc::new(Semaphore::new(SHARD_BYTES_MAX)),
        }
    }
}

/// Takes a connection off the list when it ends.
pub(super) struct Registration {
    sessions: Rc<crate::shard::Shard>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let sessions = &self.sessions.sessions;
        sessions.watched.borrow_mut().remove(&self.id);
        sessions.gone.notify_waiters();
    }
}

impl Sessions {
    /// Puts a connection on the list, unless there are too many or the shard is stopping.
    pub(super) fn register(
        shard: &Rc<crate::shard::Shard>,
        closer: StreamCloser,
    ) -> Option<(Rc<Watched>, Registration)> {
        let sessions = &shard.sessions;
        if sessions.is_stopping.get() || sessions.count() >= CONNECTIONS_MAX {
            return None;
        }
        let id = sessions.next.replace(sessions.next.get() + 1);
        let watched = Rc::new(Watched {
            closer,
            read_by: Cell::new(Some(runtime::now() + HANDSHAKE_DEADLINE)),
            write_by: Cell::new(None),
            idle_since: Cell::new(runtime::now()),
            in_flight: Cell::new(0),
        });
        sessions.watched.borrow_mut().insert(id, Rc::clone(&watched));
        Some((watched, Registration { sessions: Rc::clone(shard), id }))
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.watched.borrow().len()
    }

    /// Bytes in flight, of requests and of responses.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        let free = self.requests.available_permits() + self.responses.available_permits();
        2 * SHARD_BYTES_MAX - free
    }

    /// Room for a request of `bytes` bytes, kept while the permit lives.
    pub(super) async fn admit_request(&self, bytes: usize) -> OwnedSemaphorePermit {
        acquire(&self.requests, bytes).await
    }

    /// Room for `bytes` bytes of fetched batches: of its connection's share first, so that one whose
    /// client does not read waits by itself.
    pub async fn admit_response(&self, share: &AnswerShare, bytes: usize) -> AnswerRoom {
        let connection = acquire(&share.0, bytes).await;
        AnswerRoom { connection, shard: acquire(&self.responses, bytes).await }
    }

    /// Begins to stop: no new connections, no new requests.
    pub fn stop(&self) {
        self.is_stopping.set(true);
        self.stopping.notify_waiters();
        self.watched.borrow().values().for_each(|watched| watched.closer.close_reading());
    }

    /// Whether stopping has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Resolves when stopping has begun.
    pub async fn stopping(&self) {
        let notified = self.stopping.notified();
        if !self.is_stopping.get() {
            notified.await;
        }
    }

    /// Resolves when the last connection has ended.
    pub async fn finished(&self) {
        loop {
            let gone = self.gone.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Closes connections that take too long. Does not return before the shard stops.
    pub(super) async fn sweep(shard: Rc<crate::shard::Shard>) {
        let sessions = &shard.sessions;
        loop {
            runtime::sleep(SWEEP).await;
            let now = runtime::now();
            for watched in sessions.watched.borrow().values() {
                if watched.is_expired(now) {
                    shard.stats.connections_expired.add(1);
                    watched.closer.close();
                }
            }
        }
    }
}

/// Waits for a part of a budget. What is larger than the whole budget gets all of it.
pub(super) async fn acquire(budget: &Arc<Semaphore>, bytes: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(bytes.min(SHARD_BYTES_MAX)).unwrap_or(u32::MAX);
    let permit = Arc::clone(budget).acquire_many_owned(permits).await;
    permit.unwrap_or_else(|_| unreachable!("budgets are never closed"))
}
