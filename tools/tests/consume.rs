//! `consume`: where it starts, where it ends, and how a record looks.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use common::{DEADLINE, Place, Server, describe, lossy, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn ten_records(place: &Place) -> Server {
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
    server.ok_with(&["produce", "t"], lines.as_bytes());
    server
}

fn values(server: &Server, args: &[&str]) -> String {
    let mut all = vec!["consume", "t"];
    all.extend(args);
    lossy(&server.ok(&all)).replace('\n', " ")
}

#[test]
fn it_starts_where_it_is_told_to() {
    let place = Place::new();
    let server = ten_records(&place);
    assert_eq!(values(&server, &["--until-end"]), "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(values(&server, &["--until-end", "--from", "earliest"]), "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(values(&server, &["--until-end", "--from", "7"]), "7 8 9 ");
    assert_eq!(values(&server, &["--until-end", "--from", "10"]), "");
    assert_eq!(values(&server, &["--until-end", "--from", "latest"]), "");
    assert_eq!(values(&server, &["--until-end", "--from", "@0"]), "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(values(&server, &["--until-end", "--from", "9999-01-01T00:00:00Z"]), "");
    assert_eq!(values(&server, &["--from", "7", "--max", "2"]), "7 8 ");
    assert_eq!(values(&server, &["--max", "0"]), "");
}

#[test]
fn an_offset_past_the_end_is_an_error_that_names_it() {
    let place = Place::new();
    let server = ten_records(&place);
    let (code, _, stderr) = server.fails(&["consume", "t", "--from", "11", "--until-end"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("11"), "{stderr}");
}

#[test]
fn a_time_finds_the_first_record_at_or_after_it() {
    let place = Place::new();
    let server = ten_records(&place);
    let text = lossy(&server.ok(&["consume", "t", "--until-end", "--format", "json"]));
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let at = last["timestamp"].as_i64().unwrap();
    // Later by the clock than every record so far.
    while jiff::Timestamp::now().as_millisecond() <= at {
        std::hint::spin_loop();
    }
    server.ok_with(&["produce", "t"], b"later\n");
    let from = jiff::Timestamp::from_millisecond(at + 1).unwrap().to_string();
    assert_eq!(values(&server, &["--until-end", "--from", &from]), "later ");
    assert_eq!(values(&server, &["--until-end", "--from", &format!("@{}", at + 1)]), "later ");
}

#[test]
fn only_the_partitions_that_are_asked_for() {
    let place = Place::new();
    let server = place.serve(2);
    server.create("t", 3, &[]);
    for partition in ["0", "1", "2"] {
        let line = format!("in {partition}\n");
        server.ok_with(&["produce", "t", "--partition", partition], line.as_bytes());
    }
    let text = values(&server, &["--until-end", "--partition", "2", "--partition", "0"]);
    assert!(text == "in 0 in 2 " || text == "in 2 in 0 ", "{text}");
}

#[test]
fn json_has_the_agreed_fields() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    server.ok_with(&["produce", "t", "--key-separator", "="], b"k=text\n\xff\n");
    for args in [
        &["consume", "t", "--max", "2", "--format", "json"][..],
        &["--json", "consume", "t", "--max", "2"],
    ] {
        let text = lossy(&server.ok(args));
        let records: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records[0]["topic"], "t");
        assert_eq!(records[0]["partition"], 0);
        assert_eq!(records[0]["offset"], 0);
        assert_eq!(records[0]["key"], "k");
        assert_eq!(records[0]["value"], "text");
        assert_eq!(records[0]["headers"], serde_json::json!([]));
        assert!(records[0]["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
        assert_eq!(records[1]["key"], Value::Null);
        assert_eq!(records[1]["value"], serde_json::json!({ "base64": "/w==" }));
        assert_eq!(records[1]["offset"], 1);
    }
}

/// The lines of a pipe as they come, so that waiting for one can have a deadline.
fn lines_of(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    receiver
}

#[test]
fn following_gives_records_as_they_come_and_a_signal_ends_it() {
    let place = Place::new();
    let server = ten_records(&place);
    let mut child = server
        .command(&["consume", "t"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    for n in 0..10 {
        assert_eq!(lines.recv_timeout(DEADLINE).unwrap(), n.to_string());
    }
    server.ok_with(&["produce", "t"], b"new\n");
    assert_eq!(lines.recv_timeout(DEADLINE).unwrap(), "new");
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    let output = wait_for(child, "consume");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
}

#[test]
fn a_reader_that_leaves_is_a_quiet_end() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    // Far more than a pipe holds.
    let lines = common::text::joined(&common::text::lines_of_about(4_000_000));
    server.ok_with(&["produce", "t"], &lines);
    let mut child = server
        .command(&["consume", "t"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = wait_for(child, "consume");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(lossy(&output.stderr), "");
}

#[test]
fn until_end_ends_for_an_empty_topic() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 4, &[]);
    let output = run(server.command(&["consume", "t", "--until-end"]), None);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", describe(&output));
}
