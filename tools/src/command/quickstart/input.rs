//! The text that goes through: a file of the user's, or text that is really there.
//!
//! By default that is the repository around the current directory: its sources and documents. Where
//! there is none, it is this tool's own handbook, which is part of the program.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::CommandError;
use crate::output;

/// The handbook: real text wherever the program runs.
const HANDBOOK: &str = include_str!("../../../README.md");

/// What counts as a source or document.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "fbs"];

/// Directories that hold what was made from sources.
const SKIPPED: &[&str] = &["target", "node_modules"];

/// Text is kept in memory to be compared with; more than this is not taken.
const TEXT_BYTES_MAX: u64 = 1 << 30;

/// Sources are gathered up to here.
const SOURCES_BYTES_MAX: u64 = 64 << 20;

/// Lines to send: the text's, over and over.
#[derive(Debug)]
pub(crate) struct Input {
    text: Bytes,
    /// Where each line of the text ends, exclusive, newline not included.
    ends: Vec<u32>,
    origin: String,
    records: u64,
}

impl Input {
    /// Loads the text of `file`, or what is there, and repeats it to `bytes_min`.
    pub(crate) fn load(file: Option<&Path>, bytes_min: u64) -> Result<Self, CommandError> {
        let (text, origin) = match file {
            Some(path) => {
                let text = read_limited(path, TEXT_BYTES_MAX).map_err(|source| {
                    CommandError::File { action: "read", path: path.to_owned(), source }
                })?;
                (text, path.display().to_string())
            }
            None => text_at_hand(),
        };
        Input::repeat(text, &origin, bytes_min)
    }

    fn repeat(text: Vec<u8>, origin: &str, bytes_min: u64) -> Result<Self, CommandError> {
        if text.is_empty() {
            return Err(CommandError::Failed(format!("{origin} is empty; give a file with text")));
        }
        let mut ends: Vec<u32> = memchr::memchr_iter(b'\n', &text).map(|at| at as u32).collect();
        if text.last().is_some_and(|&last| last != b'\n') {
            ends.push(text.len() as u32);
        }
        let repeats = bytes_min.div_ceil(text.len() as u64).max(1);
        let times = match repeats {
            1 => String::new(),
            _ => format!(", {} times", output::count(repeats)),
        };
        let origin = format!("{origin} ({}{times})", output::bytes(text.len() as u64));
        let records = ends.len() as u64 * repeats;
        Ok(Input { text: Bytes::from(text), ends, origin, records })
    }

    /// Where the text is from.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// How many lines are to be sent.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of all lines to be sent, without newlines.
    pub(crate) fn bytes_total(&self) -> u64 {
        let repeats = self.records / self.ends.len() as u64;
        let newlines = memchr::memchr_iter(b'\n', &self.text).count() as u64;
        (self.text.len() as u64 - newlines) * repeats
    }

    /// Line `index`, counted over all repetitions and beyond.
    pub(crate) fn line(&self, index: u64) -> Bytes {
        let line = (index % self.ends.len() as u64) as usize;
        let start = match line {
            0 => 0,
            _ => self.ends[line - 1] as usize + 1,
        };
        self.text.slice(start..self.ends[line] as usize)
    }
}

fn text_at_hand() -> (Vec<u8>, String) {
    let here = std::env::current_dir().ok();
    if let Some(root) = here.as_deref().and_then(repository_root) {
        let mut sources = Sources::default();
        sources.gather(&root);
        if sources.files > 0 && !sources.text.is_empty() {
            let origin = format!("{} sources and documents of {}", sources.files, root.display());
            return (sources.text, origin);
        }
    }
    (HANDBOOK.as_bytes().to_vec(), "the handbook inside this program".to_owned())
}

/// The closest directory from `start` upward that is a repository's or a workspace's root.
fn repository_root(start: &Path) -> Option<PathBuf> {
    let is_root = |directory: &&Path| {
        directory.join(".git").exists()
            || fs::read_to_string(directory.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.contains("[workspace]"))
    };
    start.ancestors().find(is_root).map(Path::to_owned)
}

#[derive(Default)]
struct Sources {
    text: Vec<u8>,
    files: usize,
}

impl Sources {
    /// Adds the sources below `directory`, in the order of their names. What cannot be read is left
    /// out: any text will do.
    fn gather(&mut self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Links are left out: they may lead out of the repository, or round in circles.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_ref()) {
                self.gather(&path);
            } else if kind.is_file() && is_source(&path) {
                self.add(&path);
            }
        }
    }

    fn add(&mut self, path: &Path) {
        let room = SOURCES_BYTES_MAX.saturating_sub(self.text.len() as u64);
        let Ok(bytes) = read_limited(path, room) else { return };
        if bytes.is_empty() {
            return;
        }
        self.files += 1;
        self.text.extend_from_slice(&bytes);
        if bytes.last() != Some(&b'\n') {
            self.text.push(b'\n');
        }
    }
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_come_back_in_order_and_start_over() {
        let input = Input::repeat(b"one\n\nthree".to_vec(), "a test", 25).unwrap();
        assert_eq!(input.records(), 9, "three repetitions of ten bytes");
        let lines: Vec<Bytes> = (0..4).map(|index| input.line(index)).collect();
        assert_eq!(lines, [&b"one"[..], b"", b"three", b"one"]);
        assert_eq!(input.bytes_total(), 3 * 8);
    }

    #[test]
    fn nothing_to_send_is_an_error() {
        assert!(Input::repeat(Vec::new(), "a test", 25).is_err());
    }

    #[test]
    fn sources_are_found_from_below_and_products_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for directory in [".git", "src/deep", "target"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for (file, text) in [
            ("README.md", "readme"),
            ("src/lib.rs", "source\n"),
            ("src/image.png", "no text"),
            ("target/made.rs", "made"),
            (".git/config.toml", "hidden"),
        ] {
            fs::write(root.path().join(file), text).unwrap();
        }
        let found = repository_root(&root.path().join("src/deep")).unwrap();
        assert_eq!(found, root.path());
        let mut sources = Sources::default();
        sources.gather(&found);
        assert_eq!(sources.text, b"readme\nsource\n");
        assert_eq!(sources.files, 2);
    }
}
