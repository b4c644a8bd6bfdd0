//! `produce`: what a record is, and the object it ends with, whatever happens.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};

use common::{Place, Server, describe, lossy, produced, wait_for};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_record_is_a_line_of_any_bytes() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let input = b"one\n\n\xff\x00\xfe\r\n\nlast";
    let object = produced(&server.ok_with(&["--json", "produce", "t"], input));
    assert_eq!(object["records"], 5, "{object}");
    assert_eq!(object["bytes"], 11, "{object}");
    assert_eq!(server.consume("t", 0), b"one\n\n\xff\x00\xfe\r\n\nlast\n");
}

#[test]
fn the_key_ends_at_the_first_separator() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    server.ok_with(&["produce", "t", "--key-separator", "::"], b"k::v::w\nno key\n::empty\n");
    let text = lossy(&server.ok(&["consume", "t", "--until-end", "--json"]));
    let pairs: Vec<(serde_json::Value, serde_json::Value)> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|record| (record["key"].clone(), record["value"].clone()))
        .collect();
    let none = serde_json::Value::Null;
    assert_eq!(pairs[0], ("k".into(), "v::w".into()));
    assert_eq!(pairs[1], (none.clone(), "no key".into()));
    assert_eq!(pairs[2], (none, "empty".into()));
}

#[test]
fn without_acks_nothing_counts_as_acknowledged() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let object =
        produced(&server.ok_with(&["--json", "produce", "t", "--acks", "none"], b"a\nb\n"));
    assert_eq!(object["records"], 2, "{object}");
    assert_eq!((&object["acked"], &object["failed"]), (&0.into(), &0.into()), "{object}");
}

/// A `produce --json` that is fed by the test.
struct Feeding {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Feeding {
    fn start(server: &Server, more: &[&str]) -> Feeding {
        let mut command = server.command(&["--json", "produce", "t", "--linger-ms", "0"]);
        command.args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        Feeding { child, stdin }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// The object and the exit code. Standard input stays open until then.
    fn end(mut self) -> (serde_json::Value, i32, String) {
        let held = self.stdin.take();
        let output = wait_for(self.child, "produce");
        drop(held);
        let code = output.status.code().unwrap_or_else(|| panic!("{}", describe(&output)));
        (produced(&output.stdout), code, lossy(&output.stderr))
    }
}

/// Waits until the partition has `count` records, without sleeping: a consumer waits for them.
fn wait_for_records(server: &Server, count: usize) {
    let back = server.ok(&["consume", "t", "--max", &count.to_string()]);
    assert_eq!(back.iter().filter(|byte| **byte == b'\n').count(), count);
}

#[test]
fn the_object_comes_when_the_server_dies_and_counts_only_what_was_acknowledged() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let mut feeding = Feeding::start(&server, &["--timeout-s", "2"]);
    feeding.feed(b"one\ntwo\nthree\n");
    wait_for_records(&server, 3);
    let listen = server.listen;
    server.kill();
    feeding.feed(b"four\nfive\n");
    let (object, code, stderr) = feeding.end();
    assert_eq!(code, 1, "{stderr}");
    assert!(!stderr.is_empty());
    assert_eq!(object["records"], 5, "{object}");
    let acked = object["acked"].as_u64().unwrap();
    // The answer to the first three may have died with the server, after they were stored.
    assert!(acked <= 3, "{object}");
    assert_eq!(acked + object["failed"].as_u64().unwrap(), 5, "{object}");

    let server = place.serve_again(listen, 1);
    let back = server.consume("t", 0);
    assert!(back.starts_with(b"one\ntwo\nthree\n"), "{:?}", lossy(&back));
}

#[test]
fn a_restart_within_the_timeout_loses_and_doubles_nothing() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let mut feeding = Feeding::start(&server, &["--timeout-s", "60"]);
    feeding.feed(b"one\n");
    wait_for_records(&server, 1);
    let listen = server.listen;
    server.kill();
    feeding.feed(b"two\n");
    let server = place.serve_again(listen, 1);
    wait_for_records(&server, 2);
    feeding.feed(b"three");
    feeding.stdin = None;
    let (object, code, stderr) = feeding.end();
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((&object["records"], &object["acked"]), (&3.into(), &3.into()), "{object}");
    assert_eq!(server.consume("t", 0), b"one\ntwo\nthree\n");
}

#[test]
fn a_signal_ends_it_with_its_object_after_what_was_read_is_acknowledged() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let server = place.serve(1);
        server.create("t", 1, &[]);
        let mut feeding = Feeding::start(&server, &[]);
        feeding.feed(b"one\ntwo\nincomplete");
        wait_for_records(&server, 2);
        feeding.signal(signal);
        let (object, code, stderr) = feeding.end();
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("signal"), "{stderr}");
        assert_eq!((&object["records"], &object["acked"]), (&2.into(), &2.into()), "{object}");
        assert_eq!(server.consume("t", 0), b"one\ntwo\n");
    }
}

#[test]
fn people_get_a_sentence() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    let text = lossy(&server.ok_with(&["produce", "t"], b"one\ntwo\n"));
    assert!(text.starts_with("2 records (6 B) read, 2 acknowledged, 0 failed"), "{text}");
}
