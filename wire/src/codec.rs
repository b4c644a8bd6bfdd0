//! From an owned message to a frame and back: the only place that builds or verifies FlatBuffers
//! messages.
//!
//! Invariants: every message is verified by a fresh `Verifier` with limits that follow from its
//! length, before anything in it is looked at; `*_unchecked` is never called.

use std::cell::RefCell;

use bytes::Bytes;
use flatbuffers::{
    FlatBufferBuilder, Follow, ForwardsUOffset, InvalidFlatbuffer, Vector, Verifiable,
    VerifierOptions, WIPOffset,
};

use crate::api::{Api, UnknownApi, VERSION_MAX, VERSION_MIN};
use crate::error::ErrorCode;
use crate::frame::{Frame, FrameError, FrameHeader, HEADER_BYTES};
use crate::limits::{
    ERROR_TEXT_BYTES_MAX, MESSAGE_BYTES_MAX, TABLE_BYTES_MIN, TABLE_DEPTH_MAX, TABLES_MAX,
};

/// What messages are built in.
pub(crate) type Builder = FlatBufferBuilder<'static>;
/// A list of tables or strings that was written to the builder.
pub(crate) type Tables<T> = WIPOffset<Vector<'static, ForwardsUOffset<T>>>;
/// A list of strings that was written to the builder.
pub(crate) type Strings = Tables<&'static str>;

/// A builder that has grown past this for one large message is not kept.
const BUILDER_BYTES_KEPT_MAX: usize = 256 << 10;

thread_local! {
    static BUILDER: RefCell<Builder> = RefCell::new(FlatBufferBuilder::with_capacity(1024));
}

/// Why a frame's message cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame is of a protocol version that is not spoken here.
    #[error(
        "protocol version {version} is not spoken here; use one from {VERSION_MIN} to {VERSION_MAX}"
    )]
    UnsupportedVersion {
        /// What the frame said.
        version: u8,
    },
    /// The frame's api is not known.
    #[error(transparent)]
    UnknownApi(#[from] UnknownApi),
    /// A response where a request is expected, or the other way round.
    #[error("{api} frame {correlation} is a {found} where a {expected} is due")]
    WrongDirection {
        /// What the frame said.
        api: u8,
        /// What the frame said.
        correlation: u32,
        /// "request" or "response".
        found: &'static str,
        /// "request" or "response".
        expected: &'static str,
    },
    /// The body is not as long as its header says: a mistake of the caller.
    #[error("the frame's body has {bytes} bytes where its header says {expected}")]
    BodyLength {
        /// What was given.
        bytes: usize,
        /// What the header says.
        expected: usize,
    },
    /// The message is not a valid table of its kind.
    #[error("the message of {table} does not decode: {detail}")]
    Malformed {
        /// The schema's name of the table.
        table: &'static str,
        /// What the verifier found.
        detail: String,
    },
    /// A list is longer than allowed.
    #[error("{list} has {count} entries, at most {count_max} are allowed; send several requests")]
    TooMany {
        /// The schema's name of the list.
        list: &'static str,
        /// Entries in the message.
        count: usize,
        /// Entries allowed.
        count_max: usize,
    },
    /// A value is outside what the field can mean.
    #[error("{field} is {value}, which means nothing")]
    OutOfRange {
        /// The schema's name of the field.
        field: &'static str,
        /// What it was.
        value: u64,
    },
    /// The parts do not add up to the attachment.
    #[error(
        "the parts of the message take {parts_bytes} bytes of attachment, the frame has \
         {attachment_bytes}"
    )]
    AttachmentLength {
        /// What the message's parts add up to.
        parts_bytes: u64,
        /// What the frame has.
        attachment_bytes: usize,
    },
    /// There are not as many error texts as results with an error.
    #[error("the message has {messages} error texts for {errors} errors")]
    ErrorTexts {
        /// Texts in the message.
        messages: usize,
        /// Results with an error.
        errors: usize,
    },
}

