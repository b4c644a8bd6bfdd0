//! What a run gives: for scripts as JSON, for people as rows of a table.

use std::time::Duration;

use serde::Serialize;

use crate::latency::{Latency, LatencyUs};
use crate::server_cost::ServerCost;
use crate::settings::{Limit, LoadSettings, name_of};

/// The result of a produce or consume run. As JSON it is a contract: fields are added, never changed.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// `produce` or `consume`.
    pub workload: &'static str,
    /// Which driver made the load.
    pub driver: &'static str,
    /// `closed`: a request is sent when another one has ended.
    pub load: &'static str,
    /// Records acknowledged, or read and checked, while the run counted.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From when counting began to the last acknowledgement, or the last record read, in seconds.
    pub elapsed_s: f64,
    /// Records a second of that time.
    pub records_per_s: f64,
    /// Megabytes (10^6 bytes) a second of that time.
    pub mb_per_s: f64,
    /// Produce: from handing a request to the client to its acknowledgement. Consume: from asking
    /// the client for records to having some.
    pub latency_us: LatencyUs,
    /// Requests, or reads, that were measured.
    pub requests: u64,
    /// Requests that failed, and records that were not what they should be.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// Whether it was stopped before it was done.
    pub interrupted: bool,
    /// What it cost the server, where that is known.
    pub server: Option<ServerCost>,
    /// What the device does without a node, where that was measured.
    pub device: Option<DeviceMark>,
    /// How the run was made.
    pub settings: LoadSettings,
}

/// The device's own write and fdatasync, of as many bytes as one request has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DeviceMark {
    /// Bytes of each write: a request's, in whole blocks.
    pub write_bytes: u64,
    /// Half of the writes were on stable storage after this time.
    pub write_sync_p50_us: f64,
    /// 99% were.
    pub write_sync_p99_us: f64,
    /// Writes a second, one after the other.
    pub write_sync_per_s: f64,
    /// Megabytes (10^6 bytes) a second.
    pub mb_per_s: f64,
}

impl LoadReport {
    pub(crate) fn new(workload: &'static str, settings: LoadSettings) -> Self {
        LoadReport {
            workload,
            driver: "ringspool",
            load: "closed",
            records: 0,
            bytes: 0,
            elapsed_s: 0.0,
            records_per_s: 0.0,
            mb_per_s: 0.0,
            latency_us: LatencyUs::default(),
            requests: 0,
            errors: 0,
            first_error: None,
            interrupted: false,
            server: None,
            device: None,
            settings,
        }
    }

    /// Puts in what follows from the counts and the time.
    pub(crate) fn finish(&mut self, elapsed: Duration, latency: &Latency, interrupted: bool) {
        let seconds = elapsed.as_secs_f64();
        self.elapsed_s = seconds;
        if seconds > 0.0 {
            self.records_per_s = self.records as f64 / seconds;
            self.mb_per_s = self.bytes as f64 / 1e6 / seconds;
        }
        self.latency_us = latency.percentiles();
        self.requests = latency.count();
        self.interrupted = interrupted;
    }

