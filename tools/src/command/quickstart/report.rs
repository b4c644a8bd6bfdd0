//! What the quickstart did, in figures.

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::node::{DATA_DIRECTORY, LOG_FILE};
use crate::error::CommandError;
use crate::output::{self, bytes, count, duration, rate};

/// Everything that is told in the end.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) origin: String,
    pub(crate) partitions: u32,
    /// Read back and compared: streamed and timed ones.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) streamed_bytes: u64,
    pub(crate) write_elapsed: Duration,
    pub(crate) outage: Duration,
    pub(crate) restart: Duration,
    pub(crate) acked_at_kill: u64,
    pub(crate) duplicates: u64,
    pub(crate) read_elapsed: Duration,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) first_start: Duration,
    pub(crate) stop_elapsed: Duration,
    pub(crate) directory: PathBuf,
    pub(crate) kept: bool,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    text: &'a str,
    partitions: u32,
    records: u64,
    bytes: u64,
    write_mb_per_s: f64,
    read_mb_per_s: f64,
    write_p50_ms: f64,
    write_p99_ms: f64,
    write_p999_ms: f64,
    acked_at_kill: u64,
    outage_s: f64,
    restart_s: f64,
    directory: Option<String>,
}

impl Report {
    /// Prints it on stdout.
    pub(crate) fn print(&self, json: bool) -> Result<(), CommandError> {
        if json { self.print_json() } else { self.print_text() }
    }

    fn print_json(&self) -> Result<(), CommandError> {
        let megabytes_per_second =
            |bytes: u64, elapsed: Duration| bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9);
        output::json(&JsonReport {
            text: &self.origin,
            partitions: self.partitions,
            records: self.records,
            bytes: self.bytes,
            write_mb_per_s: megabytes_per_second(self.streamed_bytes, self.write_elapsed),
            read_mb_per_s: megabytes_per_second(self.bytes, self.read_elapsed),
            write_p50_ms: self.latency_ms(50.0),
            write_p99_ms: self.latency_ms(99.0),
            write_p999_ms: self.latency_ms(99.9),
            acked_at_kill: self.acked_at_kill,
            outage_s: self.outage.as_secs_f64(),
            restart_s: self.restart.as_secs_f64(),
            directory: self.kept.then(|| self.directory.display().to_string()),
        })
    }

    fn latency_ms(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1000.0
    }

    fn print_text(&self) -> Result<(), CommandError> {
        let micros = |percentile| {
            duration(Duration::from_micros(self.latency.value_at_percentile(percentile)))
        };
        let files = if self.kept {
            format!("{} (log: {LOG_FILE})", self.directory.join(DATA_DIRECTORY).display())
        } else {
            format!("{}, removed; --keep keeps them", self.directory.display())
        };
        let rows = [
            ("text", self.origin.clone()),
            (
                "records",
                format!(
                    "{} ({}), {} partitions, a record a line",
                    count(self.records),
                    bytes(self.bytes),
                    self.partitions
                ),
            ),
            (
                "written",
                format!("{} with acks=quorum", rate(self.streamed_bytes, self.write_elapsed)),
            ),
            ("read", rate(self.bytes, self.read_elapsed)),
            (
                "acknowledged",
                format!(
                    "p50 {}, p99 {}, p99.9 {} ({} writes of 100 lines, one at a time)",
                    micros(50.0),
                    micros(99.0),
                    micros(99.9),
                    count(self.latency.len())
                ),
            ),
            (
                "kill -9",
                format!(
                    "after {} acknowledged records; ready again after {} (start {}); {} records \
                     were sent twice and stored once",
                    count(self.acked_at_kill),
                    duration(self.outage),
                    duration(self.restart),
                    count(self.duplicates)
                ),
            ),
            (
                "start, stop",
                format!("{}, {}", duration(self.first_start), duration(self.stop_elapsed)),
            ),
            ("compared", "every byte of every partition, in order: identical".to_owned()),
            ("files", files),
        ];
        output::line("")?;
        for (name, text) in rows {
            output::line(&format!("{name:<14}{text}"))?;
        }
        output::line("\nTry next:")?;
        for command in self.next_commands() {
            output::line(&format!("  {command}"))?;
        }
        Ok(())
    }

    fn next_commands(&self) -> [String; 3] {
        if self.kept {
            let data = self.directory.join(DATA_DIRECTORY);
            return [
                format!("ringspool serve --data-dir {} &", data.display()),
                "ringspool topic describe quickstart".to_owned(),
                "ringspool consume quickstart --max 10 --format json".to_owned(),
            ];
        }
        [
            "ringspool serve &".to_owned(),
            "ringspool topic create events --partitions 4".to_owned(),
            "ls -l | ringspool produce events && ringspool consume events --until-end".to_owned(),
        ]
    }
}
