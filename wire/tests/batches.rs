//! Batches, from outside: what is built is read, what is damaged is noticed, what is too large is
//! refused before it costs anything, and chunks make the record they were cut from.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use ringspool_wire::*;
use support::strategies::{self, NewRecord};
use support::{Random, records_of};

fn build(compression: Compression, records: &[NewRecord], stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for record in records {
        record.with_ref(|record| builder.push(record)).unwrap();
    }
    assert_eq!(builder.len(), records.len());
    let estimate = builder.bytes_estimate();
    let batch = builder.finish(stamp).unwrap();
    assert!(batch.len() <= estimate, "{} bytes where {estimate} were estimated", batch.len());
    assert!(builder.is_empty());
    batch
}

fn assert_same(batch: &Bytes, expected: &[NewRecord], base_offset: u64) {
    let records = records_of(batch);
    assert_eq!(records.len(), expected.len());
    for (index, (record, expected)) in records.iter().zip(expected).enumerate() {
        assert_eq!(record.offset, base_offset + index as u64);
        assert_eq!(record.timestamp_ms, expected.timestamp_ms);
        assert_eq!(record.key, expected.key);
        assert_eq!(record.value, expected.value);
        assert_eq!(record.headers, expected.headers);
    }
}

fn value(bytes: &[u8]) -> RecordRef<'_> {
    RecordRef { value: bytes, ..Default::default() }
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        records in strategies::new_records(),
        stamp in strategies::stamp(),
        zstd: bool,
        base_offset in 0..u64::MAX / 2,
        term: u32,
    ) {
        let compression = if zstd { Compression::Zstd { level: 1 } } else { Compression::None };
        let batch = build(compression, &records, stamp);
        let header = verify(&batch).unwrap();
        prop_assert_eq!(header.batch_bytes as usize, batch.len());
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.base_timestamp, records[0].timestamp_ms);
        let max_timestamp = records.iter().map(|record| record.timestamp_ms).max();
        prop_assert_eq!(Some(header.max_timestamp), max_timestamp);
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence),
            (stamp.producer_id, stamp.producer_epoch, stamp.base_sequence));
        prop_assert_eq!((header.base_offset, header.term, header.flags), (0, 0, 0));
        assert_same(&batch, &records, 0);

        // The leader's stamp leaves the CRC as it was.
        let stamped = ringspool_wire::stamp(batch.first_chunk().unwrap(), base_offset, term);
        let stamped = Bytes::from([&stamped[..], &batch[64..]].concat());
        let stamped_header = verify(&stamped).unwrap();
        prop_assert_eq!(stamped_header, BatchHeader { base_offset, term, ..header });
        prop_assert_eq!(stamped_header.last_offset(), base_offset + records.len() as u64 - 1);
        assert_same(&stamped, &records, base_offset);
        prop_assert_eq!(&stamped_header.encode()[..], &stamped[..64]);
    }

    #[test]
    fn a_record_of_any_size_comes_back_from_its_chunks(
        bytes in 0_usize..5000,
        chunk_bytes in 1_usize..2000,
        key in 0_usize..30,
        headers in 0_usize..3,
        zstd: bool,
    ) {
        let value = Random(bytes as u64).bytes(bytes);
        let key = vec![b'k'; key];
        let headers = vec![("name", &b"a header's value"[..]); headers];
        let record = RecordRef { key: &key, value: &value, timestamp_ms: 77, headers: &headers };
        let compression = if zstd { Compression::default() } else { Compression::None };
        let mut reassembler = Reassembler::default();
        let cut = chunks(&record, 5, chunk_bytes);
        let count = cut.len() as u64;
        let mut parts = 0;
        for (info, part) in cut {
            prop_assert!(part.value.len() <= chunk_bytes);
            parts += part.value.len();
            let batch = build_chunk(compression, info, &part, ProducerStamp::NONE).unwrap();
            prop_assert!(batch.len() <= chunk_bytes.max(part.key.len() + 100)
                + CHUNK_OVERHEAD_BYTES_MAX);
            let header = verify(&batch).unwrap();
            prop_assert!(header.is_chunk() && header.record_count == 1);
            let offset = 1000 + u64::from(info.index);
            let front = ringspool_wire::stamp(batch.first_chunk().unwrap(), offset, 1);
            let batch = DecodedBatch::open([&front[..], &batch[64..]].concat().into()).unwrap();
            prop_assert_eq!(batch.chunk, Some(info));
            let out = reassembler.push(batch).unwrap();
            prop_assert_eq!(out.is_some(), info.is_last());
            if let Some(out) = out {
                prop_assert_eq!(out.offset, 1000 + count - 1, "that of the last chunk");
                prop_assert_eq!((&out.key[..], &out.value[..]), (&key[..], &value[..]));
                prop_assert_eq!(out.timestamp_ms, 77);
                prop_assert_eq!(out.headers.len(), headers.len());
            }
        }
        prop_assert_eq!(parts, bytes);
        prop_assert!(reassembler.is_empty() && reassembler.bytes() == 0);
    }
}

