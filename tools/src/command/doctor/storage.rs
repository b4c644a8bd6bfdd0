//! The place of the data: file system, direct I/O, free space.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, statfs, statvfs};

use super::check::Check;
use super::write_cache;
use crate::output;

/// Alignment and size of the write that is tried.
const BLOCK_BYTES: usize = 4096;

/// Below this a node cannot even lay out its write-ahead logs.
const FREE_BYTES_MINIMUM: u64 = 1 << 30;

/// Below this there is little room for records.
const FREE_BYTES_RECOMMENDED: u64 = 10 << 30;

/// What is known of a file system.
struct FileSystem {
    magic: u64,
    name: &'static str,
    /// What speaks against it; none for those that are recommended.
    mend: Option<&'static str>,
}

const OVERLAY: &str = "put the data on a volume of ext4 or xfs, not in the container's layers";
const REMOTE: &str = "use a local ext4 or xfs: a remote file system cannot promise that a synced \
                      write is on stable storage here";
const COPY_ON_WRITE: &str = "works; ext4 or xfs are faster, for a copy-on-write file system gains \
                             nothing from logs that are written in place";
const VOLATILE: &str = "for tests only: everything is gone when the machine restarts; use ext4 or \
                        xfs on a disk";

/// By the magic number statfs gives (linux/magic.h).
const FILE_SYSTEMS: &[FileSystem] = &[
    FileSystem { magic: 0xEF53, name: "ext4", mend: None },
    FileSystem { magic: 0x5846_5342, name: "xfs", mend: None },
    FileSystem { magic: 0x9123_683E, name: "btrfs", mend: Some(COPY_ON_WRITE) },
    FileSystem { magic: 0x2FC1_2FC1, name: "zfs", mend: Some(COPY_ON_WRITE) },
    FileSystem { magic: 0xCA45_1A4E, name: "bcachefs", mend: Some(COPY_ON_WRITE) },
    FileSystem { magic: 0xF2F5_2010, name: "f2fs", mend: Some(COPY_ON_WRITE) },
    FileSystem { magic: 0x0102_1994, name: "tmpfs", mend: Some(VOLATILE) },
    FileSystem { magic: 0x8584_58F6, name: "ramfs", mend: Some(VOLATILE) },
    FileSystem { magic: 0x794C_7630, name: "overlayfs", mend: Some(OVERLAY) },
    FileSystem { magic: 0x6969, name: "nfs", mend: Some(REMOTE) },
    FileSystem { magic: 0xFF53_4D42, name: "cifs", mend: Some(REMOTE) },
    FileSystem { magic: 0xFE53_4D42, name: "smb2", mend: Some(REMOTE) },
    FileSystem { magic: 0x00C3_6400, name: "ceph", mend: Some(REMOTE) },
    FileSystem { magic: 0x0102_1997, name: "9p", mend: Some(REMOTE) },
    FileSystem { magic: 0x6573_5546, name: "fuse", mend: Some(REMOTE) },
];

/// All checks of the place of the data.
pub(crate) fn all(data_dir: &Path) -> Vec<Check> {
    let place = match nearest_existing(data_dir) {
        Ok(place) => place,
        Err(error) => {
            let found = format!("{}: {error}", data_dir.display());
            return vec![Check::fail("data directory", found, "name another with --data-dir")];
        }
    };
    vec![
        directory(data_dir, &place),
        file_system(&place),
        direct_io(&place),
        write_cache::check(&place),
        free_space(&place),
    ]
}

