//! The disk seam on a real file system: glommio's direct-I/O files for data, its blocking pool for
//! the rare operations on names.
//!
//! Opening the first file of a device decides whether glommio uses polled I/O for all of them, and
//! it decides wrongly on an empty file; [`RealDisk::open`] therefore reads a probe file first.

use super::IoBuffer;
use super::disk::{BLOCK_BYTES, Disk, DiskError, DiskFuture, File, OpenMode, align_down, align_up};
use futures::FutureExt;
use glommio::io::{DmaFile, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Name of the file whose only purpose is to be read first. See the module's comment.
const PROBE_FILE: &str = "PROBE";

/// A folder of a real file system.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk(());

impl RealDisk {
    /// Prepares direct I/O in `data_dir`, which must exist. To be called once on every executor,
    /// before any other file of that device is opened there.
    ///
    /// # Errors
    /// When direct I/O does not work in that folder.
    pub async fn open(data_dir: &Path) -> Result<Self, DiskError> {
        let path = data_dir.join(PROBE_FILE);
        let probe = path.clone();
        blocking("write", &path, move || {
            if std::fs::metadata(&probe).map(|m| m.len()).unwrap_or(0) < BLOCK_BYTES {
                let mut file = std::fs::File::create(&probe)?;
                file.write_all(&[0x55; BLOCK_BYTES as usize])?;
                file.sync_all()?;
            }
            Ok(())
        })
        .await?;
        let file = open_dma(&path, OpenMode::Read).await?;
        let read = file.read_at_aligned(0, BLOCK_BYTES as usize).await;
        read.map_err(|e| DiskError::new("read with direct I/O", &path, e.into()))?;
        file.close().await.map_err(|e| DiskError::new("close", &path, e.into()))?;
        Ok(Self(()))
    }
}

async fn open_dma(path: &Path, mode: OpenMode) -> Result<DmaFile, DiskError> {
    let mut options = OpenOptions::new();
    options.read(true).write(mode != OpenMode::Read);
    if mode == OpenMode::Create {
        options.create(true).truncate(true);
    }
    options.dma_open(path).await.map_err(|e| DiskError::new("open", path, e.into()))
}

/// Runs a blocking call on the executor's pool and names it when it fails.
async fn blocking<T: Send + 'static>(
    operation: &str,
    path: &Path,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    let result = super::blocking::run(call).await;
    result.map_err(|e| DiskError::new(operation, path, e))
}

impl Disk for RealDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Rc<dyn File>> {
        async move {
            let file = open_dma(path, mode).await?;
            Ok(Rc::new(RealFile { file, path: path.to_owned() }) as Rc<dyn File>)
        }
        .boxed_local()
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let owned = path.to_owned();
        blocking("create folder", path, move || std::fs::create_dir_all(owned)).boxed_local()
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        let (owned, target) = (from.to_owned(), to.to_owned());
        blocking("rename", from, move || std::fs::rename(owned, target)).boxed_local()
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let owned = path.to_owned();
        blocking("remove", path, move || std::fs::remove_file(owned)).boxed_local()
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let owned = path.to_owned();
        blocking("remove folder", path, move || std::fs::remove_dir_all(owned)).boxed_local()
    }

    fn list_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<String>> {
        let owned = path.to_owned();
        blocking("list", path, move || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(owned)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        })
        .boxed_local()
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let owned = path.to_owned();
        blocking("sync folder", path, move || std::fs::File::open(owned)?.sync_all()).boxed_local()
    }

    fn read_file<'a>(&'a self, path: &'a Path, bytes_max: u64) -> DiskFuture<'a, Vec<u8>> {
        let owned = path.to_owned();
        blocking("read", path, move || {
            let file = std::fs::File::open(owned)?;
            let bytes = file.metadata()?.len();
            if bytes > bytes_max {
                let why = format!("it has {bytes} bytes, at most {bytes_max} are allowed");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.take(bytes_max).read_to_end(&mut content)?;
            Ok(content)
        })
        .boxed_local()
    }

    fn write_file_atomic<'a>(&'a self, path: &'a Path, bytes: Vec<u8>) -> DiskFuture<'a, ()> {
        let owned = path.to_owned();
        blocking("write", path, move || {
            let temporary = owned.with_extension("tmp");
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &owned)?;
            let folder = owned.parent().unwrap_or(Path::new("."));
            std::fs::File::open(folder)?.sync_all()
        })
        .boxed_local()
    }

    fn free_bytes<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, u64> {
        let owned = path.to_owned();
        blocking("ask free space of", path, move || {
            let stat = rustix::fs::statvfs(&owned)?;
            Ok(stat.f_bavail * stat.f_frsize)
        })
        .boxed_local()
    }
}

