//! Writing the tail to segments, and making it durable.

use super::Partition;
use super::context::FileKind;
use crate::index::{self, ENTRIES_PER_BLOCK, INDEX_BLOCK_BYTES, INDEX_INTERVAL_BYTES};
use crate::io::{DiskError, File, align_down, align_up};
use crate::segment::{index_path, log_path, write_blocks};
use std::rc::Rc;

/// Up to where a flush is to write, as of some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlushTarget(u64);

/// What a flush has to do to one segment.
struct Work {
    base_offset: u64,
    stream_start: u64,
    from: u64,
    to: u64,
}

impl Partition {
    /// Everything appended so far. Taken together with [`Partition::checkpoint`], flushing to it
    /// writes what that checkpoint needs on disk.
    #[must_use]
    pub fn flush_target(&self) -> FlushTarget {
        FlushTarget(self.state.borrow().stream_end)
    }

    /// Writes whole blocks up to `target`, and sealed segments to their ends. With `sync`, all that
    /// was ever written is durable when it returns: contents, and names of files and folders.
    ///
    /// An error leaves what was not written in memory, to be tried again; with
    /// [`DiskError::is_out_of_space`] that may well succeed later. Any other failed sync cannot be
    /// made good by another one: from then on every flush with `sync` fails, until a restart writes
    /// from the WAL what no checkpoint covers.
    ///
    /// Calls follow one another per partition.
    pub async fn flush(&self, target: FlushTarget, sync: bool) -> Result<(), DiskError> {
        let _turn = self.flush_turn.lock().await;
        if self.is_closed() {
            return Ok(());
        }
        let written = self.write_up_to(target).await;
        self.context.queue_flush(&self.me());
        self.context.evict();
        written?;
        self.repair_indexes().await?;
        if sync {
            self.sync_files().await?;
        }
        Ok(())
    }

    async fn write_up_to(&self, target: FlushTarget) -> Result<(), DiskError> {
        let mut after = None;
        while let Some(work) = self.next_work(target, after) {
            after = Some(work.base_offset);
            if work.from < work.to {
                self.write_log(&work).await?;
            }
            self.write_index(work.base_offset).await?;
        }
        Ok(())
    }

    /// The first segment after `after` that is not all written.
    fn next_work(&self, target: FlushTarget, after: Option<u64>) -> Option<Work> {
        let state = self.state.borrow();
        let complete = state.segments.partition_point(|segment| segment.is_complete);
        let mut incomplete = state.segments.range(complete..);
        let segment = incomplete.find(|segment| Some(segment.info.base_offset) > after)?;
        let within = target.0.checked_sub(segment.stream_start).filter(|within| *within > 0)?;
        let bytes = segment.info.bytes;
        let all = segment.is_sealed && within >= bytes;
        Some(Work {
            base_offset: segment.info.base_offset,
            stream_start: segment.stream_start,
            from: segment.flushed,
            to: if all { bytes } else { align_down(bytes.min(within)) },
        })
    }

    async fn write_log(&self, work: &Work) -> Result<(), DiskError> {
        let Some(file) = self.log_to_write(work.base_offset).await? else { return Ok(()) };
        let fill = |position: u64, buffer: &mut [u8]| {
            let state = self.state.borrow();
            let Some(segment) = state.segment(work.base_offset) else { return false };
            let there = segment.info.bytes.saturating_sub(position).min(buffer.len() as u64);
            let (bytes, padding) = buffer.split_at_mut(there as usize);
            state.tail.copy(work.stream_start + position, bytes);
            padding.fill(0);
            true
        };
        let written = |end: u64| self.log_written(work, end.min(work.to));
        let (from, to) = (work.from, align_up(work.to));
        write_blocks(&file, &self.context.write_permits, from, to, fill, written).await
    }

    /// The log's file, made if it is not there; `None` when the segment was trimmed.
    async fn log_to_write(&self, base_offset: u64) -> Result<Option<Rc<dyn File>>, DiskError> {
        let key = self.file_key(base_offset, FileKind::Log);
        let path = log_path(&self.dir, base_offset);
        let has_log = match self.state.borrow().segment(base_offset) {
            Some(segment) => segment.has_log,
            None => return Ok(None),
        };
        let file = if has_log {
            self.context.open(key, &path, true).await?
        } else {
            self.context.create_folder(&self.dir).await?;
            self.context.create(key, &path).await?
        };
        if let Some(segment) = self.state.borrow_mut().segment_mut(base_offset) {
            segment.has_log = true;
            segment.is_log_unsynced = true;
        }
        Ok(Some(file))
    }

    /// A segment is on disk up to a position.
    fn log_written(&self, work: &Work, position: u64) {
        let written = {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(work.base_offset) else { return };
            let bytes = position - segment.flushed;
            segment.flushed = position;
            self.context.counters().bytes_flushed.add(bytes);
            let written = work.stream_start + position;
            state.written = written;
            state.tail.written(written);
            written
        };
        self.settle();
        self.context.queue_clean(&self.me(), written);
        self.context.evict();
    }

