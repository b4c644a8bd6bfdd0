//! Damage anywhere in a file: what was acknowledged is there, or the scan says where it is not.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fuzzing::wal_scan;
use crate::io::{Disk, OpenMode, SimDisk};
use crate::wal::format::Previous;
use crate::wal::testing::{INCARNATION, file_header, flush, put_file};
use futures::executor::block_on;
use proptest::prelude::*;
use std::path::Path;

const PATH: &str = "/wal/00000001.wal";
const BLOCK: usize = BLOCK_BYTES as usize;
const SECTOR: usize = 512;

fn scan_bytes(bytes: &[u8]) -> Result<Scan, ScanError> {
    let disk = SimDisk::new();
    put_file(&disk, Path::new(PATH), bytes);
    let file = block_on(disk.open(Path::new(PATH), OpenMode::Read)).unwrap();
    block_on(scan(&*file))
}

/// Where each flush starts and the bytes of its records.
type Content = Vec<(u64, Vec<Vec<u8>>)>;

fn content(scan: &Scan) -> Content {
    let payloads = |flush: &ScannedFlush| {
        flush.records.iter().map(|record| flush.bytes[record.payload.clone()].to_vec()).collect()
    };
    scan.flushes.iter().map(|flush| (flush.position, payloads(flush))).collect()
}

/// A file in use: three flushes, the second of two blocks, and behind them what an earlier use left.
struct Sample {
    bytes: Vec<u8>,
    content: Content,
    /// For each flush, the bytes of it that mean something.
    used: Vec<std::ops::Range<usize>>,
}

fn sample() -> Sample {
    let payloads: [&[&[u8]]; 3] = [
        &[b"one", b"", b"three to eight"],
        &[&[0x5a; 3_000], &[0xc3; 2_000]],
        &[b"the last", &[1; 700]],
    ];
    let mut bytes = file_header(4, INCARNATION, Previous::default());
    let (mut content, mut used) = (Content::new(), Vec::new());
    for (sequence, payloads) in payloads.iter().enumerate() {
        let start = bytes.len();
        let flush = flush(INCARNATION, sequence as u64, payloads);
        let header = FlushHeader::decode(&flush).unwrap();
        used.push(start..start + FLUSH_HEADER_BYTES + header.records_bytes);
        content.push((start as u64, payloads.iter().map(|payload| payload.to_vec()).collect()));
        bytes.extend(flush);
    }
    for sequence in 3..6 {
        bytes.extend(flush(INCARNATION - 1, sequence, &[b"from an earlier use"]));
    }
    Sample { bytes, content, used }
}

#[test]
fn a_whole_file_is_read_and_an_earlier_use_is_not() {
    let sample = sample();
    let scan = scan_bytes(&sample.bytes).unwrap();
    assert_eq!(content(&scan), sample.content);
    assert_eq!((scan.header.unwrap().sequence, scan.end), (4, 5 * BLOCK_BYTES));
}

#[test]
fn every_flipped_byte_is_met_with_the_truth() {
    let sample = sample();
    let (last, others) = sample.used.split_last().unwrap();
    for at in 0..sample.bytes.len() {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let damaged_flush = others.iter().position(|used| {
            let holds_header_or_record = used.contains(&at);
            holds_header_or_record && !is_record_padding(&sample, at)
        });
        match scan_bytes(&bytes) {
            // The used part of the header.
            outcome if at < 60 => {
                let Err(ScanError::Damaged { path, position: 0, valid_at }) = outcome else {
                    panic!("byte {at}: {outcome:?}")
                };
                assert_eq!((path, valid_at), (PATH.into(), BLOCK_BYTES));
            }
            outcome if damaged_flush.is_some() => {
                let Err(ScanError::Damaged { path, position, valid_at }) = outcome else {
                    panic!("byte {at}: {outcome:?}")
                };
                let flush = damaged_flush.unwrap();
                assert_eq!((path, position), (PATH.into(), sample.content[flush].0), "byte {at}");
                assert_eq!(valid_at, sample.content[flush + 1].0, "byte {at}");
            }
            // Cannot be told from a flush that was cut short.
            outcome if last.contains(&at) && !is_record_padding(&sample, at) => {
                assert_eq!(content(&outcome.unwrap()), sample.content[..2], "byte {at}");
            }
            outcome => assert_eq!(content(&outcome.unwrap()), sample.content, "byte {at}"),
        }
    }
}

/// Zeros between two records.
fn is_record_padding(sample: &Sample, at: usize) -> bool {
    let Some((start, _)) = sample.content.iter().rfind(|(start, _)| *start as usize <= at) else {
        return false;
    };
    let bytes = &sample.bytes[*start as usize..];
    let header = FlushHeader::decode(bytes).unwrap();
    let views = records(bytes, &header).unwrap();
    let within = at - *start as usize;
    within >= FLUSH_HEADER_BYTES
        && !views.iter().any(|view| (view.start..view.payload.end).contains(&within))
}

