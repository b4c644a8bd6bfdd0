//! The two halves of a connection, in one task.
//!
//! The reading half takes a frame when there is room for it, lets the request in, and passes what
//! will become the response to the writing half, which sends responses as they finish, as many in
//! one write as are ready.

use super::accept::unsupported_version;
use super::dispatch::{Answer, dispatch};
use super::frames::{Frames, ReadFrameError};
use super::sessions::{AnswerShare, Watched, acquire};
use crate::io::{StreamWriter, runtime};
use crate::limits::{CONNECTION_BYTES_MAX, CONNECTION_REQUESTS_MAX, SOCKET_WRITE_BYTES};
use crate::shard::Shard;
use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use ringspool_wire::{
    Api, ErrorCode, ErrorResponse, Frame, FrameHeader, HEADER_BYTES, Request, VERSION_MAX,
    VERSION_MIN,
};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A request being carried out; resolves to its response, if it gets one.
type Pending = LocalBoxFuture<'static, Finished>;

/// A response to send, and the room its request and itself take up.
struct Finished {
    answer: Answer,
    _room: Room,
}

/// Parts of the connection's and the shard's budgets.
struct Room {
    _connection: OwnedSemaphorePermit,
    _shard: OwnedSemaphorePermit,
}

/// Serves a connection after its handshake until it ends.
pub(super) async fn serve(
    shard: &Rc<Shard>,
    frames: Frames,
    writer: StreamWriter,
    watched: &Rc<Watched>,
) -> io::Result<()> {
    let (pending_tx, pending_rx) = mpsc::channel(CONNECTION_REQUESTS_MAX);
    let reading = read_requests(shard, frames, watched, pending_tx);
    let writing = write_responses(shard, writer, watched, pending_rx);
    let (reading, writing) = (std::pin::pin!(reading), std::pin::pin!(writing));
    match select(reading, writing).await {
        // No more requests: what is in flight is still answered.
        Either::Left((read, writing)) => {
            let written = writing.await;
            read.and(written)
        }
        Either::Right((written, _)) => written,
    }
}

