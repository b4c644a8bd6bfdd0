//! The scanner on good, cut, padded and damaged files.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fuzzing::segment_scan;
use proptest::prelude::*;
use ringspool_wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef, stamp};

/// A segment of `count` batches of 2 records each, and where each begins.
fn segment(count: usize, value_bytes: usize) -> (Vec<u8>, Vec<u64>) {
    let (mut bytes, mut positions) = (Vec::new(), Vec::new());
    for n in 0..count {
        let mut builder = BatchBuilder::new(Compression::None);
        let value = vec![n as u8 + 1; value_bytes];
        for timestamp_ms in [1, 2] {
            let record = RecordRef { key: b"k", value: &value, timestamp_ms, headers: &[] };
            builder.push(&record).unwrap();
        }
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        positions.push(bytes.len() as u64);
        bytes.extend_from_slice(&stamp(batch.first_chunk().unwrap(), 100 + 2 * n as u64, 1));
        bytes.extend_from_slice(&batch[BATCH_HEADER_BYTES..]);
    }
    (bytes, positions)
}

fn scan(bytes: &[u8]) -> (Vec<u64>, Option<(u64, DamageReason)>) {
    let mut positions = Vec::new();
    for batch in Scanner::new(bytes, Some(100)) {
        match batch {
            Ok(batch) => positions.push(batch.position),
            Err(ScanError::Damaged { position, reason }) => {
                return (positions, Some((position, reason)));
            }
            Err(error) => panic!("{error}"),
        }
    }
    (positions, None)
}

#[test]
fn batches_come_with_their_positions_bytes_and_offsets() {
    let (bytes, positions) = segment(50, 3_000);
    let mut scanner = Scanner::new(&bytes[..], Some(100));
    for (n, position) in positions.iter().enumerate() {
        let batch = scanner.next().unwrap().unwrap();
        assert_eq!((batch.position, batch.header.base_offset), (*position, 100 + 2 * n as u64));
        let end = batch.position as usize + batch.header.batch_bytes as usize;
        assert!(scanner.bytes_of(&batch).unwrap() == &bytes[*position as usize..end]);
    }
    assert!(scanner.next().is_none());
    assert_eq!((scanner.position(), scanner.next_offset()), (bytes.len() as u64, Some(200)));
}

#[test]
fn zeros_end_a_segment() {
    let (bytes, positions) = segment(3, 500);
    for zeros in [1, 63, 64, 65, 4095, 3 << 20] {
        let padded = [&bytes[..], &vec![0; zeros]].concat();
        assert_eq!(scan(&padded), (positions.clone(), None), "{zeros} zeros");
    }
    let mut torn = [&bytes[..], &[0; 5_000]].concat();
    torn.push(1);
    assert_eq!(scan(&torn), (positions, Some((bytes.len() as u64, DamageReason::AfterEnd))));
    assert_eq!(scan(&[]), (vec![], None));
}

#[test]
fn a_cut_file_is_whole_up_to_its_last_batch() {
    let (bytes, positions) = segment(3, 200);
    let last = positions[2] as usize;
    for end in last + 1..bytes.len() {
        let (whole, damage) = scan(&bytes[..end]);
        assert_eq!(whole, positions[..2]);
        let Some((position, DamageReason::Incomplete { there, .. })) = damage else {
            panic!("cut at {end}: {damage:?}")
        };
        assert_eq!((position, there), (positions[2], (end - last) as u64));
    }
}

#[test]
fn damage_is_found_where_it_begins() {
    let (bytes, positions) = segment(3, 100);
    let second = positions[1] as usize..positions[2] as usize;
    for at in second.clone() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        let (whole, damage) = scan(&bad);
        if (second.start + 8..second.start + 12).contains(&at) {
            assert_eq!(damage, None, "the term is guarded by nothing");
            continue;
        }
        let (position, reason) = damage.unwrap();
        assert_eq!((whole, position), (positions[..1].to_vec(), positions[1]), "{reason}");
    }
}

#[test]
fn a_batch_of_another_offset_is_not_taken() {
    let (bytes, positions) = segment(3, 100);
    let without_second =
        [&bytes[..positions[1] as usize], &bytes[positions[2] as usize..]].concat();
    let wrong = DamageReason::WrongOffset { expected: 102, found: 104 };
    assert_eq!(scan(&without_second), (vec![0], Some((positions[1], wrong))));
    let mut other_file = Scanner::new(&bytes[..], Some(99));
    assert!(other_file.next().unwrap().is_err());
    assert!(other_file.next().is_none(), "an error is the end");
    assert_eq!(Scanner::new(&bytes[..], None).count(), 3);
}

#[test]
fn a_file_that_cannot_be_read_is_no_damage() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let (bytes, _) = segment(2, 100);
    let mut scanner = Scanner::new((&bytes[..]).chain(Broken), Some(100));
    let error = scanner.find_map(Result::err).unwrap();
    assert!(matches!(error, ScanError::Read { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_damage_leaves_a_true_prefix(
        flips in proptest::collection::vec((0usize..4_000, any::<u8>()), 0..4),
        cut in 0usize..4_000,
    ) {
        let (good, positions) = segment(8, 200);
        let mut bytes = good.clone();
        bytes.truncate(cut);
        for (at, byte) in flips {
            if let Some(there) = bytes.get_mut(at) {
                *there ^= byte;
            }
        }
        segment_scan(&bytes);
        let (whole, _) = scan(&bytes);
        prop_assert_eq!(&whole[..], &positions[..whole.len()]);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        segment_scan(&bytes);
    }
}
