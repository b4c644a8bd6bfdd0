//! Where a report goes: a table on stdout, or JSON in its place, or a table and JSON in a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::CommandError;
use crate::output;

/// Where the JSON goes.
#[derive(Debug)]
pub(super) enum JsonTarget {
    /// Nowhere: a table is printed.
    Nowhere,
    /// To stdout, in place of the table.
    Stdout,
    /// To a file, beside the table.
    File(PathBuf, File),
}

impl JsonTarget {
    /// Opens it before the run, so that no run is lost to a file that cannot be written.
    pub(super) fn open(target: Option<&str>) -> Result<Self, CommandError> {
        match target {
            None => Ok(JsonTarget::Nowhere),
            Some("-") => Ok(JsonTarget::Stdout),
            Some(path) => {
                let path = Path::new(path);
                match File::create(path) {
                    Ok(file) => Ok(JsonTarget::File(path.to_owned(), file)),
                    Err(source) => Err(wrong(path, source)),
                }
            }
        }
    }

    /// Writes the report.
    pub(super) fn write<N: Into<String>>(
        self,
        report: &impl Serialize,
        rows: Vec<(N, String)>,
    ) -> Result<(), CommandError> {
        match self {
            JsonTarget::Stdout => output::json(report),
            JsonTarget::Nowhere => print(rows),
            JsonTarget::File(path, mut file) => {
                let text = serde_json::to_string_pretty(report).map_err(|error| {
                    CommandError::Failed(format!("cannot put the report as JSON: {error}"))
                })?;
                writeln!(file, "{text}").map_err(|source| wrong(&path, source))?;
                print(rows)
            }
        }
    }
}

fn print<N: Into<String>>(rows: Vec<(N, String)>) -> Result<(), CommandError> {
    let rows: Vec<(String, String)> =
        rows.into_iter().map(|(name, text)| (name.into(), text)).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    for (name, text) in rows {
        output::line(&format!("{name:<width$}{text}"))?;
    }
    Ok(())
}

fn wrong(path: &Path, source: std::io::Error) -> CommandError {
    CommandError::File { action: "write", path: path.to_owned(), source }
}
