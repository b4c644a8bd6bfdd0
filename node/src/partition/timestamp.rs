//! From when to where: the first record at or after a timestamp.

use super::{Partition, ReadError};
use crate::index::Seek;
use crate::segment::read_batches;
use bytes::{Bytes, BytesMut};
use ringspool_wire::batch::{BatchHeader, DecodedBatch};

/// Batches that unpack to more are answered as a whole, so that a question costs little memory.
const UNPACKED_BYTES_MAX: u32 = 16 << 20;

/// A batch that reaches the timestamp.
struct Found {
    header: BatchHeader,
    batch: Bytes,
}

impl Partition {
    /// Offset and timestamp of the first record whose timestamp is at least `timestamp_ms`
    /// (milliseconds since 1970, by the producer's clock), or the high watermark and -1 when there
    /// is none.
    ///
    /// In a batch that unpacks to more than 16 MiB it is the first record's; the reader skips from
    /// there.
    pub async fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<(u64, i64), ReadError> {
        let mut after = None;
        while let Some(base_offset) = self.segment_reaching(timestamp_ms, after)? {
            after = Some(base_offset);
            let found = match self.find_in_segment(base_offset, timestamp_ms).await {
                Ok(found) => found,
                // It went while it was being read: what was asked for is in a later one.
                Err(_) if self.state.borrow().segment(base_offset).is_none() => None,
                Err(error) => return Err(error),
            };
            if let Some(found) = found {
                return Ok(self.record_in(&found, timestamp_ms));
            }
        }
        Ok((self.high_watermark(), -1))
    }

    /// The first segment after `after` with a record of at least that timestamp.
    fn segment_reaching(
        &self,
        timestamp_ms: i64,
        after: Option<u64>,
    ) -> Result<Option<u64>, ReadError> {
        let state = self.state.borrow();
        state.check_offset(state.log_start_offset)?;
        let mut infos = state.segments.iter().map(|segment| segment.info);
        let reaching =
            infos.find(|info| Some(info.base_offset) > after && info.max_timestamp >= timestamp_ms);
        Ok(reaching.map(|info| info.base_offset))
    }

    /// The first batch of a segment that reaches the timestamp and was not trimmed.
    async fn find_in_segment(
        &self,
        base_offset: u64,
        timestamp_ms: i64,
    ) -> Result<Option<Found>, ReadError> {
        let log_start_offset = self.log_start_offset();
        let reaches = |max_timestamp: i64, end_offset: u64| {
            max_timestamp >= timestamp_ms && end_offset > log_start_offset
        };
        let from = self.place_before(base_offset, Seek::Timestamp(timestamp_ms)).await?;
        let tail_first = self.state.borrow().tail.first();
        if tail_first.is_none_or(|(first, _)| from.offset < first) {
            let source = self.source(base_offset).await?;
            let wanted =
                |header: &BatchHeader| reaches(header.max_timestamp, header.last_offset() + 1);
            if let Some(run) = read_batches(&source, from, wanted, 1).await? {
                return Ok(Some(Found { header: run.first, batch: run.bytes }));
            }
        }
        let state = self.state.borrow();
        let Some(segment) = state.segment(base_offset) else { return Ok(None) };
        let end = segment.stream_end();
        let mut rest = state.tail.starting_at(from.offset).take_while(|batch| batch.start < end);
        let found = rest.find(|batch| reaches(batch.max_timestamp, batch.end_offset));
        let Some(batch) = found else { return Ok(None) };
        let Ok(header) = BatchHeader::decode(&batch.header) else {
            unreachable!("a batch in memory was decoded before")
        };
        let mut whole = BytesMut::with_capacity(batch.bytes() as usize);
        whole.extend_from_slice(&batch.header);
        whole.extend_from_slice(&batch.body);
        Ok(Some(Found { header, batch: whole.freeze() }))
    }

    /// The record in a batch that reaches the timestamp.
    fn record_in(&self, found: &Found, timestamp_ms: i64) -> (u64, i64) {
        let header = &found.header;
        let log_start_offset = self.log_start_offset();
        let first = (header.base_offset.max(log_start_offset), header.base_timestamp);
        let is_cheap = !header.is_chunk() && header.uncompressed_bytes <= UNPACKED_BYTES_MAX;
        if (header.base_timestamp >= timestamp_ms && first.0 == header.base_offset) || !is_cheap {
            return first;
        }
        // A producer may have signed a body that makes no sense: then the batch is all we know.
        let Ok(batch) = DecodedBatch::open(found.batch.clone()) else { return first };
        let mut records = batch.records();
        let record = records.find(|record| {
            record.timestamp_ms >= timestamp_ms && record.offset >= log_start_offset
        });
        record.map_or(first, |record| (record.offset, record.timestamp_ms))
    }
}
