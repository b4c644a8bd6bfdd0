//! Group commit: whatever is queued when the previous flush is done goes into the next one, with
//! one write and one fdatasync for all groups of the shard.
//!
//! One flush is under way at a time, so a damaged flush that valid ones follow cannot be a torn
//! tail. When no file is free the queue waits; [`Wal::can_accept`] turns false long before, so that
//! what waits is only what was let in.

use super::file::WalFile;
use super::format::{
    FILE_HEADER_BYTES, FLUSH_HEADER_BYTES, Previous, flush_bytes, put_flush_header, put_record,
    record_bytes,
};
use super::queue::{Append, Part, Placed, Queue};
use crate::io::{Disk, DiskError, runtime};
use crate::limits::{WAL_CLOSED_FILES_MAX, WAL_SPARE_FILES, WAL_SPARE_FILES_MAX};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How long to wait before asking again for space that was missing.
const SPACE_RETRY: Duration = Duration::from_millis(500);

/// Why the log stopped. It does not recover by itself: after a failed fdatasync nobody knows what
/// is on the disk, so the node has to stop and recover from what is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the write-ahead log stopped: {0}; check the disk, then start the node again")]
pub struct WalError(pub Arc<DiskError>);

/// How a shard's log is laid out.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// The shard's folder.
    pub dir: PathBuf,
    /// The shard.
    pub shard: u32,
    /// Length of each file.
    pub file_bytes: u64,
}

/// What the log did since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct WalStats {
    /// Flushes, each with one fdatasync.
    pub flushes: u64,
    /// Bytes written, with padding.
    pub bytes_written: u64,
    /// Records written.
    pub records: u64,
    /// Microseconds spent in write and fdatasync.
    pub flush_us: u64,
    /// Files that are full and still needed.
    pub closed_files: u64,
    /// Files ready for reuse.
    pub spare_files: u64,
    /// Bytes waiting to be written.
    pub queued_bytes: u64,
}

/// What was found in the log's folder at start.
#[derive(Debug, Default)]
pub struct Found {
    /// Files with records, oldest first. They stay until they are no longer needed.
    pub files: Vec<Rc<WalFile>>,
    /// Alive while any shard still needs any of them.
    pub needed: Weak<()>,
    /// The one that was written last.
    pub newest: Previous,
    /// Above the number and the sequence of any file.
    pub next_number: u64,
}

struct Active {
    file: Rc<WalFile>,
    sequence: u64,
    position: u64,
    flush_sequence: u64,
}

struct Shared {
    disk: Rc<dyn Disk>,
    options: WalOptions,
    queue: RefCell<Queue>,
    wake: Notify,
    active: RefCell<Option<Active>>,
    closed: RefCell<VecDeque<Rc<WalFile>>>,
    spares: RefCell<Vec<Rc<WalFile>>>,
    /// Files found at start, oldest first, not yet given up.
    found: RefCell<VecDeque<Rc<WalFile>>>,
    /// Alive while any shard still needs any found file.
    found_needed: RefCell<Weak<()>>,
    /// The last of them.
    found_newest: Previous,
    next_number: Cell<u64>,
    next_sequence: Cell<u64>,
    out_of_space: Cell<bool>,
    /// A task tries to make the spare for which there was no space.
    spare_awaited: Cell<bool>,
    closing: Cell<bool>,
    /// The flusher has ended: nothing is written any more.
    has_ended: Cell<bool>,
    ended: Notify,
    failed: RefCell<Option<WalError>>,
    rotated: Notify,
    stats: Cell<WalStats>,
    flush_latency: RefCell<hdrhistogram::Histogram<u64>>,
}

/// A shard's log. Cheap to clone.
#[derive(Clone)]
pub struct Wal(Rc<Shared>);

