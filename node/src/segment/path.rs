//! Names of segment and index files: the base offset in 20 digits, so that they sort.

use std::path::{Path, PathBuf};

/// `<dir>/<base offset>.log`.
#[must_use]
pub fn log_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

/// `<dir>/<base offset>.idx`.
#[must_use]
pub fn index_path(dir: &Path, base_offset: u64) -> PathBuf {
    dir.join(format!("{base_offset:020}.idx"))
}

/// The base offset that a segment's or index's file name says, if it is such a name.
#[must_use]
pub fn base_offset_of(path: &Path) -> Option<u64> {
    let extension = path.extension()?.to_str()?;
    let stem = path.file_stem()?.to_str()?;
    let is_ours = matches!(extension, "log" | "idx")
        && stem.len() == 20
        && stem.bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { stem.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_round_trip_and_sort() {
        let dir = Path::new("/data/topic/1/0");
        for offset in [0, 7, u64::MAX] {
            assert_eq!(base_offset_of(&log_path(dir, offset)), Some(offset));
            assert_eq!(base_offset_of(&index_path(dir, offset)), Some(offset));
        }
        assert!(log_path(dir, 9) < log_path(dir, 10));
        assert_eq!(log_path(dir, 7), dir.join("00000000000000000007.log"));
    }

    #[test]
    fn other_names_are_not_taken() {
        for name in ["7.log", "00000000000000000007.txt", "0000000000000000000x.log", "a", ""] {
            assert_eq!(base_offset_of(Path::new(name)), None, "{name}");
        }
        assert_eq!(base_offset_of(Path::new("99999999999999999999.log")), None);
        assert_eq!(base_offset_of(Path::new("+0000000000000000007.log")), None);
    }
}
