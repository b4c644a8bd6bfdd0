//! Ringspool's wire protocol: frames, messages and record batches. A pure codec, without I/O.
//!
//! Read in the order the bytes come:
//!
//! - [`frame`]: the 16-byte header in front of everything, and the frame that is ready to send;
//! - [`api`]: what can be asked; [`message`]: [`Request`] and [`Response`], one variant per api;
//! - [`session`], [`topics`], [`records`]: the messages themselves, by family;
//! - [`batch`]: the 64-byte batch header, building, reading, and the chunks of large records;
//! - [`error`]: every error code a peer can answer; [`limits`]: every limit, related by assertions.
//!
//! Invariants:
//!
//! - Batch bytes are never copied by a message: requests hold slices of what was received, and
//!   frames hold the slices they were given.
//! - Nothing that arrives makes this crate panic, loop, or allocate more than a small multiple of
//!   the bytes that arrived (for a batch: of its declared and capped uncompressed size).
//! - The FlatBuffers tables stay inside: every other crate sees owned structs.

mod codec;
mod generated;

pub mod api;
pub mod batch;
pub mod error;
pub mod frame;
pub mod limits;
pub mod message;
pub mod records;
pub mod session;
pub mod topics;

#[doc(hidden)]
pub mod fuzzing;

pub use api::{Api, VERSION_MAX, VERSION_MIN};
pub use batch::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_VERSION, BatchBuilder, BatchError, BatchHeader,
    ChunkInfo, Codec, Compression, DecodedBatch, FLAG_CHUNK, NO_PRODUCER, ProducerStamp,
    Reassembler, ReassemblerLimits, Record, RecordRef, build_chunk, chunks, split, stamp, verify,
};
pub use codec::DecodeError;
pub use error::{ApiError, ErrorCode};
pub use frame::{
    FLAG_ERROR, FLAG_RESPONSE, FRAME_MAGIC, Frame, FrameError, FrameHeader, HEADER_BYTES,
};
pub use limits::*;
pub use message::{Request, Response};
pub use records::{
    Acks, EARLIEST, FetchPart, FetchRequest, FetchResponse, FetchResult, InitProducerResponse,
    LATEST, ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetFound, OffsetQuery,
    ProduceAck, ProducePart, ProduceRequest, ProduceResponse, ProduceResult,
};
pub use session::{ANY_SHARD, ErrorResponse, HelloRequest, HelloResponse, negotiate};
pub use topics::{
    AlterTopicRequest, CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest,
    DescribeTopicRequest, DescribeTopicResponse, ListTopicsResponse, MetadataRequest,
    MetadataResponse, Node, PartitionPlace, PartitionState, Setting, TopicMetadata, TopicSummary,
};
