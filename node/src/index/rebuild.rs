//! Makes a segment's index anew from its bytes.

use super::{ActiveIndex, IndexEntry};
use crate::segment::{Place, SegmentError, SegmentSource, read_batches};
use ringspool_wire::batch::BatchHeader;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// The entries that appending the same batches made, and where damage ended the scan, if it did:
/// what is before it can still be found.
///
/// It reads the whole segment, in pieces, and lets others run between them.
pub async fn rebuild(
    source: &SegmentSource,
) -> Result<(Vec<IndexEntry>, Option<SegmentError>), SegmentError> {
    let mut index = ActiveIndex::default();
    let mut max_timestamp = i64::MIN;
    let mut place = Place { position: 0, offset: source.base_offset() };
    loop {
        let run = match read_batches(source, place, |_| true, READ_BYTES).await {
            Ok(Some(run)) => run,
            Ok(None) => return Ok((index.entries, None)),
            Err(SegmentError::Disk(error)) => return Err(error.into()),
            Err(damage) => return Ok((index.entries, Some(damage))),
        };
        let mut rest = &run.bytes[..];
        while let Ok(header) = BatchHeader::decode(rest) {
            index.observe(place.position, place.offset, max_timestamp);
            max_timestamp = max_timestamp.max(header.max_timestamp);
            place.position += u64::from(header.batch_bytes);
            place.offset += u64::from(header.record_count);
            rest = &rest[header.batch_bytes as usize..];
        }
        assert_eq!(place, run.next, "a run of checked batches can be walked");
        futures_lite::future::yield_now().await;
    }
}