#[test]
fn a_flush_torn_at_any_sector_is_taken_as_a_whole_or_not_at_all() {
    let older = [0, 1, 2, 3].map(|n| flush(INCARNATION - 1, n, &[b"old", &[9; 900]])).concat();
    let base = [file_header(2, INCARNATION, Previous::default()), older].concat();
    let first = flush(INCARNATION, 0, &[b"acknowledged"]);
    let second = flush(INCARNATION, 1, &[&[0x77; 5_000], b"x", &[0x66; 4_000]]);
    let used = FLUSH_HEADER_BYTES + FlushHeader::decode(&second).unwrap().records_bytes;
    let sectors = second.len() / SECTOR;
    assert_eq!(sectors, 24);
    let torn = |is_there: &dyn Fn(usize) -> bool| {
        let mut bytes = base.clone();
        bytes[BLOCK..2 * BLOCK].copy_from_slice(&first);
        for sector in (0..sectors).filter(|sector| is_there(*sector)) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            bytes[2 * BLOCK..][range.clone()].copy_from_slice(&second[range]);
        }
        let all_there = (0..sectors).all(|sector| is_there(sector) || sector * SECTOR >= used);
        let scan = scan_bytes(&bytes).unwrap();
        let expected = if all_there { 2 } else { 1 };
        assert_eq!(scan.flushes.len(), expected, "all there: {all_there}");
        assert_eq!(content(&scan)[0].1, [b"acknowledged"]);
    };
    for cut in 0..=sectors {
        torn(&|sector| sector < cut);
        torn(&|sector| sector >= cut);
        torn(&|sector| sector != cut);
        torn(&|sector| sector == cut);
    }
}

#[test]
fn flushes_of_an_earlier_use_are_never_taken() {
    // The earlier use left a flush exactly where the next one would be, with the right number.
    let older = [0, 1, 2, 3, 4].map(|n| flush(INCARNATION - 1, n, &[b"old"])).concat();
    let mut bytes = [file_header(9, INCARNATION, Previous::default()), older].concat();
    assert_eq!(content(&scan_bytes(&bytes).unwrap()), []);
    for used in 0..3 {
        let at = BLOCK * (1 + used);
        bytes[at..at + BLOCK].copy_from_slice(&flush(INCARNATION, used as u64, &[b"new"]));
        let scan = scan_bytes(&bytes).unwrap();
        assert_eq!(scan.flushes.len(), used + 1);
        assert!(content(&scan).iter().all(|(_, records)| *records == [b"new"]));
    }
}

#[test]
fn a_valid_flush_behind_an_invalid_one_is_damage() {
    let sample = sample();
    for filler in [0, 0xff] {
        let mut bytes = sample.bytes.clone();
        bytes[BLOCK..4 * BLOCK].fill(filler);
        let error = scan_bytes(&bytes).unwrap_err();
        let expected =
            "/wal/00000001.wal: damaged at byte 4096: a valid flush follows at byte 16384";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn a_lost_header_is_damage_wherever_the_flushes_are() {
    let sample = sample();
    for lost in 1..5 {
        let mut bytes = sample.bytes.clone();
        bytes[..lost * BLOCK].fill(0);
        let error = scan_bytes(&bytes).unwrap_err();
        assert!(matches!(error, ScanError::Damaged { position: 0, .. }), "{lost}: {error}");
    }
    let unused = scan_bytes(&vec![0; 4 * BLOCK]).unwrap();
    assert!(unused.header.is_none() && unused.flushes.is_empty());
    assert!(scan_bytes(&[]).unwrap().header.is_none());
}

#[test]
fn a_file_of_another_version_is_refused_by_name() {
    let mut bytes = sample().bytes;
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..56]);
    bytes[56..60].copy_from_slice(&crc.to_le_bytes());
    let error = scan_bytes(&bytes).unwrap_err().to_string();
    assert_eq!(error, format!("{PATH}: it has format version 2, this program reads version 1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_damage_brings_wrong_records(
        flips in proptest::collection::vec((0usize..8 * BLOCK, any::<u8>()), 0..6),
        moved in proptest::option::of((1usize..8, 1usize..8)),
        cut in 0usize..=8,
    ) {
        let sample = sample();
        let mut bytes = sample.bytes.clone();
        if let Some((from, to)) = moved {
            bytes.copy_within(from * BLOCK..(from + 1) * BLOCK, to * BLOCK);
        }
        for (at, byte) in flips {
            bytes[at] ^= byte;
        }
        bytes.truncate(cut * BLOCK);
        wal_scan(&bytes);
        if let Ok(scan) = scan_bytes(&bytes) {
            let found = content(&scan);
            prop_assert_eq!(&found[..], &sample.content[..found.len()]);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..12_000)) {
        wal_scan(&bytes);
    }
}
