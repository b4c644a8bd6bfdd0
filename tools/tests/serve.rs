//! `serve` as scripts see it: the ready line, signals, exit codes, and what stops a start.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Stdio;

use common::{Place, describe, lossy, ringspool, run, wait_for};
use rustix::process::Signal;

#[test]
fn the_ready_line_is_as_agreed() {
    let place = Place::new();
    let server = place.serve(2);
    let words: Vec<&str> = server.ready.split(' ').collect();
    let names: Vec<&str> = words[1..].iter().map(|word| word.split_once('=').unwrap().0).collect();
    assert_eq!(words[0], "ready");
    assert_eq!(names, ["node", "listen", "admin", "shards"], "{}", server.ready);
    assert_ne!(server.listen.port(), 0, "the port that was taken is told");
}

#[test]
fn sigterm_and_sigint_stop_in_good_order_and_everything_is_there_afterwards() {
    let place = Place::new();
    let mut expected = Vec::new();
    for (round, signal) in [Signal::TERM, Signal::INT, Signal::TERM].into_iter().enumerate() {
        let server = place.serve(2);
        if round == 0 {
            server.create("t", 1, &[]);
        }
        assert_eq!(lossy(&server.consume("t", 0)), lossy(&expected), "round {round}");
        let lines = format!("first of {round}\nsecond of {round}\n").into_bytes();
        server.ok_with(&["produce", "t"], &lines);
        expected.extend(lines);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "round {round}");
    }
}

#[test]
fn a_data_directory_in_use_is_refused_with_one_and_named() {
    let place = Place::new();
    let server = place.serve(1);
    let mut command = ringspool(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(place.data());
    let output = run(command, None);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(output.stdout.is_empty(), "not ready: {}", describe(&output));
    let stderr = lossy(&output.stderr);
    assert!(stderr.contains(place.data().to_str().unwrap()), "{stderr}");
    // The first one is none the worse for it.
    server.create("t", 1, &[]);
    assert!(server.stop().success());
}

#[test]
fn a_taken_address_is_refused_with_one_and_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let mut command = ringspool(&["serve", "--listen", &taken, "--admin", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(place.data());
    let output = run(command, None);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(lossy(&output.stderr).contains(&taken), "{}", describe(&output));
}

#[test]
fn a_bad_configuration_names_file_line_and_what_is_allowed() {
    let place = Place::new();
    let file = place.file("ringspool.toml");
    for (text, line, says) in [
        ("shards = 1\nshardz = 2\n", 2, "shardz"),
        ("\n\nshards = 0\n", 3, "shards"),
        ("listen = \"nowhere\"\n", 1, "listen"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = ringspool(&["serve", "--config"]);
        command.arg(&file).arg("--data-dir").arg(place.data());
        let output = run(command, None);
        let stderr = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text:?}: {}", describe(&output));
        assert!(stderr.contains(file.to_str().unwrap()), "{text:?}: {stderr}");
        assert!(stderr.contains(&line.to_string()), "{text:?}: no line {line} in {stderr}");
        assert!(stderr.contains(says), "{text:?}: {stderr}");
        assert!(!place.data().exists(), "{text:?}: the data directory was touched");
    }
}

#[test]
fn options_override_the_configuration() {
    let place = Place::new();
    let file = place.file("ringspool.toml");
    std::fs::write(&file, "shards = 2\n").unwrap();
    let file = file.to_str().unwrap();
    let server = place.serve_at("127.0.0.1:0", &["--config", file]);
    assert!(server.ready.ends_with("shards=2"), "{}", server.ready);
    assert!(server.stop().success());
    let server = place.serve_at("127.0.0.1:0", &["--config", file, "--shards", "1"]);
    assert!(server.ready.ends_with("shards=1"), "{}", server.ready);
}

#[test]
fn the_end_of_standard_input_stops_it_when_asked_to() {
    let place = Place::new();
    let mut command = ringspool(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(place.data()).args(["--shards", "1", "--stop-at-stdin-end"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take());
    let output = wait_for(child, "serve");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(lossy(&output.stdout).starts_with("ready "), "{}", describe(&output));
}
