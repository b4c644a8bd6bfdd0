//! Round trips, frozen bytes, and that no damaged header or record is taken.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{assert_golden, from_golden};
use bytes::Bytes;
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../tests/golden/wal.hex");
const INCARNATION: u64 = 0x0123_4567_89ab_cdef;

fn header() -> FileHeader {
    FileHeader {
        shard: 3,
        sequence: 41,
        incarnation: INCARNATION,
        file_bytes: 16384,
        previous: Previous { sequence: 40, flushes: 7 },
    }
}

fn record_header(kind: RecordKind, sequence: u64, index: u64) -> RecordHeader {
    let leader = LeaderId { term: 5, node_id: 9 };
    RecordHeader { group: GroupId(17), kind, sequence, log_id: LogId::new(leader, index) }
}

/// A flush as it stands on the disk.
fn flush(records: &[(RecordHeader, Vec<Bytes>)], sequence: u64) -> Vec<u8> {
    let size = |payload: &[Bytes]| record_bytes(payload.iter().map(Bytes::len).sum());
    let records_bytes = records.iter().map(|(_, payload)| size(payload)).sum();
    // What a buffer held before must not show.
    let mut bytes = vec![0xa5; flush_bytes(records_bytes)];
    let mut at = FLUSH_HEADER_BYTES;
    for (header, payload) in records {
        at += put_record(&mut bytes[at..], INCARNATION, header, payload);
    }
    put_flush_header(&mut bytes, INCARNATION, sequence, records_bytes, records.len() as u32);
    bytes[at..].fill(0);
    bytes
}

fn every_kind() -> Vec<(RecordHeader, Vec<Bytes>)> {
    vec![
        (record_header(RecordKind::Vote, 1, 1), vec![]),
        (record_header(RecordKind::Membership, 2, 0), vec![Bytes::from_static(b"members")]),
        (record_header(RecordKind::Blank, 3, 1), vec![]),
        (
            record_header(RecordKind::Command, 4, 2),
            vec![Bytes::from_static(b"in "), Bytes::from_static(b"two pieces")],
        ),
        (record_header(RecordKind::Truncate, 5, 2), vec![]),
    ]
}

#[test]
fn the_bytes_are_frozen() {
    let mut file = header().encode().to_vec();
    file.resize(FILE_HEADER_BYTES, 0);
    file.extend(flush(&every_kind(), 0));
    assert_golden(&file, GOLDEN);
}

#[test]
fn frozen_bytes_are_understood() {
    let file = from_golden(GOLDEN);
    assert_eq!(FileHeader::decode(&file).unwrap(), header());
    let flush = &file[FILE_HEADER_BYTES..];
    let head = FlushHeader::decode(flush).unwrap();
    assert_eq!((head.incarnation, head.sequence, head.record_count), (INCARNATION, 0, 5));
    let views = records(flush, &head).unwrap();
    for (view, (header, payload)) in views.iter().zip(every_kind()) {
        assert_eq!(view.header, header);
        assert_eq!(flush[view.payload.clone()], payload.concat());
    }
}

#[test]
fn no_flipped_byte_of_a_file_header_is_taken() {
    let good = header().encode();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good;
            bad[at] ^= 1 << bit;
            assert_eq!(FileHeader::decode(&bad), Err(FileHeaderError::NotAHeader), "byte {at}");
        }
    }
    for end in 0..good.len() {
        assert_eq!(FileHeader::decode(&good[..end]), Err(FileHeaderError::NotAHeader));
    }
}

#[test]
fn another_version_is_named() {
    let mut bytes = header().encode();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..FILE_HEADER_CRC_AT]);
    bytes[FILE_HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(FileHeader::decode(&bytes), Err(FileHeaderError::Version(2)));
}

#[test]
fn no_flipped_byte_of_a_flush_is_taken() {
    let good = flush(&every_kind(), 6);
    let head = FlushHeader::decode(&good).unwrap();
    let views = records(&good, &head).unwrap();
    let mut meant = vec![true; FLUSH_HEADER_BYTES];
    meant.resize(good.len(), false);
    views.iter().for_each(|view| meant[view.start..view.payload.end].fill(true));
    for (at, meant) in meant.iter().enumerate() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let taken = FlushHeader::decode(&bad).and_then(|head| records(&bad, &head));
        assert_eq!(taken, (!meant).then(|| views.clone()), "byte {at}");
    }
}

#[test]
fn a_cut_flush_is_not_taken() {
    let good = flush(&every_kind(), 6);
    let head = FlushHeader::decode(&good).unwrap();
    for end in 0..FLUSH_HEADER_BYTES + head.records_bytes {
        let cut = &good[..end];
        let taken = FlushHeader::decode(cut).and_then(|head| records(cut, &head));
        assert_eq!(taken, None, "cut at {end}");
    }
}

#[test]
fn a_flush_of_an_earlier_use_has_another_checksum() {
    let mut bytes = flush(&every_kind(), 6);
    bytes[8..16].copy_from_slice(&(INCARNATION + 1).to_le_bytes());
    assert_eq!(FlushHeader::decode(&bytes), None);
    assert_eq!(record(&bytes, FLUSH_HEADER_BYTES, INCARNATION + 1), None);
}

prop_compose! {
    fn any_record()(
        kind in 1u8..=5,
        numbers in any::<(u32, u64, u64, u64, u64)>(),
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4),
    ) -> (RecordHeader, Vec<Bytes>) {
        let (group, sequence, term, node_id, index) = numbers;
        let header = RecordHeader {
            group: GroupId(group),
            kind: RecordKind::from_u8(kind).unwrap(),
            sequence,
            log_id: LogId::new(LeaderId { term, node_id }, index),
        };
        (header, pieces.into_iter().map(Bytes::from).collect())
    }
}

proptest! {
    #[test]
    fn a_flush_comes_back(
        sent in proptest::collection::vec(any_record(), 0..12),
        sequence in any::<u64>(),
    ) {
        let bytes = flush(&sent, sequence);
        prop_assert!(bytes.len().is_multiple_of(BLOCK_BYTES as usize));
        let head = FlushHeader::decode(&bytes).unwrap();
        prop_assert_eq!((head.incarnation, head.sequence), (INCARNATION, sequence));
        let views = records(&bytes, &head).unwrap();
        prop_assert_eq!(views.len(), sent.len());
        for (view, (header, payload)) in views.iter().zip(&sent) {
            prop_assert_eq!(&view.header, header);
            prop_assert_eq!(&bytes[view.payload.clone()], &payload.concat()[..]);
            prop_assert_eq!(record(&bytes, view.start, INCARNATION), Some(view.clone()));
        }
    }

    #[test]
    fn a_file_header_comes_back(numbers in any::<(u32, u64, u64, u64, u64, u64)>()) {
        let (shard, sequence, incarnation, file_bytes, before, flushes) = numbers;
        let previous = Previous { sequence: before, flushes };
        let header = FileHeader { shard, sequence, incarnation, file_bytes, previous };
        prop_assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
    }
}
