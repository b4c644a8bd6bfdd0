//! A file that is written once and then measured: raw io-uring, direct I/O, nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringspool_node::io::RawFile;

use crate::error::BenchError;
use crate::latency::Latency;

/// Bytes of each write and read in sequence.
pub(super) const SEQUENTIAL_BYTES: usize = 1 << 20;

/// Writes or reads in flight in sequence: enough to keep a device busy.
pub(super) const IN_FLIGHT: usize = 8;

/// Size of the file, if there is room: larger than the caches of most devices' controllers.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Size of the file for one mark.
pub(super) const MARK_FILE_BYTES: u64 = 64 << 20;

/// Of the space that is free, the file takes no more than this part.
const FREE_SHARE: u64 = 4;

const BLOCK_BYTES: usize = 4096;

/// The file is removed when this is dropped.
pub(super) struct TestFile {
    path: PathBuf,
    raw: RawFile,
    bytes: u64,
}

impl TestFile {
    /// Makes the file and writes all of it once, so that later writes change no metadata.
    pub(super) fn create(directory: &Path, bytes_max: u64) -> Result<Self, BenchError> {
        let wrong =
            |action| move |source| BenchError::File { action, path: directory.to_owned(), source };
        let about = rustix::fs::statvfs(directory).map_err(io::Error::from);
        let about = about.map_err(wrong("use the directory"))?;
        let free = about.f_bavail * about.f_frsize / FREE_SHARE;
        let step = (SEQUENTIAL_BYTES * IN_FLIGHT) as u64;
        let bytes = bytes_max.min(free) / step * step;
        if bytes == 0 {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(wrong("make a file to measure with in")(source));
        }
        let path = directory.join(format!("ringspool-bench-{}.tmp", std::process::id()));
        let raw = RawFile::create(&path, IN_FLIGHT, SEQUENTIAL_BYTES);
        let raw = raw.map_err(|source| match source.kind() {
            io::ErrorKind::InvalidInput => BenchError::File {
                action: "use direct I/O, which needs a file system such as ext4 or xfs, on",
                path: path.clone(),
                source,
            },
            _ => BenchError::File { action: "make", path: path.clone(), source },
        })?;
        let mut file = TestFile { path, raw, bytes };
        file.fill_slots();
        file.transfer("write", |raw| raw.write_range(0..bytes))?;
        file.transfer("sync", RawFile::sync_data)?;
        Ok(file)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Megabytes a second, with an fdatasync at the end.
    pub(super) fn sequential_write(&mut self) -> Result<f64, BenchError> {
        let (bytes, started) = (self.bytes, Instant::now());
        self.transfer("write", |raw| raw.write_range(0..bytes))?;
        self.transfer("sync", RawFile::sync_data)?;
        Ok(mb_per_s(bytes, started.elapsed()))
    }

    /// Megabytes a second.
    pub(super) fn sequential_read(&mut self) -> Result<f64, BenchError> {
        let (bytes, started) = (self.bytes, Instant::now());
        self.transfer("read", |raw| raw.read_range(0..bytes))?;
        Ok(mb_per_s(bytes, started.elapsed()))
    }

    /// Writes `bytes` and waits for fdatasync, again and again for `time`, through the file and
    /// from its start again. Gives the time it took.
    pub(super) fn write_sync(
        &mut self,
        bytes: usize,
        time: Duration,
        latency: &mut Latency,
    ) -> Result<Duration, BenchError> {
        // Requests can be larger than a slot; they are then made of several.
        assert!(bytes.is_multiple_of(BLOCK_BYTES), "whole blocks");
        let (started, mut position) = (Instant::now(), 0);
        loop {
            if position + bytes as u64 > self.bytes {
                position = 0;
            }
            let begun = Instant::now();
            self.transfer("write", |raw| {
                let mut written = 0;
                while written < bytes {
                    let piece = (bytes - written).min(SEQUENTIAL_BYTES);
                    raw.write(piece, position + written as u64)?;
                    written += piece;
                }
                raw.sync_data()
            })?;
            latency.record(begun.elapsed());
            position += bytes as u64;
            if started.elapsed() >= time {
                return Ok(started.elapsed());
            }
        }
    }

    fn transfer(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&mut RawFile) -> io::Result<()>,
    ) -> Result<(), BenchError> {
        let path = || self.path.clone();
        work(&mut self.raw).map_err(|source| BenchError::File { action, path: path(), source })
    }

    /// Bytes that do not compress, different in every slot.
    fn fill_slots(&mut self) {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for slot in 0..self.raw.slots() {
            for word in self.raw.slot_mut(slot).chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
        }
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        // The file is of no use to anybody; one that cannot be removed has been named by an error.
        let _ = fs::remove_file(&self.path);
    }
}

/// As many bytes as whole blocks that hold `bytes`.
pub(super) fn whole_blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

fn mb_per_s(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// In the build's directory: a temporary one may be in memory, without direct I/O.
    fn directory() -> tempfile::TempDir {
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    #[test]
    fn everything_can_be_measured_and_nothing_is_left_behind() {
        let directory = directory();
        let mut file = TestFile::create(directory.path(), 16 << 20).unwrap();
        assert_eq!(file.bytes(), 16 << 20);
        let length = fs::metadata(&file.path).unwrap().len();
        assert_eq!(length, 16 << 20, "all of it is written before");
        file.sequential_write().unwrap();
        file.sequential_read().unwrap();
        let mut latency = Latency::default();
        file.write_sync(3 << 20, Duration::ZERO, &mut latency).unwrap();
        file.write_sync(4096, Duration::ZERO, &mut latency).unwrap();
        assert_eq!(latency.count(), 2);
        assert_eq!(fs::metadata(&file.path).unwrap().len(), 16 << 20);
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = TestFile::create(Path::new("/nowhere/at/all"), 16 << 20).err().unwrap();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