impl DecodeError {
    /// The code to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            DecodeError::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
            DecodeError::UnknownApi(_) => ErrorCode::UnsupportedApi,
            DecodeError::WrongDirection { .. } | DecodeError::BodyLength { .. } => {
                ErrorCode::MalformedFrame
            }
            DecodeError::Malformed { .. }
            | DecodeError::TooMany { .. }
            | DecodeError::OutOfRange { .. }
            | DecodeError::AttachmentLength { .. }
            | DecodeError::ErrorTexts { .. } => ErrorCode::MalformedMessage,
        }
    }
}

/// Builds the frame around one message. `api` and `flags` are the header's.
pub(crate) fn encode<T>(
    api: u8,
    flags: u8,
    correlation: u32,
    attachment: Vec<Bytes>,
    write: impl FnOnce(&mut Builder) -> WIPOffset<T>,
) -> Result<Frame, FrameError> {
    let attachment_bytes = attachment.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
    let Ok(attachment_bytes) = u32::try_from(attachment_bytes) else {
        return Err(FrameError::TooLarge { bytes: attachment_bytes, bytes_max: u32::MAX });
    };
    BUILDER.with_borrow_mut(|builder| {
        builder.reset();
        let root = write(builder);
        builder.finish_minimal(root);
        let message = builder.finished_data();
        let frame = if message.len() > MESSAGE_BYTES_MAX as usize {
            Err(FrameError::MessageTooLarge {
                bytes: message.len() as u64,
                bytes_max: MESSAGE_BYTES_MAX,
            })
        } else {
            let header = FrameHeader {
                version: VERSION_MAX,
                api,
                flags,
                message_bytes: message.len() as u32,
                correlation,
                attachment_bytes,
            };
            let mut head = Vec::with_capacity(HEADER_BYTES + message.len());
            head.extend_from_slice(&header.encode());
            head.extend_from_slice(message);
            Ok(Frame { head: Bytes::from(head), attachment })
        };
        if message.len() > BUILDER_BYTES_KEPT_MAX {
            *builder = FlatBufferBuilder::with_capacity(1024);
        }
        frame
    })
}

/// Splits a frame's body into message and attachment, after checks that hold for every message.
pub(crate) fn split_body(
    header: &FrameHeader,
    body: &Bytes,
    expect_response: bool,
) -> Result<(Api, Bytes, Bytes), DecodeError> {
    if !(VERSION_MIN..=VERSION_MAX).contains(&header.version) {
        return Err(DecodeError::UnsupportedVersion { version: header.version });
    }
    if header.is_response() != expect_response {
        let name = |response| if response { "response" } else { "request" };
        return Err(DecodeError::WrongDirection {
            api: header.api,
            correlation: header.correlation,
            found: name(header.is_response()),
            expected: name(expect_response),
        });
    }
    let api = Api::try_from(header.api)?;
    let (message, attachment) = split_message(header, body)?;
    Ok((api, message, attachment))
}

/// Splits a frame's body into message and attachment.
pub(crate) fn split_message(
    header: &FrameHeader,
    body: &Bytes,
) -> Result<(Bytes, Bytes), DecodeError> {
    if body.len() != header.body_bytes() {
        return Err(DecodeError::BodyLength { bytes: body.len(), expected: header.body_bytes() });
    }
    let message_bytes = header.message_bytes as usize;
    Ok((body.slice(..message_bytes), body.slice(message_bytes..)))
}

/// Verifies a message that has few tables and gives its root.
pub(crate) fn root<'a, T>(table: &'static str, message: &'a [u8]) -> Result<T::Inner, DecodeError>
where
    T: 'a + Follow<'a> + Verifiable,
{
    root_of::<T>(table, message, TABLES_MAX)
}

/// Verifies a message that is a list of tables, as many as its bytes can pay for.
pub(crate) fn root_of_list<'a, T>(
    table: &'static str,
    message: &'a [u8],
) -> Result<T::Inner, DecodeError>
where
    T: 'a + Follow<'a> + Verifiable,
{
    root_of::<T>(table, message, TABLES_MAX + message.len() / TABLE_BYTES_MIN)
}