    /// Name and text of each row for people.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let (latency, mb) = (&self.latency_us, self.bytes as f64 / 1e6);
        let request = if self.workload == "consume" { "read" } else { "request" };
        let mut rows = vec![
            (self.workload, self.load_text()),
            ("topic", self.topic_text()),
            ("records", format!("{} ({:.1} MB) in {:.2} s", self.records, mb, self.elapsed_s)),
            ("rate", format!("{:.0} records/s, {:.1} MB/s", self.records_per_s, self.mb_per_s)),
            (
                "latency us",
                format!(
                    "p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, p99.99 {:.0}, max {:.0} ({})",
                    latency.p50,
                    latency.p90,
                    latency.p99,
                    latency.p999,
                    latency.p9999,
                    latency.max,
                    several(self.requests, request),
                ),
            ),
        ];
        if let Some(device) = &self.device {
            rows.push(("device", self.device_text(device)));
        }
        if let Some(server) = &self.server {
            rows.push(("server", self.server_text(server)));
        }
        let first = self.first_error.as_deref();
        rows.push((
            "errors",
            match first {
                Some(first) => format!("{}; the first: {first}", self.errors),
                None => self.errors.to_string(),
            },
        ));
        if self.interrupted {
            rows.push(("interrupted", "stopped before it was done; this is what there was".into()));
        }
        rows
    }

    fn load_text(&self) -> String {
        let settings = &self.settings;
        let limit = match settings.limit {
            Some(Limit::Duration(duration)) => format!("{} s", duration.as_secs_f64()),
            Some(Limit::Count(count)) => format!("{count} records"),
            None => "to the end".to_owned(),
        };
        if self.workload == "consume" {
            return format!("{}, {limit}", several(settings.consumers.into(), "consumer"));
        }
        format!(
            "{}, {} in flight each (closed loop), {} of {} B a request, acks {}, {limit}",
            several(settings.producers.into(), "producer"),
            several(settings.in_flight.into(), "request"),
            several(settings.batch.into(), "record"),
            settings.record_bytes,
            name_of(settings.acks),
        )
    }

    fn topic_text(&self) -> String {
        let partitions = self.settings.partitions.unwrap_or(1);
        format!("{}, {}", self.settings.topic, several(partitions.into(), "partition"))
    }

    fn device_text(&self, device: &DeviceMark) -> String {
        // The node pads small requests to a block as well: requests are what compares, not bytes.
        let requests_per_s = self.requests as f64 / self.elapsed_s.max(1e-9);
        let percent = 100.0 * requests_per_s / device.write_sync_per_s.max(1e-9);
        format!(
            "write+fdatasync of {} B: p50 {:.0} us, p99 {:.0} us, {:.0}/s, {:.1} MB/s; the node \
             acknowledged {percent:.0}% as many requests",
            device.write_bytes,
            device.write_sync_p50_us,
            device.write_sync_p99_us,
            device.write_sync_per_s,
            device.mb_per_s,
        )
    }

    fn server_text(&self, server: &ServerCost) -> String {
        let cpu = server.cpu_s / self.elapsed_s.max(1e-9);
        let written = server.device_bytes_written as f64;
        let mut text = format!(
            "{:.2} s CPU ({:.2} cores), {:.0} MB memory at most, {:.1} MB written",
            server.cpu_s,
            cpu,
            server.rss_max_bytes as f64 / 1e6,
            written / 1e6,
        );
        if self.workload == "produce" && self.bytes > 0 {
            text.push_str(&format!(" ({:.2} per payload byte)", written / self.bytes as f64));
        }
        text
    }
}

/// `1 record`, `2 records`.
fn several(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use ringspool_wire::Acks;

    use super::*;

    fn report() -> LoadReport {
        let settings = LoadSettings {
            servers: vec!["127.0.0.1:7400".to_owned()],
            topic: "t".to_owned(),
            partitions: Some(2),
            producers: 1,
            consumers: 1,
            record_bytes: 1000,
            batch: 10,
            in_flight: 1,
            acks: Acks::Quorum,
            limit: Some(Limit::Count(3_000)),
            warm_up: Duration::ZERO,
        };
        let mut report = LoadReport::new("produce", settings);
        (report.records, report.bytes) = (3_000, 3_000_000);
        report
    }

    #[test]
    fn rates_are_over_the_whole_time() {
        let mut report = report();
        let mut latency = Latency::default();
        (0..300).for_each(|_| latency.record(Duration::from_millis(2)));
        report.finish(Duration::from_millis(1500), &latency, false);
        assert_eq!(report.records_per_s, 2_000.0);
        assert_eq!(report.mb_per_s, 2.0);
        assert_eq!(report.requests, 300);
        assert_eq!(report.latency_us.max, 2_000.0);
    }

    #[test]
    fn a_run_in_which_nothing_happened_divides_by_nothing() {
        let mut report = report();
        (report.records, report.bytes) = (0, 0);
        report.finish(Duration::ZERO, &Latency::default(), true);
        assert_eq!((report.records_per_s, report.mb_per_s), (0.0, 0.0));
        assert!(report.rows().iter().any(|(name, _)| *name == "interrupted"));
    }
}
