//! The errors a node can answer: a number for programs, a text for people.
//!
//! Numbers are never reused and never change meaning. A number this crate does not know (from a
//! newer node) reads as [`ErrorCode::Unknown`]. `docs/protocol.md` says how to mend each.

use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retriable:literal;)*) => {
        /// What went wrong, as the wire says it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $number,)* }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code of a number; [`ErrorCode::Unknown`] for numbers this crate does not know.
            pub fn from_u16(number: u16) -> Self {
                match number { $($number => ErrorCode::$name,)* _ => ErrorCode::Unknown }
            }

            /// The name as the documentation and log lines spell it.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// Whether the same request can succeed later, unchanged, perhaps at another node.
            pub fn is_retriable(self) -> bool {
                match self { $(ErrorCode::$name => $retriable,)* }
            }
        }
    };
}

error_codes! {
    /// No error.
    #[default]
    None = 0, false;
    /// A code this version does not know; the message says more.
    Unknown = 1, false;
    /// The frame's version, or every version Hello offered, is not spoken here.
    UnsupportedVersion = 2, false;
    /// The frame's api is not served here.
    UnsupportedApi = 3, false;
    /// The bytes are not a frame; the connection is closed after this.
    MalformedFrame = 4, false;
    /// The frame, its message, or the answer to it is larger than allowed.
    FrameTooLarge = 5, false;
    /// The message does not decode, or one of its values is out of its range.
    MalformedMessage = 6, false;
    /// The first request of a connection was not Hello.
    HelloRequired = 7, false;
    /// No topic has this name or id.
    UnknownTopic = 8, false;
    /// The topic has no partition of this number.
    UnknownPartition = 9, false;
    /// A topic of this name exists already.
    TopicExists = 10, false;
    /// The name is empty, too long, or has characters that are not allowed.
    InvalidTopicName = 11, false;
    /// A setting is not known, or its value is out of range.
    InvalidSetting = 12, false;
    /// The number of partitions is zero or too large.
    InvalidPartitions = 13, false;
    /// The number of replicas is zero or more than there are nodes.
    InvalidReplicas = 14, false;
    /// The batch's CRC does not match its bytes. Sent again, undamaged, it can succeed.
    CorruptBatch = 15, true;
    /// The batch is larger than the topic allows.
    BatchTooLarge = 16, false;
    /// The batch's header contradicts itself or is of an unknown version.
    InvalidBatch = 17, false;
    /// The batch's sequence is neither the next one nor a recent one.
    OutOfSequence = 18, false;
    /// A producer with the same id and a newer epoch has taken over.
    FencedProducer = 19, false;
    /// The producer id was never given out, or its state has expired.
    UnknownProducer = 20, false;
    /// The offset is below the log start offset or past the high watermark.
    OffsetOutOfRange = 21, false;
    /// Another node leads this partition; the metadata is out of date.
    NotLeader = 22, true;
    /// The node is starting, or the partition is being recovered.
    NotReady = 23, true;
    /// A budget of the node is used up.
    Overloaded = 24, true;
    /// The disk is full; nothing was written.
    OutOfSpace = 25, true;
    /// The stored bytes are damaged, and are not served.
    DamagedData = 26, false;
    /// The request's own time limit ran out; whether it took effect is not known.
    Timeout = 27, true;
    /// The node is shutting down.
    ShuttingDown = 28, true;
    /// Fewer replicas than a majority can be reached.
    NoQuorum = 29, true;
    /// A fault in the node; its log says more.
    Internal = 30, false;
    /// The topic would have more partitions than the node can carry.
    TooManyPartitions = 31, false;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error a node answered, for a whole request or for one part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, to what, and how to mend it.
    pub message: String,
}

impl ApiError {
    /// An error of `code`, which is not [`ErrorCode::None`].
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError { code, message: message.into() }
    }

    /// Whether the same request can succeed later; see [`ErrorCode::is_retriable`].
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }

    /// The number that goes on the wire. An error must not read as success at the other end, so
    /// one that was made with `None` goes out as `Unknown`.
    pub(crate) fn number(&self) -> u16 {
        match self.code {
            ErrorCode::None => ErrorCode::Unknown as u16,
            code => code as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_map_to_each_other() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(*code as u16 as usize, index, "{code} keeps its number, without gaps");
            assert_eq!(ErrorCode::from_u16(*code as u16), *code);
        }
        assert_eq!(ErrorCode::from_u16(32), ErrorCode::Unknown);
        assert_eq!(ErrorCode::from_u16(u16::MAX), ErrorCode::Unknown);
    }

    #[test]
    fn an_error_never_goes_out_as_success() {
        assert_eq!(ApiError::new(ErrorCode::None, "").number(), ErrorCode::Unknown as u16);
        assert_eq!(ApiError::new(ErrorCode::Timeout, "").number(), 27);
    }

    #[test]
    fn what_depends_on_the_moment_is_retriable_and_what_depends_on_the_request_is_not() {
        use ErrorCode::*;
        for code in [NotLeader, NotReady, Overloaded, Timeout, ShuttingDown, NoQuorum] {
            assert!(code.is_retriable(), "{code}");
        }
        for code in [UnknownTopic, BatchTooLarge, FencedProducer, OffsetOutOfRange, Internal] {
            assert!(!code.is_retriable(), "{code}");
        }
    }
}
