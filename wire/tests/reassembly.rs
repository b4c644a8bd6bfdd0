//! Putting chunked records together: interleaved, from the middle, sent twice, given up, too large,
//! too many.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use ringspool_wire::*;

/// The chunks of a record as they come from the log, offsets from `offset` on.
fn cut(producer_id: u64, record_id: u64, value: &[u8], offset: u64) -> Vec<DecodedBatch> {
    let record = RecordRef { key: b"key", value, timestamp_ms: 5, headers: &[("h", b"v")] };
    chunks(&record, record_id, 10)
        .map(|(info, part)| open(producer_id, info, &part, offset + u64::from(info.index)))
        .collect()
}

fn open(producer_id: u64, info: ChunkInfo, part: &RecordRef<'_>, offset: u64) -> DecodedBatch {
    let stamp = ProducerStamp { producer_id, producer_epoch: 0, base_sequence: info.index };
    let batch = build_chunk(Compression::None, info, part, stamp).unwrap();
    let front = ringspool_wire::stamp(batch.first_chunk().unwrap(), offset, 1);
    DecodedBatch::open([&front[..], &batch[64..]].concat().into()).unwrap()
}

/// A value that is cut into four chunks: 5 bytes beside key and header, then 10, 10 and 3.
const VALUE: &[u8] = b"abcdefghijklmnopqrstuvwxyz12";

fn limits(record_bytes_max: u64, bytes_max: u64, records_max: usize) -> ReassemblerLimits {
    ReassemblerLimits { record_bytes_max, bytes_max, records_max }
}

fn push_all(
    reassembler: &mut Reassembler,
    batches: impl IntoIterator<Item = DecodedBatch>,
) -> Vec<Record> {
    batches.into_iter().filter_map(|batch| reassembler.push(batch).unwrap()).collect()
}

#[test]
fn interleaved_records_are_told_apart_by_producer_and_id() {
    let mut reassembler = Reassembler::default();
    let other = VALUE.to_ascii_uppercase();
    let third: Vec<u8> = VALUE.iter().rev().copied().collect();
    let (a, b, c) = (cut(1, 7, VALUE, 100), cut(2, 7, &other, 200), cut(1, 8, &third, 300));
    assert_eq!(a.len(), 4);
    let mixed = a.into_iter().zip(b).zip(c).flat_map(|((a, b), c)| [a, b, c]);
    let records = push_all(&mut reassembler, mixed);
    let values: Vec<_> = records.iter().map(|record| record.value.as_ref()).collect();
    assert_eq!(values, [VALUE, &other, &third]);
    let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [103, 203, 303]);
    for record in records {
        assert_eq!((record.key.as_ref(), record.timestamp_ms), (&b"key"[..], 5));
        assert_eq!(record.headers, [("h".to_string(), Bytes::from("v"))]);
    }
    assert!(reassembler.is_empty());
    assert_eq!(reassembler.bytes(), 0);
}

#[test]
fn chunks_without_their_beginning_are_skipped() {
    let mut reassembler = Reassembler::default();
    let batches = cut(1, 7, VALUE, 100).into_iter().skip(1).chain(cut(1, 8, VALUE, 104));
    let records = push_all(&mut reassembler, batches);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].offset, 107);
}

#[test]
fn a_record_that_lost_a_chunk_is_skipped_and_the_next_one_is_not() {
    let mut reassembler = Reassembler::default();
    let mut batches = cut(1, 7, VALUE, 100);
    batches.remove(2);
    batches.extend(cut(1, 7, VALUE, 200));
    let records = push_all(&mut reassembler, batches);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].offset, records[0].value.as_ref()), (203, VALUE));
}

#[test]
fn chunks_that_were_sent_twice_count_once() {
    let mut reassembler = Reassembler::default();
    let batches = cut(0, 7, VALUE, 100).into_iter().zip(cut(0, 7, VALUE, 200));
    let mut batches = batches.flat_map(|(first, again)| [first, again]);
    let records = push_all(&mut reassembler, batches.by_ref().take(7));
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, VALUE);
    // The last chunk again, after its record is done.
    assert_eq!(reassembler.push(batches.next().unwrap()), Ok(None));
}

#[test]
fn a_producer_can_begin_a_record_again() {
    let mut reassembler = Reassembler::default();
    let longer = [VALUE, VALUE].concat();
    let batches = cut(0, 7, VALUE, 100).into_iter().take(3).chain(cut(0, 7, &longer, 200));
    let records = push_all(&mut reassembler, batches);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, longer);
    assert_eq!(reassembler.bytes(), 0);
}

#[test]
fn an_ordinary_batch_is_not_a_chunk() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(&RecordRef::default()).unwrap();
    let batch = DecodedBatch::open(builder.finish(ProducerStamp::NONE).unwrap()).unwrap();
    assert_eq!(Reassembler::default().push(batch), Err(BatchError::NotAChunk));
}

#[test]
fn a_record_larger_than_the_reader_takes_is_refused_at_its_first_chunk() {
    let mut reassembler = Reassembler::new(limits(27, 1000, 10));
    let mut batches = cut(1, 7, VALUE, 100).into_iter();
    let expected = BatchError::RecordTooLarge { record_id: 7, bytes: 28, bytes_max: 27 };
    assert_eq!(reassembler.push(batches.next().unwrap()), Err(expected));
    assert!(reassembler.is_empty(), "nothing is kept of it");
    assert_eq!(push_all(&mut reassembler, batches), []);
    let records = push_all(&mut reassembler, cut(1, 8, &VALUE[..27], 104));
    assert_eq!(records.len(), 1, "a record of the limit itself passes");
}

