//! A partition's part of a vnode's checkpoint file. Small, since a node has thousands of them: an
//! empty partition takes 7 bytes.
//!
//! `uint` is an unsigned LEB128 of at most 10 bytes in its shortest form; `int` a zigzag one.
//! Offsets, timestamps and positions rise, so that differences are stored. The checksum is the
//! file's.
//!
//! ```text
//! version             u8    1
//! log start offset    uint
//! high watermark      uint  minus the log start offset
//! segments            uint  how many, then for each:
//!   base offset       uint  minus the one before (the first: itself)
//!   bytes             uint
//!   opened_ms         uint
//!   max timestamp     int
//! only if there are segments, of the last one:
//!   unfinished block  bytes of the segment modulo 4096: as they are
//!   index blocks      uint  whole blocks in the index file
//!   position before   uint  of the last entry in them
//!   index entries     uint  how many, then for each:
//!     position        uint  minus the one before (the first: minus `position before`)
//!     offset          uint  minus the one before (the first: minus the segment's base offset)
//!     max timestamp   int   minus the one before, wrapping (the first: itself)
//! producers           uint  how many
//! producers' time     uint  the latest leader time
//!   id                uint  minus the one before (the first: itself)
//!   epoch             uint
//!   last heard of     uint  milliseconds before the latest leader time
//!   batches           uint  1 to 5, then for each:
//!     base sequence, records, base offset   uint, uint, uint
//! dead segments       uint  how many, then for each:
//!   base offset       uint  minus the one before (the first: itself)
//! ```

use super::PartitionCheckpoint;
use super::producers::{PRODUCERS_MAX, Producer, Producers, RECENT_BATCHES_MAX, RecentBatch};
use super::varint::{Reader, put_int, put_uint};
use crate::index::{ActiveIndex, IndexEntry};
use crate::io::BLOCK_BYTES;
use crate::segment::SegmentInfo;
use bytes::Bytes;

const VERSION: u8 = 1;

/// Bytes that are no partition's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no partition checkpoint: {reason} at byte {at}")]
pub struct CheckpointDamage {
    /// Where, from the start of the partition's part.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl PartitionCheckpoint {
    /// The checkpoint's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let out = &mut Vec::new();
        out.push(VERSION);
        put_uint(out, self.log_start_offset);
        put_uint(out, self.high_watermark - self.log_start_offset);
        put_uint(out, self.segments.len() as u64);
        let mut before = 0;
        for segment in &self.segments {
            put_uint(out, segment.base_offset - before);
            put_uint(out, segment.bytes);
            put_uint(out, segment.opened_ms);
            put_int(out, segment.max_timestamp);
            before = segment.base_offset;
        }
        if let Some(last) = self.segments.last() {
            out.extend_from_slice(&self.unfinished_block);
            encode_index(&self.index, last.base_offset, out);
        }
        encode_producers(&self.producers, out);
        put_uint(out, self.dead.len() as u64);
        let mut before = 0;
        for base_offset in &self.dead {
            put_uint(out, base_offset - before);
            before = *base_offset;
        }
        std::mem::take(out)
    }

    /// Reads exactly one checkpoint. Nothing that [`Self::encode`] does not write is taken for one.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointDamage> {
        let mut reader = Reader::new(bytes);
        let decoded = decode(&mut reader).and_then(|checkpoint| {
            if reader.rest().is_empty() { Ok(checkpoint) } else { Err("bytes follow its end") }
        });
        decoded.map_err(|reason| CheckpointDamage { at: bytes.len() - reader.rest().len(), reason })
    }
}

fn encode_index(index: &ActiveIndex, base_offset: u64, out: &mut Vec<u8>) {
    put_uint(out, index.blocks_written.into());
    put_uint(out, index.position_before.into());
    put_uint(out, index.entries.len() as u64);
    let (mut position, mut offset, mut timestamp) = (index.position_before, base_offset, 0i64);
    for entry in &index.entries {
        put_uint(out, (entry.position - position).into());
        put_uint(out, entry.offset - offset);
        put_int(out, entry.max_timestamp_before.wrapping_sub(timestamp));
        (position, offset) = (entry.position, entry.offset);
        timestamp = entry.max_timestamp_before;
    }
}

fn encode_producers(producers: &Producers, out: &mut Vec<u8>) {
    put_uint(out, producers.len() as u64);
    put_uint(out, producers.now_ms());
    let mut before = 0;
    for (id, producer) in producers.iter() {
        put_uint(out, id - before);
        put_uint(out, producer.epoch.into());
        put_uint(out, producers.now_ms() - producer.last_ms);
        put_uint(out, producer.recent.len() as u64);
        for batch in &producer.recent {
            put_uint(out, batch.base_sequence.into());
            put_uint(out, batch.record_count.into());
            put_uint(out, batch.base_offset);
        }
        before = id;
    }
}

