//! One TCP connection to one shard of one node.
//!
//! ```text
//!  start() ──> pending (correlation id -> waiter) ──> outbox ──> writer task ──> socket
//!  answer  <── pending                            <────────────  reader task <── socket
//! ```
//!
//! Requests are pipelined and answered in any order. Invariants: requests enter the socket in the
//! order of the calls to [`Connection::start`], which does not wait; the first fault ends the
//! connection and every request on it with the same reason; a request without an answer at its
//! deadline is such a fault. Dropping the last handle ends both tasks.
//!
//! `start` itself takes any number of requests: who calls it bounds them (the producer by
//! `in_flight_max`, the consumer by one fetch per shard); [`Connection::request`], which everything
//! else uses, waits for one of [`IN_FLIGHT_MAX`] places.

pub(crate) mod error;
mod handshake;
mod outbox;
mod pending;
mod reader;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{Api, HelloResponse, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

pub(crate) use error::{ConnectionError, RequestError, human};
use outbox::Outbox;
use pending::{Answer, Pending};

/// Requests that [`Connection::request`] keeps in flight on one connection.
const IN_FLIGHT_MAX: usize = 256;

/// What to say in Hello, and how long to wait for the answer.
#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) client_name: Arc<str>,
    pub(crate) connect_timeout: Duration,
}

struct Shared {
    address: Arc<str>,
    socket: TcpStream,
    pending: Pending,
    outbox: Outbox,
}

struct Handle {
    shared: Arc<Shared>,
    hello: HelloResponse,
    permits: Semaphore,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
        let address = self.shared.address.clone();
        self.shared.close(ConnectionError::ClosedHere { address });
    }
}

/// A session with a shard. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    handle: Arc<Handle>,
}

impl Connection {
    /// Connects, greets, and starts the tasks of the connection.
    pub(crate) async fn open(
        address: Arc<str>,
        shard: u16,
        options: &ConnectOptions,
    ) -> Result<Connection, ConnectionError> {
        let (socket, frames, hello) = handshake::open(&address, shard, options).await?;
        tracing::debug!(%address, shard, node = hello.node_id, "connected");
        let shared =
            Arc::new(Shared { address, socket, pending: Pending::new(), outbox: Outbox::new() });
        let task = tokio::spawn(drive(shared.clone(), frames)).abort_handle();
        let permits = Semaphore::new(IN_FLIGHT_MAX);
        Ok(Connection { handle: Arc::new(Handle { shared, hello, permits, task }) })
    }

    /// What the node said of itself.
    pub(crate) fn hello(&self) -> &HelloResponse {
        &self.handle.hello
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.shared.pending.closed().is_some()
    }

    /// Puts a request in line, now, and gives the future of its answer. Requests are written in
    /// the order of these calls. Dropping the future does not take the request back.
    pub(crate) fn start(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + use<> {
        let api = request.api();
        let started = self.handle.shared.start(request);
        let deadline = Instant::now() + timeout;
        let connection = self.clone();
        async move {
            let shared = &connection.handle.shared;
            let answer = started?;
            let answer = match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                // The table drops a waiter only when it is dropped itself.
                Ok(Err(_)) => Err(ConnectionError::ClosedHere { address: shared.address.clone() }),
                Err(_) => {
                    let address = shared.address.clone();
                    let error = ConnectionError::RequestTimeout { address, api, timeout };
                    shared.close(error.clone());
                    connection.handle.task.abort();
                    Err(error)
                }
            };
            match answer {
                Ok(Response::Error(error)) => {
                    let address = shared.address.clone();
                    Err(RequestError::Refused { address, api, source: error.into() })
                }
                Ok(response) => Ok(response),
                Err(error) => Err(RequestError::Lost(error, api)),
            }
        }
    }

    /// Puts a request that expects no answer in line; the future ends when it is in the socket.
    pub(crate) fn start_unanswered(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let api = request.api();
        let shared = self.handle.shared.clone();
        let written = shared.start_unanswered(request);
        let deadline = Instant::now() + timeout;
        let connection = self.clone();
        async move {
            let written = written?;
            let address = || connection.handle.shared.address.clone();
            match timeout_at(deadline, written).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => {
                    let closed = connection.handle.shared.pending.closed();
                    let closed = closed
                        .unwrap_or_else(|| ConnectionError::ClosedHere { address: address() });
                    Err(RequestError::Lost(closed, api))
                }
                Err(_) => {
                    let error =
                        ConnectionError::RequestTimeout { address: address(), api, timeout };
                    connection.handle.shared.close(error.clone());
                    connection.handle.task.abort();
                    Err(RequestError::Lost(error, api))
                }
            }
        }
    }

    /// Sends a request when there is room for it, and waits for its answer.
    pub(crate) async fn request(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, RequestError> {
        // The semaphore is never closed, so acquiring cannot fail.
        let _permit = self.handle.permits.acquire().await;
        self.start(request, timeout).await
    }

    /// The error for an answer of the wrong kind, which the codec should have made impossible.
    pub(crate) fn unexpected(&self, api: Api) -> RequestError {
        let address = self.handle.shared.address.clone();
        let detail = format!("an answer that does not belong to {api}").into();
        RequestError::Lost(ConnectionError::Malformed { address, detail }, api)
    }
}

impl Shared {
    /// Tells every waiter, in the table first: who waits for a mark asks there for the reason.
    fn close(&self, reason: ConnectionError) {
        self.pending.close(reason);
        self.outbox.close();
    }

    fn start(&self, request: &Request) -> Result<oneshot::Receiver<Answer>, RequestError> {
        let ticket = self.pending.insert(request.api()).map_err(RequestError::NotSent)?;
        let frame = match request.try_encode(ticket.correlation) {
            Ok(frame) => frame,
            Err(error) => {
                self.pending.cancel(ticket.correlation);
                return Err(RequestError::TooLarge(error, request.api()));
            }
        };
        self.outbox.push(frame, ticket.alone.then_some(&self.socket));
        Ok(ticket.answer)
    }

    fn start_unanswered(&self, request: &Request) -> Result<oneshot::Receiver<()>, RequestError> {
        let correlation = self.pending.unanswered().map_err(RequestError::NotSent)?;
        let frame = request
            .try_encode(correlation)
            .map_err(|error| RequestError::TooLarge(error, request.api()))?;
        Ok(self.outbox.push_marked(frame))
    }
}

/// Reads and writes until one of both fails, then tells every waiter why.
async fn drive(shared: Arc<Shared>, frames: reader::FrameReader) {
    let writer = {
        let shared = shared.clone();
        tokio::spawn(async move { shared.outbox.write_loop(&shared.socket).await })
    };
    let mut writer = AbortOnDrop(writer);
    let reason = tokio::select! {
        reason = reader::read_loop(frames, &shared.socket, &shared.pending) => reason,
        ended = &mut writer.0 => {
            let source = ended.unwrap_or_else(std::io::Error::other);
            ConnectionError::Broken { address: shared.address.clone(), source: Arc::new(source) }
        }
    };
    tracing::debug!(address = %shared.address, %reason, "connection ended");
    shared.close(reason);
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
