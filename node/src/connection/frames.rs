//! Reading frames off a socket.
//!
//! What is there is read in one go, so many small frames cost one system call; a frame larger than
//! the buffer is read straight into memory of its size, which its batches then keep.

use crate::io::StreamReader;
use crate::limits::SOCKET_READ_BYTES;
use bytes::{Bytes, BytesMut};
use ringspool_wire::{FRAME_BYTES_MAX, FrameError, FrameHeader, HEADER_BYTES};
use std::io;

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFrameError {
    /// The connection broke, or ended inside a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not a frame, or one that is too large to be taken or skipped.
    #[error("{error}")]
    Frame {
        /// What is wrong.
        error: FrameError,
        /// The api of a frame that is too large; otherwise 0.
        api: u8,
        /// Its correlation id, so that the client knows which request it was; otherwise 0.
        correlation: u32,
    },
}

/// The reading half of a connection, as frames.
pub(super) struct Frames {
    reader: StreamReader,
    buffer: BytesMut,
}

impl Frames {
    /// Frames of `reader`, the first bytes of which are `buffer`.
    pub(super) fn new(reader: StreamReader, buffer: BytesMut) -> Self {
        Self { reader, buffer }
    }

    /// The reading half and what was read beyond the last frame.
    pub(super) fn into_parts(self) -> (StreamReader, BytesMut) {
        (self.reader, self.buffer)
    }

    /// Whether a part of a frame has been read.
    pub(super) fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Waits for bytes of the next frame; false at the end of the stream.
    pub(super) async fn begin(&mut self) -> io::Result<bool> {
        if self.has_begun() {
            return Ok(true);
        }
        Ok(self.fill().await? > 0)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < HEADER_BYTES {
            self.buffer.reserve(SOCKET_READ_BYTES);
        }
        self.reader.read(&mut self.buffer).await
    }

    /// The next frame's header. To be called after [`Frames::begin`] returned true.
    pub(super) async fn header(&mut self) -> Result<FrameHeader, ReadFrameError> {
        while self.buffer.len() < HEADER_BYTES {
            if self.fill().await? == 0 {
                return Err(cut_off().into());
            }
        }
        let front = self.buffer.split_to(HEADER_BYTES);
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&front);
        FrameHeader::decode(&header, FRAME_BYTES_MAX).map_err(|error| {
            let (api, correlation) = match error {
                FrameError::BadMagic { .. } => (0, 0),
                FrameError::MessageTooLarge { .. } | FrameError::TooLarge { .. } => {
                    let [_, _, _, api, _, _, _, _, c0, c1, c2, c3, ..] = header;
                    (api, u32::from_le_bytes([c0, c1, c2, c3]))
                }
            };
            ReadFrameError::Frame { error, api, correlation }
        })
    }

    /// Waits until the first of the next `bytes` bytes are there: all of a small body, enough of a
    /// large one to see that it really comes.
    pub(super) async fn body_begins(&mut self, bytes: usize) -> io::Result<()> {
        while self.buffer.len() < bytes.min(SOCKET_READ_BYTES / 2) {
            if self.fill().await? == 0 {
                return Err(cut_off());
            }
        }
        Ok(())
    }

    /// The next `bytes` bytes.
    pub(super) async fn body(&mut self, bytes: usize) -> Result<Bytes, ReadFrameError> {
        if self.buffer.len() < bytes && bytes > SOCKET_READ_BYTES / 2 {
            // A buffer of its own, so that what keeps the batch does not keep its neighbours.
            let mut body = BytesMut::with_capacity(bytes);
            body.extend_from_slice(&self.buffer.split());
            while body.len() < bytes {
                if self.reader.read_up_to(&mut body, bytes).await? == 0 {
                    return Err(cut_off().into());
                }
            }
            return Ok(body.freeze());
        }
        while self.buffer.len() < bytes {
            if self.fill().await? == 0 {
                return Err(cut_off().into());
            }
        }
        Ok(self.buffer.split_to(bytes).freeze())
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended inside a frame")
}
