//! WAL files: made once at full length, then used again and again.
//!
//! A file that is handed out for writing has been written in full once, so that a flush changes no
//! metadata. When its records are no longer needed it is *retired*: its header gets a fresh
//! incarnation, which makes everything behind it meaningless, and it becomes a spare.

use super::format::{FILE_HEADER_BYTES, FileHeader, Previous};
use crate::io::{BLOCK_BYTES, Disk, DiskError, File, OpenMode};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes written at a time when a file is made.
const PREWRITE_BYTES: usize = 1 << 20;

/// A record's place, as it can be sent between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// The file.
    pub path: Arc<Path>,
    /// The incarnation it had.
    pub incarnation: u64,
    /// Where the record starts.
    pub position: u64,
    /// How long it is with its header.
    pub bytes: u32,
}

/// One WAL file. As long as a group's log holds it, it is not given up.
pub struct WalFile {
    path: PathBuf,
    incarnation: Cell<u64>,
    handle: RefCell<Option<Rc<dyn File>>>,
    /// Alive while any shard needs any of the files found at start.
    _needed: Option<Arc<()>>,
}

impl std::fmt::Debug for WalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl WalFile {
    /// A file that was found at start. Whoever needs what is in it passes `needed`, which keeps
    /// all such files from being given up; whoever is to give it up passes none.
    #[must_use]
    pub fn found(path: PathBuf, incarnation: u64, needed: Option<Arc<()>>) -> Self {
        let (incarnation, handle) = (Cell::new(incarnation), RefCell::new(None));
        Self { path, incarnation, handle, _needed: needed }
    }

    /// Makes a new file of `file_bytes`, written in full. It is a spare: its header is written, but
    /// no flush is valid in it.
    ///
    /// # Errors
    /// When the disk refuses, in particular for want of space; the part that was made is removed.
    pub async fn create(
        disk: &dyn Disk,
        path: PathBuf,
        shard: u32,
        file_bytes: u64,
    ) -> Result<Self, DiskError> {
        match Self::prewrite(disk, &path, shard, file_bytes).await {
            Ok((incarnation, handle)) => Ok(Self {
                path,
                incarnation: Cell::new(incarnation),
                handle: RefCell::new(Some(handle)),
                _needed: None,
            }),
            Err(error) => {
                if let Err(second) = disk.remove_file(&path).await
                    && !second.is_not_found()
                {
                    tracing::warn!(%second, "an unfinished WAL file stays behind");
                }
                Err(error)
            }
        }
    }

    async fn prewrite(
        disk: &dyn Disk,
        path: &Path,
        shard: u32,
        file_bytes: u64,
    ) -> Result<(u64, Rc<dyn File>), DiskError> {
        let file = disk.open(path, OpenMode::Create).await?;
        file.reserve(file_bytes).await?;
        let mut position = FILE_HEADER_BYTES as u64;
        while position < file_bytes {
            let bytes = (PREWRITE_BYTES as u64).min(file_bytes - position);
            let mut buffer = file.alloc(usize::try_from(bytes).unwrap_or(PREWRITE_BYTES));
            buffer.as_bytes_mut().fill(0);
            file.write_at(buffer, position).await?;
            position += bytes;
        }
        let incarnation = write_header(&*file, shard, 0, Previous::default(), file_bytes).await?;
        if let Some(folder) = path.parent() {
            disk.sync_dir(folder).await?;
        }
        Ok((incarnation, file))
    }

    /// Takes over a file found at start in which no flush is valid, as a spare.
    ///
    /// # Errors
    /// When it cannot be opened or written.
    pub async fn adopt(
        disk: &dyn Disk,
        path: PathBuf,
        shard: u32,
        file_bytes: u64,
    ) -> Result<Self, DiskError> {
        let handle = disk.open(&path, OpenMode::ReadWrite).await?;
        let incarnation = write_header(&*handle, shard, 0, Previous::default(), file_bytes).await?;
        let (incarnation, handle) = (Cell::new(incarnation), RefCell::new(Some(handle)));
        Ok(Self { path, incarnation, handle, _needed: None })
    }

    /// Makes it the shard's file number `sequence`, which follows `previous`, empty and ready for
    /// flushes.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub async fn begin(
        &self,
        disk: &dyn Disk,
        shard: u32,
        sequence: u64,
        previous: Previous,
        file_bytes: u64,
    ) -> Result<(), DiskError> {
        let handle = self.handle(disk).await?;
        let incarnation = write_header(&*handle, shard, sequence, previous, file_bytes).await?;
        self.incarnation.set(incarnation);
        Ok(())
    }

    /// Gives up what is in it.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub async fn retire(
        &self,
        disk: &dyn Disk,
        shard: u32,
        file_bytes: u64,
    ) -> Result<(), DiskError> {
        self.begin(disk, shard, 0, Previous::default(), file_bytes).await
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The random number of its present use.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.get()
    }

    /// The open file.
    ///
    /// # Errors
    /// When it has to be opened and that fails.
    pub async fn handle(&self, disk: &dyn Disk) -> Result<Rc<dyn File>, DiskError> {
        if let Some(handle) = self.handle.borrow().as_ref() {
            return Ok(Rc::clone(handle));
        }
        let handle = disk.open(&self.path, OpenMode::ReadWrite).await?;
        *self.handle.borrow_mut() = Some(Rc::clone(&handle));
        Ok(handle)
    }
}

/// Writes a header block with a fresh incarnation and syncs it.
async fn write_header(
    file: &dyn File,
    shard: u32,
    sequence: u64,
    previous: Previous,
    file_bytes: u64,
) -> Result<u64, DiskError> {
    let incarnation = rand::random();
    let header = FileHeader { shard, sequence, incarnation, file_bytes, previous }.encode();
    let mut block = file.alloc(BLOCK_BYTES as usize);
    block.as_bytes_mut().fill(0);
    block.as_bytes_mut()[..header.len()].copy_from_slice(&header);
    file.write_at(block, 0).await?;
    file.sync_data().await?;
    Ok(incarnation)
}
