//! The file format: round trips, frozen bytes, and that no flipped byte goes unseen.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn entries(count: usize) -> Vec<IndexEntry> {
    (0..count as u64)
        .map(|n| IndexEntry {
            position: (n as u32 + 1) * 70_000,
            offset: 1000 + n * 3,
            max_timestamp_before: 1_700_000_000_000 + n as i64,
        })
        .collect()
}

fn encoded(entries: &[IndexEntry], last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode(1000, 0, entries, last, &mut out);
    out
}

#[test]
fn the_bytes_are_frozen() {
    let bytes = encoded(&entries(2), true);
    assert_eq!(bytes.len(), 4096);
    assert_eq!(&bytes[..20], b"RSIX\x01\x01\x02\x00\xe8\x03\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(u32_at(&bytes, CRC_AT), 0x5473_d1fd);
    assert_eq!(&bytes[24..32], [0; 8]);
    assert_eq!(&bytes[32..52], b"\0\0\0\0\0\0\0\0\x00\x68\xe5\xcf\x8b\x01\0\0\x70\x11\x01\0");
    assert_eq!(&bytes[52..72], b"\x03\0\0\0\0\0\0\0\x01\x68\xe5\xcf\x8b\x01\0\0\xe0\x22\x02\0");
    assert!(bytes[72..].iter().all(|byte| *byte == 0));
}

#[test]
fn every_flipped_byte_is_seen() {
    let good = encoded(&entries(ENTRIES_PER_BLOCK + 2), true);
    decode(1000, &good).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let damage = decode(1000, &bad).unwrap_err();
        assert_eq!(damage.block as usize, at / INDEX_BLOCK_BYTES, "flipped byte {at}");
    }
}

#[test]
fn blocks_written_bit_by_bit_are_the_file_written_at_once() {
    let entries = entries(3 * ENTRIES_PER_BLOCK);
    let mut bit_by_bit = Vec::new();
    for (number, block) in entries.chunks(ENTRIES_PER_BLOCK).enumerate() {
        encode(1000, number as u32, block, false, &mut bit_by_bit);
        let so_far = decode(1000, &bit_by_bit).unwrap();
        assert_eq!(so_far.entries, entries[..(number + 1) * ENTRIES_PER_BLOCK]);
        assert!(!so_far.is_complete);
    }
    encode(1000, 3, &[], true, &mut bit_by_bit);
    assert_eq!(bit_by_bit, encoded(&entries, true));
    assert!(decode(1000, &bit_by_bit).unwrap().is_complete);
}

#[test]
fn a_file_of_another_segment_or_with_blocks_missing_is_refused() {
    let good = encoded(&entries(ENTRIES_PER_BLOCK * 2), true);
    assert_eq!(decode(1001, &good).unwrap_err().reason, "it belongs somewhere else");
    let without_first = &good[INDEX_BLOCK_BYTES..];
    assert_eq!(decode(1000, without_first).unwrap_err().reason, "it belongs somewhere else");
    assert_eq!(decode(1000, &good[..5000]).unwrap_err().reason, "it is cut short");
    let doubled = [&good[..], &good[..]].concat();
    assert_eq!(decode(1000, &doubled).unwrap_err().reason, "it follows the last one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trips(count in 0usize..700, last in any::<bool>()) {
        let count = if last { count } else { count / ENTRIES_PER_BLOCK * ENTRIES_PER_BLOCK };
        let entries = entries(count);
        let index = decode(1000, &encoded(&entries, last)).unwrap();
        prop_assert_eq!(index.entries, entries);
        prop_assert_eq!(index.is_complete, last);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(bytes.is_empty() || decode(0, &bytes).is_err());
    }
}
