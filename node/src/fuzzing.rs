//! What the fuzz targets call, so that `node/fuzz` needs nothing private.

use crate::segment::Scanner;

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
