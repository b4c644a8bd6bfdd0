//! An open file of a simulated disk. It goes on working when its name is removed.

use super::faults::check;
use super::journal::Operation;
use super::{SimDisk, State};
use crate::io::{BLOCK_BYTES, DiskError, DiskFuture, File, IoBuffer};
use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// What unwritten parts of a new buffer hold, so that whoever forgets to clear them is found out.
const STALE_BYTE: u8 = 0xa5;

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    inode: usize,
    writable: bool,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, path: &Path, inode: usize, writable: bool) -> Self {
        Self { disk, path: path.to_owned(), inode, writable }
    }

    fn check_writable(&self, operation: &str) -> Result<(), DiskError> {
        if self.writable {
            return Ok(());
        }
        Err(DiskError::new(operation, &self.path, ErrorKind::PermissionDenied.into()))
    }
}

/// Writes into a content, subject to the faults.
fn write(state: &mut State, inode: usize, bytes: &[u8], position: u64) -> Result<(), Error> {
    check(&mut state.faults.writes)?;
    let end = position + bytes.len() as u64;
    if let Some(capacity) = state.faults.capacity_bytes {
        let growth = end.saturating_sub(state.now.contents[inode].len() as u64);
        if growth > 0 && state.now.used_bytes() + growth > capacity {
            return Err(ErrorKind::StorageFull.into());
        }
    }
    state.bytes_written += bytes.len() as u64;
    state.apply(Operation::Write { inode, position, bytes: bytes.into() });
    Ok(())
}

/// Writes to a file by its name, at any position.
pub(super) fn write_now(
    state: &RefCell<State>,
    path: &Path,
    bytes: &[u8],
    position: u64,
) -> Result<(), DiskError> {
    let mut state = state.borrow_mut();
    let operation = || format!("write {} bytes at {position} of", bytes.len());
    let Some(inode) = state.now.file(path) else {
        return Err(DiskError::new(operation(), path, ErrorKind::NotFound.into()));
    };
    write(&mut state, inode, bytes, position)
        .map_err(|source| DiskError::new(operation(), path, source))
}

/// Syncs a file by its name.
pub(super) fn sync_now(state: &RefCell<State>, path: &Path) -> Result<(), DiskError> {
    let mut state = state.borrow_mut();
    let Some(inode) = state.now.file(path) else {
        return Err(DiskError::new("sync", path, ErrorKind::NotFound.into()));
    };
    check(&mut state.faults.syncs).map_err(|source| DiskError::new("sync", path, source))?;
    let covers = state.journal.len();
    state.apply(Operation::Sync { inode, covers });
    Ok(())
}

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn alloc(&self, bytes: usize) -> IoBuffer {
        assert!((bytes as u64).is_multiple_of(BLOCK_BYTES), "{bytes} bytes are no whole blocks");
        IoBuffer::Heap(vec![STALE_BYTE; bytes])
    }

    fn write_at(&self, buffer: IoBuffer, position: u64) -> DiskFuture<'_, ()> {
        assert!(position.is_multiple_of(BLOCK_BYTES), "a write at {position}, within a block");
        assert!(
            (buffer.len() as u64).is_multiple_of(BLOCK_BYTES),
            "a write of {} bytes, no whole blocks",
            buffer.len()
        );
        Box::pin(async move {
            self.disk.step().await;
            self.check_writable("write")?;
            let mut state = self.disk.state.borrow_mut();
            write(&mut state, self.inode, buffer.as_bytes(), position).map_err(|source| {
                let operation = format!("write {} bytes at {position} of", buffer.len());
                DiskError::new(operation, &self.path, source)
            })
        })
    }

    fn read_at(&self, position: u64, bytes: usize) -> DiskFuture<'_, Vec<u8>> {
        Box::pin(async move {
            self.disk.step().await;
            let mut state = self.disk.state.borrow_mut();
            check(&mut state.faults.reads).map_err(|source| {
                let operation = format!("read {bytes} bytes at {position} of");
                DiskError::new(operation, &self.path, source)
            })?;
            let content = &state.now.contents[self.inode];
            let start = content.len().min(usize::try_from(position).unwrap_or(usize::MAX));
            let end = content.len().min(start.saturating_add(bytes));
            let read = content[start..end].to_vec();
            state.reads += 1;
            state.bytes_read += read.len() as u64;
            Ok(read)
        })
    }

    fn sync_data(&self) -> DiskFuture<'_, ()> {
        Box::pin(async move {
            // It covers what completed before it began.
            let (covers, yields) = {
                let state = self.disk.state.borrow();
                (state.journal.len(), state.sync_yields)
            };
            for _ in 0..yields {
                futures_lite::future::yield_now().await;
            }
            {
                let mut state = self.disk.state.borrow_mut();
                check(&mut state.faults.syncs)
                    .map_err(|source| DiskError::new("sync", &self.path, source))?;
                state.apply(Operation::Sync { inode: self.inode, covers });
            }
            self.disk.step().await;
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> DiskFuture<'_, ()> {
        Box::pin(async move {
            self.disk.step().await;
            self.check_writable("truncate")?;
            let mut state = self.disk.state.borrow_mut();
            state.apply(Operation::Truncate { inode: self.inode, bytes });
            Ok(())
        })
    }

    fn reserve(&self, _bytes: u64) -> DiskFuture<'_, ()> {
        Box::pin(async move {
            self.disk.step().await;
            self.check_writable("reserve space of")
        })
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        Box::pin(async move {
            self.disk.step().await;
            Ok(self.disk.state.borrow().now.contents[self.inode].len() as u64)
        })
    }
}
