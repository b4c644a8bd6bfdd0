//! What the fuzz targets call, so that `node/fuzz` needs nothing private.

use crate::io::{Disk, DiskError, File, OpenMode, SimDisk, align_up};
use crate::segment::Scanner;
use crate::wal::format::{FILE_HEADER_BYTES, FLUSH_HEADER_BYTES, flush_bytes};
use crate::wal::scan::{Scan, ScanError, scan};
use futures::executor::block_on;
use std::path::Path;
use std::rc::Rc;

/// Scans arbitrary bytes as a segment: it never panics, and what it takes for batches lies back to
/// back within the bytes.
pub fn segment_scan(data: &[u8]) {
    let mut scanner = Scanner::new(data, None);
    let mut end = 0;
    let mut offset = None;
    while let Some(Ok(batch)) = scanner.next() {
        assert_eq!(batch.position, end, "batches lie back to back");
        assert!(offset.is_none_or(|offset| offset == batch.header.base_offset), "offsets go on");
        end += u64::from(batch.header.batch_bytes);
        assert!(end <= data.len() as u64, "a batch lies within the bytes");
        let bytes = scanner.bytes_of(&batch);
        assert_eq!(bytes, data.get(batch.position as usize..end as usize), "and they are its own");
        offset = Some(batch.header.base_offset + u64::from(batch.header.record_count));
    }
}

/// Scans arbitrary bytes as a WAL file, as they are and with all checksums put right: it never
/// panics, flushes lie back to back within the file and belong to it, and records lie back to back
/// within their flushes.
pub fn wal_scan(data: &[u8]) {
    let mut bytes = data.to_vec();
    check_wal_scan(&bytes);
    put_wal_checksums_right(&mut bytes);
    check_wal_scan(&bytes);
}

fn check_wal_scan(data: &[u8]) {
    let Ok(scan) = scan_bytes(data) else { return };
    let Some(header) = scan.header else {
        assert!(scan.flushes.is_empty(), "a file without a header holds nothing");
        return;
    };
    let mut end = FILE_HEADER_BYTES as u64;
    for (sequence, flush) in (0..).zip(&scan.flushes) {
        assert_eq!(flush.position, end, "flushes lie back to back");
        assert_eq!(flush.header.incarnation, header.incarnation, "a flush belongs to its file");
        assert_eq!(flush.header.sequence, sequence, "flushes come in order");
        assert_eq!(flush.records.len(), flush.header.record_count as usize, "all are there");
        let mut start = FLUSH_HEADER_BYTES;
        for record in &flush.records {
            assert_eq!(record.start, start, "records lie back to back");
            assert!(record.payload.end <= flush.bytes.len(), "a record lies within its flush");
            start = record.payload.end.next_multiple_of(8);
        }
        end += flush_bytes(flush.header.records_bytes) as u64;
    }
    assert_eq!(scan.end, end, "the end is behind the last flush");
}

fn scan_bytes(data: &[u8]) -> Result<Scan, ScanError> {
    block_on(async {
        let file = file_of(data).await?;
        scan(&*file).await
    })
}

/// A file of these bytes and zeros up to a whole block.
async fn file_of(data: &[u8]) -> Result<Rc<dyn File>, DiskError> {
    let file = SimDisk::new().open(Path::new("/fuzzed.wal"), OpenMode::Create).await?;
    let bytes = usize::try_from(align_up(data.len() as u64)).unwrap_or(usize::MAX);
    let mut buffer = file.alloc(bytes);
    let (content, rest) = buffer.as_bytes_mut().split_at_mut(data.len());
    content.copy_from_slice(data);
    rest.fill(0);
    file.write_at(buffer, 0).await?;
    Ok(file)
}

/// Makes a fuzzer's mutations reach what is behind the checksums.
fn put_wal_checksums_right(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..60) else { return };
    header[..12].copy_from_slice(b"RSPLWAL1\x01\0\0\0");
    let crc = crc32c::crc32c(&header[..56]);
    header[56..].copy_from_slice(&crc.to_le_bytes());
    let mut incarnation = [0; 8];
    incarnation.copy_from_slice(&header[24..32]);
    let seed = crc32c::crc32c(&incarnation);
    for flush in bytes.chunks_mut(FILE_HEADER_BYTES).skip(1).filter(|flush| flush.len() > 80) {
        flush[..4].copy_from_slice(b"FLSH");
        flush[8..16].copy_from_slice(&incarnation);
        let crc = crc32c::crc32c_append(seed, &flush[8..32]);
        flush[4..8].copy_from_slice(&crc.to_le_bytes());
        let record = &mut flush[FLUSH_HEADER_BYTES..];
        let length = usize::from(u16::from_le_bytes([record[4], record[5]])) + 48;
        if let Some(covered) = record.get(4..length) {
            let crc = crc32c::crc32c_append(seed, covered);
            record[..4].copy_from_slice(&crc.to_le_bytes());
        }
    }
}
