//! What the dispatcher keeps of one shard of one node: the connection, the partitions that have
//! something ready for it, and the requests that are being encoded, in the order they will be sent.

use std::collections::VecDeque;

use super::super::batch::Batch;
use crate::backoff::Backoff;
use crate::cluster::Endpoint;
use crate::connection::Connection;

/// A batch in a request, with the dispatcher's number of its partition.
pub(super) type Part = (usize, Batch);

/// A request whose batches are being compressed on another thread.
pub(super) struct Encoding {
    pub(super) number: u64,
    pub(super) done: Option<Vec<super::Encoded>>,
}

pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    pub(super) connection: Option<Connection>,
    pub(super) opening: bool,
    /// Partitions with a batch to send, first come first served.
    pub(super) line: VecDeque<usize>,
    /// Requests that are being encoded, or wait for their answer.
    pub(super) in_flight: usize,
    /// They are sent in this order, whichever is ready first.
    pub(super) encoding: VecDeque<Encoding>,
    pub(super) next_encoding: u64,
    pub(super) backoff: Backoff,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Link {
            endpoint,
            connection: None,
            opening: false,
            line: VecDeque::new(),
            in_flight: 0,
            encoding: VecDeque::new(),
            next_encoding: 0,
            backoff: Backoff::default(),
        }
    }

    /// The connection, if it is open.
    pub(super) fn open(&mut self) -> Option<Connection> {
        self.connection.take_if(|connection| connection.is_closed());
        self.connection.clone()
    }
}
