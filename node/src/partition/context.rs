//! What the partitions of a shard share: the disk, open files, cached indexes, the budget of their
//! memory, and the order in which they are flushed.

use super::clean_queue::CleanQueue;
use super::flush_queue::FlushQueue;
use super::folders::Folders;
use super::lru::Lru;
use super::{Counters, Partition, PartitionId};
use crate::index::LoadedIndex;
use crate::io::{Disk, DiskError, File, OpenMode};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::sync::Semaphore;

/// Bounds of a shard's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageSettings {
    /// Bytes of log in memory, written or not. Written ones leave when there are more.
    pub cache_bytes: u64,
    /// Bytes of log that a flush would write beyond which small partitions are flushed too. With
    /// twice as many [`StorageContext::room_for_dirty`] waits.
    pub dirty_bytes_max: u64,
    /// Bytes not written yet with which a partition is worth a flush.
    pub flush_bytes: u64,
    /// Bytes of index entries in memory.
    pub index_cache_bytes: u64,
    /// Files kept open. More may be while they are in use.
    pub open_files_max: u64,
    /// Writes of at most 256 KiB under way at a time: few, so that a flush of the log waits little.
    pub writes_in_flight_max: usize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            dirty_bytes_max: 64 << 20,
            flush_bytes: 1 << 20,
            index_cache_bytes: 16 << 20,
            open_files_max: 512,
            writes_in_flight_max: 2,
        }
    }
}

/// What a partition, or all of a shard's, take of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of log in memory.
    pub(super) cached_bytes: u64,
    /// Those of them not written yet.
    pub(super) dirty_bytes: u64,
    /// Those of them that a flush would write.
    pub(super) flushable_bytes: u64,
}

/// One file of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    pub(super) partition: PartitionId,
    pub(super) base_offset: u64,
    pub(super) kind: FileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    Log,
    Index,
}

#[derive(Clone)]
struct OpenFile {
    file: Rc<dyn File>,
    is_writable: bool,
}

/// What the partitions of one shard share.
pub struct StorageContext {
    pub(super) disk: Rc<dyn Disk>,
    pub(super) settings: StorageSettings,
    pub(super) write_permits: Semaphore,
    pub(super) folders: RefCell<Folders>,
    counters: Counters,
    files: RefCell<Lru<FileKey, OpenFile>>,
    indexes: RefCell<Lru<(PartitionId, u64), Rc<LoadedIndex>>>,
    usage: Cell<Usage>,
    clean_queue: RefCell<CleanQueue>,
    flush_queue: RefCell<FlushQueue>,
    waiting_for_room: RefCell<Vec<Waker>>,
}

impl std::fmt::Debug for StorageContext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StorageContext")
            .field("settings", &self.settings)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

impl StorageContext {
    /// For the partitions of one shard on `disk`.
    #[must_use]
    pub fn new(disk: Rc<dyn Disk>, settings: StorageSettings) -> Rc<Self> {
        Rc::new(Self {
            disk,
            settings,
            write_permits: Semaphore::new(settings.writes_in_flight_max),
            folders: RefCell::default(),
            counters: Counters::default(),
            files: RefCell::new(Lru::new(settings.open_files_max)),
            indexes: RefCell::new(Lru::new(settings.index_cache_bytes)),
            usage: Cell::default(),
            clean_queue: RefCell::default(),
            flush_queue: RefCell::default(),
            waiting_for_room: RefCell::default(),
        })
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of log in memory, over all partitions.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.usage.get().cached_bytes
    }

    /// Bytes of log not written yet, over all partitions. They include the unfinished last block of
    /// each partition (less than 4 KiB), which no flush writes.
    #[must_use]
    pub fn dirty_bytes(&self) -> u64 {
        self.usage.get().dirty_bytes
    }

    /// Those of the dirty bytes that flushes would write.
    #[must_use]
    pub fn flushable_bytes(&self) -> u64 {
        self.usage.get().flushable_bytes
    }

    /// Whether flushes would write more than [`StorageSettings::dirty_bytes_max`].
    #[must_use]
    pub fn is_over_dirty_budget(&self) -> bool {
        self.flushable_bytes() > self.settings.dirty_bytes_max
    }

    fn has_room_for_dirty(&self) -> bool {
        self.flushable_bytes() <= self.settings.dirty_bytes_max.saturating_mul(2)
    }

