//! Every limit of the node, and how they relate. What a user may change stands in
//! [`crate::config`], with these as bounds or defaults.

use crate::io::BLOCK_BYTES;
use ringspool_wire::HEADER_BYTES;
use ringspool_wire::limits::{BATCH_BYTES_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use std::time::Duration;

/// Size of one WAL file by default, in bytes.
pub const WAL_FILE_BYTES_DEFAULT: u64 = 64 << 20;
/// Smallest size of a WAL file that the configuration accepts.
pub const WAL_FILE_BYTES_MIN: u64 = 32 << 20;
/// Largest size of a WAL file.
pub const WAL_FILE_BYTES_MAX: u64 = 1 << 30;
/// Most bytes put into one flush, unless a single record is larger. Bounds the time a small record
/// waits behind large ones.
pub const WAL_FLUSH_BYTES_MAX: usize = 4 << 20;
/// Largest record of the WAL: a whole produce request for one vnode and its command's framing.
pub const WAL_RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX as usize + (1 << 20);
/// Closed WAL files after which vnodes are checkpointed so that files can be reused.
pub const WAL_CLOSED_FILES_WANTED: usize = 2;
/// Closed WAL files after which writes are refused until checkpoints have freed some.
pub const WAL_CLOSED_FILES_MAX: usize = 12;
/// WAL files kept ready beyond the active one.
pub const WAL_SPARE_FILES: usize = 1;
/// Spare files kept for reuse: what one round of checkpoints frees. A file that has to be made again
/// costs its whole length in writes, and somebody may wait for it.
pub const WAL_SPARE_FILES_MAX: usize = 4;
/// Entries of the Raft log kept in memory per shard after they were applied, in bytes.
pub const LOG_CACHE_BYTES_MAX: usize = 16 << 20;

/// Bytes of batches per shard kept in memory, written to segments or not.
pub const TAIL_CACHE_BYTES_DEFAULT: usize = 64 << 20;
/// Bytes of batches per shard not yet written to segments after which small partitions are written
/// too; with twice as many, applying waits.
pub const DIRTY_BYTES_MAX: usize = 64 << 20;
/// Bytes a partition may have unwritten before its segment is written.
pub const SEGMENT_FLUSH_BYTES: usize = 1 << 20;
/// Partitions written to their segments at the same time, per shard.
pub const SEGMENT_FLUSHES_MAX: usize = 4;
/// Partitions that one checkpoint writes at the same time.
pub const CHECKPOINT_FLUSHES_MAX: usize = 32;
/// Vnodes checkpointed at the same time, per shard.
pub const CHECKPOINTS_MAX: usize = 4;
/// Largest checkpoint file, in bytes.
pub const CHECKPOINT_BYTES_MAX: u64 = 1 << 30;
/// Bytes that must be free on the disk for writes to be accepted: room for checkpoints and
/// segments of what is in the WAL already.
pub const FREE_BYTES_MIN: u64 = 256 << 20;

/// Bytes one connection may have in flight: requests being carried out and responses not yet sent.
pub const CONNECTION_BYTES_MAX: usize = 32 << 20;
/// Bytes of fetched batches that one connection may have waiting to be sent.
pub const CONNECTION_ANSWERS_BYTES_MAX: usize = 2 * FETCH_BYTES_MAX;
/// Bytes all connections of a shard may have in flight.
pub const SHARD_BYTES_MAX: usize = 128 << 20;
/// Requests one connection may have in flight.
pub const CONNECTION_REQUESTS_MAX: usize = 1024;
/// Connections per shard.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Bytes a response may have by default when a fetch asks for more.
pub const FETCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of batches that fit into a response beside its message, whatever shards they come from.
pub const RESPONSE_BATCHES_BYTES_MAX: usize =
    (FRAME_BYTES_MAX - MESSAGE_BYTES_MAX) as usize - HEADER_BYTES;
/// Longest time a fetch may wait for data.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// Responses gathered into one write to the socket, in bytes.
pub const SOCKET_WRITE_BYTES: usize = 256 << 10;
/// Bytes asked of a socket in one read when no large frame is awaited.
pub const SOCKET_READ_BYTES: usize = 64 << 10;

/// Time from accepting a connection to a whole Hello.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Time from a frame's first byte to its last.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Time without any request after which a connection is closed.
pub const IDLE_DEADLINE: Duration = Duration::from_secs(600);
/// Time a graceful stop waits for what is in flight.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Messages that may wait in a shard's mailbox.
pub const MAILBOX_MESSAGES_MAX: usize = 8192;
/// Shards of one node.
pub const SHARDS_MAX: u16 = 1024;
/// Producer ids that a shard takes from the coordinator at once.
pub const PRODUCER_IDS_BLOCK: u64 = 1000;

const _: () = assert!(WAL_FILE_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(
    WAL_FILE_BYTES_MIN >= 2 * BLOCK_BYTES + WAL_RECORD_BYTES_MAX as u64,
    "the smallest WAL file holds its header and the largest record"
);
const _: () = assert!(WAL_CLOSED_FILES_MAX > WAL_CLOSED_FILES_WANTED);
const _: () = assert!(WAL_SPARE_FILES_MAX > WAL_CLOSED_FILES_WANTED);
const _: () = assert!(
    CONNECTION_BYTES_MAX > FRAME_BYTES_MAX as usize + FETCH_BYTES_MAX,
    "one connection can always carry out its largest request"
);
const _: () = assert!(SHARD_BYTES_MAX >= CONNECTION_BYTES_MAX);
const _: () = assert!(SEGMENT_FLUSH_BYTES < DIRTY_BYTES_MAX);
const _: () = assert!(FETCH_BYTES_MAX >= BATCH_BYTES_MAX as usize);
const _: () = assert!(
    RESPONSE_BATCHES_BYTES_MAX >= FETCH_BYTES_MAX,
    "a response can hold what a fetch gets of its first partition"
);
