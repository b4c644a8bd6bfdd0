//! Which kind of file it is: by its name where that says so, else by its first bytes.

use std::io::Read;
use std::path::Path;

use ringspool_wire::{BATCH_HEADER_BYTES, BatchHeader};

use super::{open, reading};
use crate::error::CommandError;

/// The kinds of files that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A partition's segment.
    Segment,
    /// The sparse index beside it.
    Index,
    /// A file of a shard's write-ahead log.
    Wal,
    /// A vnode's checkpoint.
    VnodeCheckpoint,
    /// The metadata group's checkpoint.
    CoordinatorCheckpoint,
}

/// The kind of the file at `path`.
pub(crate) fn of(path: &Path) -> Result<Kind, CommandError> {
    let mut start = Vec::with_capacity(BATCH_HEADER_BYTES);
    open(path)?
        .take(BATCH_HEADER_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|source| reading(path, source))?;
    // The name first: it also tells what a file was whose first bytes are damaged.
    by_name(path).or_else(|| by_content(&start)).or_else(|| by_place(path)).ok_or_else(|| {
        CommandError::Failed(format!(
            "{} is neither a segment, an index, a WAL file nor a checkpoint",
            path.display()
        ))
    })
}

fn by_name(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "log" => Some(Kind::Segment),
        "idx" => Some(Kind::Index),
        "wal" => Some(Kind::Wal),
        _ => None,
    }
}

fn by_content(start: &[u8]) -> Option<Kind> {
    match start {
        [b'R', b'S', b'P', b'L', b'W', b'A', b'L', ..] => Some(Kind::Wal),
        [b'R', b'S', b'P', b'L', b'C', b'K', b'P', ..] => Some(Kind::VnodeCheckpoint),
        [b'R', b'S', b'P', b'L', b'C', b'R', b'D', ..] => Some(Kind::CoordinatorCheckpoint),
        [b'R', b'S', b'I', b'X', ..] => Some(Kind::Index),
        _ if BatchHeader::decode(start).is_ok() => Some(Kind::Segment),
        _ => None,
    }
}

/// A checkpoint whose first bytes are damaged is still known by where it is.
fn by_place(path: &Path) -> Option<Kind> {
    if path.file_name()? != "checkpoint" {
        return None;
    }
    let parent = std::path::absolute(path).ok()?.parent()?.file_name()?.to_owned();
    match parent == "coordinator" {
        true => Some(Kind::CoordinatorCheckpoint),
        false => Some(Kind::VnodeCheckpoint),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_content_and_places_tell_the_kind() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content, kind) in [
            ("00000000000000000000.log", &b""[..], Some(Kind::Segment)),
            ("00000000000000000000.idx", b"damaged", Some(Kind::Index)),
            ("00000001.wal", b"", Some(Kind::Wal)),
            ("renamed", b"RSPLWAL1", Some(Kind::Wal)),
            ("renamed", b"RSPLCKP1", Some(Kind::VnodeCheckpoint)),
            ("renamed", b"RSPLCRD1", Some(Kind::CoordinatorCheckpoint)),
            ("renamed", b"RSIX", Some(Kind::Index)),
            ("00017/checkpoint", b"damaged", Some(Kind::VnodeCheckpoint)),
            ("coordinator/checkpoint", b"damaged", Some(Kind::CoordinatorCheckpoint)),
            ("notes.txt", b"hello", None),
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            assert_eq!(of(&path).ok(), kind, "{name}");
        }
    }
}
