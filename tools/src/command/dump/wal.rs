//! A WAL file: its header, its flushes, and the records in them.
//!
//! The first flush that is not valid ends the file. It is a torn tail, or what an earlier use left
//! behind, unless a later flush of the same use stands behind it: then acknowledged records were
//! damaged. That is how the node judges it, too.

use std::path::Path;

use bytes::Bytes;
use ringspool_node::coordinator::CoordinatorApp;
use ringspool_node::io::BLOCK_BYTES;
use ringspool_node::raft::{Application, GroupId};
use ringspool_node::vnode::command::VnodeApp;
use ringspool_node::wal::format::{
    FILE_HEADER_BYTES, FLUSH_HEADER_BYTES, FileHeader, FileHeaderError, FlushHeader, RecordKind,
    RecordView, flush_bytes, records,
};
use serde::Serialize;

use super::{Damage, Listing, read_all};
use crate::error::CommandError;

#[derive(Serialize)]
struct HeaderItem {
    shard: u32,
    sequence: u64,
    incarnation: u64,
    file_bytes: u64,
}

#[derive(Serialize)]
struct RecordItem {
    position: u64,
    flush: u64,
    group: String,
    kind: &'static str,
    sequence: u64,
    term: u64,
    node: u64,
    index: u64,
    payload_bytes: usize,
    /// What the command does, in words.
    command: Option<String>,
}

impl RecordItem {
    fn text(&self) -> String {
        format!(
            "{:>10} {:>6} {:<12} {:<11} {:>9} {:>5} {:>5} {:>9} {:>9} {}",
            self.position,
            self.flush,
            self.group,
            self.kind,
            self.sequence,
            self.term,
            self.node,
            self.index,
            self.payload_bytes,
            self.command.as_deref().unwrap_or("-")
        )
    }
}

/// Lists the records of the WAL file at `path`.
pub(crate) fn list(path: &Path, listing: &mut Listing) -> Result<Option<Damage>, CommandError> {
    let bytes = Bytes::from(read_all(path)?);
    let header = match FileHeader::decode(bytes.get(..FILE_HEADER_BYTES).unwrap_or(&bytes)) {
        Ok(header) => header,
        Err(FileHeaderError::NotAHeader) if !has_flush(&bytes) => {
            listing.text("never used: the node was stopped while it made this file")?;
            return Ok(None);
        }
        Err(error) => {
            return Ok(Some(Damage { position: 0, reason: error.to_string() }));
        }
    };
    let item = HeaderItem {
        shard: header.shard,
        sequence: header.sequence,
        incarnation: header.incarnation,
        file_bytes: header.file_bytes,
    };
    listing.item(&item, || {
        format!(
            "shard {}, file {}, incarnation {:016x}, {} bytes",
            item.shard, item.sequence, item.incarnation, item.file_bytes
        )
    })?;
    listing.text(&format!(
        "{:>10} {:>6} {:<12} {:<11} {:>9} {:>5} {:>5} {:>9} {:>9} COMMAND",
        "POSITION", "FLUSH", "GROUP", "KIND", "SEQUENCE", "TERM", "NODE", "INDEX", "BYTES"
    ))?;
    let mut position = FILE_HEADER_BYTES;
    let (mut flushes, mut count) = (0u64, 0u64);
    while let Some((flush, views)) = flush_at(&bytes, position, &header, flushes) {
        for view in &views {
            let item = record_item(&bytes, position, flushes, view);
            listing.item(&item, || item.text())?;
            count += 1;
        }
        position += flush_bytes(flush.records_bytes);
        flushes += 1;
    }
    listing.text(&format!("{flushes} flushes, {count} records, valid up to byte {position}"))?;
    Ok(later_flush(&bytes, position, &header, flushes).map(|valid_at| Damage {
        position: position as u64,
        reason: format!(
            "a valid flush follows at byte {valid_at}, so acknowledged records were lost here. \
             Restore the file from a backup or rebuild the node from its replicas"
        ),
    }))
}

/// Whether a flush stands where the first one does. A file that was used has one, whatever its
/// header says.
fn has_flush(bytes: &[u8]) -> bool {
    bytes.get(FILE_HEADER_BYTES..).is_some_and(|rest| FlushHeader::decode(rest).is_some())
}

fn flush_at(
    bytes: &[u8],
    position: usize,
    file: &FileHeader,
    sequence: u64,
) -> Option<(FlushHeader, Vec<RecordView>)> {
    let rest = bytes.get(position..)?;
    let header = FlushHeader::decode(rest)?;
    if (header.incarnation, header.sequence) != (file.incarnation, sequence) {
        return None;
    }
    records(rest, &header).map(|views| (header, views))
}

/// Where a flush stands that was written after the one that should be at `end`.
fn later_flush(bytes: &[u8], end: usize, file: &FileHeader, next: u64) -> Option<usize> {
    let step = BLOCK_BYTES as usize;
    let blocks = (end + step..bytes.len().saturating_sub(FLUSH_HEADER_BYTES)).step_by(step);
    blocks.into_iter().find(|&position| {
        FlushHeader::decode(&bytes[position..])
            .is_some_and(|header| header.incarnation == file.incarnation && header.sequence > next)
    })
}

fn record_item(bytes: &Bytes, flush_position: usize, flush: u64, view: &RecordView) -> RecordItem {
    let header = view.header;
    let start = flush_position + view.payload.start;
    let payload = bytes.slice(start..flush_position + view.payload.end);
    let payload_bytes = payload.len();
    RecordItem {
        position: (flush_position + view.start) as u64,
        flush,
        group: header.group.to_string(),
        kind: match header.kind {
            RecordKind::Blank => "blank",
            RecordKind::Command => "command",
            RecordKind::Membership => "membership",
            RecordKind::Vote => "vote",
            RecordKind::Truncate => "truncate",
        },
        sequence: header.sequence,
        term: header.log_id.leader_id.term,
        node: header.log_id.leader_id.node_id,
        index: header.log_id.index,
        payload_bytes,
        command: (header.kind == RecordKind::Command).then(|| command(header.group, payload)),
    }
}

/// What a command does. One that cannot be understood is told as that: its checksum is right, so
/// the file is not damaged.
fn command(group: GroupId, payload: Bytes) -> String {
    let told = match group {
        GroupId::COORDINATOR => CoordinatorApp::decode(payload).map(|command| command.to_string()),
        _ => VnodeApp::decode(payload).map(|command| command.to_string()),
    };
    told.unwrap_or_else(|error| error.to_string())
}
