//! A segment: its batches, checked one by one.

use std::path::Path;

use ringspool_node::segment::{DamageReason, ScanError, Scanner, base_offset_of};
use ringspool_wire::{BatchHeader, Codec, FLAG_CHUNK, NO_PRODUCER};
use serde::Serialize;

use super::{Damage, Listing, open, reading, time};
use crate::error::CommandError;

#[derive(Serialize)]
struct BatchItem {
    position: u64,
    bytes: u32,
    base_offset: u64,
    last_offset: u64,
    records: u32,
    codec: &'static str,
    uncompressed_bytes: u32,
    chunk: bool,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: Option<u64>,
    producer_epoch: u16,
    base_sequence: u32,
    term: u32,
    crc: u32,
}

impl BatchItem {
    fn new(position: u64, header: &BatchHeader) -> Self {
        BatchItem {
            position,
            bytes: header.batch_bytes,
            base_offset: header.base_offset,
            last_offset: header.base_offset + u64::from(header.record_count.saturating_sub(1)),
            records: header.record_count,
            codec: match header.codec {
                Codec::None => "none",
                Codec::Zstd => "zstd",
            },
            uncompressed_bytes: header.uncompressed_bytes,
            chunk: header.flags & FLAG_CHUNK != 0,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            producer_id: (header.producer_id != NO_PRODUCER).then_some(header.producer_id),
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            term: header.term,
            crc: header.crc,
        }
    }

    fn text(&self) -> String {
        let producer = match self.producer_id {
            None => "-".to_owned(),
            Some(id) => format!("{id}/{}/{}", self.producer_epoch, self.base_sequence),
        };
        let codec =
            if self.chunk { format!("{},chunk", self.codec) } else { self.codec.to_owned() };
        format!(
            "{:>10} {:>9} {:>12} {:>8} {:<10} {:>12} {:<24} {:<20} {:>4} {:08x}",
            self.position,
            self.bytes,
            self.base_offset,
            self.records,
            codec,
            self.uncompressed_bytes,
            time(self.base_timestamp),
            producer,
            self.term,
            self.crc
        )
    }
}

/// Lists the batches of the segment at `path`.
pub(crate) fn list(path: &Path, listing: &mut Listing) -> Result<Option<Damage>, CommandError> {
    let file = open(path)?;
    let mut scanner = Scanner::new(file, base_offset_of(path));
    listing.text(&format!(
        "{:>10} {:>9} {:>12} {:>8} {:<10} {:>12} {:<24} {:<20} {:>4} {:<8}",
        "POSITION",
        "BYTES",
        "OFFSET",
        "RECORDS",
        "CODEC",
        "UNCOMPRESSED",
        "TIME",
        "PRODUCER",
        "TERM",
        "CRC"
    ))?;
    let (mut batches, mut records) = (0u64, 0u64);
    let mut damage = None;
    for batch in &mut scanner {
        match batch {
            Ok(batch) => {
                let item = BatchItem::new(batch.position, &batch.header);
                listing.item(&item, || item.text())?;
                batches += 1;
                records += u64::from(item.records);
            }
            Err(ScanError::Read { source, .. }) => return Err(reading(path, source)),
            Err(ScanError::Damaged { position, reason }) => {
                damage = unless_open(path, position, &reason, listing)?;
            }
        }
    }
    listing.text(&format!(
        "{batches} batches, {records} records, {} bytes, next offset {}",
        scanner.position(),
        scanner.next_offset().map_or_else(|| "unknown".to_owned(), |next| next.to_string())
    ))?;
    Ok(damage)
}

/// The segment that is being written ends wherever its last whole block does, mostly inside a
/// batch: the rest of it is in the checkpoint and the WAL. That is no damage.
fn unless_open(
    path: &Path,
    position: u64,
    reason: &DamageReason,
    listing: &mut Listing,
) -> Result<Option<Damage>, CommandError> {
    let damage = Damage {
        position,
        reason: format!(
            "{reason}. If a node was killed while writing this segment, it mends the end by itself \
             at its next start; else restore the file from a replica or a backup"
        ),
    };
    if matches!(reason, DamageReason::Incomplete { .. }) && is_last_of_its_partition(path) {
        listing.text(&format!(
            "the batch at byte {position} is not all here: the segment is still open, the rest is \
             in the checkpoint and the WAL"
        ))?;
        return Ok(None);
    }
    Ok(Some(damage))
}

fn is_last_of_its_partition(path: &Path) -> bool {
    let (Some(own), Some(directory)) = (base_offset_of(path), path.parent()) else { return false };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let others = entries.flatten().map(|entry| entry.path());
    let mut segments = others.filter(|other| other.extension().is_some_and(|end| end == "log"));
    segments.all(|other| base_offset_of(&other).is_none_or(|base| base <= own))
}