/// The golden batches: plain, full, compressed, chunks.
fn golden() -> impl Iterator<Item = Bytes> {
    support::golden::batches().into_iter().map(|golden| golden.batch)
}

#[test]
fn every_flipped_bit_is_noticed_but_those_the_leader_writes() {
    for batch in golden() {
        for at in 0..batch.len() {
            for bit in 0..8 {
                let mut damaged = batch.to_vec();
                damaged[at] ^= 1 << bit;
                let outcome = verify(&damaged);
                assert_eq!(outcome.is_ok(), at < 12, "bit {bit} of byte {at}");
                assert_eq!(DecodedBatch::open(damaged.into()).is_ok(), at < 12);
            }
        }
    }
}

#[test]
fn every_truncation_is_noticed_and_so_are_bytes_after_the_end() {
    for batch in golden() {
        for length in 0..batch.len() {
            let error = verify(&batch[..length]).unwrap_err();
            let expected = if length < 64 { 64 } else { batch.len() };
            assert_eq!(error, BatchError::TooShort { bytes: length, expected });
        }
        let longer = [&batch[..], b"x"].concat();
        assert_eq!(verify(&longer), Err(BatchError::TrailingBytes { extra: 1 }));
    }
}

#[test]
fn batches_back_to_back_are_split_without_a_copy() {
    let batches: Vec<_> = golden().collect();
    let bytes = Bytes::from(batches.concat());
    let range = bytes.as_ptr_range();
    let cut: Vec<_> = split(bytes.clone()).collect::<Result<_, _>>().unwrap();
    assert_eq!(cut, batches);
    assert!(cut.iter().all(|batch| range.contains(&batch.as_ptr())));
    assert_eq!(split(Bytes::new()).count(), 0);

    // The last is cut off: the others come, then the error, then nothing.
    let mut iterator = split(bytes.slice(..bytes.len() - 1));
    for batch in &batches[..batches.len() - 1] {
        assert_eq!(iterator.next().unwrap().as_ref(), Ok(batch));
    }
    assert!(matches!(iterator.next(), Some(Err(BatchError::TooShort { .. }))));
    assert!(iterator.next().is_none());
}

#[test]
fn values_are_slices_of_the_batch() {
    let batch = golden().next().unwrap();
    let range = batch.as_ptr_range();
    let records = records_of(&batch);
    assert!(range.contains(&records[0].value.as_ptr()));
}

#[test]
fn compression_is_used_where_it_pays_and_only_there() {
    let codec = |body: &[u8]| {
        let mut builder = BatchBuilder::new(Compression::default());
        builder.push(&value(body)).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!(records_of(&batch)[0].value, body);
        verify(&batch).unwrap().codec
    };
    assert_eq!(codec(&[7; 10_000]), Codec::Zstd);
    assert_eq!(codec(b"tiny"), Codec::None);
    assert_eq!(codec(&Random(1).bytes(10_000)), Codec::None);
    // Large bodies are sampled first; a part that compresses well is still found.
    assert_eq!(codec(&Random(2).bytes(1 << 20)), Codec::None);
    let mut half = Random(3).bytes(1 << 20);
    half[1 << 19..].fill(0);
    assert_eq!(codec(&half), Codec::Zstd);
    // Seven eighths exactly is not worth it: 9 tenths of this are random.
    let mut most = Random(4).bytes(100_000);
    most[90_000..].fill(0);
    assert_eq!(codec(&most), Codec::None);
}