    /// Resolves when there is room for more dirty bytes: at once, unless flushing lags far behind.
    /// While the disk is full that is when there is space again. It goes by
    /// [`StorageContext::flushable_bytes`]: waiting for all dirty bytes to shrink could be for ever,
    /// since no flush writes unfinished blocks.
    pub async fn room_for_dirty(&self) {
        poll_fn(|context| {
            if self.has_room_for_dirty() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting_for_room.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Files open now, but for evicted ones still in use.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.files.borrow().len()
    }

    /// Bytes of index entries in the cache.
    #[must_use]
    pub fn index_cache_bytes(&self) -> u64 {
        self.indexes.borrow().weight()
    }

    /// The partition to flush next: one that has a large write's worth, or, when more is dirty than
    /// the budget allows, the one that has had a whole block to write for longest. `None`: nothing
    /// has to be flushed.
    #[must_use]
    pub fn next_flush(&self) -> Option<Rc<Partition>> {
        let flush_bytes = self.settings.flush_bytes;
        self.flush_queue.borrow_mut().take(flush_bytes, self.is_over_dirty_budget())
    }

    /// Resolves when [`StorageContext::next_flush`] may have something. It has at once after a
    /// flush that failed: whoever flushes waits a while before trying again.
    pub async fn flush_wanted(&self) {
        poll_fn(|context| {
            let mut queue = self.flush_queue.borrow_mut();
            if queue.has_work(self.is_over_dirty_budget()) {
                return Poll::Ready(());
            }
            queue.wait(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Takes a partition's change of memory into account.
    pub(super) fn account(&self, before: Usage, now: Usage) {
        let all = self.usage.get();
        self.usage.set(Usage {
            cached_bytes: all.cached_bytes + now.cached_bytes - before.cached_bytes,
            dirty_bytes: all.dirty_bytes + now.dirty_bytes - before.dirty_bytes,
            flushable_bytes: all.flushable_bytes + now.flushable_bytes - before.flushable_bytes,
        });
        if now.flushable_bytes < before.flushable_bytes && self.has_room_for_dirty() {
            let waiting = std::mem::take(&mut *self.waiting_for_room.borrow_mut());
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Queues a partition for flushing, as far as it has something to flush.
    pub(super) fn queue_flush(&self, partition: &Rc<Partition>) {
        let flushable = partition.flushable_bytes();
        let over = self.is_over_dirty_budget();
        let flush_bytes = self.settings.flush_bytes;
        let wakers: Vec<Waker> =
            self.flush_queue.borrow_mut().put(partition, flushable, flush_bytes, over);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Notes that a partition's log is on disk up to a stream position.
    pub(super) fn queue_clean(&self, partition: &Rc<Partition>, written: u64) {
        self.clean_queue.borrow_mut().push(Rc::downgrade(partition), written);
    }

    /// Drops clean bytes, oldest first, until the rest fits the budget or is dirty.
    pub(super) fn evict(&self) {
        while self.cached_bytes() > self.settings.cache_bytes {
            let piece = self.clean_queue.borrow_mut().pop();
            let Some((partition, written)) = piece else { return };
            partition.evict(written);
        }
    }

    /// Opens one of a partition's files that exists, or takes it from those that are open.
    pub(super) async fn open(
        &self,
        key: FileKey,
        path: &Path,
        writable: bool,
    ) -> Result<Rc<dyn File>, DiskError> {
        if let Some(open) = self.files.borrow_mut().get(&key)
            && (open.is_writable || !writable)
        {
            return Ok(open.file);
        }
        let mode = if writable { OpenMode::ReadWrite } else { OpenMode::Read };
        self.open_anew(key, path, mode).await
    }

    /// Makes one of a partition's files, empty.
    pub(super) async fn create(
        &self,
        key: FileKey,
        path: &Path,
    ) -> Result<Rc<dyn File>, DiskError> {
        let file = self.open_anew(key, path, OpenMode::Create).await?;
        if let Some(folder) = path.parent() {
            self.folders.borrow_mut().changed(folder);
        }
        Ok(file)
    }

    async fn open_anew(
        &self,
        key: FileKey,
        path: &Path,
        mode: OpenMode,
    ) -> Result<Rc<dyn File>, DiskError> {
        let file = self.disk.open(path, mode).await?;
        self.counters.files_opened.add(1);
        let is_writable = mode != OpenMode::Read;
        let open = OpenFile { file: file.clone(), is_writable };
        self.files.borrow_mut().insert(key, open, 1);
        Ok(file)
    }

    /// Makes a partition's folder, and remembers to sync those above it.
    pub(super) async fn create_folder(&self, folder: &Path) -> Result<(), DiskError> {
        self.disk.create_dir_all(folder).await?;
        self.folders.borrow_mut().created(folder);
        Ok(())
    }

    /// Syncs the folders at and above a partition's that have new names.
    pub(super) async fn sync_folders(&self, folder: &Path) -> Result<(), DiskError> {
        let folders = self.folders.borrow().to_sync(folder);
        for (folder, change) in folders {
            self.disk.sync_dir(&folder).await?;
            self.counters.folders_synced.add(1);
            self.folders.borrow_mut().synced(&folder, change);
        }
        Ok(())
    }

    pub(super) fn cached_index(
        &self,
        partition: PartitionId,
        base_offset: u64,
    ) -> Option<Rc<LoadedIndex>> {
        self.indexes.borrow_mut().get(&(partition, base_offset))
    }

    pub(super) fn cache_index(
        &self,
        partition: PartitionId,
        base_offset: u64,
        index: Rc<LoadedIndex>,
    ) {
        let weight = size_of_val(&index.entries[..]) as u64 + size_of::<LoadedIndex>() as u64;
        self.indexes.borrow_mut().insert((partition, base_offset), index, weight);
    }

    /// Lets go of all that is kept for a segment.
    pub(super) fn forget_segment(&self, partition: PartitionId, base_offset: u64) {
        let mut files = self.files.borrow_mut();
        for kind in [FileKind::Log, FileKind::Index] {
            files.remove(&FileKey { partition, base_offset, kind });
        }
        self.indexes.borrow_mut().remove(&(partition, base_offset));
    }
}