    /// Writes what of a segment's index is due: whole blocks, or the rest once all of the log is
    /// written, which completes the segment.
    async fn write_index(&self, base_offset: u64) -> Result<(), DiskError> {
        let (entries, first_block, is_last, bytes) = {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base_offset) else { return Ok(()) };
            let is_last = segment.is_sealed && segment.flushed == segment.info.bytes;
            let entries = if is_last {
                segment.index.entries.clone()
            } else {
                segment.index.full_blocks(segment.flushed).to_vec()
            };
            if entries.is_empty() && !is_last {
                return Ok(());
            }
            (entries, segment.index.blocks_written, is_last, segment.info.bytes)
        };
        if is_last {
            self.cut_log(base_offset, bytes).await?;
        }
        if bytes > INDEX_INTERVAL_BYTES {
            let mut blocks = Vec::new();
            index::encode(base_offset, first_block, &entries, is_last, &mut blocks);
            self.write_index_blocks(base_offset, first_block, &blocks).await?;
        }
        if let Some(segment) = self.state.borrow_mut().segment_mut(base_offset) {
            let blocks = (entries.len() / ENTRIES_PER_BLOCK) as u32;
            segment.index.written(entries.len(), blocks);
            segment.is_complete = is_last;
        }
        Ok(())
    }

    /// Cuts off what a sealed segment's file has after its end: the zeros of its last block, or more
    /// from before a crash.
    async fn cut_log(&self, base_offset: u64, bytes: u64) -> Result<(), DiskError> {
        match self.log_to_write(base_offset).await? {
            Some(file) => file.truncate(bytes).await,
            None => Ok(()),
        }
    }

    async fn write_index_blocks(
        &self,
        base_offset: u64,
        first_block: u32,
        blocks: &[u8],
    ) -> Result<Rc<dyn File>, DiskError> {
        let file = self.index_to_write(base_offset).await?;
        let mut buffer = file.alloc(blocks.len());
        buffer.as_bytes_mut().copy_from_slice(blocks);
        file.write_at(buffer, u64::from(first_block) * INDEX_BLOCK_BYTES as u64).await?;
        Ok(file)
    }

    /// The index's file, made if it is not there. One that got lost is made too: readers find its
    /// first blocks missing and rebuild them.
    async fn index_to_write(&self, base_offset: u64) -> Result<Rc<dyn File>, DiskError> {
        let key = self.file_key(base_offset, FileKind::Index);
        let path = index_path(&self.dir, base_offset);
        let has_index = match self.state.borrow_mut().segment_mut(base_offset) {
            Some(segment) => {
                segment.is_index_unsynced = true;
                std::mem::replace(&mut segment.has_index, true)
            }
            None => false,
        };
        if has_index {
            match self.context.open(key, &path, true).await {
                Err(error) if error.is_not_found() => {}
                opened => return opened,
            }
        }
        self.context.create(key, &path).await
    }

    /// Writes index files again that were found missing or damaged.
    async fn repair_indexes(&self) -> Result<(), DiskError> {
        loop {
            let Some((base_offset, index)) = self.state.borrow().index_repairs.last().cloned()
            else {
                return Ok(());
            };
            if self.state.borrow().segment(base_offset).is_some() {
                let mut blocks = Vec::new();
                index::encode(base_offset, 0, &index.entries, index.is_complete, &mut blocks);
                let file = self.write_index_blocks(base_offset, 0, &blocks).await?;
                if index.is_complete {
                    file.truncate(blocks.len() as u64).await?;
                }
            }
            self.state.borrow_mut().index_repairs.retain(|(base, _)| *base != base_offset);
        }
    }

    /// Makes everything durable that was written.
    async fn sync_files(&self) -> Result<(), DiskError> {
        if let Some(reason) = self.state.borrow().failed_sync.clone() {
            let operation = format!("make durable (restart the node to write again what {reason})");
            return Err(DiskError::new(operation, &self.dir, std::io::Error::other("lost")));
        }
        for (base_offset, kind) in self.unsynced() {
            let path = match kind {
                FileKind::Log => log_path(&self.dir, base_offset),
                FileKind::Index => index_path(&self.dir, base_offset),
            };
            self.set_unsynced(base_offset, kind, false);
            let key = self.file_key(base_offset, kind);
            let synced = match self.context.open(key, &path, true).await {
                Ok(file) => file.sync_data().await.inspect_err(|error| self.sync_failed(error)),
                // Whoever looks for it rebuilds it.
                Err(error) if kind == FileKind::Index && error.is_not_found() => Ok(()),
                Err(error) => Err(error),
            };
            self.context.counters().files_synced.add(1);
            if let Err(error) = synced
                && self.state.borrow().segment(base_offset).is_some()
            {
                self.set_unsynced(base_offset, kind, true);
                return Err(error);
            }
        }
        self.context.sync_folders(&self.dir).await
    }

    fn sync_failed(&self, error: &DiskError) {
        // Without space the kernel keeps what it could not place; any other failure may have
        // dropped it.
        if !error.is_out_of_space() {
            self.state.borrow_mut().failed_sync = Some(format!("a failed sync lost: {error}"));
        }
    }

    fn unsynced(&self) -> Vec<(u64, FileKind)> {
        let state = self.state.borrow();
        let mut files = Vec::new();
        for segment in &state.segments {
            let flags = [
                (FileKind::Log, segment.is_log_unsynced),
                (FileKind::Index, segment.is_index_unsynced),
            ];
            let unsynced = flags.iter().filter(|(_, unsynced)| *unsynced);
            files.extend(unsynced.map(|(kind, _)| (segment.info.base_offset, *kind)));
        }
        files
    }

    fn set_unsynced(&self, base_offset: u64, kind: FileKind, unsynced: bool) {
        if let Some(segment) = self.state.borrow_mut().segment_mut(base_offset) {
            match kind {
                FileKind::Log => segment.is_log_unsynced = unsynced,
                FileKind::Index => segment.is_index_unsynced = unsynced,
            }
        }
    }
}
