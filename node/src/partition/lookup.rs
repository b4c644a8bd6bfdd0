//! Where in a segment's file to begin for an offset or a timestamp, and the file's bytes.

use super::context::FileKind;
use super::{Partition, ReadError};
use crate::index::{
    self, ENTRIES_PER_BLOCK, INDEX_BLOCK_BYTES, INDEX_FILE_BYTES_MAX, INDEX_INTERVAL_BYTES,
    LoadedIndex, Seek, find,
};
use crate::segment::{DamageReason, Place, SegmentError, SegmentSource, index_path, log_path};
use std::rc::Rc;

/// What an index file has to hold.
#[derive(Debug, Clone, Copy)]
enum Needed {
    /// This many whole blocks of a segment that is being written.
    Blocks(u32),
    /// All of a complete segment.
    All,
}

impl Needed {
    fn is_met_by(self, index: &LoadedIndex) -> bool {
        match self {
            Self::Blocks(blocks) => index.is_complete || index.blocks >= blocks,
            Self::All => index.is_complete,
        }
    }
}

impl Partition {
    /// A place at most an index interval and a batch before what is sought, in a segment.
    pub(super) async fn place_before(
        &self,
        base_offset: u64,
        seek: Seek,
    ) -> Result<Place, ReadError> {
        let start = Place { position: 0, offset: base_offset };
        let needed = {
            let state = self.state.borrow();
            let Some(segment) = state.segment(base_offset) else { return Ok(start) };
            if let Some(entry) = find(&segment.index.entries, seek) {
                return Ok(entry.place());
            }
            match segment.index.blocks_written {
                _ if segment.info.bytes <= INDEX_INTERVAL_BYTES => return Ok(start),
                _ if segment.is_complete => Needed::All,
                0 => return Ok(start),
                blocks => Needed::Blocks(blocks),
            }
        };
        let index = self.index(base_offset, needed).await?;
        Ok(find(&index.entries, seek).map_or(start, |entry| entry.place()))
    }

    async fn index(&self, base_offset: u64, needed: Needed) -> Result<Rc<LoadedIndex>, ReadError> {
        let cached = || {
            let cached = self.context.cached_index(self.id, base_offset);
            cached.filter(|index| needed.is_met_by(index))
        };
        if let Some(index) = cached() {
            return Ok(index);
        }
        let _turn = self.index_turn.lock().await;
        if let Some(index) = cached() {
            return Ok(index);
        }
        let index = match self.load_index(base_offset, needed).await? {
            Ok(index) => Rc::new(index),
            Err(reason) => self.rebuild_index(base_offset, needed, &reason).await?,
        };
        self.context.cache_index(self.id, base_offset, index.clone());
        Ok(index)
    }

    /// Reads the index file. The inner error says why it cannot be used.
    async fn load_index(
        &self,
        base_offset: u64,
        needed: Needed,
    ) -> Result<Result<LoadedIndex, String>, ReadError> {
        let path = index_path(&self.dir, base_offset);
        let key = self.file_key(base_offset, FileKind::Index);
        let file = match self.context.open(key, &path, false).await {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(Err("it is missing".into())),
            Err(error) => return Err(error.into()),
        };
        let bytes = match needed {
            Needed::Blocks(blocks) => blocks as usize * INDEX_BLOCK_BYTES,
            Needed::All => INDEX_FILE_BYTES_MAX as usize,
        };
        let bytes = file.read_at(0, bytes).await?;
        self.context.counters().indexes_loaded.add(1);
        Ok(match index::decode(base_offset, &bytes) {
            Ok(index) if needed.is_met_by(&index) => Ok(index),
            Ok(index) => Err(format!("it ends after block {}", index.blocks)),
            Err(damage) => Err(damage.to_string()),
        })
    }

    async fn rebuild_index(
        &self,
        base_offset: u64,
        needed: Needed,
        reason: &str,
    ) -> Result<Rc<LoadedIndex>, ReadError> {
        let path = index_path(&self.dir, base_offset);
        tracing::warn!(file = %path.display(), reason, "the index cannot be used: rebuilding it");
        self.context.counters().indexes_rebuilt.add(1);
        let source = self.source(base_offset).await?;
        let (mut entries, damage) = index::rebuild(&source).await?;
        let (blocks, is_complete) = match needed {
            Needed::Blocks(blocks) => {
                entries.truncate(blocks as usize * ENTRIES_PER_BLOCK);
                (blocks, false)
            }
            Needed::All => ((entries.len() / ENTRIES_PER_BLOCK) as u32 + 1, true),
        };
        let index = Rc::new(LoadedIndex { entries, blocks, is_complete });
        match damage {
            // What is before the damage can be found; a file that says so is not to be written.
            Some(damage) => tracing::error!(%damage, "a damaged segment has half an index"),
            None => self.state.borrow_mut().index_repairs.push((base_offset, index.clone())),
        }
        Ok(index)
    }

    /// A segment's bytes that are on disk, and those in memory that end the last batch of them.
    pub(super) async fn source(&self, base_offset: u64) -> Result<SegmentSource, ReadError> {
        let path = log_path(&self.dir, base_offset);
        let is_on_disk = self.state.borrow().segment(base_offset).is_some_and(|s| s.flushed > 0);
        let file = if is_on_disk {
            let key = self.file_key(base_offset, FileKind::Log);
            match self.context.open(key, &path, false).await {
                Ok(file) => Some(file),
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Err(_) => None,
            }
        } else {
            None
        };
        let state = self.state.borrow();
        let Some(segment) = state.segment(base_offset) else {
            return Err(state.out_of_range(base_offset));
        };
        if file.is_none() && segment.flushed > 0 {
            let (position, offset, reason) = (0, base_offset, DamageReason::Missing);
            let damaged = SegmentError::Damaged { file: path, position, offset, reason };
            return Err(damaged.into());
        }
        let written = segment.stream_start + segment.flushed;
        let remainder = state.tail.remainder_within(segment.stream_start, segment.stream_end());
        let limit = if remainder.is_empty() {
            state.tail.start_of_batch_at(written) - segment.stream_start
        } else {
            segment.flushed + remainder.len() as u64
        };
        Ok(SegmentSource::new(path, base_offset, file, segment.flushed, remainder, limit))
    }
}
