//! `quickstart` does what it says, on text of the user's and on text it finds.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::{Place, describe, lossy, ringspool, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn it_runs_on_a_file_and_leaves_nothing_behind() {
    let place = Place::new();
    let input = place.file("input.txt");
    std::fs::write(&input, common::text::joined(&common::text::lines_of_about(500_000))).unwrap();
    let temporary = place.file("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = ringspool(&["--json", "quickstart", "--input"]);
    command.arg(&input).env("TMPDIR", &temporary);
    let output = run(command, None);
    assert!(output.status.success(), "{}", describe(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["bytes"].as_u64().unwrap() > 60_000_000, "{report}");
    assert!(report["acked_at_kill"].as_u64().unwrap() > 0, "killed before anything: {report}");
    assert!(report["write_p999_ms"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "something was left behind");
}

#[test]
fn without_a_repository_it_takes_the_handbook_and_keeps_the_files_when_asked_to() {
    let place = Place::new();
    let (here, temporary) = (place.file("here"), place.file("tmp"));
    std::fs::create_dir(&here).unwrap();
    std::fs::create_dir(&temporary).unwrap();
    let mut command = ringspool(&["quickstart", "--keep"]);
    command.current_dir(&here).env("TMPDIR", &temporary);
    let output = run(command, None);
    assert!(output.status.success(), "{}", describe(&output));
    let text = lossy(&output.stdout);
    for part in ["handbook", "identical", "kill -9", "p99.9", "Try next:"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let kept: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].path().join("data/node.toml").exists());
    assert!(text.contains(kept[0].path().to_str().unwrap()), "{text}");
}

/// Whether a process runs that has the path on its command line.
fn is_used_by_a_process(path: &Path) -> bool {
    let path = path.to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        // Processes come and go meanwhile.
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        lossy(&command).contains(path)
    })
}

#[test]
fn a_signal_ends_it_with_its_node_and_its_directory() {
    let place = Place::new();
    let temporary = place.file("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = ringspool(&["quickstart"]);
    command.env("TMPDIR", &temporary);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("a node is up")));
    assert!(is_used_by_a_process(&temporary));
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    let output = wait_for(child, "quickstart");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(!is_used_by_a_process(&temporary), "the node was left behind");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "files were left behind");
}
