//! What is on a simulated disk: a tree of names, and the contents they stand for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    /// An index into [`Image::contents`].
    File(usize),
}

/// Names and contents. A content stays when its last name goes: open handles still read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) contents: Vec<Vec<u8>>,
}

impl Image {
    /// The content a path names, if it names a file.
    pub(super) fn file(&self, path: &Path) -> Option<usize> {
        match self.names.get(path) {
            Some(Node::File(inode)) => Some(*inode),
            _ => None,
        }
    }

    /// Whether a folder is there. The root, and the folder relative paths start from, always are.
    pub(super) fn has_folder(&self, path: &Path) -> bool {
        path.parent().is_none() || self.names.get(path) == Some(&Node::Folder)
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = self.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Bytes of all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        let inodes = self.names.values().filter_map(|node| match node {
            Node::File(inode) => Some(*inode),
            Node::Folder => None,
        });
        inodes.map(|inode| self.contents[inode].len() as u64).sum()
    }

    /// Makes room for a content by its number.
    pub(super) fn content_mut(&mut self, inode: usize) -> &mut Vec<u8> {
        if self.contents.len() <= inode {
            self.contents.resize_with(inode + 1, Vec::new);
        }
        &mut self.contents[inode]
    }

    /// Puts bytes at a position, with zeros in a gap before it.
    pub(super) fn write(&mut self, inode: usize, position: u64, bytes: &[u8]) {
        let content = self.content_mut(inode);
        let start = position as usize;
        if content.len() < start + bytes.len() {
            content.resize(start + bytes.len(), 0);
        }
        content[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Forgets names below folders that are not there (any more).
    pub(super) fn drop_unreachable(&mut self) {
        loop {
            let orphans: Vec<PathBuf> = self
                .names
                .keys()
                .filter(|path| !self.has_folder(super::parent(path)))
                .cloned()
                .collect();
            if orphans.is_empty() {
                return;
            }
            for path in orphans {
                self.names.remove(&path);
            }
        }
    }
}