impl Wal {
    /// Starts a log in `options.dir` beside the files found there.
    pub fn start(disk: Rc<dyn Disk>, options: WalOptions, found: Found) -> Self {
        let Found { files, needed, newest, next_number } = found;
        let wal = Self(Rc::new(Shared {
            disk,
            options,
            queue: RefCell::default(),
            wake: Notify::new(),
            active: RefCell::new(None),
            closed: RefCell::default(),
            spares: RefCell::default(),
            found: RefCell::new(files.into()),
            found_needed: RefCell::new(needed),
            found_newest: newest,
            next_number: Cell::new(next_number),
            next_sequence: Cell::new(next_number),
            out_of_space: Cell::new(false),
            spare_awaited: Cell::new(false),
            closing: Cell::new(false),
            has_ended: Cell::new(false),
            ended: Notify::new(),
            failed: RefCell::new(None),
            rotated: Notify::new(),
            stats: Cell::default(),
            flush_latency: RefCell::new(crate::metrics::latency_histogram()),
        }));
        let flusher = wal.clone();
        drop(runtime::spawn(async move { flusher.run().await }));
        wal
    }

    /// Gives the log a file in which no flush is valid, to be used before new ones are made.
    pub fn add_spare(&self, file: Rc<WalFile>) {
        self.0.spares.borrow_mut().push(file);
    }

    /// Queues records. They become durable in the order of the calls.
    pub fn append(&self, append: Append) {
        let shared = &self.0;
        if shared.has_ended.get() {
            (append.done)(Err(self.failure().unwrap_or_else(|| self.closed())));
            return;
        }
        shared.queue.borrow_mut().push(append);
        shared.wake.notify_one();
    }

    /// Writes what is queued and ends the log. Later appends are refused.
    pub async fn close(&self) {
        self.0.closing.set(true);
        self.0.wake.notify_one();
        while !self.0.has_ended.get() {
            self.0.ended.notified().await;
        }
    }

    fn closed(&self) -> WalError {
        let source = std::io::Error::other("it was closed");
        WalError(Arc::new(DiskError::new("append to the log in", &self.0.options.dir, source)))
    }

