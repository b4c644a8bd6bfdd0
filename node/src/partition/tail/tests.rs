//! The tail against a model: a plain vector of all bytes ever appended.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::align_down;
use proptest::prelude::*;

const HEADER_BYTES: usize = 64;

#[derive(Debug, Clone)]
enum Change {
    Push(usize),
    /// Blocks get written, up to this part of what could be.
    Write(u8),
    Evict,
    /// Everything written so far is trimmed, as when its segment goes.
    Trim,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => (0usize..9_000).prop_map(Change::Push),
        2 => any::<u8>().prop_map(Change::Write),
        2 => Just(Change::Evict),
        1 => Just(Change::Trim),
    ];
    proptest::collection::vec(change, 1..60)
}

fn push(tail: &mut Tail, all: &mut Vec<u8>, bytes: usize) {
    let start = all.len() as u64;
    let bytes: Vec<u8> =
        (0..HEADER_BYTES + bytes).map(|n| (start as usize + n * 7) as u8).collect();
    all.extend_from_slice(&bytes);
    let header = Bytes::copy_from_slice(&bytes[..HEADER_BYTES]);
    let body = Bytes::copy_from_slice(&bytes[HEADER_BYTES..]);
    let base_offset = start;
    tail.push(TailBatch {
        base_offset,
        end_offset: all.len() as u64,
        start,
        max_timestamp: 0,
        header,
        body,
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn unwritten_bytes_are_never_lost(changes in changes()) {
        let mut tail = Tail::default();
        let mut all = Vec::new();
        let mut written = 0u64;
        for change in changes {
            match change {
                Change::Push(bytes) => push(&mut tail, &mut all, bytes),
                Change::Write(part) => {
                    let more = (all.len() as u64 - written) * u64::from(part) / 255;
                    let until = align_down(written + more);
                    if until > written {
                        written = until;
                        tail.written(written);
                    }
                }
                Change::Evict => {
                    let before = tail.bytes();
                    let evicted = tail.evict(written, written);
                    prop_assert_eq!(before - evicted, tail.bytes());
                    if all.len() as u64 - written < BLOCK_BYTES {
                        prop_assert_eq!(tail.bytes(), all.len() as u64 - written, "all it could");
                    }
                }
                Change::Trim if written == all.len() as u64 => {
                    tail.drop_before(written);
                    prop_assert_eq!(tail.bytes(), 0);
                }
                Change::Trim => {}
            }
            let mut unwritten = vec![0; all.len() - written as usize];
            tail.copy(written, &mut unwritten);
            prop_assert!(unwritten == all[written as usize..], "the bytes from {} on", written);
            // What readers of the disk see: the written part, and in memory the end of its last batch.
            let remainder = tail.remainder_within(0, u64::MAX);
            if !remainder.is_empty() {
                prop_assert!(remainder == all[written as usize..][..remainder.len()]);
                prop_assert!((remainder.len() as u64) < BLOCK_BYTES);
            }
            // The whole batches follow without a gap.
            if let Some((offset, start)) = tail.first() {
                prop_assert!(start <= written + remainder.len() as u64);
                let batches = tail.starting_at(offset).map(TailBatch::bytes).sum::<u64>();
                prop_assert_eq!(start + batches, all.len() as u64);
                prop_assert_eq!(tail.bytes(), batches + remainder.len() as u64);
            }
            let boundary = tail.start_of_batch_at(written);
            prop_assert!(boundary <= written);
        }
    }
}

#[test]
fn an_offset_finds_the_batch_that_holds_it() {
    let (mut tail, mut all) = (Tail::default(), Vec::new());
    for bytes in [100, 200, 300] {
        push(&mut tail, &mut all, bytes);
    }
    let start_of = |offset| tail.starting_at(offset).next().map(|batch| batch.start);
    assert_eq!(start_of(0), Some(0));
    assert_eq!(start_of(163), Some(0));
    assert_eq!(start_of(164), Some(164));
    assert_eq!(start_of(all.len() as u64 - 1), Some(428));
    assert_eq!(start_of(all.len() as u64), None);
    assert_eq!([163, 164, 165].map(|at| tail.start_of_batch_at(at)), [0, 164, 164]);
}

#[test]
fn eviction_takes_the_oldest_and_stops_where_it_is_told() {
    let (mut tail, mut all) = (Tail::default(), Vec::new());
    for _ in 0..4 {
        push(&mut tail, &mut all, 4_096 - HEADER_BYTES);
    }
    tail.written(3 * 4_096);
    assert_eq!(tail.evict(4_096, 3 * 4_096), 4_096);
    assert_eq!(tail.first(), Some((4_096, 4_096)));
    assert_eq!(tail.evict(3 * 4_096, 3 * 4_096), 2 * 4_096);
    assert_eq!(tail.evict(u64::MAX, 3 * 4_096), 0, "what is not written stays");
}
