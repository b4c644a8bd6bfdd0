//! The disk seam: what the node asks of a file system. Two implementations: [`super::RealDisk`]
//! and [`super::SimDisk`].
//!
//! Contract: a completed `write_at` may be lost, torn at any 512-byte sector, or partly there after
//! a crash until a `sync_data` of that file that *began after it completed* has returned `Ok`. A
//! created, renamed or removed name may be undone by a crash until `sync_dir` of its folder.

use super::IoBuffer;
use futures::future::LocalBoxFuture;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The unit of direct I/O: positions and lengths of writes are multiples of it.
pub const BLOCK_BYTES: u64 = 4096;

/// `value` rounded up to a whole block.
#[must_use]
pub const fn align_up(value: u64) -> u64 {
    value.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// `value` rounded down to a whole block.
#[must_use]
pub const fn align_down(value: u64) -> u64 {
    value / BLOCK_BYTES * BLOCK_BYTES
}

/// An operation on a file or folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried, such as `write 4096 bytes at 0 of`.
    pub operation: String,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

impl DiskError {
    /// Composes the error of `operation` on `path`.
    pub fn new(operation: impl Into<String>, path: &Path, source: std::io::Error) -> Self {
        Self { operation: operation.into(), path: path.to_owned(), source }
    }

    /// Whether space (or quota) was missing: it may come back, and the caller may try again.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(
            self.source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the file or folder is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// What a disk operation returns. Not `Send`: a disk belongs to one shard.
pub type DiskFuture<'a, T> = LocalBoxFuture<'a, Result<T, DiskError>>;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; only reads.
    Read,
    /// It must exist; reads and writes.
    ReadWrite,
    /// Reads and writes; made empty, or created.
    Create,
}

/// A file system.
pub trait Disk {
    /// Opens a file for direct I/O.
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Rc<dyn File>>;
    /// Creates a folder and its parents; one that exists is no error.
    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;
    /// Moves a file over another, atomically.
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()>;
    /// Removes a file. Its space returns when the last open handle goes.
    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;
    /// Removes a folder and all in it.
    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;
    /// Names in a folder, sorted.
    fn list_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<String>>;
    /// Makes created, renamed and removed names of a folder durable.
    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;
    /// Reads a small file as a whole (checkpoints, identities). At most `bytes_max`.
    fn read_file<'a>(&'a self, path: &'a Path, bytes_max: u64) -> DiskFuture<'a, Vec<u8>>;
    /// Writes a small file as a whole so that a crash leaves the old or the new one: to a
    /// temporary name, synced, renamed, folder synced.
    fn write_file_atomic<'a>(&'a self, path: &'a Path, bytes: Vec<u8>) -> DiskFuture<'a, ()>;
    /// Bytes that a write may still use.
    fn free_bytes<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, u64>;
}

/// An open file.
pub trait File {
    /// Where it was opened.
    fn path(&self) -> &Path;
    /// A buffer of `bytes` bytes (a multiple of [`BLOCK_BYTES`]) to fill and hand to `write_at`.
    /// Its content is unspecified.
    fn alloc(&self, bytes: usize) -> IoBuffer;
    /// Writes the whole buffer at an aligned position.
    fn write_at(&self, buffer: IoBuffer, position: u64) -> DiskFuture<'_, ()>;
    /// Reads up to `bytes` bytes from any position; fewer at the end of the file.
    fn read_at(&self, position: u64, bytes: usize) -> DiskFuture<'_, Vec<u8>>;
    /// Returns when every write completed so far is on stable storage (`fdatasync`).
    fn sync_data(&self) -> DiskFuture<'_, ()>;
    /// Sets the length.
    fn truncate(&self, bytes: u64) -> DiskFuture<'_, ()>;
    /// Reserves space up to `bytes` without changing the length, so that later writes need not
    /// look for it. A file system that cannot is no error.
    fn reserve(&self, bytes: u64) -> DiskFuture<'_, ()>;
    /// Current length.
    fn size(&self) -> DiskFuture<'_, u64>;
}
