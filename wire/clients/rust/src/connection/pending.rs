//! The requests of one connection that wait for their answers, by correlation id.
//!
//! Invariants: an id is in use at most once; after `close` every waiter has been told why, and no
//! request is taken any more. The high bit of an id marks a request that expects no answer
//! (`acks=none`): its id is never in the table, and an answer to it is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringspool_wire::{Api, Response};
use tokio::sync::oneshot;

use super::error::ConnectionError;

/// Set in the correlation id of requests that expect no answer.
pub(super) const UNANSWERED: u32 = 1 << 31;

/// What a waiting request gets.
pub(super) type Answer = Result<Response, ConnectionError>;

struct Waiter {
    api: Api,
    answer: oneshot::Sender<Answer>,
}

struct Table {
    next: u32,
    waiters: HashMap<u32, Waiter>,
    closed: Option<ConnectionError>,
}

/// The table. Locked for a few instructions at a time, never across an await.
pub(super) struct Pending {
    table: Mutex<Table>,
}

/// A place in the table.
pub(super) struct Ticket {
    pub(super) correlation: u32,
    pub(super) answer: oneshot::Receiver<Answer>,
    /// No other request waits: nothing to put together with this one.
    pub(super) alone: bool,
}

/// Why an answer fits no request.
pub(super) enum Unmatched {
    Unknown,
    OtherApi(Api),
}

impl Pending {
    pub(super) fn new() -> Self {
        let table = Table { next: 1, waiters: HashMap::new(), closed: None };
        Pending { table: Mutex::new(table) }
    }

    /// Takes a place for an answered request, or says why the connection ended.
    pub(super) fn insert(&self, api: Api) -> Result<Ticket, ConnectionError> {
        let mut table = self.lock();
        if let Some(closed) = &table.closed {
            return Err(closed.clone());
        }
        let correlation = table.next_correlation();
        let alone = table.waiters.is_empty();
        let (sender, receiver) = oneshot::channel();
        table.waiters.insert(correlation, Waiter { api, answer: sender });
        Ok(Ticket { correlation, answer: receiver, alone })
    }

    /// An id for a request that expects no answer.
    pub(super) fn unanswered(&self) -> Result<u32, ConnectionError> {
        let mut table = self.lock();
        match &table.closed {
            Some(closed) => Err(closed.clone()),
            None => Ok(table.next_correlation() | UNANSWERED),
        }
    }

    /// The api of the request that an answer is for.
    pub(super) fn api_of(&self, correlation: u32, answered: u8) -> Result<Api, Unmatched> {
        match self.lock().waiters.get(&correlation) {
            None => Err(Unmatched::Unknown),
            Some(waiter) if waiter.api as u8 != answered => Err(Unmatched::OtherApi(waiter.api)),
            Some(waiter) => Ok(waiter.api),
        }
    }

    /// Hands an answer to its request. A request whose caller went away takes it silently.
    pub(super) fn answer(&self, correlation: u32, response: Response) {
        let waiter = self.lock().waiters.remove(&correlation);
        if let Some(waiter) = waiter {
            // The receiver is gone when the caller dropped its future: nobody wants the answer.
            let _ = waiter.answer.send(Ok(response));
        }
    }

    /// Gives a place back whose request was not sent.
    pub(super) fn cancel(&self, correlation: u32) {
        self.lock().waiters.remove(&correlation);
    }

    /// Ends the connection: tells every waiter why. The first reason stays.
    pub(super) fn close(&self, reason: ConnectionError) {
        let waiters = {
            let mut table = self.lock();
            if table.closed.is_none() {
                table.closed = Some(reason.clone());
            }
            std::mem::take(&mut table.waiters)
        };
        for waiter in waiters.into_values() {
            let _ = waiter.answer.send(Err(reason.clone()));
        }
    }

    /// Why the connection ended, if it did.
    pub(super) fn closed(&self) -> Option<ConnectionError> {
        self.lock().closed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_correlation(&mut self) -> u32 {
        loop {
            let correlation = self.next;
            self.next = (self.next + 1) & !UNANSWERED;
            if !self.waiters.contains_key(&correlation) {
                return correlation;
            }
        }
    }
}
