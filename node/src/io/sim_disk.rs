//! The simulated disk: a file system in memory that keeps a journal of every operation, so that a
//! test can ask for the disk as a crash after any of them might have left it, and that fails, fills
//! up and flips bits when told to.
//!
//! Deterministic: the same operations and the same [`CrashMode`] give the same bytes. Operations
//! complete at once (or after one yield each, see [`SimDisk::yield_in_operations`]) and need no
//! runtime.
//!
//! - `sim_disk/image.rs` what is on it: names and contents
//! - `sim_disk/journal.rs` the operations, and what of them a crash leaves
//! - `sim_disk/faults.rs` what is to go wrong
//! - `sim_disk/file.rs` an open file

mod faults;
mod file;
mod image;
mod journal;

use super::{Disk, DiskError, DiskFuture, File, OpenMode};
use faults::{Failure, Faults};
use file::SimFile;
use image::{Image, Node};
pub use journal::CrashMode;
use journal::Operation;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file system in memory. Clones are handles on the same one.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the journal starts from; all of it durable.
    base: Image,
    /// What a reader sees now.
    now: Image,
    journal: Vec<Operation>,
    faults: Faults,
    reads: u64,
    bytes_read: u64,
    bytes_written: u64,
    yields: bool,
    sync_yields: usize,
}

impl State {
    /// Does an operation and remembers it.
    fn apply(&mut self, operation: Operation) {
        operation.apply(&mut self.now);
        self.journal.push(operation);
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Operations so far: the largest prefix that [`SimDisk::crash_at`] takes.
    #[must_use]
    pub fn journal_len(&self) -> usize {
        self.state.borrow().journal.len()
    }

    /// The disk as a crash right after the first `prefix` operations may have left it. The new disk
    /// has an empty journal and no faults.
    #[must_use]
    pub fn crash_at(&self, prefix: usize, mode: CrashMode) -> Self {
        let state = self.state.borrow();
        let image = journal::crash(&state.base, &state.journal[..prefix], mode);
        let state = State { base: image.clone(), now: image, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// The disk as the first `prefix` operations leave it when the process is killed and the machine
    /// goes on: all of them are there, and a later crash of the returned disk may still take away
    /// what no sync covers. It has no faults.
    #[must_use]
    pub fn kill_at(&self, prefix: usize) -> Self {
        let state = self.state.borrow();
        let journal = state.journal[..prefix].to_vec();
        let mut now = state.base.clone();
        journal.iter().for_each(|operation| operation.apply(&mut now));
        let state = State { base: state.base.clone(), now, journal, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// Lets every operation yield once before it takes effect, so that others run in between.
    pub fn yield_in_operations(&self, yields: bool) {
        self.state.borrow_mut().yields = yields;
    }

    /// Lets every sync of a file yield so many times before it takes effect, so that others run
    /// while it is under way. It covers what had completed when it began.
    pub fn yield_in_syncs(&self, times: usize) {
        self.state.borrow_mut().sync_yields = times;
    }

    /// After `after` more writes, every write fails with `kind`, until [`SimDisk::heal`].
    pub fn fail_writes_with(&self, kind: ErrorKind, after: u64) {
        let failure = Failure { kind, left: after, once: false };
        self.state.borrow_mut().faults.writes = Some(failure);
    }

    /// After `after` more writes, one write fails with `kind`; those that follow succeed.
    pub fn fail_one_write_with(&self, kind: ErrorKind, after: u64) {
        let failure = Failure { kind, left: after, once: true };
        self.state.borrow_mut().faults.writes = Some(failure);
    }

    /// After `after` more syncs of files, every one fails with `kind`, until [`SimDisk::heal`].
    pub fn fail_syncs_with(&self, kind: ErrorKind, after: u64) {
        let failure = Failure { kind, left: after, once: false };
        self.state.borrow_mut().faults.syncs = Some(failure);
    }

    /// After `after` more reads, every read fails with `kind`, until [`SimDisk::heal`].
    pub fn fail_reads_with(&self, kind: ErrorKind, after: u64) {
        let failure = Failure { kind, left: after, once: false };
        self.state.borrow_mut().faults.reads = Some(failure);
    }

    /// Leaves room for `bytes` more bytes; writes beyond fail with `StorageFull`, until the room is
    /// changed or [`SimDisk::heal`] is called.
    pub fn set_free_bytes(&self, bytes: u64) {
        let mut state = self.state.borrow_mut();
        state.faults.capacity_bytes = Some(state.now.used_bytes().saturating_add(bytes));
    }

    /// Takes all faults back. Flipped bits stay.
    pub fn heal(&self) {
        self.state.borrow_mut().faults = Faults::default();
    }

    /// Flips the lowest bit of a byte of a file, durably. Returns false when there is no such byte.
    pub fn flip_bit(&self, path: &Path, byte: u64) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(inode) = state.now.file(path) else { return false };
        if byte >= state.now.contents[inode].len() as u64 {
            return false;
        }
        state.apply(Operation::Flip { inode, byte });
        true
    }

    /// Bytes that reads returned so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state.borrow().bytes_read
    }

    /// Reads so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.state.borrow().reads
    }

    /// Bytes that writes brought so far.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.state.borrow().bytes_written
    }

    /// A file's content now, without counting as a read.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        state.now.file(path).map(|inode| state.now.contents[inode].clone())
    }