/// An open file on the real disk.
struct RealFile {
    file: DmaFile,
    path: PathBuf,
}

impl RealFile {
    fn error(&self, operation: String, source: impl Into<io::Error>) -> DiskError {
        DiskError::new(operation, &self.path, source.into())
    }
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn alloc(&self, bytes: usize) -> IoBuffer {
        assert!((bytes as u64).is_multiple_of(BLOCK_BYTES), "direct I/O writes whole blocks");
        IoBuffer::Dma(self.file.alloc_dma_buffer(bytes))
    }

    fn write_at(&self, buffer: IoBuffer, position: u64) -> DiskFuture<'_, ()> {
        async move {
            let bytes = buffer.len();
            let IoBuffer::Dma(buffer) = buffer else {
                unreachable!("buffers for a file come from its own alloc()")
            };
            let what = || format!("write {bytes} bytes at {position} of");
            let written = self.file.write_at(buffer, position).await;
            match written.map_err(|e| self.error(what(), e))? {
                written if written == bytes => Ok(()),
                // The device took a part: the usual reason is that space ran out.
                _ => Err(self.error(what(), io::Error::from(io::ErrorKind::StorageFull))),
            }
        }
        .boxed_local()
    }

    fn read_at(&self, position: u64, bytes: usize) -> DiskFuture<'_, Vec<u8>> {
        async move {
            // Not DmaFile::read_at: near the end of the file it returns bytes that are not there.
            let start = align_down(position);
            let end = align_up(position + bytes as u64);
            let skip = (position - start) as usize;
            let mut content = Vec::with_capacity(bytes);
            let mut at = start;
            while at < end && content.len() < bytes {
                let piece = ((end - at) as usize).min(READ_BYTES_MAX);
                let read = self.file.read_at_aligned(at, piece).await;
                let read =
                    read.map_err(|e| self.error(format!("read {piece} bytes at {at} of"), e))?;
                let from = if at == start { skip.min(read.len()) } else { 0 };
                let to = read.len().min(from + bytes - content.len());
                content.extend_from_slice(&read[from..to]);
                if read.len() < piece {
                    break;
                }
                at += piece as u64;
            }
            Ok(content)
        }
        .boxed_local()
    }

    fn sync_data(&self) -> DiskFuture<'_, ()> {
        async move { self.file.fdatasync().await.map_err(|e| self.error("sync".into(), e)) }
            .boxed_local()
    }

    fn truncate(&self, bytes: u64) -> DiskFuture<'_, ()> {
        async move {
            // Not DmaFile::truncate, which uses glommio's pool: see super::blocking.
            let path = self.path.clone();
            blocking(&format!("set the length {bytes} of"), &self.path, move || {
                std::fs::OpenOptions::new().write(true).open(path)?.set_len(bytes)
            })
            .await
        }
        .boxed_local()
    }

    fn reserve(&self, bytes: u64) -> DiskFuture<'_, ()> {
        async move {
            match self.file.pre_allocate(bytes, true).await.map_err(io::Error::from) {
                Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
                Err(e) => Err(self.error(format!("reserve {bytes} bytes for"), e)),
                Ok(()) => Ok(()),
            }
        }
        .boxed_local()
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        async move { self.file.file_size().await.map_err(|e| self.error("ask size of".into(), e)) }
            .boxed_local()
    }
}

/// Largest single read: bounds the aligned copy that a read holds beside its result.
const READ_BYTES_MAX: usize = 1 << 20;
