//! `ringspool dump`: what a file of a data directory holds.
//!
//! Reads only, with plain buffered reads, so it works beside a running node. Every byte is checked
//! as the node would check it; the first damaged place ends the listing, is told with file and
//! position, and makes the exit code 1.

mod checkpoint;
mod index;
mod kind;
mod segment;
mod wal;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use self::kind::Kind;
use crate::cli::{DumpArgs, Global};
use crate::error::CommandError;

/// Where a listing goes: lines of text, or JSON objects a line.
pub(crate) struct Listing {
    output: BufWriter<io::Stdout>,
    json: bool,
}

impl Listing {
    /// One object a line with `--json`, else the text.
    fn item(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        let written = match self.json {
            true => serde_json::to_writer(&mut self.output, value).map_err(io::Error::from),
            false => self.output.write_all(text().as_bytes()),
        };
        written.and_then(|()| self.output.write_all(b"\n")).map_err(CommandError::stdout)
    }

    /// A line for people only.
    fn text(&mut self, text: &str) -> Result<(), CommandError> {
        if self.json {
            return Ok(());
        }
        writeln!(self.output, "{text}").map_err(CommandError::stdout)
    }

    fn finish(mut self) -> Result<(), CommandError> {
        self.output.flush().map_err(CommandError::stdout)
    }
}

/// What ends a listing early.
#[derive(Debug)]
pub(crate) struct Damage {
    /// The first byte that is wrong.
    pub(crate) position: u64,
    /// What is wrong with it, and, where there is something to do, what.
    pub(crate) reason: String,
}

/// Lists the file.
pub(crate) fn run(global: &Global, args: &DumpArgs) -> Result<(), CommandError> {
    let path = args.file.as_path();
    let kind = kind::of(path)?;
    let output = BufWriter::with_capacity(1 << 16, io::stdout());
    let mut listing = Listing { output, json: global.json };
    let outcome = match kind {
        Kind::Segment => segment::list(path, &mut listing),
        Kind::Index => index::list(path, &mut listing),
        Kind::Wal => wal::list(path, &mut listing),
        Kind::VnodeCheckpoint => checkpoint::list_vnode(path, &mut listing),
        Kind::CoordinatorCheckpoint => checkpoint::list_coordinator(path, &mut listing),
    };
    // What was listed before the damage is good, and is shown first.
    listing.finish()?;
    match outcome? {
        None => Ok(()),
        Some(damage) => Err(CommandError::Failed(format!(
            "{}: damaged at byte {}: {}",
            path.display(),
            damage.position,
            damage.reason
        ))),
    }
}

/// All bytes of a file that is small by nature.
fn read_all(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|source| reading(path, source))
}

fn open(path: &Path) -> Result<File, CommandError> {
    let wrong = |source| CommandError::File { action: "open", path: path.to_owned(), source };
    File::open(path).map_err(wrong)
}

fn reading(path: &Path, source: io::Error) -> CommandError {
    CommandError::File { action: "read", path: path.to_owned(), source }
}

/// Milliseconds since 1970 as a time; the bare number when they are out of all range.
fn time(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => milliseconds.to_string(),
    }
}