    /// Whether new writes should be let in: space is there, and checkpoints keep up.
    ///
    /// # Errors
    /// Why not.
    pub fn can_accept(&self) -> Result<(), &'static str> {
        if self.0.failed.borrow().is_some() {
            return Err("the write-ahead log has failed");
        }
        if self.0.out_of_space.get() {
            return Err("the disk has no room for another write-ahead log file");
        }
        if self.0.closed.borrow().len() + self.0.found.borrow().len() > WAL_CLOSED_FILES_MAX {
            return Err("checkpoints have not yet freed the write-ahead log");
        }
        Ok(())
    }

    /// Why the log stopped, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<WalError> {
        self.0.failed.borrow().clone()
    }

    /// Resolves when the active file was closed and another begun.
    pub async fn rotated(&self) {
        self.0.rotated.notified().await;
    }

    /// Full files that are still needed, and files found at start.
    #[must_use]
    pub fn closed_files(&self) -> usize {
        self.0.closed.borrow().len() + self.0.found.borrow().len()
    }

    /// Whether `file` is the one being written: its records need not be given up.
    #[must_use]
    pub fn is_active(&self, file: &Rc<WalFile>) -> bool {
        self.0.active.borrow().as_ref().is_some_and(|active| Rc::ptr_eq(&active.file, file))
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &Rc<dyn Disk> {
        &self.0.disk
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        WalStats {
            closed_files: self.closed_files() as u64,
            spare_files: self.0.spares.borrow().len() as u64,
            queued_bytes: self.0.queue.borrow().bytes() as u64,
            ..self.0.stats.get()
        }
    }

    /// Time of write and fdatasync of each flush, in microseconds.
    #[must_use]
    pub fn flush_latency(&self) -> hdrhistogram::Histogram<u64> {
        self.0.flush_latency.borrow().clone()
    }

    /// Gives up files that no group needs, oldest first, and makes sure a spare is there.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost and it can be called again.
    pub async fn reclaim(&self) -> Result<(), DiskError> {
        let shared = &self.0;
        if shared.found_needed.borrow().strong_count() == 0 {
            loop {
                let Some(file) = shared.found.borrow().front().cloned() else { break };
                self.give_up(&file).await?;
                shared.found.borrow_mut().pop_front();
            }
        }
        while shared.found.borrow().is_empty() {
            let Some(file) = shared.closed.borrow().front().cloned() else { break };
            // Two: the queue of closed files and `file` itself.
            if Rc::strong_count(&file) > 2 {
                break;
            }
            self.give_up(&file).await?;
            shared.closed.borrow_mut().pop_front();
        }
        self.prepare_spare().await
    }

    async fn give_up(&self, file: &Rc<WalFile>) -> Result<(), DiskError> {
        let Shared { disk, options, spares, .. } = &*self.0;
        let own = file.path().parent() == Some(&*options.dir);
        file.retire(&**disk, options.shard, options.file_bytes).await?;
        let size = file.handle(&**disk).await?.size().await?;
        if own && size == options.file_bytes && spares.borrow().len() < WAL_SPARE_FILES_MAX {
            spares.borrow_mut().push(Rc::clone(file));
            self.0.out_of_space.set(false);
            return Ok(());
        }
        disk.remove_file(file.path()).await
    }

    async fn prepare_spare(&self) -> Result<(), DiskError> {
        if self.0.spares.borrow().len() < WAL_SPARE_FILES {
            let spare = self.create_file().await;
            if spare.as_ref().is_err_and(DiskError::is_out_of_space) {
                self.await_space();
            }
            self.0.spares.borrow_mut().push(spare?);
        }
        Ok(())
    }

    /// Goes on trying to make a spare: until there is one, or a file that was given up, writes are
    /// refused, so nothing else would ever ask for one.
    fn await_space(&self) {
        if self.0.spare_awaited.replace(true) {
            return;
        }
        let wal = self.clone();
        drop(runtime::spawn(async move {
            while wal.0.out_of_space.get() && !wal.0.has_ended.get() {
                runtime::sleep(SPACE_RETRY).await;
                if wal.0.spares.borrow().len() >= WAL_SPARE_FILES {
                    break;
                }
                match wal.create_file().await {
                    Ok(spare) => wal.0.spares.borrow_mut().push(spare),
                    Err(error) => tracing::warn!(%error, "writes are refused until space is back"),
                }
            }
            wal.0.spare_awaited.set(false);
        }));
    }

    async fn create_file(&self) -> Result<Rc<WalFile>, DiskError> {
        let Shared { disk, options, next_number, .. } = &*self.0;
        let number = next_number.replace(next_number.get() + 1);
        let path = options.dir.join(format!("{number:08}.wal"));
        let file = WalFile::create(&**disk, path, options.shard, options.file_bytes).await;
        self.0.out_of_space.set(file.as_ref().is_err_and(DiskError::is_out_of_space));
        file.map(Rc::new)
    }

    async fn run(self) {
        loop {
            let batch = self.0.queue.borrow_mut().take_batch();
            if !batch.is_empty() {
                if let Err((error, batch)) = self.flush(batch).await {
                    self.fail(error, batch);
                    return;
                }
            } else if self.0.closing.get() {
                self.end();
                return;
            } else {
                self.0.wake.notified().await;
            }
        }
    }

    async fn flush(&self, batch: Vec<Part>) -> Result<(), (WalError, Vec<Part>)> {
        let started = runtime::now();
        let records_bytes: usize = batch.iter().map(|part| part.bytes).sum();
        let record_count: usize = batch.iter().map(|part| part.records.len()).sum();
        let bytes = flush_bytes(records_bytes);
        let place = match self.room(bytes as u64).await {
            Ok(place) => place,
            Err(error) => return Err((WalError(Arc::new(error)), batch)),
        };
        let (file, position, flush_sequence) = place;
        let result = self.write(&file, position, flush_sequence, &batch, records_bytes).await;
        if let Err(error) = result {
            return Err((WalError(Arc::new(error)), batch));
        }
        let mut stats = self.0.stats.get();
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        stats.flushes += 1;
        stats.bytes_written += bytes as u64;
        stats.records += record_count as u64;
        stats.flush_us += elapsed_us;
        self.0.stats.set(stats);
        self.0.flush_latency.borrow_mut().saturating_record(elapsed_us);
        complete(batch, &file, position);
        Ok(())
    }

    async fn write(
        &self,
        file: &Rc<WalFile>,
        position: u64,
        flush_sequence: u64,
        batch: &[Part],
        records_bytes: usize,
    ) -> Result<(), DiskError> {
        let handle = file.handle(&*self.0.disk).await?;
        let mut buffer = handle.alloc(flush_bytes(records_bytes));
        let out = buffer.as_bytes_mut();
        let incarnation = file.incarnation();
        let mut at = FLUSH_HEADER_BYTES;
        let mut count = 0;
        for (header, payload) in batch.iter().flat_map(|part| &part.records) {
            at += put_record(&mut out[at..], incarnation, header, payload.pieces());
            count += 1;
        }
        put_flush_header(out, incarnation, flush_sequence, records_bytes, count);
        out[at..].fill(0);
        handle.write_at(buffer, position).await?;
        handle.sync_data().await
    }

    /// The place of the next flush, in the active file or in a new one.
    async fn room(&self, bytes: u64) -> Result<(Rc<WalFile>, u64, u64), DiskError> {
        let file_bytes = self.0.options.file_bytes;
        assert!(FILE_HEADER_BYTES as u64 + bytes <= file_bytes, "a flush fits in a file");
        if let Some(active) = self.0.active.borrow_mut().as_mut()
            && active.position + bytes <= file_bytes
        {
            let place = (Rc::clone(&active.file), active.position, active.flush_sequence);
            active.position += bytes;
            active.flush_sequence += 1;
            return Ok(place);
        }
        let (file, sequence) = self.next_file().await?;
        let closed = self.0.active.borrow_mut().replace(Active {
            file: Rc::clone(&file),
            sequence,
            position: FILE_HEADER_BYTES as u64 + bytes,
            flush_sequence: 1,
        });
        if let Some(closed) = closed {
            self.0.closed.borrow_mut().push_back(closed.file);
            self.0.rotated.notify_one();
        }
        Ok((file, FILE_HEADER_BYTES as u64, 0))
    }

    async fn next_file(&self) -> Result<(Rc<WalFile>, u64), DiskError> {
        let file = self.spare_or_new_file().await?;
        let sequence = self.0.next_sequence.replace(self.0.next_sequence.get() + 1);
        let previous = self.0.active.borrow().as_ref().map_or(self.0.found_newest, |active| {
            Previous { sequence: active.sequence, flushes: active.flush_sequence }
        });
        let Shared { disk, options, .. } = &*self.0;
        file.begin(&**disk, options.shard, sequence, previous, options.file_bytes).await?;
        Ok((file, sequence))
    }

    /// Waits while there is neither a spare nor space for a new file.
    async fn spare_or_new_file(&self) -> Result<Rc<WalFile>, DiskError> {
        loop {
            let spare = self.0.spares.borrow_mut().pop();
            if let Some(file) = spare {
                return Ok(file);
            }
            match self.create_file().await {
                Err(error) if error.is_out_of_space() => {
                    tracing::warn!(%error, "writes wait until space is back");
                    runtime::sleep(SPACE_RETRY).await;
                }
                other => return other,
            }
        }
    }

    fn fail(&self, error: WalError, batch: Vec<Part>) {
        tracing::error!(%error, shard = self.0.options.shard, "stopping");
        *self.0.failed.borrow_mut() = Some(error.clone());
        self.end();
        let queued = self.0.queue.borrow_mut().take_all();
        for done in batch.into_iter().chain(queued).filter_map(|part| part.done) {
            done(Err(error.clone()));
        }
    }

    /// From now on appends are refused.
    fn end(&self) {
        self.0.has_ended.set(true);
        self.0.ended.notify_waiters();
    }
}

/// Tells everyone that their records are durable.
fn complete(batch: Vec<Part>, file: &Rc<WalFile>, flush_position: u64) {
    let mut position = flush_position + FLUSH_HEADER_BYTES as u64;
    for part in batch {
        for (header, payload) in &part.records {
            let taken = record_bytes(payload.len());
            let bytes = u32::try_from(taken).unwrap_or(u32::MAX);
            part.placement.placed(header, Placed { file: Rc::clone(file), position, bytes });
            position += taken as u64;
        }
        if let Some(done) = part.done {
            done(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests;
