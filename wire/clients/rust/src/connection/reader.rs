//! Reads frames from a socket, and hands answers to the requests they are for.
//!
//! Invariants: the magic and the lengths of a header are checked before anything is allocated for
//! its body; whatever cannot be matched to a request ends the connection, because a stream that
//! lost its place cannot be trusted.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ringspool_wire::{FRAME_BYTES_MAX, FrameError, FrameHeader, HEADER_BYTES, Response};
use tokio::net::TcpStream;

use super::error::ConnectionError;
use super::pending::{Pending, UNANSWERED, Unmatched};

/// What is read at once while frames are small. Larger frames get a buffer of their own size.
const READ_BYTES: usize = 64 << 10;

/// Splits a byte stream into frames.
pub(super) struct FrameReader {
    address: Arc<str>,
    buffer: BytesMut,
}

impl FrameReader {
    pub(super) fn new(address: Arc<str>) -> Self {
        FrameReader { address, buffer: BytesMut::new() }
    }

    /// The next frame: its header, and message and attachment together.
    pub(super) async fn next(
        &mut self,
        socket: &TcpStream,
    ) -> Result<(FrameHeader, Bytes), ConnectionError> {
        let header = loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() {
                break FrameHeader::decode(header, FRAME_BYTES_MAX)
                    .map_err(|error| self.bad_header(&error))?;
            }
            self.fill(socket, READ_BYTES).await?;
        };
        let frame_bytes = HEADER_BYTES + header.body_bytes();
        while self.buffer.len() < frame_bytes {
            let missing = frame_bytes - self.buffer.len();
            self.fill(socket, missing.max(READ_BYTES)).await?;
        }
        let mut frame = self.buffer.split_to(frame_bytes).freeze();
        Ok((header, frame.split_off(HEADER_BYTES)))
    }

    async fn fill(
        &mut self,
        socket: &TcpStream,
        reserve_bytes: usize,
    ) -> Result<(), ConnectionError> {
        self.buffer.reserve(reserve_bytes);
        loop {
            if let Err(error) = socket.readable().await {
                return Err(self.broken(error));
            }
            match socket.try_read_buf(&mut self.buffer) {
                Ok(0) => {
                    return Err(ConnectionError::ClosedByPeer { address: self.address.clone() });
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    fn bad_header(&self, error: &FrameError) -> ConnectionError {
        let address = self.address.clone();
        match error {
            FrameError::BadMagic { .. } => {
                let shown = &self.buffer[..self.buffer.len().min(24)];
                let detail = format!("it sent \"{}\"", shown.escape_ascii()).into();
                ConnectionError::NotRingspool { address, detail }
            }
            error => ConnectionError::Malformed { address, detail: error.to_string().into() },
        }
    }

    fn broken(&self, error: io::Error) -> ConnectionError {
        ConnectionError::Broken { address: self.address.clone(), source: Arc::new(error) }
    }
}

/// Hands answers to `pending` until the connection fails; says why it did.
pub(super) async fn read_loop(
    mut frames: FrameReader,
    socket: &TcpStream,
    pending: &Pending,
) -> ConnectionError {
    loop {
        let (header, body) = match frames.next(socket).await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        let malformed = |detail: String| ConnectionError::Malformed {
            address: frames.address.clone(),
            detail: detail.into(),
        };
        if !header.is_response() {
            return malformed("a request, where only answers are expected".to_owned());
        }
        if header.correlation & UNANSWERED != 0 {
            // An answer to acks=none. The producer has been told "written" already, and that is
            // all it asked for; an error is worth a line in the log.
            if let Ok(Response::Error(error)) = Response::decode(&header, body) {
                tracing::warn!(address = %frames.address, code = %error.code,
                    message = %error.message, "the node refused batches sent with acks=none");
            }
            continue;
        }
        // A frame that cannot be read by the node at all is answered with the api it had.
        if let Err(unmatched) = pending.api_of(header.correlation, header.api) {
            return malformed(match unmatched {
                Unmatched::Unknown => {
                    format!(
                        "an answer to correlation id {}, which was not asked",
                        header.correlation
                    )
                }
                Unmatched::OtherApi(asked) => {
                    format!("an answer of api {} to a {asked} request", header.api)
                }
            });
        }
        match Response::decode(&header, body) {
            Ok(response) => pending.answer(header.correlation, response),
            Err(error) => return malformed(error.to_string()),
        }
    }
}
