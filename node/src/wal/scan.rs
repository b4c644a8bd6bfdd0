//! Reading one WAL file back, flush by flush.
//!
//! The first flush that is not valid ends the scan. It is a torn tail unless a valid flush of the
//! same incarnation stands behind it: flushes are written one after another, so that one was
//! acknowledged before, and the file is damaged. That the last flush of a full file is missing is
//! seen by its successor's header, see [`super::recovery`].

use super::format::{
    FILE_HEADER_BYTES, FLUSH_HEADER_BYTES, FileHeader, FileHeaderError, FlushHeader, RecordView,
    flush_bytes, records,
};
use crate::io::{BLOCK_BYTES, DiskError, File};
use bytes::Bytes;
use std::path::PathBuf;

/// Bytes read at a time.
const SCAN_READ_BYTES: usize = 4 << 20;

/// A WAL file that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The header block is of another version.
    #[error("{}: {error}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: FileHeaderError,
    },
    /// Acknowledged records are damaged.
    #[error(
        "{}: damaged at byte {position}: a valid flush follows at byte {valid_at}, so acknowledged \
         records were lost here. Restore the file from a backup or rebuild this node from its \
         replicas; the file was left as it is",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// First byte that is wrong.
        position: u64,
        /// Where a later flush starts.
        valid_at: u64,
    },
}

/// A flush that was read.
#[derive(Debug, Clone)]
pub struct ScannedFlush {
    /// Where it starts in the file.
    pub position: u64,
    /// Its header.
    pub header: FlushHeader,
    /// Its bytes; the records' ranges refer to these.
    pub bytes: Bytes,
    /// Its records.
    pub records: Vec<RecordView>,
}

/// What a scan found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The file's header; `None` when it was never put to use.
    pub header: Option<FileHeader>,
    /// Valid flushes, in order.
    pub flushes: Vec<ScannedFlush>,
    /// Where the valid part ends.
    pub end: u64,
}

/// Reads a whole file.
///
/// # Errors
/// When reading fails, or the file is damaged before its tail.
pub async fn scan(file: &dyn File) -> Result<Scan, ScanError> {
    let mut window = Window::new(file).await?;
    let Some(header) = read_header(&mut window).await? else {
        return Ok(Scan { header: None, flushes: Vec::new(), end: 0 });
    };
    let mut flushes = Vec::new();
    let mut position = FILE_HEADER_BYTES as u64;
    while let Some(flush) = read_flush(&mut window, position).await? {
        let expected = (header.incarnation, flushes.len() as u64);
        if (flush.header.incarnation, flush.header.sequence) != expected {
            break;
        }
        position += flush_bytes(flush.header.records_bytes) as u64;
        flushes.push(flush);
    }
    refuse_damage(&mut window, position, header.incarnation, flushes.len() as u64).await?;
    Ok(Scan { header: Some(header), flushes, end: position })
}

async fn read_header(window: &mut Window<'_>) -> Result<Option<FileHeader>, ScanError> {
    let block = window.read(0, FILE_HEADER_BYTES).await?;
    match FileHeader::decode(&block) {
        Ok(header) => Ok(Some(header)),
        Err(error @ FileHeaderError::Version(_)) => {
            Err(ScanError::Header { path: window.file.path().to_owned(), error })
        }
        Err(FileHeaderError::NotAHeader) => {
            // A file whose making was cut short has no flush; one that was used has.
            match find_flush(window, FILE_HEADER_BYTES as u64, |_| true).await? {
                None => Ok(None),
                Some(valid_at) => {
                    let path = window.file.path().to_owned();
                    Err(ScanError::Damaged { path, position: 0, valid_at })
                }
            }
        }
    }
}

async fn read_flush(
    window: &mut Window<'_>,
    position: u64,
) -> Result<Option<ScannedFlush>, ScanError> {
    let front = window.read(position, FLUSH_HEADER_BYTES).await?;
    let Some(header) = FlushHeader::decode(&front) else { return Ok(None) };
    if header.records_bytes as u64 > window.size {
        return Ok(None);
    }
    let bytes = window.read(position, FLUSH_HEADER_BYTES + header.records_bytes).await?;
    Ok(records(&bytes, &header).map(|records| ScannedFlush { position, header, bytes, records }))
}

/// Refuses a file in which a flush follows the end of the valid part.
async fn refuse_damage(
    window: &mut Window<'_>,
    end: u64,
    incarnation: u64,
    next_sequence: u64,
) -> Result<(), ScanError> {
    let is_later =
        |header: &FlushHeader| header.incarnation == incarnation && header.sequence > next_sequence;
    match find_flush(window, end + BLOCK_BYTES, is_later).await? {
        None => Ok(()),
        Some(valid_at) => {
            let path = window.file.path().to_owned();
            Err(ScanError::Damaged { path, position: end, valid_at })
        }
    }
}

/// The first block from `position` on that begins with the header of a flush that is wanted.
async fn find_flush(
    window: &mut Window<'_>,
    mut position: u64,
    is_wanted: impl Fn(&FlushHeader) -> bool,
) -> Result<Option<u64>, DiskError> {
    while position < window.size {
        let front = window.read(position, FLUSH_HEADER_BYTES).await?;
        if FlushHeader::decode(&front).is_some_and(|header| is_wanted(&header)) {
            return Ok(Some(position));
        }
        position += BLOCK_BYTES;
    }
    Ok(None)
}

/// A piece of the file in memory, read ahead in large steps.
struct Window<'a> {
    file: &'a dyn File,
    size: u64,
    start: u64,
    bytes: Bytes,
}

impl<'a> Window<'a> {
    async fn new(file: &'a dyn File) -> Result<Self, DiskError> {
        Ok(Self { file, size: file.size().await?, start: 0, bytes: Bytes::new() })
    }

    /// Bytes from `position` on; fewer at the end of the file.
    async fn read(&mut self, position: u64, count: usize) -> Result<Bytes, DiskError> {
        let count = count.min(usize::try_from(self.size.saturating_sub(position)).unwrap_or(count));
        let end = self.start + self.bytes.len() as u64;
        if position < self.start || position + count as u64 > end {
            let bytes = self.file.read_at(position, count.max(SCAN_READ_BYTES)).await?;
            (self.start, self.bytes) = (position, Bytes::from(bytes));
        }
        let from = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        let to = (from + count).min(self.bytes.len());
        Ok(self.bytes.slice(from.min(to)..to))
    }
}

#[cfg(test)]
mod tests;
