//! The index of the segment that is being written: the entries no block on disk holds yet.

use super::{ENTRIES_PER_BLOCK, INDEX_INTERVAL_BYTES, IndexEntry};

/// Entries in memory, after those of the blocks already written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActiveIndex {
    /// Whole blocks in the index file.
    pub blocks_written: u32,
    /// Position of the entry before `entries[0]`; 0, where no entry is needed, when there is none.
    pub position_before: u32,
    /// Entries that no block holds.
    pub entries: Vec<IndexEntry>,
}

impl ActiveIndex {
    /// Takes notice of a batch that is appended to the segment, and makes an entry for it when the
    /// last one is far enough back.
    pub fn observe(&mut self, position: u64, offset: u64, max_timestamp_before: i64) {
        let last = self.entries.last().map_or(self.position_before, |entry| entry.position);
        if position - u64::from(last) >= INDEX_INTERVAL_BYTES {
            let Ok(position) = u32::try_from(position) else {
                unreachable!("a segment is at most 1 GiB and one batch")
            };
            self.entries.push(IndexEntry { position, offset, max_timestamp_before });
        }
    }

    /// Entries that fill whole blocks and may be written when the log is on disk up to position
    /// `flushed`: those of batches that are there as a whole, so that what the index file says can
    /// always be found again in the log.
    #[must_use]
    pub fn full_blocks(&self, flushed: u64) -> &[IndexEntry] {
        let mut starts = self.entries.iter().step_by(ENTRIES_PER_BLOCK).skip(1);
        let on_disk = starts.position(|entry| u64::from(entry.position) > flushed);
        let starts = self.entries.len().saturating_sub(1) / ENTRIES_PER_BLOCK;
        &self.entries[..on_disk.unwrap_or(starts) * ENTRIES_PER_BLOCK]
    }

    /// Forgets the first `count` entries, which `blocks` more blocks hold now.
    pub fn written(&mut self, count: usize, blocks: u32) {
        if let Some(last) = count.checked_sub(1) {
            self.position_before = self.entries[last].position;
        }
        self.entries.drain(..count);
        self.entries.shrink_to_fit();
        self.blocks_written += blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_an_interval_apart_whatever_the_batches_measure() {
        let mut index = ActiveIndex::default();
        let mut position = 0;
        for offset in 0..1000 {
            index.observe(position, offset, offset as i64);
            position += if offset % 100 == 0 { 1 << 20 } else { 1000 };
        }
        let mut last = 0;
        for entry in &index.entries {
            assert!(u64::from(entry.position) - last >= INDEX_INTERVAL_BYTES);
            last = entry.position.into();
        }
        assert!(index.entries.len() >= 10, "a batch of 1 MiB is followed by an entry");
        assert_eq!(index.entries[0].position, 1 << 20);
    }

    #[test]
    fn writing_blocks_changes_nothing_about_later_entries() {
        let mut written = ActiveIndex::default();
        let mut kept = ActiveIndex::default();
        let mut gone = 0;
        for offset in 0..1000u64 {
            written.observe(offset * 40_000, offset, 0);
            kept.observe(offset * 40_000, offset, 0);
            let full = written.full_blocks(offset * 40_000).len();
            gone += full;
            written.written(full, (full / ENTRIES_PER_BLOCK) as u32);
            assert_eq!(written.entries, kept.entries[gone..]);
        }
        assert_eq!(written.blocks_written as usize, gone / ENTRIES_PER_BLOCK);
        assert!(gone > 0);
    }

    #[test]
    fn a_block_waits_for_its_last_batch_to_be_on_disk() {
        let mut index = ActiveIndex::default();
        for offset in 0..=ENTRIES_PER_BLOCK as u64 * 2 + 1 {
            index.observe(offset * INDEX_INTERVAL_BYTES, offset, 0);
        }
        // The entry that follows the block begins where the block's last batch ends.
        let next = u64::from(index.entries[ENTRIES_PER_BLOCK].position);
        assert_eq!(index.full_blocks(next - 1).len(), 0);
        assert_eq!(index.full_blocks(next).len(), ENTRIES_PER_BLOCK);
        assert_eq!(index.full_blocks(u64::MAX).len(), 2 * ENTRIES_PER_BLOCK);
        assert_eq!(ActiveIndex::default().full_blocks(u64::MAX).len(), 0);
    }
}