type Decoded<T> = Result<T, &'static str>;

fn decode(reader: &mut Reader<'_>) -> Decoded<PartitionCheckpoint> {
    if reader.byte()? != VERSION {
        return Err("its version is not known");
    }
    let log_start_offset = reader.uint()?;
    let high_watermark = reader.rise(log_start_offset)?;
    let segments = decode_segments(reader)?;
    let is_in_order = match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => {
            first.base_offset <= log_start_offset && last.base_offset < high_watermark
        }
        _ => log_start_offset == high_watermark,
    };
    if !is_in_order {
        return Err("its segments are not those of its offsets");
    }
    let (unfinished_block, index) = match segments.last() {
        Some(last) => {
            let unfinished = reader.bytes((last.bytes % BLOCK_BYTES) as usize)?;
            (Bytes::copy_from_slice(unfinished), decode_index(reader, last)?)
        }
        None => (Bytes::new(), ActiveIndex::default()),
    };
    let producers = decode_producers(reader)?;
    let mut dead = Vec::new();
    let mut before = 0;
    for _ in 0..reader.count()? {
        before = reader.rise(before)?;
        dead.push(before);
    }
    Ok(PartitionCheckpoint {
        log_start_offset,
        high_watermark,
        segments,
        unfinished_block,
        index,
        producers,
        dead,
    })
}

fn decode_segments(reader: &mut Reader<'_>) -> Decoded<Vec<SegmentInfo>> {
    let mut segments: Vec<SegmentInfo> = Vec::new();
    let mut all_bytes = 0u64;
    for _ in 0..reader.count()? {
        let before = segments.last().map(|segment| segment.base_offset);
        let base_offset = reader.rise(before.unwrap_or(0))?;
        let bytes = reader.uint()?;
        all_bytes =
            all_bytes.checked_add(bytes).ok_or("its segments have impossibly many bytes")?;
        if Some(base_offset) == before || bytes == 0 {
            return Err("a segment is empty");
        }
        let (opened_ms, max_timestamp) = (reader.uint()?, reader.int()?);
        segments.push(SegmentInfo { base_offset, bytes, opened_ms, max_timestamp });
    }
    Ok(segments)
}

fn decode_index(reader: &mut Reader<'_>, segment: &SegmentInfo) -> Decoded<ActiveIndex> {
    let blocks_written = reader.uint32()?;
    let position_before = reader.uint32()?;
    let mut index = ActiveIndex { blocks_written, position_before, entries: Vec::new() };
    let (mut position, mut offset) = (u64::from(position_before), segment.base_offset);
    let mut max_timestamp_before = 0i64;
    for _ in 0..reader.count()? {
        let before = (position, offset);
        position = reader.rise(position)?;
        offset = reader.rise(offset)?;
        max_timestamp_before = max_timestamp_before.wrapping_add(reader.int()?);
        let rises = before.0 < position && before.1 < offset && position < segment.bytes;
        let (true, Ok(position)) = (rises, u32::try_from(position)) else {
            return Err("its index entries do not rise");
        };
        index.entries.push(IndexEntry { position, offset, max_timestamp_before });
    }
    Ok(index)
}

fn decode_producers(reader: &mut Reader<'_>) -> Decoded<Producers> {
    let count = reader.count()?;
    if count > PRODUCERS_MAX {
        return Err("it has too many producers");
    }
    let now_ms = reader.uint()?;
    let mut producers = Vec::new();
    let mut id = 0;
    for _ in 0..count {
        id = reader.rise(id)?;
        let epoch = u16::try_from(reader.uint()?).map_err(|_| "an epoch is impossible")?;
        let silent_ms = reader.uint()?;
        let last_ms = now_ms.checked_sub(silent_ms).ok_or("a producer was silent too long")?;
        let batches = reader.count()?;
        if batches > RECENT_BATCHES_MAX {
            return Err("a producer has too many batches");
        }
        let mut recent = Vec::with_capacity(batches);
        for _ in 0..batches {
            let (base_sequence, record_count) = (reader.uint32()?, reader.uint32()?);
            recent.push(RecentBatch { base_sequence, record_count, base_offset: reader.uint()? });
        }
        producers.push((id, Producer { epoch, last_ms, recent }));
    }
    Producers::restore(now_ms, producers).ok_or("a producer is there twice, or has no batch")
}

#[cfg(test)]
mod tests;