#[test]
fn the_limits_of_a_record_are_enforced_and_leave_the_builder_as_it_was() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(&value(b"good")).unwrap();
    let (key, name) = (vec![0; KEY_BYTES_MAX + 1], "n".repeat(HEADER_NAME_BYTES_MAX + 1));
    let half = vec![0; HEADERS_BYTES_MAX / 2];
    let mut refuse = |record: RecordRef<'_>| builder.push(&record).unwrap_err();

    let error = refuse(RecordRef { key: &key, ..Default::default() });
    assert_eq!(error, BatchError::KeyTooLarge { bytes: KEY_BYTES_MAX + 1 });
    let headers = vec![("", &b""[..]); HEADERS_PER_RECORD_MAX + 1];
    let error = refuse(RecordRef { headers: &headers, ..Default::default() });
    assert_eq!(error, BatchError::TooManyHeaders { count: HEADERS_PER_RECORD_MAX + 1 });
    let error = refuse(RecordRef { headers: &[(&name, b"")], ..Default::default() });
    assert!(matches!(error, BatchError::HeadersTooLarge { .. }));
    let error = refuse(RecordRef { headers: &[("a", &half), ("b", &half)], ..Default::default() });
    assert!(matches!(error, BatchError::HeadersTooLarge { .. }));
    let error = refuse(RecordRef { timestamp_ms: 1 << 31, ..Default::default() });
    assert_eq!(error, BatchError::TimestampSpan { timestamp_ms: 1 << 31, base_timestamp_ms: 0 });
    let error = refuse(value(&vec![0; BATCH_BYTES_MAX as usize]));
    assert!(matches!(error, BatchError::Full { .. }));
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);

    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    let records = records_of(&batch);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].value.as_ref(), &records[0].headers), (&b"good"[..], &vec![]));
}

#[test]
fn times_may_be_as_far_apart_as_a_delta_can_say() {
    let mut builder = BatchBuilder::new(Compression::None);
    let at = |timestamp_ms| RecordRef { timestamp_ms, ..Default::default() };
    let base = i64::MIN + (1 << 31);
    for timestamp_ms in [base, base + i64::from(i32::MAX), i64::MIN] {
        builder.push(&at(timestamp_ms)).unwrap();
    }
    assert!(builder.push(&at(i64::MAX)).is_err(), "no overflow");
    let records = records_of(&builder.finish(ProducerStamp::NONE).unwrap());
    assert_eq!(records[1].timestamp_ms, base + i64::from(i32::MAX));
    assert_eq!(records[2].timestamp_ms, i64::MIN);
}

#[test]
fn a_batch_may_be_filled_to_its_last_byte_and_record() {
    let mut builder = BatchBuilder::new(Compression::None);
    let room = BATCH_BYTES_MAX as usize - builder.bytes_estimate() - 16;
    assert!(builder.push(&value(&vec![1; room + 1])).is_err());
    builder.push(&value(&vec![1; room])).unwrap();
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    assert!(
        batch.len() <= BATCH_BYTES_MAX as usize && batch.len() + 256 > BATCH_BYTES_MAX as usize
    );
    assert_eq!(records_of(&batch)[0].value.len(), room);

    for index in 0.. {
        if let Err(error) = builder.push(&value(b"")) {
            assert!(matches!(error, BatchError::Full { .. }), "at {index}: {error}");
            break;
        }
    }
    let count = builder.len();
    assert!(count > 500_000 && count <= RECORDS_PER_BATCH_MAX as usize);
    assert_eq!(records_of(&builder.finish(ProducerStamp::NONE).unwrap()).len(), count);
}

#[test]
fn nothing_is_no_batch_and_a_sequence_never_wraps() {
    let mut builder = BatchBuilder::new(Compression::None);
    assert_eq!(builder.finish(ProducerStamp::NONE), Err(BatchError::Empty));
    builder.push(&value(b"a")).unwrap();
    builder.push(&value(b"b")).unwrap();
    let stamp = |base_sequence| ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence };
    let error = builder.finish(stamp(u32::MAX)).unwrap_err();
    assert!(matches!(error, BatchError::OutOfRange { field: "base_sequence", .. }), "{error}");
    // The records are still there, for a new epoch.
    let batch = builder.finish(stamp(u32::MAX - 1)).unwrap();
    assert_eq!(verify(&batch).unwrap().record_count, 2);
}

#[test]
fn a_full_chunk_of_random_bytes_fits_into_a_default_batch() {
    let key = vec![1; KEY_BYTES_MAX];
    let large = vec![2; HEADERS_BYTES_MAX - HEADERS_PER_RECORD_MAX];
    let mut headers = vec![("h", &b""[..]); HEADERS_PER_RECORD_MAX - 1];
    headers.push(("h", &large));
    let body = Random(9).bytes(3 << 20);
    let record = RecordRef { key: &key, value: &body, timestamp_ms: 1, headers: &headers };
    let mut largest = 0;
    for (info, part) in chunks(&record, 1, CHUNK_BYTES) {
        let batch = build_chunk(Compression::None, info, &part, ProducerStamp::NONE).unwrap();
        largest = largest.max(batch.len());
    }
    assert!(largest <= BATCH_BYTES_DEFAULT as usize, "{largest}");
    assert!(largest >= CHUNK_BYTES);
}
