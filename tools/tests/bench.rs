//! `bench`: what it writes is there, what it reads is checked, and its reports say so. Never how
//! fast anything is.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Child, Stdio};

use common::{Place, Server, describe, lossy, ringspool, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn report(stdout: &[u8]) -> Value {
    let text = lossy(stdout);
    assert_eq!(text.lines().count(), 1, "exactly one object: {text:?}");
    serde_json::from_str(&text).unwrap()
}

fn bench(server: &Server, args: &str) -> Value {
    let mut words = vec!["bench"];
    words.extend(args.split(' '));
    words.extend(["--json", "-"]);
    report(&server.ok(&words))
}

/// A run that goes on for ever, and has written something to the topic `t`.
fn producing(server: &Server) -> Child {
    server.create("t", 1, &[]);
    let words = "bench produce --topic t --duration 3600 --batch 10 --json -";
    let mut command = server.command(&words.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Waits for the first record.
    server.ok(&["consume", "t", "--max", "1"]);
    child
}

#[test]
fn what_is_produced_is_all_there_and_consume_checks_it() {
    let place = Place::new();
    let server = place.serve(2);
    let produced = bench(
        &server,
        "produce --topic t --partitions 3 --producers 2 --in-flight 4 --batch 7 --record-bytes 100 \
         --count 1000",
    );
    assert_eq!(produced["records"], 1000, "{produced}");
    assert_eq!(produced["bytes"], 100_000, "{produced}");
    assert_eq!(produced["errors"], 0, "{produced}");
    // 142 whole batches and one of the 6 that were left.
    assert_eq!(produced["requests"], 143, "{produced}");
    assert_eq!(produced["settings"]["partitions"], 3, "{produced}");
    assert_eq!(produced["settings"]["in_flight"], 4, "{produced}");
    assert_eq!(produced["server"], Value::Null, "{produced}");
    let latency = &produced["latency_us"];
    let mut before = 0.0;
    for name in ["p50", "p90", "p99", "p999", "p9999", "max"] {
        let value = latency[name].as_f64().unwrap();
        assert!(value > 0.0 && value >= before, "{name} in {latency}");
        before = value;
    }
    let rate = produced["records"].as_f64().unwrap() / produced["elapsed_s"].as_f64().unwrap();
    let told = produced["records_per_s"].as_f64().unwrap();
    assert!((rate / told - 1.0).abs() < 1e-6, "{produced}");

    // The topic really has them, for any reader.
    let lines = lossy(&server.ok(&["consume", "t", "--until-end", "--format", "json"]));
    assert_eq!(lines.lines().count(), 1000);

    let consumed = bench(&server, "consume --topic t --consumers 2");
    assert_eq!(consumed["records"], 1000, "{consumed}");
    assert_eq!(consumed["bytes"], 100_000, "{consumed}");
    assert_eq!(consumed["errors"], 0, "{consumed}");

    // A second run on the same topic is another run to the reader, not a repetition.
    bench(&server, "produce --topic t --batch 7 --record-bytes 100 --count 500");
    assert_eq!(bench(&server, "consume --topic t")["records"], 1500);
    assert_eq!(bench(&server, "consume --topic t --count 700")["records"], 700);
    // What is missing is written first.
    let consumed = bench(&server, "consume --topic t --count 1600 --batch 10");
    assert_eq!(consumed["records"], 1600, "{consumed}");
    let mut text = server.ok(&["bench", "consume", "--topic", "t"]);
    text.retain(|byte| *byte != b' ');
    assert!(lossy(&text).contains("records1600"), "{}", lossy(&text));
}

#[test]
fn a_record_that_no_producer_of_it_wrote_fails_the_run() {
    let place = Place::new();
    let server = place.serve(1);
    bench(&server, "produce --topic t --record-bytes 50 --batch 10 --count 20");
    server.ok_with(&["produce", "t"], b"somebody else's\n");
    let (code, stdout, _) = server.fails(&["bench", "consume", "--topic", "t", "--json", "-"]);
    assert_eq!(code, 1);
    let consumed = report(stdout.as_bytes());
    assert_eq!(consumed["records"], 20, "{consumed}");
    assert_eq!(consumed["errors"], 1, "{consumed}");
    let error = consumed["first_error"].as_str().unwrap();
    assert!(error.contains("partition 0, offset 20"), "{error}");
}

#[test]
fn settings_that_do_not_fit_are_told_in_one_line() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 2, &[]);
    let cases = [
        (1, vec!["produce", "--topic", "t", "--partitions", "3", "--count", "1"], "2 partitions"),
        (2, vec!["consume", "--topic", "t", "--consumers", "3", "--count", "1"], "--consumers"),
        (2, vec!["produce", "--record-bytes", "10"], "--record-bytes"),
        (2, vec!["produce", "--batch", "9000"], "--batch"),
        (1, vec!["produce", "--count", "1", "--json", "/nowhere/x.json"], "/nowhere/x.json"),
        (1, vec!["device", "--data-dir", "/nowhere/x"], "/nowhere/x"),
    ];
    for (expected, args, part) in cases {
        let words: Vec<&str> = std::iter::once("bench").chain(args).collect();
        let (code, _, stderr) = server.fails(&words);
        assert_eq!(code, expected, "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
    }
    let nobody = run(ringspool(&["--server", "127.0.0.1:1", "bench", "produce"]), None);
    assert_eq!(nobody.status.code(), Some(1), "{}", describe(&nobody));
    assert!(lossy(&nobody.stderr).contains("127.0.0.1:1"), "{}", describe(&nobody));
}

#[test]
fn an_embedded_run_has_a_node_of_its_own_and_leaves_nothing_behind() {
    let place = Place::new();
    let (temporary, json) = (place.file("tmp"), place.file("report.json"));
    std::fs::create_dir(&temporary).unwrap();
    for (command, count) in [("produce", "300"), ("consume", "300"), ("consume --cold", "400")] {
        let mut words = vec!["bench"];
        words.extend(command.split(' '));
        words.extend(["--embedded", "--count", count, "--batch", "50", "--json"]);
        let mut bench = ringspool(&words);
        bench.arg(&json).env("TMPDIR", &temporary);
        let output = run(bench, None);
        assert!(output.status.success(), "{}", describe(&output));
        assert!(lossy(&output.stdout).starts_with(&command[..7]), "{}", describe(&output));
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!(report["records"].as_u64().unwrap().to_string(), count, "{report}");
        assert_eq!(report["errors"], 0, "{report}");
        let server = &report["server"];
        assert!(server["rss_max_bytes"].as_u64().unwrap() > 1_000_000, "{report}");
        assert!(server["cpu_s"].as_f64().unwrap() >= 0.0, "{report}");
        let written = server["device_bytes_written"].as_u64().unwrap();
        if command == "produce" {
            assert!(written >= 300_000, "every byte was written: {report}");
            let device = &report["device"];
            // 50,000 bytes in whole blocks.
            assert_eq!(device["write_bytes"], 53_248, "{report}");
            assert!(device["write_sync_per_s"].as_f64().unwrap() > 0.0, "{report}");
        }
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "something was left behind");
}

#[test]
fn ctrl_c_ends_a_run_and_its_report_is_written() {
    let place = Place::new();
    let server = place.serve(1);
    let child = producing(&server);
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    let output = wait_for(child, "bench produce");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let produced = report(&output.stdout);
    assert_eq!(produced["interrupted"], true, "{produced}");
    assert_eq!(produced["errors"], 0, "{produced}");
    assert_eq!(produced["settings"]["duration_s"], 3600.0, "{produced}");
    // What was acknowledged, and nothing else, is there.
    assert_eq!(bench(&server, "consume --topic t")["errors"], 0);
}

#[test]
fn a_server_that_dies_is_an_error_in_the_report() {
    let place = Place::new();
    let server = place.serve(1);
    let child = producing(&server);
    server.kill();
    let output = wait_for(child, "bench produce");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let produced = report(&output.stdout);
    assert!(produced["errors"].as_u64().unwrap() > 0, "{produced}");
    assert!(produced["first_error"].is_string(), "{produced}");
}

#[test]
fn the_device_can_be_measured_without_a_node() {
    // In the build's directory: a temporary one may be in memory, without direct I/O.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = ringspool(&["bench", "device", "--json", "-", "--data-dir"]);
    command.arg(directory.path());
    let output = run(command, None);
    assert!(output.status.success(), "{}", describe(&output));
    let device = report(&output.stdout);
    for name in ["sequential_write_mb_per_s", "sequential_read_mb_per_s"] {
        assert!(device[name].as_f64().unwrap() > 0.0, "{name} in {device}");
    }
    let sizes: Vec<u64> = device["write_sync"]
        .as_array()
        .unwrap()
        .iter()
        .map(|measured| {
            assert!(measured["latency_us"]["p50"].as_f64().unwrap() > 0.0, "{device}");
            measured["bytes"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(sizes, [4096, 102_400, 1 << 20]);
    assert!(device["loopback"]["round_trip_us"]["p50"].as_f64().unwrap() > 0.0, "{device}");
    assert!(device["loopback"]["mb_per_s"].as_f64().unwrap() > 0.0, "{device}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