    /// Paths of all files, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.borrow().now.files()
    }

    /// Yields once, if that was asked for.
    async fn step(&self) {
        let yields = self.state.borrow().yields;
        if yields {
            futures_lite::future::yield_now().await;
        }
    }

    fn open_now(&self, path: &Path, mode: OpenMode) -> Result<Rc<dyn File>, DiskError> {
        let mut state = self.state.borrow_mut();
        let failed = |kind: ErrorKind| DiskError::new("open", path, kind.into());
        let inode = match (state.now.names.get(path).copied(), mode) {
            (Some(Node::Folder), _) => return Err(failed(ErrorKind::IsADirectory)),
            (Some(Node::File(inode)), OpenMode::Create) => {
                state.apply(Operation::Truncate { inode, bytes: 0 });
                inode
            }
            (Some(Node::File(inode)), _) => inode,
            (None, OpenMode::Create) => {
                if !state.now.has_folder(parent(path)) {
                    return Err(failed(ErrorKind::NotFound));
                }
                let inode = state.now.contents.len();
                state.apply(Operation::Create { path: path.to_owned(), inode });
                inode
            }
            (None, _) => return Err(failed(ErrorKind::NotFound)),
        };
        Ok(Rc::new(SimFile::new(self.clone(), path, inode, mode != OpenMode::Read)))
    }

    fn rename_now(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state.borrow_mut();
        let failed = |kind: ErrorKind| DiskError::new("rename", from, kind.into());
        let inode = state.now.file(from).ok_or_else(|| failed(ErrorKind::NotFound))?;
        if !state.now.has_folder(parent(to)) {
            return Err(failed(ErrorKind::NotFound));
        }
        state.apply(Operation::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove_folder_now(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.borrow_mut();
        if state.now.names.get(path).copied() != Some(Node::Folder) {
            return Err(DiskError::new("remove folder", path, ErrorKind::NotFound.into()));
        }
        let mut below: Vec<PathBuf> =
            state.now.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        // The deepest first, as a real removal goes, so that a crash may leave it half done.
        below.sort_by_key(|name| std::cmp::Reverse(name.components().count()));
        for path in below {
            state.apply(Operation::Remove { path });
        }
        Ok(())
    }
}

/// The folder a name is in.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Disk for SimDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Rc<dyn File>> {
        Box::pin(async move {
            self.step().await;
            self.open_now(path, mode)
        })
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            self.step().await;
            let mut state = self.state.borrow_mut();
            let mut missing: Vec<&Path> =
                path.ancestors().filter(|folder| !state.now.has_folder(folder)).collect();
            while let Some(folder) = missing.pop() {
                if state.now.file(folder).is_some() {
                    let source = ErrorKind::NotADirectory.into();
                    return Err(DiskError::new("create folder", path, source));
                }
                state.apply(Operation::CreateFolder { path: folder.to_owned() });
            }
            Ok(())
        })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            self.step().await;
            self.rename_now(from, to)
        })
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            self.step().await;
            let mut state = self.state.borrow_mut();
            if state.now.file(path).is_none() {
                return Err(DiskError::new("remove", path, ErrorKind::NotFound.into()));
            }
            state.apply(Operation::Remove { path: path.to_owned() });
            Ok(())
        })
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            self.step().await;
            self.remove_folder_now(path)
        })
    }

    fn list_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<String>> {
        Box::pin(async move {
            self.step().await;
            let state = self.state.borrow();
            if !state.now.has_folder(path) {
                return Err(DiskError::new("list", path, ErrorKind::NotFound.into()));
            }
            let names = state.now.names.keys().filter(|name| name.parent() == Some(path));
            Ok(names
                .filter_map(|name| name.file_name())
                .map(|name| name.to_string_lossy().into_owned())
                .collect())
        })
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            self.step().await;
            let mut state = self.state.borrow_mut();
            if !state.now.has_folder(path) {
                return Err(DiskError::new("sync folder", path, ErrorKind::NotFound.into()));
            }
            state.apply(Operation::SyncFolder { path: path.to_owned() });
            Ok(())
        })
    }

    fn read_file<'a>(&'a self, path: &'a Path, bytes_max: u64) -> DiskFuture<'a, Vec<u8>> {
        Box::pin(async move {
            let file = self.open(path, OpenMode::Read).await?;
            let bytes = file.size().await?;
            if bytes > bytes_max {
                let operation = format!("read at most {bytes_max} bytes ({bytes} are there) of");
                return Err(DiskError::new(operation, path, ErrorKind::FileTooLarge.into()));
            }
            file.read_at(0, bytes as usize).await
        })
    }

    fn write_file_atomic<'a>(&'a self, path: &'a Path, bytes: Vec<u8>) -> DiskFuture<'a, ()> {
        Box::pin(async move {
            let mut temporary = path.as_os_str().to_owned();
            temporary.push(".tmp");
            let temporary = PathBuf::from(temporary);
            self.open(&temporary, OpenMode::Create).await?;
            self.step().await;
            file::write_now(&self.state, &temporary, &bytes, 0)?;
            self.step().await;
            file::sync_now(&self.state, &temporary)?;
            self.rename(&temporary, path).await?;
            self.sync_dir(parent(path)).await
        })
    }

    fn free_bytes<'a>(&'a self, _path: &'a Path) -> DiskFuture<'a, u64> {
        Box::pin(async move {
            self.step().await;
            let state = self.state.borrow();
            let used = state.now.used_bytes();
            Ok(state.faults.capacity_bytes.map_or(1 << 40, |bytes| bytes.saturating_sub(used)))
        })
    }
}

#[cfg(test)]
mod tests;
