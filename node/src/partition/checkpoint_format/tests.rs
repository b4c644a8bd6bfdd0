//! The format: round trips, frozen bytes, and that damage is refused or at least visible.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn sample() -> PartitionCheckpoint {
    let segment = |base_offset, bytes, opened_ms, max_timestamp| SegmentInfo {
        base_offset,
        bytes,
        opened_ms,
        max_timestamp,
    };
    let entry = |position, offset, max_timestamp_before| IndexEntry {
        position,
        offset,
        max_timestamp_before,
    };
    let recent =
        |base_sequence, base_offset| RecentBatch { base_sequence, record_count: 2, base_offset };
    let producers = vec![
        (9, Producer { epoch: 1, last_ms: 900, recent: vec![recent(0, 500)] }),
        (300, Producer { epoch: 0, last_ms: 1_000, recent: vec![recent(4, 510), recent(6, 512)] }),
    ];
    PartitionCheckpoint {
        log_start_offset: 150,
        high_watermark: 600,
        segments: vec![segment(100, 70_000, 5, -1), segment(300, 200_705, 9, 1_000)],
        unfinished_block: Bytes::from_static(b"a"),
        index: ActiveIndex {
            blocks_written: 0,
            position_before: 0,
            entries: vec![entry(66_000, 350, 20), entry(132_000, 400, 10)],
        },
        producers: Producers::restore(1_000, producers).unwrap(),
        dead: vec![0, 50],
    }
}

fn empty() -> PartitionCheckpoint {
    PartitionCheckpoint {
        log_start_offset: 0,
        high_watermark: 0,
        segments: Vec::new(),
        unfinished_block: Bytes::new(),
        index: ActiveIndex::default(),
        producers: Producers::default(),
        dead: Vec::new(),
    }
}

#[test]
fn the_bytes_are_frozen() {
    assert_eq!(empty().encode(), [1, 0, 0, 0, 0, 0, 0]);
    #[rustfmt::skip]
    let expected = [
        1,                                              // version
        0x96, 0x01, 0xc2, 0x03,                         // log start 150, and 450 offsets
        2,                                              // segments
        100, 0xf0, 0xa2, 0x04, 5, 1,                    // 70,000 bytes, timestamp -1
        0xc8, 0x01, 0x81, 0xa0, 0x0c, 9, 0xd0, 0x0f,    // 200 offsets later, 200,705 bytes
        b'a',                                           // 200,705 = 49 blocks and 1 byte
        0, 0, 2,                                        // index: 2 entries
        0xd0, 0x83, 0x04, 50, 40,                       // at 66,000, offset 300 + 50, time 20
        0xd0, 0x83, 0x04, 50, 19,                       // 66,000 later, 50 later, time 10 less
        2, 0xe8, 0x07,                                  // 2 producers, time 1,000
        9, 1, 100, 1, 0, 2, 0xf4, 0x03,                 // silent for 100 ms, one batch at 500
        0xa3, 0x02, 0, 0, 2,                            // id 9 + 291
        4, 2, 0xfe, 0x03, 6, 2, 0x80, 0x04,             // at 510 and 512
        2, 0, 50,                                       // dead segments
    ];
    assert_eq!(sample().encode(), expected);
}

#[test]
fn a_flipped_byte_never_goes_unseen() {
    let good = sample();
    let bytes = good.encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            // The vnode's checkpoint has a checksum; here nothing may panic or read the same.
            if let Ok(read) = PartitionCheckpoint::decode(&bad) {
                assert_ne!(read, good, "bit {bit} of byte {at}");
                assert_eq!(read.encode(), bad, "only what is written is read");
            }
        }
    }
}

#[test]
fn a_cut_or_longer_one_is_refused() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        assert!(PartitionCheckpoint::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = PartitionCheckpoint::decode(&longer).unwrap_err();
    let expected = format!("no partition checkpoint: bytes follow its end at byte {}", bytes.len());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |change: &dyn Fn(&mut PartitionCheckpoint)| {
        let mut checkpoint = sample();
        change(&mut checkpoint);
        PartitionCheckpoint::decode(&checkpoint.encode()).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|checkpoint| checkpoint.segments[1].base_offset = 100));
    assert!(refused(&|checkpoint| checkpoint.segments[0].bytes = 0));
    assert!(refused(&|checkpoint| checkpoint.segments[0].bytes = u64::MAX));
    assert!(refused(&|checkpoint| checkpoint.segments[0].base_offset = 151));
    assert!(refused(&|checkpoint| checkpoint.high_watermark = 300));
    assert!(refused(&|checkpoint| checkpoint.segments.clear()));
    assert!(refused(&|checkpoint| checkpoint.unfinished_block = Bytes::new()));
    assert!(refused(&|checkpoint| checkpoint.index.entries[1].position = 66_000));
    assert!(refused(&|checkpoint| checkpoint.index.entries[1].position = 200_705));
}

fn checkpoints() -> impl Strategy<Value = PartitionCheckpoint> {
    let segments =
        proptest::collection::vec((1u64..1 << 40, 1u64..1 << 30, any::<u64>(), any::<i64>()), 1..5);
    let entries = proptest::collection::vec((1u32..1 << 20, 1u64..1 << 40, any::<i64>()), 0..20);
    let recent = proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u64>()), 1..=5);
    let producers =
        proptest::collection::btree_map(any::<u64>(), (any::<u16>(), 0u64..1 << 50, recent), 0..5);
    let dead = proptest::collection::btree_set(any::<u64>(), 0..4);
    (segments, entries, producers, dead, any::<u32>(), any::<u32>()).prop_map(
        |(segments, entries, producers, dead, blocks_written, records)| {
            let mut base = 0;
            let segments: Vec<SegmentInfo> = segments
                .into_iter()
                .map(|(step, bytes, opened_ms, max_timestamp)| {
                    base += step;
                    SegmentInfo { base_offset: base, bytes, opened_ms, max_timestamp }
                })
                .collect();
            let last = segments[segments.len() - 1];
            let mut index = ActiveIndex { blocks_written, ..ActiveIndex::default() };
            let (mut at, mut offset) = (0u64, last.base_offset);
            for (step, records, max_timestamp_before) in entries {
                (at, offset) = (at + u64::from(step), offset + records);
                if at < last.bytes {
                    let position = at as u32;
                    index.entries.push(IndexEntry { position, offset, max_timestamp_before });
                }
            }
            let producers = producers.into_iter().map(|(id, (epoch, last_ms, recent))| {
                let recent =
                    recent.into_iter().map(|(base_sequence, record_count, base_offset)| {
                        RecentBatch { base_sequence, record_count, base_offset }
                    });
                (id, Producer { epoch, last_ms, recent: recent.collect() })
            });
            PartitionCheckpoint {
                log_start_offset: segments[0].base_offset,
                high_watermark: last.base_offset + 1 + u64::from(records),
                unfinished_block: vec![7; (last.bytes % BLOCK_BYTES) as usize].into(),
                segments,
                index,
                producers: Producers::restore(1 << 50, producers.collect()).unwrap(),
                dead: dead.into_iter().collect(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn round_trips(checkpoint in checkpoints()) {
        let bytes = checkpoint.encode();
        prop_assert_eq!(PartitionCheckpoint::decode(&bytes), Ok(checkpoint));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(checkpoint) = PartitionCheckpoint::decode(&bytes) {
            prop_assert_eq!(checkpoint.encode(), bytes);
        }
    }
}