/// The directory itself, or the closest one above it that exists: the same file system, if the
/// directory is made there.
fn nearest_existing(data_dir: &Path) -> io::Result<PathBuf> {
    let mut place = std::path::absolute(data_dir)?;
    loop {
        match fs::metadata(&place) {
            Ok(about) if about.is_dir() => return Ok(place),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if !place.pop() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
    }
}

fn directory(data_dir: &Path, place: &Path) -> Check {
    let name = "data directory";
    let exists = std::path::absolute(data_dir).is_ok_and(|wanted| wanted == place);
    match exists {
        true => Check::ok(name, place.display().to_string()),
        false => {
            Check::ok(name, format!("{} (to be made in {})", data_dir.display(), place.display()))
        }
    }
}

fn file_system(place: &Path) -> Check {
    let name = "file system";
    let magic = match statfs(place) {
        // The type is signed on some machines; the magic numbers are 32 bits wide.
        Ok(about) => about.f_type as u64 & 0xFFFF_FFFF,
        Err(error) => return Check::warn(name, error.to_string(), "use a local ext4 or xfs"),
    };
    judge_file_system(magic)
}

fn judge_file_system(magic: u64) -> Check {
    let name = "file system";
    match FILE_SYSTEMS.iter().find(|known| known.magic == magic) {
        Some(FileSystem { name: found, mend: None, .. }) => Check::ok(name, *found),
        Some(FileSystem { name: found, mend: Some(mend), .. }) => Check::warn(name, *found, *mend),
        None => Check::warn(name, format!("unknown (0x{magic:X})"), "use a local ext4 or xfs"),
    }
}

fn direct_io(place: &Path) -> Check {
    let name = "direct I/O";
    match try_direct_io(place) {
        Ok(()) => Check::ok(name, "a write with O_DIRECT came back identical"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::fail(
            name,
            format!("{}: {error}", place.display()),
            "make the directory and give it to the user that runs the node",
        ),
        Err(error) => Check::fail(
            name,
            format!("{}: {error}", place.display()),
            "use a file system with O_DIRECT, such as ext4 or xfs",
        ),
    }
}

/// Writes a block with O_DIRECT, reads it back the same way, removes the file.
fn try_direct_io(place: &Path) -> io::Result<()> {
    let path = place.join(format!(".ringspool-doctor-{}", std::process::id()));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    options.custom_flags(OFlags::DIRECT.bits() as i32);
    let file = options.open(&path)?;
    let outcome = write_and_read(&file);
    let removed = fs::remove_file(&path);
    outcome.and(removed)
}

fn write_and_read(file: &File) -> io::Result<()> {
    let mut written = vec![0u8; 2 * BLOCK_BYTES];
    let mut read = vec![0u8; 2 * BLOCK_BYTES];
    let block = aligned(&mut written);
    for (index, byte) in block.iter_mut().enumerate() {
        *byte = index as u8 ^ 0x5A;
    }
    file.write_all_at(block, 0)?;
    file.sync_data()?;
    let back = aligned(&mut read);
    file.read_exact_at(back, 0)?;
    if block == back {
        return Ok(());
    }
    Err(io::Error::other("the bytes read are not the bytes written"))
}

/// The aligned block inside a buffer of twice its size.
fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
    &mut buffer[start..start + BLOCK_BYTES]
}

fn free_space(place: &Path) -> Check {
    let name = "free space";
    match statvfs(place) {
        Ok(about) => judge_free_space(about.f_bavail.saturating_mul(about.f_frsize)),
        Err(error) => Check::warn(name, error.to_string(), "see how much is free with df"),
    }
}

fn judge_free_space(free: u64) -> Check {
    let name = "free space";
    let found = output::bytes(free);
    match free {
        FREE_BYTES_RECOMMENDED.. => Check::ok(name, found),
        FREE_BYTES_MINIMUM.. => Check::warn(name, found, "have 10 GiB or more, or short retention"),
        _ => Check::fail(name, found, "make room: the logs alone need about 1 GiB"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::check::Status;
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_magic() {
        assert_eq!(judge_file_system(0xEF53), Check::ok("file system", "ext4"));
        assert_eq!(judge_file_system(0x5846_5342).found, "xfs");
        assert_eq!(judge_file_system(0x0102_1994).status, Status::Warn);
        assert_eq!(judge_file_system(0x1234).found, "unknown (0x1234)");
    }

    #[test]
    fn free_space_has_a_minimum_and_a_recommendation() {
        assert_eq!(judge_free_space(100 << 30).status, Status::Ok);
        assert_eq!(judge_free_space(2 << 30).status, Status::Warn);
        assert_eq!(judge_free_space(1 << 20).status, Status::Fail);
    }

    #[test]
    fn a_directory_that_is_not_there_is_looked_for_above() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        assert_eq!(nearest_existing(&inner).unwrap(), directory.path());
        fs::write(directory.path().join("a"), "a file").unwrap();
        assert!(nearest_existing(&inner).is_err());
    }

    #[test]
    fn nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        // Whether it works depends on the file system the tests run on; that it is tidy does not.
        let _ = try_direct_io(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
