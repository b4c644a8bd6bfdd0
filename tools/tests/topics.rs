//! `topic` as scripts see it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, Server, lossy};
use serde_json::Value;

fn json(server: &Server, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    serde_json::from_slice(&server.ok(&args)).unwrap()
}

#[test]
fn a_topic_lives_from_create_to_delete() {
    let place = Place::new();
    let server = place.serve(2);
    assert_eq!(json(&server, &["topic", "list"]), serde_json::json!([]));

    let created =
        json(&server, &["topic", "create", "t", "--partitions", "3", "--set", "retention_ms=1000"]);
    assert_eq!((&created["name"], &created["partitions"]), (&"t".into(), &3.into()));
    let listed = json(&server, &["topic", "list"]);
    assert_eq!(listed[0]["name"], "t");
    assert_eq!(listed[0]["id"], created["id"]);

    server.ok(&["topic", "alter", "t", "--set", "segment_bytes=2097152"]);
    server.ok_with(&["produce", "t", "--partition", "1"], b"a\nb\n");
    let described = json(&server, &["topic", "describe", "t"]);
    let setting = |key: &str| {
        let settings = described["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(setting("retention_ms"), "1000");
    assert_eq!(setting("segment_bytes"), "2097152");
    let partitions = described["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3);
    assert_eq!(partitions[1]["high_watermark"], 2);
    assert_eq!(partitions[0]["high_watermark"], 0);
    assert!(partitions.iter().all(|partition| partition["error"].is_null()), "{described}");

    server.ok(&["topic", "delete", "t"]);
    assert_eq!(json(&server, &["topic", "list"]), serde_json::json!([]));
    let (code, _, stderr) = server.fails(&["topic", "describe", "t"]);
    assert_eq!(code, 1, "{stderr}");
}

#[test]
fn what_the_node_refuses_exits_with_one_and_says_why() {
    let place = Place::new();
    let server = place.serve(1);
    server.create("t", 1, &[]);
    for (args, says) in [
        (&["topic", "create", "t"][..], "exists"),
        (&["topic", "create", "bad/name"], "name"),
        (&["topic", "create", "u", "--set", "nosuch=1"], "nosuch"),
        (&["topic", "create", "u", "--set", "segment_bytes=1"], "segment_bytes"),
        (&["topic", "create", "u", "--replicas", "3"], "replicas"),
        (&["topic", "delete", "nosuch"], "nosuch"),
        (&["topic", "alter", "nosuch", "--set", "retention_ms=1"], "nosuch"),
        (&["produce", "nosuch"], "nosuch"),
        (&["produce", "t", "--partition", "1"], "partition 1"),
        (&["consume", "nosuch"], "nosuch"),
        (&["consume", "t", "--partition", "1"], "partition 1"),
    ] {
        let (code, _, stderr) = server.fails(args);
        assert_eq!(code, 1, "{args:?}: {stderr}");
        assert!(stderr.to_lowercase().contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn tables_line_up() {
    let place = Place::new();
    let server = place.serve(1);
    assert_eq!(lossy(&server.ok(&["topic", "list"])), "no topics\n");
    server.create("a", 1, &[]);
    server.create("a-longer-name", 12, &[]);
    let text = lossy(&server.ok(&["topic", "list"]));
    let ends: Vec<usize> = text.lines().map(str::len).collect();
    assert_eq!(ends.len(), 3, "{text}");
    assert!(ends.iter().all(|end| *end == ends[0]), "numbers end in one column:\n{text}");
}
