//! The operations a simulated disk has seen, and what a crash leaves of them.
//!
//! An operation on a file's bytes is durable when a sync of that file follows it; one on a name
//! when a sync of its folder follows it (of both folders, for a rename between two). What is not
//! durable may be there or not, each on its own: later operations do not hold earlier ones.

use super::image::{Image, Node};
use super::parent;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What a crash does to operations that no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashMode {
    /// All of them are lost.
    LoseUnsynced,
    /// All of them are there.
    KeepUnsynced,
    /// All are there, but of the last write only the first half of its sectors.
    TearLast,
    /// Each is lost, there, or (a write) torn into an arbitrary subset of its sectors, as this seed
    /// says.
    Seeded(u64),
}

/// One operation.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Create {
        path: PathBuf,
        inode: usize,
    },
    CreateFolder {
        path: PathBuf,
    },
    Write {
        inode: usize,
        position: u64,
        bytes: Rc<[u8]>,
    },
    Truncate {
        inode: usize,
        bytes: u64,
    },
    Sync {
        inode: usize,
        /// How many operations had completed when it began.
        covers: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: usize,
    },
    Remove {
        path: PathBuf,
    },
    SyncFolder {
        path: PathBuf,
    },
    /// Decay, not an operation of anyone: always durable.
    Flip {
        inode: usize,
        byte: u64,
    },
}

impl Operation {
    /// Changes the image as the operation does.
    pub(super) fn apply(&self, image: &mut Image) {
        match self {
            Self::Create { path, inode } => {
                image.content_mut(*inode);
                image.names.insert(path.clone(), Node::File(*inode));
            }
            Self::CreateFolder { path } => {
                image.names.insert(path.clone(), Node::Folder);
            }
            Self::Write { inode, position, bytes } => image.write(*inode, *position, bytes),
            Self::Truncate { inode, bytes } => {
                image.content_mut(*inode).resize(*bytes as usize, 0);
            }
            Self::Rename { from, to, inode } => {
                image.names.remove(from);
                image.content_mut(*inode);
                image.names.insert(to.clone(), Node::File(*inode));
            }
            Self::Remove { path } => {
                image.names.remove(path);
            }
            Self::Flip { inode, byte } => {
                // A crash may have cut the byte off.
                if let Some(byte) = image.content_mut(*inode).get_mut(*byte as usize) {
                    *byte ^= 1;
                }
            }
            Self::Sync { .. } | Self::SyncFolder { .. } => {}
        }
    }
}

/// For each operation, whether a later sync in the list makes it durable.
fn durable(operations: &[Operation]) -> Vec<bool> {
    let mut files: BTreeMap<usize, usize> = BTreeMap::new();
    let mut folders: BTreeSet<&Path> = BTreeSet::new();
    let mut flags = vec![true; operations.len()];
    for (index, operation) in operations.iter().enumerate().rev() {
        flags[index] = match operation {
            Operation::Sync { inode, covers } => {
                let covered = files.entry(*inode).or_default();
                *covered = (*covered).max(*covers);
                true
            }
            Operation::SyncFolder { path } => {
                folders.insert(path);
                true
            }
            Operation::Write { inode, .. } | Operation::Truncate { inode, .. } => {
                files.get(inode).is_some_and(|covered| index < *covered)
            }
            Operation::Create { path, .. }
            | Operation::CreateFolder { path }
            | Operation::Remove { path } => folders.contains(parent(path)),
            Operation::Rename { from, to, .. } => {
                folders.contains(parent(from)) && folders.contains(parent(to))
            }
            Operation::Flip { .. } => true,
        };
    }
    flags
}

/// The image a crash after these operations leaves.
pub(super) fn crash(base: &Image, operations: &[Operation], mode: CrashMode) -> Image {
    let durable = durable(operations);
    let last_write = operations
        .iter()
        .zip(&durable)
        .rposition(|(operation, durable)| !durable && matches!(operation, Operation::Write { .. }));
    let mut image = base.clone();
    for (index, operation) in operations.iter().enumerate() {
        if durable[index] {
            operation.apply(&mut image);
            continue;
        }
        match mode {
            CrashMode::LoseUnsynced => {}
            CrashMode::TearLast if Some(index) == last_write => {
                tear(&mut image, operation, |sector, sectors| sector < sectors / 2);
            }
            CrashMode::KeepUnsynced | CrashMode::TearLast => operation.apply(&mut image),
            CrashMode::Seeded(seed) => {
                let choice = mix(seed, index as u64);
                match choice % 3 {
                    0 => {}
                    1 => operation.apply(&mut image),
                    _ => tear(&mut image, operation, |sector, _| {
                        mix(choice, sector as u64).is_multiple_of(2)
                    }),
                }
            }
        }
    }
    // Contents are kept by number, so that later operations of the journal find theirs.
    image.drop_unreachable();
    image
}

/// Does a write for those of its sectors that `keeps` wants; anything else as a whole.
fn tear(image: &mut Image, operation: &Operation, keeps: impl Fn(usize, usize) -> bool) {
    let Operation::Write { inode, position, bytes } = operation else {
        operation.apply(image);
        return;
    };
    let sectors = bytes.len().div_ceil(SECTOR_BYTES);
    for (sector, part) in bytes.chunks(SECTOR_BYTES).enumerate() {
        if keeps(sector, sectors) {
            image.write(*inode, position + (sector * SECTOR_BYTES) as u64, part);
        }
    }
}

/// A number that looks random and depends on nothing but its arguments (splitmix64).
fn mix(seed: u64, index: u64) -> u64 {
    let mut value = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
