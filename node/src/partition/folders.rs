//! Folders that got new names which are not durable yet.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Levels above a partition's folder whose names are looked after: its topic's folder, the one of
/// all topics, the data directory.
const LEVELS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Folders {
    /// Folders to sync, with a number that changes when another name comes.
    unsynced: HashMap<PathBuf, u64>,
    /// Folders above partitions' whose own name was noted already.
    noted: HashSet<PathBuf>,
    changes: u64,
}

impl Folders {
    /// A name in `folder` came, or went.
    pub(super) fn changed(&mut self, folder: &Path) {
        self.changes += 1;
        self.unsynced.insert(folder.to_owned(), self.changes);
    }

    /// A partition's folder was made, and maybe some above it.
    pub(super) fn created(&mut self, folder: &Path) {
        for (level, child) in folder.ancestors().take(LEVELS).enumerate() {
            let Some(parent) = child.parent() else { return };
            let is_new = level == 0 || self.noted.insert(child.to_owned());
            if !is_new || parent.as_os_str().is_empty() {
                return;
            }
            self.changed(parent);
        }
    }

    /// A folder goes.
    pub(super) fn forget(&mut self, folder: &Path) {
        self.unsynced.remove(folder);
    }

    /// The folders at and above a partition's that must be synced, with the number to give back
    /// to [`Folders::synced`].
    pub(super) fn to_sync(&self, folder: &Path) -> Vec<(PathBuf, u64)> {
        let levels = folder.ancestors().take(LEVELS + 1);
        levels
            .filter_map(|level| self.unsynced.get(level).map(|change| (level.to_owned(), *change)))
            .collect()
    }

    /// A folder was synced; names that came since `change` still have to be.
    pub(super) fn synced(&mut self, folder: &Path, change: u64) {
        if self.unsynced.get(folder) == Some(&change) {
            self.unsynced.remove(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folders: &Folders, folder: &str) -> Vec<PathBuf> {
        folders.to_sync(Path::new(folder)).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn folders_above_are_synced_once_for_all_below() {
        let mut folders = Folders::default();
        folders.created(Path::new("/data/topic/1/0"));
        let expected: Vec<PathBuf> =
            ["/data/topic/1", "/data/topic", "/data", "/"].map(PathBuf::from).into();
        assert_eq!(paths(&folders, "/data/topic/1/0"), expected);
        for (path, change) in folders.to_sync(Path::new("/data/topic/1/0")) {
            folders.synced(&path, change);
        }
        folders.created(Path::new("/data/topic/1/1"));
        assert_eq!(paths(&folders, "/data/topic/1/1"), [Path::new("/data/topic/1")]);
        folders.created(Path::new("/data/topic/2/0"));
        let expected = ["/data/topic/2", "/data/topic"].map(PathBuf::from);
        assert_eq!(paths(&folders, "/data/topic/2/0"), expected);
    }

    #[test]
    fn a_name_that_comes_during_a_sync_needs_another() {
        let mut folders = Folders::default();
        let folder = Path::new("/d");
        folders.changed(folder);
        let during = folders.to_sync(folder)[0].1;
        folders.changed(folder);
        folders.synced(folder, during);
        assert_eq!(paths(&folders, "/d"), [folder]);
        let after = folders.to_sync(folder)[0].1;
        folders.synced(folder, after);
        assert!(paths(&folders, "/d").is_empty());
    }
}
