//! That parts fit into flushes and keep their order.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::wal::testing::{Places, command};
use bytes::Bytes;

fn append(first: u64, sizes: &[usize]) -> Append {
    let records = sizes.iter().zip(first..).map(|(bytes, sequence)| {
        let mut encoded = Encoded::default();
        encoded.push(Bytes::from(vec![0; *bytes]));
        (command(1, sequence), encoded)
    });
    let placement = Rc::new(Places::default());
    Append { records: records.collect(), placement, done: Box::new(drop) }
}

/// For each batch, for each part, the sequences of its records and whether it ends its append.
fn batches(queue: &mut Queue) -> Vec<Vec<(Vec<u64>, bool)>> {
    let mut batches = Vec::new();
    loop {
        let batch = queue.take_batch();
        if batch.is_empty() {
            assert_eq!(queue.bytes(), 0);
            return batches;
        }
        assert!(batch.len() == 1 || bytes_of(&batch) <= WAL_FLUSH_BYTES_MAX);
        let told = batch.iter().map(|part| {
            let sequences = part.records.iter().map(|(header, _)| header.sequence);
            (sequences.collect(), part.done.is_some())
        });
        batches.push(told.collect());
    }
}

fn bytes_of(batch: &[Part]) -> usize {
    batch.iter().flat_map(|part| &part.records).map(|(_, p)| record_bytes(p.len())).sum()
}

#[test]
fn small_appends_go_together() {
    let mut queue = Queue::default();
    queue.push(append(1, &[100, 200]));
    queue.push(append(3, &[]));
    queue.push(append(4, &[0]));
    assert_eq!(queue.bytes(), 152 + 248 + 48);
    assert_eq!(batches(&mut queue), [[(vec![1, 2], true), (vec![], true), (vec![4], true)]]);
}

#[test]
fn a_long_append_goes_in_parts_and_is_done_with_the_last() {
    let mut queue = Queue::default();
    let half = WAL_FLUSH_BYTES_MAX / 2 - 48;
    queue.push(append(1, &[10, half, half, half, 10]));
    queue.push(append(6, &[10]));
    let expected = [
        vec![(vec![1, 2], false)],
        vec![(vec![3, 4], false)],
        vec![(vec![5], true), (vec![6], true)],
    ];
    assert_eq!(batches(&mut queue), expected);
}

#[test]
fn a_record_larger_than_a_flush_should_be_goes_alone() {
    let mut queue = Queue::default();
    queue.push(append(1, &[10, WAL_RECORD_BYTES_MAX, 10]));
    let expected = [[(vec![1], false)], [(vec![2], false)], [(vec![3], true)]];
    assert_eq!(batches(&mut queue), expected);
}
