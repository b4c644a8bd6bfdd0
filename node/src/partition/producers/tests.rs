//! The producer table: duplicates, gaps, epochs, bounds, and that it is a function of its commands.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use ringspool_wire::batch::Codec;

fn header(producer_id: u64, producer_epoch: u16, base_sequence: u32, count: u32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        term: 0,
        crc: 0,
        codec: Codec::None,
        batch_bytes: 64,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id,
        base_sequence,
        record_count: count,
        uncompressed_bytes: 0,
        producer_epoch,
        flags: 0,
    }
}

/// Judges, and appends at `offset` if that is the verdict.
fn put(table: &mut Producers, ms: u64, header: BatchHeader, offset: u64) -> Verdict {
    let verdict = table.judge(ms, &header);
    if verdict == Verdict::Append {
        table.appended(&header, offset);
    }
    verdict
}

#[test]
fn a_repeated_batch_gets_its_first_offset_back() {
    let mut table = Producers::default();
    for n in 0..10 {
        assert_eq!(put(&mut table, 1, header(1, 0, n * 3, 3), 100 + u64::from(n)), Verdict::Append);
    }
    for n in 5..10 {
        let expected = Verdict::Duplicate { base_offset: 100 + u64::from(n) };
        assert_eq!(put(&mut table, 1, header(1, 0, n * 3, 3), 999), expected);
    }
    // Older than what is remembered, or cut otherwise: not known to be the same.
    for strange in [header(1, 0, 12, 3), header(1, 0, 27, 2), header(1, 0, 28, 3)] {
        let expected = Verdict::OutOfSequence { expected: 30 };
        assert_eq!(put(&mut table, 1, strange, 999), expected);
    }
    assert_eq!(put(&mut table, 1, header(1, 0, 30, 1), 200), Verdict::Append);
}

#[test]
fn a_gap_is_refused_and_an_unknown_producer_begins_at_zero() {
    let mut table = Producers::default();
    assert_eq!(put(&mut table, 1, header(1, 0, 1, 1), 0), Verdict::UnknownProducer);
    assert!(table.is_empty());
    assert_eq!(put(&mut table, 1, header(1, 0, 0, 2), 0), Verdict::Append);
    let expected = Verdict::OutOfSequence { expected: 2 };
    assert_eq!(put(&mut table, 1, header(1, 0, 3, 1), 0), expected);
    assert_eq!(put(&mut table, 1, header(2, 0, 0, 1), 0), Verdict::Append);
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let mut table = Producers::default();
    put(&mut table, 1, header(1, 3, 0, 5), 0);
    let expected = Verdict::OutOfSequence { expected: 0 };
    assert_eq!(put(&mut table, 1, header(1, 4, 5, 1), 0), expected);
    assert_eq!(put(&mut table, 1, header(1, 3, 5, 1), 5), Verdict::Append, "not fenced by that");
    assert_eq!(put(&mut table, 1, header(1, 4, 0, 1), 6), Verdict::Append);
    assert_eq!(put(&mut table, 1, header(1, 3, 6, 1), 0), Verdict::Fenced { epoch: 4 });
    assert_eq!(put(&mut table, 1, header(1, 3, 0, 5), 0), Verdict::Fenced { epoch: 4 });
    assert_eq!(put(&mut table, 1, header(1, 4, 0, 1), 0), Verdict::Duplicate { base_offset: 6 });
}

#[test]
fn sequences_do_not_wrap() {
    let mut table = Producers::default();
    put(&mut table, 1, header(1, 0, 0, u32::MAX), 0);
    assert_eq!(put(&mut table, 1, header(1, 0, u32::MAX, 1), 7), Verdict::Append);
    assert_eq!(put(&mut table, 1, header(1, 0, 0, 1), 0), Verdict::SequencesUsedUp);
    assert_eq!(put(&mut table, 1, header(1, 1, 0, 1), 0), Verdict::Append);
}

#[test]
fn the_most_silent_producer_makes_room() {
    let mut table = Producers::default();
    for id in 1..=PRODUCERS_MAX as u64 {
        put(&mut table, id, header(id, 0, 0, 1), id);
    }
    // The first was silent for longest, but has just been heard of; a duplicate counts.
    put(&mut table, 10_000, header(1, 0, 0, 1), 0);
    put(&mut table, 10_000, header(1 << 40, 0, 0, 1), 0);
    assert_eq!(table.len(), PRODUCERS_MAX);
    assert_eq!(put(&mut table, 10_000, header(2, 0, 1, 1), 0), Verdict::UnknownProducer);
    assert_eq!(put(&mut table, 10_000, header(1, 0, 1, 1), 0), Verdict::Append);
    assert_eq!(put(&mut table, 10_000, header(3, 0, 1, 1), 0), Verdict::Append);
}

#[test]
fn a_silent_producer_is_forgotten_after_a_week_of_leader_time() {
    let mut table = Producers::default();
    put(&mut table, 1_000, header(1, 0, 0, 1), 0);
    put(&mut table, 2_000, header(2, 0, 0, 1), 0);
    let now = 1_000 + PRODUCER_EXPIRY_MS;
    assert_eq!(put(&mut table, now, header(2, 0, 1, 1), 0), Verdict::Append);
    assert_eq!(table.len(), 2, "just a week is not too long");
    put(&mut table, now + 1, header(2, 0, 2, 1), 0);
    assert_eq!(table.len(), 1);
    assert_eq!(put(&mut table, now + 1, header(1, 0, 1, 1), 0), Verdict::UnknownProducer);
    // A leader whose clock is behind turns nothing back.
    put(&mut table, 5, header(3, 0, 0, 1), 0);
    assert_eq!((table.now_ms(), table.len()), (now + 1, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A table put together from a checkpoint goes on exactly like the one it was taken from.
    #[test]
    fn a_restored_table_goes_on_the_same(
        batches in proptest::collection::vec(
            (0u64..(PRODUCER_EXPIRY_MS / 4), 1u64..6, 0u16..3, 0u32..6, 1u32..3),
            1..200,
        ),
        at in 0usize..200,
    ) {
        let mut table = Producers::default();
        let mut restored: Option<Producers> = None;
        let mut now = 0;
        for (n, (ms, id, epoch, sequence, count)) in batches.into_iter().enumerate() {
            if n == at {
                let all = table.iter().map(|(id, producer)| (id, producer.clone())).collect();
                restored = Producers::restore(table.now_ms(), all);
                prop_assert_eq!(restored.as_ref(), Some(&table));
            }
            now += ms;
            let header = header(id, epoch, sequence, count);
            let verdict = put(&mut table, now, header, n as u64);
            if let Some(restored) = &mut restored {
                prop_assert_eq!(put(restored, now, header, n as u64), verdict);
                prop_assert_eq!(&*restored, &table);
            }
        }
    }
}
