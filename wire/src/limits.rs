//! Every limit of the protocol, in one place, and how they depend on each other.
//!
//! A limit is named with its unit last. A peer that goes past one gets an error it can read; the
//! limits are checked before anything is allocated for what they bound. The assertions at the end
//! fail the build when a change to one limit breaks another.

use crate::batch::BATCH_HEADER_BYTES;
use crate::frame::HEADER_BYTES;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Largest whole frame: header, message and attachment.
pub const FRAME_BYTES_MAX: u32 = (16 * MIB + 64 * KIB) as u32;

/// Largest message (the FlatBuffers table between header and attachment).
pub const MESSAGE_BYTES_MAX: u32 = (5 * MIB) as u32;

/// Most that the 24-bit length field of the frame header can say.
pub const MESSAGE_BYTES_FIELD_MAX: u32 = (1 << 24) - 1;

/// Largest batch, header included, whatever a topic's setting says.
pub const BATCH_BYTES_MAX: u32 = (8 * MIB) as u32;

/// Largest batch of a topic that does not set `batch_bytes_max`, header included.
pub const BATCH_BYTES_DEFAULT: u32 = MIB as u32;

/// Largest body of a batch after decompression: what a reader may have to allocate for one batch.
pub const UNCOMPRESSED_BYTES_MAX: u32 = (64 * MIB) as u32;

/// Most records in one batch.
pub const RECORDS_PER_BATCH_MAX: u32 = 1 << 20;

/// Most headers of one record.
pub const HEADERS_PER_RECORD_MAX: usize = 64;

/// Longest name of a record header, in bytes of UTF-8.
pub const HEADER_NAME_BYTES_MAX: usize = 4 * KIB;

/// Names and values of all headers of one record together.
pub const HEADERS_BYTES_MAX: usize = 512 * KIB;

/// Longest key of a record.
pub const KEY_BYTES_MAX: usize = 64 * KIB;

/// Largest record value of a topic that does not set `record_bytes_max`.
pub const RECORD_BYTES_DEFAULT_MAX: u64 = 64 * MIB as u64;

/// Largest record value, in chunks.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Bytes of a large record (value, and in the first chunk key and headers too) that go into one
/// chunk batch. A little less than a batch, so that a chunk batch of incompressible bytes is still
/// no larger than [`BATCH_BYTES_DEFAULT`].
pub const CHUNK_BYTES: usize = MIB - CHUNK_OVERHEAD_BYTES_MAX;

/// Most that a chunk batch is larger than the record bytes in it: batch header, the body's table,
/// and the ends of [`HEADERS_PER_RECORD_MAX`] headers.
pub const CHUNK_OVERHEAD_BYTES_MAX: usize = 4 * KIB;

/// Most chunks of one record.
pub const CHUNKS_PER_RECORD_MAX: u32 = 1 << 20;

/// Most parts (batches, fetches, offset queries) in one request, and results in its response.
pub const PARTS_PER_REQUEST_MAX: usize = 10_000;

/// Longest text of the error of one part; the rest is cut off. What [`PARTS_PER_REQUEST_MAX`] of
/// them take still fits into one message.
pub const ERROR_TEXT_BYTES_MAX: usize = 384;

/// Most topics a metadata request can name; one that names none gets them all.
pub const TOPICS_PER_REQUEST_MAX: usize = 10_000;

/// Most settings in a request, and of a topic.
pub const SETTINGS_PER_TOPIC_MAX: usize = 48;

/// Longest topic name, in bytes. Leaves room in a file name (255) for a suffix.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Most partitions of one topic. What describes them all still fits into one message.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 100_000;

/// Deepest nesting of tables in a message.
pub(crate) const TABLE_DEPTH_MAX: usize = 8;

/// Most tables in a message that is not a list of tables.
pub(crate) const TABLES_MAX: usize = 64;

/// Fewest bytes a table in a list takes: its place in the list, its vtable's offset, one string.
/// A list of tables may have as many as its bytes can pay for.
pub(crate) const TABLE_BYTES_MIN: usize = 16;

/// Most that a batch body is larger than its columns: table, vtable, lengths, padding, chunk.
pub(crate) const BODY_OVERHEAD_BYTES_MAX: usize = 192;

/// Bytes a record adds to a body at most beside its own: value end, key end, timestamp delta,
/// header end; and per header a name end and a value end.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 16;
/// See [`RECORD_OVERHEAD_BYTES`].
pub(crate) const HEADER_OVERHEAD_BYTES: usize = 8;

/// What one partition takes in a DescribeTopicResponse: its place and its state.
const PARTITION_DESCRIPTION_BYTES: usize = 16 + 32;

/// What one part takes in a message at most: its struct, and the place, length and padding of its
/// error text.
const PART_BYTES_MAX: usize = 40 + 12;

const _: () = {
    assert!(MESSAGE_BYTES_MAX <= MESSAGE_BYTES_FIELD_MAX, "the header can say a message's length");
    assert!(
        HEADER_BYTES as u32 + MESSAGE_BYTES_MAX + BATCH_BYTES_MAX <= FRAME_BYTES_MAX,
        "the largest message and the largest batch fit into a frame together"
    );
    assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_MAX, "the default is allowed");
    assert!(
        BATCH_BYTES_MAX - BATCH_HEADER_BYTES as u32 <= UNCOMPRESSED_BYTES_MAX,
        "an uncompressed batch can be read"
    );
    assert!(
        UNCOMPRESSED_BYTES_MAX < i32::MAX as u32,
        "offsets inside a body fit into FlatBuffers' signed ones"
    );
    assert!(
        RECORDS_PER_BATCH_MAX as usize * RECORD_OVERHEAD_BYTES <= UNCOMPRESSED_BYTES_MAX as usize,
        "a batch of the most records, all empty, can be read"
    );
    assert!(
        CHUNK_BYTES + CHUNK_OVERHEAD_BYTES_MAX <= BATCH_BYTES_DEFAULT as usize,
        "a chunk batch fits into a default topic's batch"
    );
    assert!(
        BATCH_HEADER_BYTES
            + BODY_OVERHEAD_BYTES_MAX
            + RECORD_OVERHEAD_BYTES
            + HEADERS_PER_RECORD_MAX * HEADER_OVERHEAD_BYTES
            <= CHUNK_OVERHEAD_BYTES_MAX,
        "the overhead of a chunk batch is what it is said to be"
    );
    assert!(
        KEY_BYTES_MAX + HEADERS_BYTES_MAX <= CHUNK_BYTES,
        "the key and all headers fit into the first chunk"
    );
    assert!(
        RECORD_BYTES_MAX / CHUNKS_PER_RECORD_MAX as u64 <= CHUNK_BYTES as u64,
        "a record of the most bytes can be cut into chunks"
    );
    assert!(RECORD_BYTES_DEFAULT_MAX <= RECORD_BYTES_MAX, "the default is allowed");
    assert!(
        PARTITIONS_PER_TOPIC_MAX as usize * PARTITION_DESCRIPTION_BYTES + 64 * KIB
            <= MESSAGE_BYTES_MAX as usize,
        "a topic of the most partitions can be described"
    );
    assert!(
        PARTS_PER_REQUEST_MAX * (ERROR_TEXT_BYTES_MAX + PART_BYTES_MAX) + 64 * KIB
            <= MESSAGE_BYTES_MAX as usize,
        "a response in which every part failed fits into a message"
    );
    assert!(SETTINGS_PER_TOPIC_MAX + 2 <= TABLES_MAX, "a described topic passes the verifier");
    assert!(TOPIC_NAME_BYTES_MAX + 6 <= 255, "a topic name and a suffix make a file name");
};
