//! A sparse index: its entries.

use std::path::Path;

use ringspool_node::index::{INDEX_BLOCK_BYTES, decode};
use ringspool_node::segment::base_offset_of;
use serde::Serialize;

use super::{Damage, Listing, read_all, time};
use crate::error::CommandError;

#[derive(Serialize)]
struct EntryItem {
    position: u32,
    offset: u64,
    max_timestamp_before: Option<i64>,
}

/// Lists the entries of the index at `path`.
pub(crate) fn list(path: &Path, listing: &mut Listing) -> Result<Option<Damage>, CommandError> {
    let Some(base_offset) = base_offset_of(path) else {
        return Err(CommandError::Failed(format!(
            "{}: an index is read with its base offset, which its name gives: 20 digits and .idx",
            path.display()
        )));
    };
    let bytes = read_all(path)?;
    let (index, damage) = match decode(base_offset, &bytes) {
        Ok(index) => (index, None),
        Err(wrong) => {
            let position = u64::from(wrong.block) * INDEX_BLOCK_BYTES as u64;
            let good = &bytes[..(position as usize).min(bytes.len())];
            let reason =
                format!("{wrong}. The node builds it again from the segment when it needs it");
            (decode(base_offset, good).unwrap_or_default(), Some(Damage { position, reason }))
        }
    };
    listing.text(&format!("{:>10} {:>14} {}", "POSITION", "OFFSET", "LATEST TIME BEFORE"))?;
    for entry in &index.entries {
        // Nothing stands before the first batch of a segment.
        let before = (entry.max_timestamp_before != i64::MIN).then_some(entry.max_timestamp_before);
        let item = EntryItem {
            position: entry.position,
            offset: entry.offset,
            max_timestamp_before: before,
        };
        listing.item(&item, || {
            let before = before.map_or_else(|| "-".to_owned(), time);
            format!("{:>10} {:>14} {before}", item.position, item.offset)
        })?;
    }
    listing.text(&format!(
        "{} entries in {} blocks, {}",
        index.entries.len(),
        index.blocks,
        if index.is_complete { "complete" } else { "not complete: the segment is still open" }
    ))?;
    Ok(damage)
}
