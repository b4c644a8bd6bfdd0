//! Record batches: the unit that is produced, stored, checksummed and fetched, byte for byte.
//!
//! Layout: a 64-byte header ([`header`]), then the body: one FlatBuffers table of columns
//! ([`body`]), compressed as a whole where that helps. `docs/batch-format.md` gives the offsets.
//! A batch is collected by [`builder`] or [`chunk`], made by [`seal`], and read by [`reader`].
//!
//! Invariants:
//!
//! - The CRC32C covers everything but `base_offset` and `term`, which only the leader knows; the
//!   bytes the producer signed are the bytes the consumer checks.
//! - A batch that opened has columns that agree with each other, so reading its records cannot
//!   fail.

mod body;
mod builder;
mod chunk;
mod error;
mod header;
mod reader;
mod reassembler;
mod seal;
mod zstd_body;

pub use builder::{BatchBuilder, ProducerStamp, RecordRef};
pub use chunk::{ChunkInfo, build_chunk, chunks};
pub use error::BatchError;
pub use header::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_VERSION, BatchHeader, Codec, FLAG_CHUNK, NO_PRODUCER,
    split, stamp, verify,
};
pub use reader::{DecodedBatch, Record, Records};
pub use reassembler::{Reassembler, ReassemblerLimits};
pub use zstd_body::Compression;