async fn read_requests(
    shard: &Rc<Shard>,
    mut frames: Frames,
    watched: &Rc<Watched>,
    pending: mpsc::Sender<Pending>,
) -> io::Result<()> {
    let budget = Arc::new(Semaphore::new(CONNECTION_BYTES_MAX));
    let share = AnswerShare::default();
    while frames.begin().await? {
        crate::io::note_activity();
        watched.frame_begins();
        let header = match frames.header().await {
            Ok(header) => header,
            Err(ReadFrameError::Io(error)) => return Err(error),
            Err(ReadFrameError::Frame { error, api, correlation }) => {
                shard.stats.malformed_frames.add(1);
                let error = ErrorResponse::new(error.code(), error.to_string());
                let room = room(shard, &budget, HEADER_BYTES).await;
                let answer = Answer::frame(error.encode(api, correlation));
                // The writing half ends with the connection; either way nothing more is read.
                let finished = Finished { answer, _room: room };
                drop(pending.send(std::future::ready(finished).boxed_local()).await);
                return Ok(());
            }
        };
        // Room is for bytes that come: a header with nothing behind it takes none from others.
        frames.body_begins(header.body_bytes()).await?;
        // The time to wait for room is the node's, not the client's.
        watched.frame_ends();
        let room = room(shard, &budget, HEADER_BYTES + header.body_bytes()).await;
        watched.frame_begins();
        let body = match frames.body(header.body_bytes()).await {
            Ok(body) => body,
            Err(ReadFrameError::Io(error)) => return Err(error),
            Err(ReadFrameError::Frame { error, .. }) => return Err(io::Error::other(error)),
        };
        watched.frame_ends();
        let started = runtime::now();
        let answer = match check(&header) {
            Some(refusal) => std::future::ready(Answer::frame(refusal)).boxed_local(),
            None => match Request::decode(&header, body) {
                Ok(request) => dispatch(shard, &header, request, &share).await,
                Err(error) => {
                    let error = ErrorResponse::new(ErrorCode::MalformedMessage, error.to_string());
                    let frame = error.encode(header.api, header.correlation);
                    std::future::ready(Answer::frame(frame)).boxed_local()
                }
            },
        };
        watched.in_flight.set(watched.in_flight.get() + 1);
        let (shard, api) = (Rc::clone(shard), header.api);
        let finished = async move {
            let answer = answer.await;
            shard.stats.request(api);
            if answer.is_error() {
                shard.stats.request_errors.add(1);
            }
            if api != Api::Fetch as u8 {
                // A fetch may wait for data as long as it was asked to.
                shard.stats.request_latency(started.elapsed());
            }
            Finished { answer, _room: room }
        };
        if pending.send(finished.boxed_local()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn room(shard: &Shard, budget: &Arc<Semaphore>, bytes: usize) -> Room {
    Room {
        _connection: acquire(budget, bytes).await,
        _shard: shard.sessions.admit_request(bytes).await,
    }
}

/// The refusal of a frame that is well formed but cannot be served.
fn check(header: &FrameHeader) -> Option<Frame> {
    if !(VERSION_MIN..=VERSION_MAX).contains(&header.version) {
        return Some(unsupported_version(header));
    }
    if header.is_response() || header.is_error() {
        let error = ErrorResponse::new(ErrorCode::MalformedFrame, "this node takes only requests");
        return Some(error.encode(header.api, header.correlation));
    }
    if Api::try_from(header.api).is_err() {
        let text = format!("api {} is not known here", header.api);
        let mut error = ErrorResponse::new(ErrorCode::UnsupportedApi, text);
        error.apis = Api::numbers();
        return Some(error.encode(header.api, header.correlation));
    }
    None
}

async fn write_responses(
    shard: &Rc<Shard>,
    mut writer: StreamWriter,
    watched: &Rc<Watched>,
    mut pending: mpsc::Receiver<Pending>,
) -> io::Result<()> {
    let mut in_flight = FuturesUnordered::new();
    let mut is_open = true;
    let mut out = Vec::new();
    while is_open || !in_flight.is_empty() {
        next_finished(&mut pending, &mut in_flight, &mut is_open, &mut out).await;
        gather(&mut pending, &mut in_flight, &mut out);
        if out.is_empty() {
            continue;
        }
        watched.write_begins();
        let answered = out.len();
        write_all(&mut writer, &out).await?;
        // Frees the room of what was sent.
        out.clear();
        watched.in_flight.set(watched.in_flight.get().saturating_sub(answered));
        watched.write_ends();
    }
    tracing::trace!(shard = shard.id, "a connection is done");
    writer.finish().await
}

/// Waits for a response, or for another request to wait for.
async fn next_finished(
    pending: &mut mpsc::Receiver<Pending>,
    in_flight: &mut FuturesUnordered<Pending>,
    is_open: &mut bool,
    out: &mut Vec<Finished>,
) {
    if !*is_open {
        out.extend(in_flight.next().await);
        return;
    }
    if in_flight.is_empty() {
        match pending.recv().await {
            Some(request) => in_flight.push(request),
            None => *is_open = false,
        }
        return;
    }
    let request = std::pin::pin!(pending.recv());
    match select(in_flight.next(), request).await {
        Either::Left((finished, _)) => out.extend(finished),
        Either::Right((Some(request), _)) => in_flight.push(request),
        Either::Right((None, _)) => *is_open = false,
    }
}

/// Takes whatever else is ready, up to the size of one write.
fn gather(
    pending: &mut mpsc::Receiver<Pending>,
    in_flight: &mut FuturesUnordered<Pending>,
    out: &mut Vec<Finished>,
) {
    let mut bytes: usize = out.iter().map(|finished| finished.answer.bytes()).sum();
    while bytes < SOCKET_WRITE_BYTES {
        while let Ok(request) = pending.try_recv() {
            in_flight.push(request);
        }
        let Some(Some(finished)) = in_flight.next().now_or_never() else { return };
        bytes += finished.answer.bytes();
        out.push(finished);
    }
}

/// Writes responses; small pieces together, large ones by themselves.
async fn write_all(writer: &mut StreamWriter, out: &[Finished]) -> io::Result<()> {
    let pieces = out.iter().flat_map(|finished| finished.answer.pieces());
    let mut small: Vec<u8> = Vec::new();
    for piece in pieces {
        if small.len() + piece.len() <= SOCKET_WRITE_BYTES {
            small.extend_from_slice(piece);
            continue;
        }
        if !small.is_empty() {
            writer.write_all(&small).await?;
            small.clear();
        }
        if piece.len() > SOCKET_WRITE_BYTES / 2 {
            writer.write_all(piece).await?;
        } else {
            small.extend_from_slice(piece);
        }
    }
    if !small.is_empty() {
        writer.write_all(&small).await?;
    }
    Ok(())
}

/// Writes one frame.
pub(super) async fn write_frame(writer: &mut StreamWriter, frame: &Frame) -> io::Result<()> {
    writer.write_all(&frame.head).await?;
    for piece in &frame.attachment {
        writer.write_all(piece).await?;
    }
    Ok(())
}
