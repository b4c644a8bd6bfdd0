//! The frame: what every request and response is sent in.
//!
//! Layout, little endian. The header keeps its shape in every protocol version, so that a frame of
//! an unknown version can still be skipped and answered:
//!
//! ```text
//!  0  magic            u16  0x5352, the bytes "RS"
//!  2  version          u8   protocol version of the message
//!  3  api              u8
//!  4  flags            u8   bit 0 response, bit 1 error (the message is an ErrorResponse)
//!  5  message_bytes    u24
//!  8  correlation      u32  chosen by the client, repeated in the response
//! 12  attachment_bytes u32
//! 16  message (FlatBuffers), then the attachment (record batches, byte for byte)
//! ```
//!
//! Invariant: the magic is checked before a length is believed, and lengths are checked against
//! the cap before anyone allocates for them.

use bytes::Bytes;

use crate::limits::{MESSAGE_BYTES_FIELD_MAX, MESSAGE_BYTES_MAX};

/// Bytes of the frame header.
pub const HEADER_BYTES: usize = 16;

/// The first two bytes of every frame, "RS".
pub const FRAME_MAGIC: u16 = 0x5352;

/// Flag: this frame answers a request.
pub const FLAG_RESPONSE: u8 = 1;

/// Flag: the message is an ErrorResponse, whatever the api.
pub const FLAG_ERROR: u8 = 2;

/// The first 16 bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Protocol version of the message; the caller compares it with what was negotiated.
    pub version: u8,
    /// See [`crate::Api`]; may be one that is not known here.
    pub api: u8,
    /// [`FLAG_RESPONSE`], [`FLAG_ERROR`].
    pub flags: u8,
    /// Length of the message.
    pub message_bytes: u32,
    /// Chosen by the client; the response to a request carries the same.
    pub correlation: u32,
    /// Length of the attachment.
    pub attachment_bytes: u32,
}

impl FrameHeader {
    /// Reads a header whose whole frame may have at most `frame_bytes_max` bytes. Any version and
    /// any api is accepted, since both must be answerable.
    pub fn decode(bytes: &[u8; HEADER_BYTES], frame_bytes_max: u32) -> Result<Self, FrameError> {
        let [m0, m1, version, api, flags, l0, l1, l2, c0, c1, c2, c3, a0, a1, a2, a3] = *bytes;
        let magic = u16::from_le_bytes([m0, m1]);
        if magic != FRAME_MAGIC {
            return Err(FrameError::BadMagic { found: magic });
        }
        let header = FrameHeader {
            version,
            api,
            flags,
            message_bytes: u32::from_le_bytes([l0, l1, l2, 0]),
            correlation: u32::from_le_bytes([c0, c1, c2, c3]),
            attachment_bytes: u32::from_le_bytes([a0, a1, a2, a3]),
        };
        if header.message_bytes > MESSAGE_BYTES_MAX {
            return Err(FrameError::MessageTooLarge {
                bytes: u64::from(header.message_bytes),
                bytes_max: MESSAGE_BYTES_MAX,
            });
        }
        let bytes = HEADER_BYTES as u64
            + u64::from(header.message_bytes)
            + u64::from(header.attachment_bytes);
        if bytes > u64::from(frame_bytes_max) {
            return Err(FrameError::TooLarge { bytes, bytes_max: frame_bytes_max });
        }
        Ok(header)
    }

    /// The 16 bytes of this header.
    ///
    /// # Panics
    ///
    /// If `message_bytes` does not fit into the 24 bits it has.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        assert!(self.message_bytes <= MESSAGE_BYTES_FIELD_MAX, "a message's length has 24 bits");
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..2].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        bytes[2] = self.version;
        bytes[3] = self.api;
        bytes[4] = self.flags;
        bytes[5..8].copy_from_slice(&self.message_bytes.to_le_bytes()[..3]);
        bytes[8..12].copy_from_slice(&self.correlation.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.attachment_bytes.to_le_bytes());
        bytes
    }

    /// Bytes that follow the header: message and attachment.
    pub fn body_bytes(&self) -> usize {
        self.message_bytes as usize + self.attachment_bytes as usize
    }

    /// Whether the frame answers a request.
    pub fn is_response(&self) -> bool {
        self.flags & FLAG_RESPONSE != 0
    }

    /// Whether the message is an ErrorResponse.
    pub fn is_error(&self) -> bool {
        self.flags & FLAG_ERROR != 0
    }
}

/// A frame that is ready to send: `head`, then each slice of `attachment`, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The frame header and the message.
    pub head: Bytes,
    /// The batches, as they were given; never copied.
    pub attachment: Vec<Bytes>,
}

impl Frame {
    /// Bytes on the wire.
    pub fn bytes_total(&self) -> usize {
        self.head.len() + self.attachment.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Why bytes are not a frame, or a message cannot be put into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The connection does not speak this protocol, or has lost its place in the stream.
    #[error(
        "the frame begins with {found:#06x} and not with {FRAME_MAGIC:#06x}: the peer does not \
         speak Ringspool's protocol on this port; check the address and the port"
    )]
    BadMagic {
        /// The first two bytes.
        found: u16,
    },
    /// The message is longer than any may be.
    #[error("the frame's message has {bytes} bytes, at most {bytes_max} are allowed; ask for less")]
    MessageTooLarge {
        /// The length of the message.
        bytes: u64,
        /// [`MESSAGE_BYTES_MAX`].
        bytes_max: u32,
    },
    /// The frame is longer than the receiver takes.
    #[error("the frame has {bytes} bytes, at most {bytes_max} are allowed; send less at once")]
    TooLarge {
        /// The length of the whole frame.
        bytes: u64,
        /// The receiver's limit.
        bytes_max: u32,
    },
}

impl FrameError {
    /// The code to answer with. After [`FrameError::BadMagic`] an answer may not be understood.
    pub fn code(&self) -> crate::ErrorCode {
        match self {
            FrameError::BadMagic { .. } => crate::ErrorCode::MalformedFrame,
            FrameError::MessageTooLarge { .. } | FrameError::TooLarge { .. } => {
                crate::ErrorCode::FrameTooLarge
            }
        }
    }
}