#[test]
fn memory_is_bounded_and_what_is_given_up_is_told_when_it_would_have_come() {
    // Room for one unfinished record of 28 bytes with key and header (5 bytes), and a bit more.
    for limits in [limits(28, 40, 10), limits(28, 1000, 1)] {
        let mut reassembler = Reassembler::new(limits);
        let mut old = cut(1, 7, VALUE, 100).into_iter();
        let mut new = cut(2, 8, VALUE, 200).into_iter();
        for _ in 0..3 {
            assert_eq!(reassembler.push(old.next().unwrap()), Ok(None));
        }
        for _ in 0..3 {
            assert_eq!(reassembler.push(new.next().unwrap()), Ok(None));
            assert!(reassembler.bytes() <= 40);
        }
        assert_eq!(reassembler.len(), 1, "the one that waited longest is given up");
        let told = reassembler.push(old.next().unwrap());
        assert_eq!(told, Err(BatchError::Evicted { record_id: 7, offset: 103 }));
        let record = reassembler.push(new.next().unwrap()).unwrap().unwrap();
        assert_eq!(record.value, VALUE);
    }
}

#[test]
fn the_record_that_waited_longest_for_a_chunk_is_given_up_first() {
    let mut reassembler = Reassembler::new(limits(28, 1000, 2));
    let mut a = cut(1, 1, VALUE, 100).into_iter();
    let mut b = cut(2, 2, VALUE, 200).into_iter();
    let c = cut(3, 3, VALUE, 300).into_iter();
    // A began first, but B has waited longer when C needs a place.
    push_all(&mut reassembler, [a.next(), b.next(), a.next()].into_iter().flatten());
    assert_eq!(push_all(&mut reassembler, c.take(1)), []);
    assert_eq!(push_all(&mut reassembler, a).len(), 1);
    let told = reassembler.push(b.last().unwrap());
    assert_eq!(told, Err(BatchError::Evicted { record_id: 2, offset: 203 }));
}

#[test]
fn a_lone_record_is_never_given_up_for_itself() {
    // The limit on all is below the limit on one; the latter holds.
    let mut reassembler = Reassembler::new(limits(28, 1, 1));
    assert_eq!(push_all(&mut reassembler, cut(1, 7, VALUE, 0)).len(), 1);
}

#[test]
fn chunks_that_contradict_each_other_are_refused() {
    let info = |index, count, record_bytes| ChunkInfo { record_id: 7, record_bytes, index, count };
    let push = |first: ChunkInfo, second: ChunkInfo, value: &[u8]| {
        let mut reassembler = Reassembler::default();
        let part = RecordRef { value, ..Default::default() };
        assert_eq!(reassembler.push(open(1, first, &part, 0)), Ok(None));
        let outcome = reassembler.push(open(1, second, &part, 1));
        assert!(reassembler.is_empty(), "nothing is kept of it");
        outcome.map(|record| record.map(|record| record.value.len()))
    };
    assert_eq!(push(info(0, 2, 8), info(1, 2, 8), b"four"), Ok(Some(8)));
    let refused = |outcome| match outcome {
        Err(BatchError::BadChunk { .. }) => (),
        other => panic!("{other:?}"),
    };
    refused(push(info(0, 2, 8), info(1, 3, 8), b"four"));
    refused(push(info(0, 2, 8), info(1, 2, 9), b"four"));
    refused(push(info(0, 2, 7), info(1, 2, 7), b"four"));
    refused(push(info(0, 2, 9), info(1, 2, 9), b"four"));
}

#[test]
fn a_chunk_that_contradicts_itself_is_not_built() {
    let build = |info: ChunkInfo| {
        let part = RecordRef { value: b"four", ..Default::default() };
        build_chunk(Compression::None, info, &part, ProducerStamp::NONE).map(drop)
    };
    let good = ChunkInfo { record_id: 1, record_bytes: 4, index: 0, count: 1 };
    assert_eq!(build(good), Ok(()));
    for bad in [
        ChunkInfo { count: 0, ..good },
        ChunkInfo { index: 1, ..good },
        ChunkInfo { count: CHUNKS_PER_RECORD_MAX + 1, ..good },
        ChunkInfo { record_bytes: 3, ..good },
        ChunkInfo { record_bytes: RECORD_BYTES_MAX + 1, ..good },
    ] {
        assert!(matches!(build(bad), Err(BatchError::BadChunk { .. })), "{bad:?}");
    }
}

#[test]
fn after_a_seek_nothing_of_before_is_left() {
    let mut reassembler = Reassembler::default();
    assert_eq!(push_all(&mut reassembler, cut(1, 7, VALUE, 0).into_iter().take(2)), []);
    reassembler.clear();
    assert_eq!((reassembler.len(), reassembler.bytes()), (0, 0));
    assert_eq!(push_all(&mut reassembler, cut(1, 7, VALUE, 0).into_iter().skip(2)), []);
}
