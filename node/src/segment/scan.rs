//! Walks a segment's file from its start, batch by batch, checking every byte: for `dump`, and to
//! say where damage begins. Memory: one batch.

use super::{DamageReason, Look, check, look};
use ringspool_wire::batch::{BATCH_HEADER_BYTES, BatchHeader};
use std::io::Read;

/// What one read asks for.
const READ_BYTES: usize = 1 << 20;

/// A whole, checked batch and where it stands.
#[derive(Debug, Clone)]
pub struct ScannedBatch {
    /// Its first byte, from the start of the file.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The bytes from `position` on are no batch. A segment that was not sealed ends so when a
    /// crash tore its last blocks: the checkpoint and the WAL have those bytes.
    #[error("damaged from byte {position} on: {reason}")]
    Damaged {
        /// Where the first bytes that are no batch begin.
        position: u64,
        /// What is wrong with them.
        reason: DamageReason,
    },
    /// The file could not be read.
    #[error("cannot read on at byte {position}: {source}")]
    Read {
        /// How far the scan had come.
        position: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An iterator over a segment's batches. It ends at the end of the bytes, or at the zeros that fill
/// the last block up, or after one error.
#[derive(Debug)]
pub struct Scanner<R> {
    reader: R,
    /// Bytes read and not yet walked are `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    position: u64,
    expected_offset: Option<u64>,
    ended: bool,
}

impl<R: Read> Scanner<R> {
    /// Scans `reader` from its start. `base_offset`, from the file's name, is what the first batch
    /// must have; `None` takes any.
    pub fn new(reader: R, base_offset: Option<u64>) -> Self {
        let buffer = Vec::new();
        Self { reader, buffer, start: 0, position: 0, expected_offset: base_offset, ended: false }
    }

    /// Bytes of whole batches walked so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The offset the next batch must have, once one is known.
    pub fn next_offset(&self) -> Option<u64> {
        self.expected_offset
    }

    /// The bytes of `batch`, if it is the one that came last.
    pub fn bytes_of(&self, batch: &ScannedBatch) -> Option<&[u8]> {
        let bytes = batch.header.batch_bytes as usize;
        let came_last = batch.position + bytes as u64 == self.position;
        let from = self.start.checked_sub(bytes).filter(|_| came_last)?;
        self.buffer.get(from..self.start)
    }

    /// Reads until `bytes` unwalked bytes are there, or the end.
    fn fill(&mut self, bytes: usize) -> Result<&[u8], ScanError> {
        if self.buffer.len() - self.start < bytes {
            self.buffer.drain(..self.start);
            self.start = 0;
            let missing = (bytes - self.buffer.len()).max(READ_BYTES) as u64;
            let mut limited = self.reader.by_ref().take(missing);
            let position = self.position;
            limited
                .read_to_end(&mut self.buffer)
                .map_err(|source| ScanError::Read { position, source })?;
        }
        Ok(&self.buffer[self.start..])
    }

    fn advance(&mut self) -> Result<Option<ScannedBatch>, ScanError> {
        let position = self.position;
        let damaged = |reason| Err(ScanError::Damaged { position, reason });
        let expected = self.expected_offset;
        let rest = self.fill(BATCH_HEADER_BYTES)?;
        let header = match look(rest, expected) {
            Look::Batch(header) => header,
            Look::TooShort if rest.iter().all(|byte| *byte == 0) => return Ok(None),
            Look::TooShort => {
                let (there, wanted) = (rest.len() as u64, BATCH_HEADER_BYTES as u64);
                return damaged(DamageReason::Incomplete { there, wanted });
            }
            Look::Zeros => return self.only_zeros_follow(),
            Look::Damaged(reason) => return damaged(reason),
        };
        let bytes = header.batch_bytes as usize;
        let rest = self.fill(bytes)?;
        let Some(batch) = rest.get(..bytes) else {
            let (there, wanted) = (rest.len() as u64, bytes as u64);
            return damaged(DamageReason::Incomplete { there, wanted });
        };
        if let Err(reason) = check(batch) {
            return damaged(reason);
        }
        self.start += bytes;
        self.position += bytes as u64;
        self.expected_offset = Some(header.base_offset + u64::from(header.record_count));
        Ok(Some(ScannedBatch { position, header }))
    }

    fn only_zeros_follow(&mut self) -> Result<Option<ScannedBatch>, ScanError> {
        let position = self.position;
        loop {
            let rest = self.fill(1)?;
            let walked = rest.len();
            if walked == 0 {
                return Ok(None);
            }
            if rest.iter().any(|byte| *byte != 0) {
                return Err(ScanError::Damaged { position, reason: DamageReason::AfterEnd });
            }
            self.start += walked;
        }
    }
}

impl<R: Read> Iterator for Scanner<R> {
    type Item = Result<ScannedBatch, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let advanced = self.advance().transpose();
        self.ended = !matches!(advanced, Some(Ok(_)));
        advanced
    }
}

#[cfg(test)]
mod tests;