fn root_of<'a, T>(
    table: &'static str,
    message: &'a [u8],
    max_tables: usize,
) -> Result<T::Inner, DecodeError>
where
    T: 'a + Follow<'a> + Verifiable,
{
    let options = verifier_options(message.len(), max_tables);
    flatbuffers::root_with_opts::<T>(&options, message)
        .map_err(|error| DecodeError::Malformed { table, detail: detail(&error) })
}

/// What the verifier may spend on `bytes` bytes.
pub(crate) fn verifier_options(bytes: usize, max_tables: usize) -> VerifierOptions {
    VerifierOptions {
        max_depth: TABLE_DEPTH_MAX,
        max_tables,
        max_apparent_size: 2 * (HEADER_BYTES + bytes),
        ignore_missing_null_terminator: false,
    }
}

/// The first line of what the verifier found: without the trace, which a hostile message can make
/// long.
pub(crate) fn detail(error: &InvalidFlatbuffer) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end_matches(['.', ' ']).to_string()
}

/// Fails if a list has more entries than allowed.
pub(crate) fn at_most(
    list: &'static str,
    count: usize,
    count_max: usize,
) -> Result<(), DecodeError> {
    if count > count_max {
        return Err(DecodeError::TooMany { list, count, count_max });
    }
    Ok(())
}

/// Hands out slices of the attachment, in the order of the parts.
pub(crate) struct Attachment(Bytes);

impl Attachment {
    /// An attachment that must be exactly as long as the parts add up to.
    pub(crate) fn new(
        attachment: Bytes,
        parts: impl Iterator<Item = u32>,
    ) -> Result<Self, DecodeError> {
        let parts_bytes = parts.map(u64::from).sum::<u64>();
        if parts_bytes != attachment.len() as u64 {
            let attachment_bytes = attachment.len();
            return Err(DecodeError::AttachmentLength { parts_bytes, attachment_bytes });
        }
        Ok(Attachment(attachment))
    }

    /// The next `bytes` bytes; the parts that `new` saw are asked for in the same order.
    pub(crate) fn take(&mut self, bytes: u32) -> Bytes {
        self.0.split_to(bytes as usize)
    }
}

/// Pairs the texts of a response's errors with the results that have one, in order.
pub(crate) struct ErrorTexts<'a> {
    texts: Option<Vector<'a, ForwardsUOffset<&'a str>>>,
    next: usize,
}

impl<'a> ErrorTexts<'a> {
    /// `numbers` are the error numbers of all results. Texts may be absent; then they are empty.
    pub(crate) fn new(
        texts: Option<Vector<'a, ForwardsUOffset<&'a str>>>,
        numbers: impl Iterator<Item = u16>,
    ) -> Result<Self, DecodeError> {
        if let Some(texts) = texts {
            let errors = numbers.filter(|number| *number != 0).count();
            if texts.len() != errors {
                return Err(DecodeError::ErrorTexts { messages: texts.len(), errors });
            }
        }
        Ok(ErrorTexts { texts, next: 0 })
    }

    /// The error of the next result, if `number` is one.
    pub(crate) fn next(&mut self, number: u16) -> Result<(), crate::ApiError> {
        if number == 0 {
            return Ok(());
        }
        let text = self.texts.map(|texts| texts.get(self.next)).unwrap_or_default();
        self.next += 1;
        Err(crate::ApiError::new(ErrorCode::from_u16(number), text))
    }
}

/// Writes the texts of the errors among `results`; nothing if there are none.
pub(crate) fn write_error_texts<'a>(
    builder: &mut Builder,
    errors: impl Iterator<Item = &'a crate::ApiError>,
) -> Option<Strings> {
    let texts: Vec<_> = errors
        .map(|error| {
            let end = error.message.floor_char_boundary(ERROR_TEXT_BYTES_MAX);
            builder.create_string(&error.message[..end])
        })
        .collect();
    if texts.is_empty() { None } else { Some(builder.create_vector(&texts)) }
}
