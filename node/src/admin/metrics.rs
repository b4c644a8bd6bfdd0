//! Counters in Prometheus' text format (version 0.0.4).

use crate::shard::NodeIdentity;
use crate::shard::stats::ShardReport;
use hdrhistogram::Histogram;
use ringspool_wire::Api;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u64; 14] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000,
    10_000_000,
];

/// All counters of a node.
pub(super) fn render(identity: &NodeIdentity, reports: &[ShardReport]) -> String {
    let mut page = Page::default();
    page.metric("node_info", "gauge", "The node.");
    let id = identity.node_id;
    let labels = format!("node=\"{id}\",cluster=\"{}\"", escape(&identity.cluster_id));
    page.sample("node_info", &labels, 1);
    requests(&mut page, reports);
    named(&mut page, reports, "counter", |report| &report.counters);
    named(&mut page, reports, "gauge", |report| &report.gauges);
    wal(&mut page, reports);
    topics(&mut page, reports);
    page.metric("busy_seconds_total", "counter", "Time a shard's executor spent running tasks.");
    for report in reports {
        let labels = shard(report);
        page.float("busy_seconds_total", &labels, report.busy.as_secs_f64());
    }
    let latencies: [(&str, &str, Latency); 3] = [
        ("wal_flush", "Write and fdatasync of one flush.", |report| &report.flush_latency),
        ("append", "From entering the log to being applied.", |report| &report.append_latency),
        ("request", "From a request's last byte to its response; no fetches.", |report| {
            &report.request_latency
        }),
    ];
    for (name, help, latency) in latencies {
        let name = format!("{name}_seconds");
        page.metric(&name, "histogram", help);
        for report in reports {
            page.histogram(&name, &shard(report), latency(report));
        }
    }
    page.0
}

type Latency = fn(&ShardReport) -> &Histogram<u64>;
type Value = fn(&ShardReport) -> u64;

fn requests(page: &mut Page, reports: &[ShardReport]) {
    page.metric("requests_total", "counter", "Requests answered, by api.");
    for report in reports {
        for (number, count) in &report.requests {
            let api = Api::try_from(*number).map_or("unknown", Api::name);
            page.sample("requests_total", &format!("{},api=\"{api}\"", shard(report)), *count);
        }
    }
}

fn named(
    page: &mut Page,
    reports: &[ShardReport],
    kind: &str,
    values: fn(&ShardReport) -> &Vec<(&'static str, u64)>,
) {
    let Some(first) = reports.first() else { return };
    for (index, (name, _)) in values(first).iter().enumerate() {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let full = format!("{name}{suffix}");
        page.metric(&full, kind, &format!("{} of a shard.", name.replace('_', " ")));
        for report in reports {
            if let Some((_, value)) = values(report).get(index) {
                page.sample(&full, &shard(report), *value);
            }
        }
    }
}

fn wal(page: &mut Page, reports: &[ShardReport]) {
    let counters: [(&str, &str, Value); 6] = [
        ("wal_flushes_total", "counter", |report| report.wal.flushes),
        ("wal_bytes_written_total", "counter", |report| report.wal.bytes_written),
        ("wal_records_total", "counter", |report| report.wal.records),
        ("wal_closed_files", "gauge", |report| report.wal.closed_files),
        ("wal_spare_files", "gauge", |report| report.wal.spare_files),
        ("wal_queued_bytes", "gauge", |report| report.wal.queued_bytes),
    ];
    for (name, kind, value) in counters {
        let help = name.trim_end_matches("_total").replace('_', " ");
        page.metric(name, kind, &format!("{help} of a shard."));
        for report in reports {
            page.sample(name, &shard(report), value(report));
        }
    }
}

fn topics(page: &mut Page, reports: &[ShardReport]) {
    let mut sums: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for (name, stats) in reports.iter().flat_map(|report| &report.topics) {
        let sum = sums.entry(name).or_default();
        sum[0] += stats.records_in;
        sum[1] += stats.bytes_in;
        sum[2] += stats.bytes_out;
    }
    let families = [
        ("topic_records_in_total", "Records appended."),
        ("topic_bytes_in_total", "Bytes of batches appended."),
        ("topic_bytes_out_total", "Bytes of batches fetched."),
    ];
    for (index, (name, help)) in families.into_iter().enumerate() {
        page.metric(name, "counter", help);
        for (topic, sum) in &sums {
            page.sample(name, &format!("topic=\"{}\"", escape(topic)), sum[index]);
        }
    }
}

fn shard(report: &ShardReport) -> String {
    format!("shard=\"{}\"", report.shard)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP ringspool_{name} {help}"));
        self.line(format_args!("# TYPE ringspool_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        self.line(format_args!("ringspool_{name}{{{labels}}} {value}"));
    }

    fn float(&mut self, name: &str, labels: &str, value: f64) {
        self.line(format_args!("ringspool_{name}{{{labels}}} {value}"));
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram<u64>) {
        let mut sum_us = 0.0;
        for value in histogram.iter_recorded() {
            sum_us += value.value_iterated_to() as f64 * value.count_at_value() as f64;
        }
        for bound in BUCKETS_US {
            let count = histogram.count_between(0, bound);
            let le = bound as f64 / 1e6;
            let bucket = format!("{name}_bucket");
            self.sample(&bucket, &format!("{labels},le=\"{le}\""), count);
        }
        self.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), histogram.len());
        self.float(&format!("{name}_sum"), labels, sum_us / 1e6);
        self.sample(&format!("{name}_count"), labels, histogram.len());
    }
}
