//! The golden vectors under `wire/vectors/`: this crate's bytes are those that clients in every
//! language test themselves with, and they never change within a protocol version.
//!
//! After a change that is meant, `RINGSPOOL_BLESS=1 cargo test -p ringspool-wire --test vectors`
//! writes them again; the diff then shows what clients will see.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringspool_wire::{DecodedBatch, Reassembler, Request, Response};
use serde_json::{Value, json};
use support::golden::{self, Frames};
use support::{describe, header_and_body};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn blessing() -> bool {
    std::env::var_os("RINGSPOOL_BLESS").is_some_and(|value| value == "1")
}

/// The committed bytes and description; written first when blessing.
fn committed(name: &str, bin: &Bytes, json: &Value) -> (Bytes, Value) {
    let bin_path = directory().join(format!("{name}.bin"));
    let json_path = directory().join(format!("{name}.json"));
    if blessing() {
        std::fs::write(&bin_path, bin).unwrap();
        std::fs::write(&json_path, format!("{json:#}\n")).unwrap();
    }
    let bin = std::fs::read(&bin_path).unwrap();
    let json = std::fs::read_to_string(&json_path).unwrap();
    (Bytes::from(bin), serde_json::from_str(&json).unwrap())
}

fn describe_frame(frame: &Frames, bin: &Bytes) -> Value {
    let (header, body) = header_and_body(bin);
    match frame {
        Frames::Request(expected) => {
            let decoded = Request::decode(&header, body).unwrap();
            assert_eq!(decoded, *expected);
            describe::request(&header, &decoded)
        }
        Frames::Response(_, expected) => {
            let decoded = Response::decode(&header, body).unwrap();
            assert_eq!(decoded, *expected);
            describe::response(&header, &decoded)
        }
    }
}

#[test]
fn frames_are_the_committed_bytes() {
    for (name, frame) in golden::frames() {
        let encoded = frame.encode();
        let (bin, json) = committed(name, &encoded, &describe_frame(&frame, &encoded));
        assert_eq!(encoded, bin, "{name} encodes to other bytes than those committed");
        assert_eq!(describe_frame(&frame, &bin), json, "{name} says something else");
    }
}

#[test]
fn every_api_has_a_request_and_a_response() {
    let (mut requests, mut responses) = (BTreeSet::new(), BTreeSet::new());
    for (_, frame) in golden::frames() {
        match frame {
            Frames::Request(request) => requests.insert(request.api()),
            Frames::Response(_, response) => {
                response.api().is_some_and(|api| responses.insert(api))
            }
        };
    }
    let all = BTreeSet::from(ringspool_wire::Api::ALL);
    assert_eq!((&requests, &responses), (&all, &all));
}

fn describe_batch(bin: &Bytes) -> Value {
    describe::batch(&DecodedBatch::open(bin.clone()).unwrap())
}

#[test]
fn batches_are_the_committed_bytes() {
    for golden::Batches { name, exact, batch } in golden::batches() {
        let (bin, json) = committed(name, &batch, &describe_batch(&batch));
        assert_eq!(describe_batch(&bin), json, "{name} says something else");
        if exact {
            assert_eq!(batch, bin, "{name} encodes to other bytes than those committed");
        } else {
            // zstd may find a shorter form in another version; what it says stays the same.
            assert_eq!(json["header"]["codec"], 1, "{name} is compressed");
            assert_eq!(describe_batch(&batch)["records"], json["records"]);
        }
    }
}

#[test]
fn the_committed_chunks_make_the_record() {
    let mut reassembler = Reassembler::default();
    let record = (0..3).map(|index| {
        let bin = std::fs::read(directory().join(format!("batch_chunk_{index}.bin"))).unwrap();
        reassembler.push(DecodedBatch::open(bin.into()).unwrap()).unwrap()
    });
    let record = record.last().unwrap().unwrap();
    assert_eq!(record.key, "big");
    assert_eq!(record.value, (0..100).collect::<Vec<u8>>());
    assert_eq!(record.headers, [("kind".to_string(), Bytes::from("large"))]);
    assert_eq!(record.timestamp_ms, 1_700_000_000_500);
}

#[test]
fn damaged_batches_are_refused_for_the_committed_reason() {
    let why = |bin: &Bytes| {
        let error = DecodedBatch::open(bin.clone()).unwrap_err();
        let debug = format!("{error:?}");
        let name = debug.split([' ', '{']).next().unwrap().to_string();
        json!({ "kind": "refused batch", "error": name, "text": error.to_string() })
    };
    for (name, batch) in golden::refused() {
        let (bin, json) = committed(name, &batch, &why(&batch));
        assert_eq!(batch, bin, "{name} is other bytes than those committed");
        assert_eq!(why(&bin), json, "{name} is refused for another reason");
    }
}

#[test]
fn nothing_else_lies_among_the_vectors() {
    if blessing() {
        return; // The other tests are writing them.
    }
    let names = golden::frames().into_iter().map(|(name, _)| name);
    let names = names.chain(golden::batches().into_iter().map(|batch| batch.name));
    let names = names.chain(golden::refused().into_iter().map(|(name, _)| name));
    let mut expected = BTreeSet::from(["README.md".to_string()]);
    for name in names {
        for suffix in ["bin", "json"] {
            assert!(expected.insert(format!("{name}.{suffix}")), "two vectors are named {name}");
        }
    }
    let files = std::fs::read_dir(directory()).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), expected);
}
