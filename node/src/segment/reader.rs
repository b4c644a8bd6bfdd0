//! Reads a run of whole, checked batches of a segment from a place near it.
//!
//! The sparse index gives a place at most [`crate::index::INDEX_INTERVAL_BYTES`] and a batch before
//! the wanted one, so the batches to be skipped and those wanted mostly come with one read.

use super::{DamageReason, Look, SegmentError, SegmentSource, check, look};
use crate::index::INDEX_INTERVAL_BYTES;
use bytes::Bytes;
use ringspool_wire::batch::{BATCH_HEADER_BYTES, BatchHeader};

/// What one read brings at most, unless a single batch is larger.
const READ_BYTES_MAX: usize = 8 << 20;

/// Where a batch begins: its position in the file and its base offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the file.
    pub position: u64,
    /// The offset of the first record there.
    pub offset: u64,
}

impl Place {
    /// Where the batch after the one with this header begins.
    fn after(self, header: &BatchHeader) -> Self {
        Self {
            position: self.position + u64::from(header.batch_bytes),
            offset: self.offset + u64::from(header.record_count),
        }
    }
}

/// Batches back to back, at least one, all of them checked.
#[derive(Debug, Clone)]
pub struct BatchRun {
    /// The batches' bytes.
    pub bytes: Bytes,
    /// Header of the first of them.
    pub first: BatchHeader,
    /// Where the batch after them begins (or the segment's limit is).
    pub next: Place,
}

/// Reads from the first batch at or after `from` that `is_wanted`, and on until about `bytes_max`
/// bytes. `None` when no batch below the limit is wanted.
///
/// Skipped batches are not compared with their checksums; that the base offsets go on without a
/// gap is checked for them too. Damage after at least one good batch ends the run early: whoever
/// reads on gets the error.
pub async fn read_batches(
    source: &SegmentSource,
    from: Place,
    is_wanted: impl Fn(&BatchHeader) -> bool,
    bytes_max: usize,
) -> Result<Option<BatchRun>, SegmentError> {
    let bytes_max = bytes_max.min(READ_BYTES_MAX);
    let mut place = from;
    let mut window_bytes = bytes_max + INDEX_INTERVAL_BYTES as usize;
    while place.position < source.limit() {
        let window = source.read(place.position, window_bytes, place.offset).await?;
        match walk(source, &window, place, &is_wanted, bytes_max)? {
            Walk::Run(run) => return Ok(Some(run)),
            Walk::ReadOn { at, bytes } => {
                place = at;
                window_bytes = bytes.max(bytes_max);
            }
        }
    }
    Ok(None)
}

enum Walk {
    Run(BatchRun),
    /// The next batch to look at is there, and needs this many bytes.
    ReadOn {
        at: Place,
        bytes: usize,
    },
}

/// Walks the batches in a window that begins at `start`.
fn walk(
    source: &SegmentSource,
    window: &Bytes,
    start: Place,
    is_wanted: impl Fn(&BatchHeader) -> bool,
    bytes_max: usize,
) -> Result<Walk, SegmentError> {
    let mut place = start;
    let mut run: Option<(usize, BatchHeader)> = None;
    let stopped = loop {
        let at = (place.position - start.position) as usize;
        // A skipped batch may reach beyond the window.
        let rest = window.get(at..).unwrap_or_default();
        let left = source.limit().saturating_sub(place.position);
        let header = match next_batch(rest, left, place.offset) {
            Ok(Next::Batch(header)) => header,
            Ok(Next::NeedsBytes(bytes)) => break Ok(Walk::ReadOn { at: place, bytes }),
            Err(reason) => break Err(source.damaged(place.position, place.offset, reason)),
        };
        if run.is_none() && !is_wanted(&header) {
            place = place.after(&header);
            continue;
        }
        let bytes = header.batch_bytes as usize;
        let taken = run.as_ref().map_or(0, |(first_byte, _)| at - first_byte);
        if rest.len() < bytes || (taken > 0 && taken + bytes > bytes_max) {
            break Ok(Walk::ReadOn { at: place, bytes });
        }
        if let Err(reason) = check(&rest[..bytes]) {
            break Err(source.damaged(place.position, place.offset, reason));
        }
        place = place.after(&header);
        run.get_or_insert((at, header));
    };
    match run {
        Some((first_byte, first)) => {
            let end = (place.position - start.position) as usize;
            let bytes = window.slice(first_byte..end);
            Ok(Walk::Run(BatchRun { bytes, first, next: place }))
        }
        None => stopped,
    }
}

enum Next {
    Batch(BatchHeader),
    NeedsBytes(usize),
}

/// The batch at the start of `rest`, of which `left` bytes are there when all are read.
fn next_batch(rest: &[u8], left: u64, offset: u64) -> Result<Next, DamageReason> {
    let header_bytes = BATCH_HEADER_BYTES as u64;
    match look(rest, Some(offset)) {
        _ if left == 0 => Ok(Next::NeedsBytes(0)),
        Look::Batch(header) if u64::from(header.batch_bytes) > left => {
            Err(DamageReason::Incomplete { there: left, wanted: header.batch_bytes.into() })
        }
        Look::Batch(header) => Ok(Next::Batch(header)),
        Look::TooShort if left < header_bytes => {
            Err(DamageReason::Incomplete { there: left, wanted: header_bytes })
        }
        Look::TooShort => Ok(Next::NeedsBytes(BATCH_HEADER_BYTES)),
        Look::Zeros => Err(DamageReason::Zeros),
        Look::Damaged(reason) => Err(reason),
    }
}
