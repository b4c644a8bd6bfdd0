//! What this machine can do without a node: its disk, past the page cache, and its loopback. The
//! limit that every result of a node is to be seen against.
//!
//! [`disk`] has the writes and reads, on a file that was written once before: the node's log is
//! such a file. [`loopback`] has TCP.

mod disk;
mod loopback;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;
use crate::latency::{Latency, LatencyUs};
use crate::report::DeviceMark;
use crate::stop::Stop;
use disk::TestFile;

/// One block, a hundred small records, and a large request.
const WRITE_SYNC_BYTES: [usize; 3] = [4 << 10, 100 << 10, 1 << 20];

/// How long each size is written.
const WRITE_SYNC_TIME: Duration = Duration::from_secs(2);

/// How long the mark beside a produce run is measured.
const MARK_TIME: Duration = Duration::from_secs(1);

/// What the device does. What is missing was not measured, because the run was stopped.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeviceReport {
    /// Megabytes (10^6 bytes) a second, 1 MiB at a time, several in flight, then one fdatasync.
    pub sequential_write_mb_per_s: Option<f64>,
    /// Megabytes (10^6 bytes) a second, 1 MiB at a time, several in flight.
    pub sequential_read_mb_per_s: Option<f64>,
    /// Writes that are waited for, each with its fdatasync.
    pub write_sync: Vec<WriteSync>,
    /// TCP on the loopback interface.
    pub loopback: Option<Loopback>,
    /// Whether it was stopped before it was done.
    pub interrupted: bool,
    /// How it was measured.
    pub settings: DeviceSettings,
}

/// Writes of one size, one after the other, each followed by fdatasync.
#[derive(Clone, Debug, Serialize)]
pub struct WriteSync {
    /// Bytes of each.
    pub bytes: u64,
    /// How many were measured.
    pub writes: u64,
    /// Writes a second.
    pub per_s: f64,
    /// Megabytes (10^6 bytes) a second.
    pub mb_per_s: f64,
    /// From submitting the write to the end of its fdatasync.
    pub latency_us: LatencyUs,
}

/// TCP on the loopback interface.
#[derive(Clone, Debug, Serialize)]
pub struct Loopback {
    /// A small message there and back.
    pub round_trip_us: LatencyUs,
    /// Megabytes (10^6 bytes) a second, in one direction, on one connection.
    pub mb_per_s: f64,
}

/// How a device is measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeviceSettings {
    /// The directory whose device it is.
    pub data_dir: String,
    /// Size of the file that is written and read.
    pub file_bytes: u64,
    /// Bytes of each write and read of the sequential measurements.
    pub sequential_bytes: u64,
    /// Of which so many are in flight.
    pub sequential_in_flight: u64,
    /// Bytes of the loopback's small message.
    pub round_trip_bytes: u64,
}

/// Measures the device of `directory`, and the loopback. `say` is told what begins.
///
/// # Errors
///
/// When no file can be made there, or its file system knows no direct I/O.
pub fn run(directory: &Path, stop: &Stop, say: impl Fn(&str)) -> Result<DeviceReport, BenchError> {
    let mut report = DeviceReport::default();
    report.settings.data_dir = directory.display().to_string();
    report.settings.sequential_bytes = disk::SEQUENTIAL_BYTES as u64;
    report.settings.sequential_in_flight = disk::IN_FLIGHT as u64;
    report.settings.round_trip_bytes = loopback::MESSAGE_BYTES as u64;
    say("writing the file to measure with");
    let mut file = TestFile::create(directory, disk::FILE_BYTES_MAX)?;
    report.settings.file_bytes = file.bytes();
    if !stop.is_set() {
        say("writing in sequence");
        report.sequential_write_mb_per_s = Some(file.sequential_write()?);
    }
    if !stop.is_set() {
        say("reading in sequence");
        report.sequential_read_mb_per_s = Some(file.sequential_read()?);
    }
    for bytes in WRITE_SYNC_BYTES {
        if !stop.is_set() {
            say(&format!("writing {} KiB, each with fdatasync", bytes >> 10));
            report.write_sync.push(write_sync(&mut file, bytes, WRITE_SYNC_TIME)?);
        }
    }
    if !stop.is_set() {
        say("TCP on the loopback interface");
        let measured = loopback::measure();
        report.loopback = Some(measured.map_err(|source| BenchError::System {
            action: "measure TCP on the loopback interface",
            source,
        })?);
    }
    report.interrupted = stop.is_set();
    Ok(report)
}

/// The device's write and fdatasync of `request_bytes`, for a report that puts a node beside it.
///
/// # Errors
///
/// As [`run`].
pub fn mark(directory: &Path, request_bytes: usize) -> Result<DeviceMark, BenchError> {
    let write_bytes = disk::whole_blocks(request_bytes);
    let mut file = TestFile::create(directory, disk::MARK_FILE_BYTES)?;
    let measured = write_sync(&mut file, write_bytes, MARK_TIME)?;
    Ok(DeviceMark {
        write_bytes: write_bytes as u64,
        write_sync_p50_us: measured.latency_us.p50,
        write_sync_p99_us: measured.latency_us.p99,
        write_sync_per_s: measured.per_s,
        mb_per_s: measured.mb_per_s,
    })
}

fn write_sync(file: &mut TestFile, bytes: usize, time: Duration) -> Result<WriteSync, BenchError> {
    let mut latency = Latency::default();
    let elapsed = file.write_sync(bytes, time, &mut latency)?.as_secs_f64();
    let writes = latency.count();
    Ok(WriteSync {
        bytes: bytes as u64,
        writes,
        per_s: writes as f64 / elapsed,
        mb_per_s: (writes * bytes as u64) as f64 / 1e6 / elapsed,
        latency_us: latency.percentiles(),
    })
}

impl DeviceReport {
    /// Name and text of each row for people.
    pub fn rows(&self) -> Vec<(String, String)> {
        let settings = &self.settings;
        let how = format!(
            "{} MiB at a time, {} in flight",
            settings.sequential_bytes >> 20,
            settings.sequential_in_flight
        );
        let mut rows = vec![("device".to_owned(), format!("of {}", settings.data_dir))];
        let mut rate = |name: &str, rate: Option<f64>| {
            if let Some(rate) = rate {
                rows.push((name.to_owned(), format!("{rate:.0} MB/s, {how}")));
            }
        };
        rate("sequential write", self.sequential_write_mb_per_s);
        rate("sequential read", self.sequential_read_mb_per_s);
        for measured in &self.write_sync {
            let latency = &measured.latency_us;
            let text = format!(
                "p50 {:.0} us, p99 {:.0} us, max {:.0} us, {:.0}/s, {:.0} MB/s",
                latency.p50, latency.p99, latency.max, measured.per_s, measured.mb_per_s
            );
            rows.push((format!("write+fdatasync {} KiB", measured.bytes >> 10), text));
        }
        if let Some(loopback) = &self.loopback {
            let latency = &loopback.round_trip_us;
            let text = format!(
                "p50 {:.0} us, p99 {:.0} us, {} bytes there and back",
                latency.p50, latency.p99, settings.round_trip_bytes
            );
            rows.push(("loopback round trip".to_owned(), text));
            let text = format!("{:.0} MB/s, one connection", loopback.mb_per_s);
            rows.push(("loopback bandwidth".to_owned(), text));
        }
        if self.interrupted {
            let text = "stopped before it was done; this is what there was".to_owned();
            rows.push(("interrupted".to_owned(), text));
        }
        rows
    }
}
