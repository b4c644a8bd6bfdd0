//! What needs no node: wrong use, help, doctor, and servers that are not there.
#![allow(clippy::unwrap_used)]

mod common;

use common::{describe, lossy, ringspool, run};

#[test]
fn wrong_use_exits_with_two_and_says_what_is_wrong() {
    for (args, says) in [
        (&["produce"][..], "TOPIC"),
        (&["topic", "create", "t", "--set", "novalue"], "KEY=VALUE"),
        (&["consume", "t", "--from", "yesterday"], "RFC 3339"),
        (&["--server", "nowhere", "topic", "list"], "HOST:PORT"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let output = run(ringspool(args), None);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", describe(&output));
        assert!(lossy(&output.stderr).contains(says), "{args:?}: {}", describe(&output));
        assert!(output.stdout.is_empty(), "{args:?}: {}", describe(&output));
    }
}

#[test]
fn help_has_examples_and_exits_with_zero() {
    for args in [&["--help"][..], &["produce", "--help"], &["topic", "create", "--help"]] {
        let output = run(ringspool(args), None);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", describe(&output));
        assert!(lossy(&output.stdout).contains("Examples:"), "{args:?}: {}", describe(&output));
    }
}

/// A port nobody listens on: bound and given back.
fn unused_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_server_that_is_not_there_is_named_and_exits_with_one() {
    let server = unused_server();
    for args in [&["topic", "list"][..], &["consume", "t"]] {
        let mut command = ringspool(args);
        command.env("RINGSPOOL_SERVER", &server);
        let output = run(command, None);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", describe(&output));
        assert!(lossy(&output.stderr).contains(&server), "{args:?}: {}", describe(&output));
    }
}

#[test]
fn produce_prints_its_object_even_without_a_server() {
    let mut command = ringspool(&["--json", "produce", "t", "--server"]);
    command.arg(unused_server());
    let output = run(command, Some(b"a line\n"));
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let object = common::produced(&output.stdout);
    assert_eq!((&object["acked"], &object["failed"]), (&0.into(), &0.into()), "{object}");
}

#[test]
fn doctor_gives_every_check_a_status_and_fails_only_when_one_does() {
    let place = tempfile::tempdir().unwrap();
    let mut command = ringspool(&["doctor", "--json", "--data-dir"]);
    command.arg(place.path().join("not/yet"));
    let output = run(command, None);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = object["checks"].as_array().unwrap();
    for name in ["kernel", "io_uring", "locked memory", "open files", "file system", "direct I/O"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name} is missing: {object}");
    }
    for check in checks {
        let status = check["status"].as_str().unwrap();
        assert!(["ok", "warn", "fail"].contains(&status), "{check}");
        assert_eq!(status == "ok", check["mend"].is_null(), "a mend for what is not ok: {check}");
    }
    let fails = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{}", describe(&output));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn doctor_fails_for_a_data_directory_that_is_a_file() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let mut command = ringspool(&["doctor", "--data-dir"]);
    command.arg(place.path());
    let output = run(command, None);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let text = lossy(&output.stdout);
    assert!(text.contains("data directory"), "{text}");
    assert!(text.contains("How to mend:"), "{text}");
}
