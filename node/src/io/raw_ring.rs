//! A file on an io-uring of its own, with direct I/O: what the device itself can do, without
//! executor, log or protocol in the way. For measuring; the node's data goes through
//! [`super::Disk`].
//!
//! A file has a few slots, buffers of equal size, aligned to a block. Every call returns when all it
//! asked of the kernel is done.
//!
//! Invariant: while `in_flight` is above zero the kernel may use the slots' memory, so nobody else
//! does, and it is not freed. Only a ring that fails in the middle of a call leaves such a state
//! behind; the file then refuses everything, and its memory is leaked.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::disk::BLOCK_BYTES;

/// Most slots of a file, all of which may be in flight.
pub const RAW_SLOTS_MAX: usize = 64;

/// User data of a sync; slots have their number.
const SYNC: u64 = u64::MAX;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Write,
    Read,
}

/// A file that is written and read past the page cache.
pub struct RawFile {
    ring: IoUring,
    file: File,
    slots: Vec<Slot>,
    in_flight: usize,
    /// The ring itself failed, and what it holds cannot be waited for.
    failed: bool,
}

impl RawFile {
    /// Makes a file that did not exist, with `slots` buffers of `slot_bytes`.
    ///
    /// # Errors
    ///
    /// When the file exists or cannot be made, when its file system knows no direct I/O
    /// (`InvalidInput`), or when the kernel gives no ring.
    ///
    /// # Panics
    ///
    /// If `slot_bytes` is no multiple of a block, or there are no slots or too many.
    pub fn create(path: &Path, slots: usize, slot_bytes: usize) -> io::Result<Self> {
        assert!((1..=RAW_SLOTS_MAX).contains(&slots), "1 to {RAW_SLOTS_MAX} slots");
        assert!(slot_bytes > 0 && whole_blocks(slot_bytes as u64), "slots are whole blocks");
        let ring = IoUring::new(RAW_SLOTS_MAX as u32)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_DIRECT)
            .open(path)?;
        let slots = (0..slots).map(|_| Slot::new(slot_bytes)).collect();
        Ok(RawFile { ring, file, slots, in_flight: 0, failed: false })
    }

    /// Bytes of each slot.
    pub fn slot_bytes(&self) -> usize {
        self.slots[0].layout.size()
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A slot's bytes.
    ///
    /// # Panics
    ///
    /// If there is no such slot, or the ring failed earlier.
    pub fn slot_mut(&mut self, slot: usize) -> &mut [u8] {
        assert!(self.in_flight == 0, "the kernel may be using the slots of a ring that failed");
        self.slots[slot].bytes_mut()
    }

    /// Writes the first `bytes` of slot 0 at `position`.
    ///
    /// # Errors
    ///
    /// When the device refuses, or takes only a part.
    ///
    /// # Panics
    ///
    /// If `bytes` or `position` are not whole blocks, or `bytes` is more than a slot has.
    pub fn write(&mut self, bytes: usize, position: u64) -> io::Result<()> {
        self.usable()?;
        self.start(Direction::Write, 0, bytes, position)?;
        self.wait_for_one().map(|_| ())
    }

    /// fdatasync: returns when everything written is on stable storage.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub fn sync_data(&mut self) -> io::Result<()> {
        self.usable()?;
        let entry = opcode::Fsync::new(types::Fd(self.file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build()
            .user_data(SYNC);
        self.push(&entry)?;
        self.wait_for_one().map(|_| ())
    }

    /// Writes the slots' bytes, in turn, over `range`, with all slots in flight.
    ///
    /// # Errors
    ///
    /// When the device refuses, or takes only a part.
    ///
    /// # Panics
    ///
    /// If the range is not made of whole slots.
    pub fn write_range(&mut self, range: Range<u64>) -> io::Result<()> {
        self.transfer(Direction::Write, range)
    }

    /// Reads `range` into the slots, in turn, with all slots in flight.
    ///
    /// # Errors
    ///
    /// When the device refuses, or the file ends before the range.
    ///
    /// # Panics
    ///
    /// If the range is not made of whole slots.
    pub fn read_range(&mut self, range: Range<u64>) -> io::Result<()> {
        self.transfer(Direction::Read, range)
    }

    fn transfer(&mut self, direction: Direction, range: Range<u64>) -> io::Result<()> {
        self.usable()?;
        let slot_bytes = self.slot_bytes();
        let step = slot_bytes as u64;
        assert!(
            range.start.is_multiple_of(step) && range.end.is_multiple_of(step),
            "a range is whole slots"
        );
        let mut position = range.start;
        let mut free: Vec<usize> = (0..self.slots.len()).collect();
        let mut outcome = Ok(());
        loop {
            while outcome.is_ok() && position < range.end {
                let Some(slot) = free.pop() else { break };
                outcome = self.start(direction, slot, slot_bytes, position);
                position += step;
            }
            if self.in_flight == 0 {
                return outcome;
            }
            // What is in flight is waited for even after an error: its memory is ours only then.
            match self.wait_for_one() {
                Ok(slot) => free.push(slot),
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(_) => {}
            }
            if self.failed {
                return outcome;
            }
        }
    }

    fn start(
        &mut self,
        direction: Direction,
        slot: usize,
        bytes: usize,
        position: u64,
    ) -> io::Result<()> {
        assert!(whole_blocks(bytes as u64) && whole_blocks(position), "direct I/O is whole blocks");
        let memory = &mut self.slots[slot];
        assert!(bytes <= memory.layout.size(), "more bytes than a slot has");
        let (fd, pointer, length) =
            (types::Fd(self.file.as_raw_fd()), memory.pointer.as_ptr(), bytes as u32);
        memory.asked_bytes = length;
        let entry = match direction {
            Direction::Write => opcode::Write::new(fd, pointer, length).offset(position).build(),
            Direction::Read => opcode::Read::new(fd, pointer, length).offset(position).build(),
        };
        self.push(&entry.user_data(slot as u64))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the entry's descriptor is `self.file`, and its memory a slot's (or none), both of
        // which live until the completion was seen: whoever takes the slots' memory checks that
        // nothing is in flight, and `drop` leaks it if something is.
        let pushed = unsafe { self.ring.submission().push(entry) };
        // The ring has as many entries as there can be slots, so it is never full.
        pushed.map_err(|_| io::Error::other("the submission queue is full"))?;
        self.in_flight += 1;
        Ok(())
    }

    /// Submits what was pushed, and waits until one request is done. Gives its slot.
    fn wait_for_one(&mut self) -> io::Result<usize> {
        let done = loop {
            if let Some(done) = self.ring.completion().next() {
                break done;
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        };
        self.in_flight -= 1;
        self.judge(&done)
    }

    fn judge(&self, done: &cqueue::Entry) -> io::Result<usize> {
        if done.result() < 0 {
            return Err(io::Error::from_raw_os_error(-done.result()));
        }
        if done.user_data() == SYNC {
            return Ok(0);
        }
        let slot = done.user_data() as usize;
        let (asked, moved) = (self.slots[slot].asked_bytes, done.result() as u32);
        if moved != asked {
            let text = format!("{moved} bytes were moved instead of {asked}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(slot)
    }

    fn usable(&self) -> io::Result<()> {
        if self.in_flight == 0 && !self.failed {
            return Ok(());
        }
        Err(io::Error::other("the ring of this file failed earlier"))
    }
}

impl Drop for RawFile {
    fn drop(&mut self) {
        if self.in_flight > 0 {
            self.slots.iter_mut().for_each(|slot| slot.lost = true);
        }
    }
}

impl std::fmt::Debug for RawFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawFile").field("file", &self.file).finish_non_exhaustive()
    }
}

fn whole_blocks(bytes: u64) -> bool {
    bytes.is_multiple_of(BLOCK_BYTES)
}

/// Memory aligned to a block.
struct Slot {
    pointer: NonNull<u8>,
    layout: Layout,
    asked_bytes: u32,
    /// The kernel may hold on to it for ever.
    lost: bool,
}

impl Slot {
    fn new(bytes: usize) -> Self {
        let Ok(layout) = Layout::from_size_align(bytes, BLOCK_BYTES as usize) else {
            panic!("a slot of {bytes} bytes does not fit into memory")
        };
        // SAFETY: the layout's size is not zero: `create` asserts it.
        let pointer = unsafe { alloc_zeroed(layout) };
        let Some(pointer) = NonNull::new(pointer) else { handle_alloc_error(layout) };
        Slot { pointer, layout, asked_bytes: 0, lost: false }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `pointer` is an allocation of `layout.size()` initialised bytes that only this
        // slot owns, borrowed as long as the result lives; the caller made sure that the kernel
        // does not use it.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.lost {
            return;
        }
        // SAFETY: allocated with this very layout in `new`, freed once, and not in the kernel's
        // hands: a slot that may be is marked as lost.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    /// In the build's directory: a temporary one may be in memory, without direct I/O.
    fn directory() -> tempfile::TempDir {
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    #[test]
    fn what_is_written_is_in_the_file_and_is_read_back() {
        let directory = directory();
        let path = directory.path().join("raw");
        let mut file = RawFile::create(&path, 2, 2 * BLOCK).unwrap();
        file.slot_mut(0).fill(7);
        file.slot_mut(1).fill(7);
        file.write_range(0..8 * BLOCK_BYTES).unwrap();
        file.slot_mut(0)[..BLOCK].fill(9);
        file.write(BLOCK, 2 * BLOCK_BYTES).unwrap();
        file.sync_data().unwrap();
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len(), 8 * BLOCK);
        for (index, byte) in content.iter().enumerate() {
            let expected = if index / BLOCK == 2 { 9 } else { 7 };
            assert_eq!(*byte, expected, "at {index}");
        }
        file.slot_mut(0).fill(0);
        file.slot_mut(1).fill(0);
        file.read_range(4 * BLOCK_BYTES..8 * BLOCK_BYTES).unwrap();
        assert!(file.slot_mut(0).iter().all(|byte| *byte == 7));
        assert!(file.slot_mut(1).iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_range_beyond_the_end_is_an_error_and_the_file_works_on() {
        let directory = directory();
        let mut file = RawFile::create(&directory.path().join("raw"), 4, BLOCK).unwrap();
        file.write_range(0..4 * BLOCK_BYTES).unwrap();
        let error = file.read_range(0..16 * BLOCK_BYTES).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        file.read_range(0..4 * BLOCK_BYTES).unwrap();
    }

    #[test]
    fn a_file_that_exists_is_not_touched() {
        let directory = directory();
        let path = directory.path().join("raw");
        std::fs::write(&path, "mine").unwrap();
        let error = RawFile::create(&path, 1, BLOCK).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
