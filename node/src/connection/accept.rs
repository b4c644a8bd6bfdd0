//! The listener's loop and the handshake.
//!
//! The first request is Hello. It names the shard the client wants: if that is another one, the
//! socket moves there with all that was read of it, and only that shard answers.

use super::frames::{Frames, ReadFrameError};
use super::session;
use super::sessions::{Registration, Sessions, Watched};
use crate::io::{BoundListener, Stream, StreamWriter, runtime};
use crate::limits::CONNECTION_BYTES_MAX;
use crate::shard::Shard;
use crate::shard::mailbox::Message;
use bytes::BytesMut;
use ringspool_wire::{
    ANY_SHARD, Api, BATCH_BYTES_MAX, ErrorCode, ErrorResponse, FRAME_BYTES_MAX, Frame, FrameHeader,
    HelloRequest, HelloResponse, Request, Response, VERSION_MAX, VERSION_MIN, negotiate,
};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// How long to wait after a failed accept: usually all descriptors are in use.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A connection on its way to the shard it asked for.
pub struct HandedOver {
    socket: OwnedFd,
    read_ahead: BytesMut,
    hello: HelloRequest,
    correlation: u32,
}

/// Accepts connections until the shard stops.
pub async fn accept(shard: Rc<Shard>, listener: BoundListener) {
    drop(runtime::spawn(Sessions::sweep(Rc::clone(&shard))));
    let listener = listener.attach();
    loop {
        let accepted = std::pin::pin!(listener.accept());
        let stopping = std::pin::pin!(shard.sessions.stopping());
        let accepted = match futures::future::select(accepted, stopping).await {
            futures::future::Either::Left((accepted, _)) => accepted,
            futures::future::Either::Right(_) => return,
        };
        match accepted {
            Ok(stream) => {
                shard.stats.connections_accepted.add(1);
                let shard = Rc::clone(&shard);
                drop(runtime::spawn(async move {
                    if let Err(error) = greet(&shard, stream).await {
                        tracing::debug!(%error, "a connection ended before its handshake");
                    }
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                runtime::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Takes over a connection that another shard accepted.
pub fn adopt(shard: &Rc<Shard>, handed: HandedOver) {
    let shard = Rc::clone(shard);
    drop(runtime::spawn(async move {
        let HandedOver { socket, read_ahead, hello, correlation } = handed;
        if let Err(error) = take_over(&shard, socket, read_ahead, &hello, correlation).await {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }));
}

async fn take_over(
    shard: &Rc<Shard>,
    socket: OwnedFd,
    read_ahead: BytesMut,
    hello: &HelloRequest,
    correlation: u32,
) -> io::Result<()> {
    let stream = Stream::attach(socket);
    let Some((watched, registration)) = Sessions::register(shard, stream.closer()?) else {
        return Ok(());
    };
    let (reader, writer) = stream.split()?;
    let frames = Frames::new(reader, read_ahead);
    welcome(shard, frames, writer, watched, registration, hello, correlation).await
}

/// Reads the Hello of a fresh connection.
async fn greet(shard: &Rc<Shard>, stream: Stream) -> io::Result<()> {
    let Some((watched, registration)) = Sessions::register(shard, stream.closer()?) else {
        return Ok(());
    };
    let (reader, mut writer) = stream.split()?;
    let mut frames = Frames::new(reader, BytesMut::new());
    let (hello, correlation) = match read_hello(&mut frames).await {
        Ok(Some(hello)) => hello,
        Ok(None) => return Ok(()),
        Err(Refusal::Io(error)) => return Err(error),
        Err(Refusal::Frame(frame)) => {
            shard.stats.malformed_frames.add(1);
            return session::write_frame(&mut writer, &frame).await;
        }
    };
    let wanted = hello.shard;
    if wanted == ANY_SHARD || wanted == shard.id {
        return welcome(shard, frames, writer, watched, registration, &hello, correlation).await;
    }
    if wanted >= shard.shards {
        let text = format!("this node has shards 0 to {}, not {wanted}", shard.shards - 1);
        let error = ErrorResponse::new(ErrorCode::MalformedMessage, text);
        let frame = error.encode(Api::Hello as u8, correlation);
        return session::write_frame(&mut writer, &frame).await;
    }
    shard.stats.connections_handed_over.add(1);
    let (reader, read_ahead) = frames.into_parts();
    let socket = reader.detach()?;
    let handed = HandedOver { socket, read_ahead, hello, correlation };
    // A shard that has stopped drops the socket, which tells the client.
    let _ = shard.mailboxes.send(wanted, Message::Connection(handed)).await;
    Ok(())
}

/// Why a first frame is not answered with a welcome.
enum Refusal {
    Io(io::Error),
    Frame(Frame),
}

async fn read_hello(frames: &mut Frames) -> Result<Option<(HelloRequest, u32)>, Refusal> {
    let refuse = |code, text: &str, api: u8, correlation: u32| {
        let error = ErrorResponse::new(code, text);
        Refusal::Frame(error.encode(api, correlation))
    };
    if !frames.begin().await.map_err(Refusal::Io)? {
        return Ok(None);
    }
    let header = match frames.header().await {
        Ok(header) => header,
        Err(ReadFrameError::Io(error)) => return Err(Refusal::Io(error)),
        Err(ReadFrameError::Frame { error, api, correlation }) => {
            return Err(refuse(error.code(), &error.to_string(), api, correlation));
        }
    };
    let (api, correlation) = (header.api, header.correlation);
    if !(VERSION_MIN..=VERSION_MAX).contains(&header.version) {
        return Err(Refusal::Frame(unsupported_version(&header)));
    }
    if header.api != Api::Hello as u8 || header.is_response() {
        let text = "the first request of a connection must be Hello";
        return Err(refuse(ErrorCode::HelloRequired, text, api, correlation));
    }
    let body = match frames.body(header.body_bytes()).await {
        Ok(body) => body,
        Err(ReadFrameError::Io(error)) => return Err(Refusal::Io(error)),
        Err(ReadFrameError::Frame { error, .. }) => {
            return Err(refuse(error.code(), &error.to_string(), api, correlation));
        }
    };
    match Request::decode(&header, body) {
        Ok(Request::Hello(hello)) => {
            if negotiate(hello.version_min, hello.version_max).is_none() {
                return Err(Refusal::Frame(unsupported_version(&header)));
            }
            Ok(Some((hello, header.correlation)))
        }
        Ok(_) => unreachable!("the header says that it is a Hello"),
        Err(error) => {
            Err(refuse(ErrorCode::MalformedMessage, &error.to_string(), api, correlation))
        }
    }
}

/// The error frame that names the versions this node speaks.
pub(super) fn unsupported_version(header: &FrameHeader) -> Frame {
    let text = format!("this node speaks versions {VERSION_MIN} to {VERSION_MAX}");
    let mut error = ErrorResponse::new(ErrorCode::UnsupportedVersion, text);
    error.version_min = VERSION_MIN;
    error.version_max = VERSION_MAX;
    error.encode(header.api, header.correlation)
}

/// Answers the Hello and serves the connection until it ends.
async fn welcome(
    shard: &Rc<Shard>,
    frames: Frames,
    mut writer: StreamWriter,
    watched: Rc<Watched>,
    registration: Registration,
    hello: &HelloRequest,
    correlation: u32,
) -> io::Result<()> {
    let Some(version) = negotiate(hello.version_min, hello.version_max) else { return Ok(()) };
    let response = Response::Hello(HelloResponse {
        version,
        node_id: shard.identity.node_id,
        cluster_id: shard.identity.cluster_id.to_string(),
        shard: shard.id,
        shards: shard.shards,
        apis: Api::numbers(),
        frame_bytes_max: FRAME_BYTES_MAX,
        batch_bytes_max: BATCH_BYTES_MAX,
        in_flight_bytes_max: u32::try_from(CONNECTION_BYTES_MAX).unwrap_or(u32::MAX),
    });
    session::write_frame(&mut writer, &response.encode(Api::Hello, correlation)).await?;
    watched.frame_ends();
    let served = session::serve(shard, frames, writer, &watched).await;
    drop(registration);
    served
}
