//! Segments: the files that hold a partition's log.
//!
//! A segment is batches back to back from byte 0 of `<base offset in 20 digits>.log`, each exactly
//! as its producer sent it but for the base offset and term stamped into its header. Only whole
//! blocks of [`crate::io::BLOCK_BYTES`] are written while it is the partition's last; when the next
//! one begins it is *sealed*: its last block is written with zeros after it, and the file is cut to
//! its exact length.
//!
//! Invariants:
//! - a batch's base offset is the end of the batch before it; the first one's is in the file's name
//! - a block once written is only ever written again with the same bytes
//!
//! What knows a partition's state stands in [`crate::partition`]; here is what works on one
//! segment's bytes: [`walk`](look) and check them, read a run of batches, write blocks, scan a file.

mod error;
mod info;
mod look;
mod path;
mod reader;
mod scan;
mod source;
mod writer;

pub use error::{DamageReason, SegmentError};
pub use info::SegmentInfo;
pub use look::{Look, check, look};
pub use path::{base_offset_of, index_path, log_path};
pub use reader::{BatchRun, Place, read_batches};
pub use scan::{ScanError, ScannedBatch, Scanner};
pub use source::SegmentSource;
pub use writer::{WRITE_BYTES_MAX, write_blocks};
