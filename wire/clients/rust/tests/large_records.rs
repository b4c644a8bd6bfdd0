//! Records larger than a batch: cut into chunks, and put together again.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Fake;
use fake::fault::{Fault, Gate};
use ringspool_client::{
    Client, Compression, ConsumeError, ErrorCode, Position, ProduceError, ProduceRecord,
    ProducerBuilder,
};
use ringspool_wire::{Api, ChunkInfo, DecodedBatch, ProducerStamp, RecordRef, build_chunk};

const LONG: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// Bytes that do not repeat, and differ by seed.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn small_chunks(client: &Client) -> ProducerBuilder {
    client.producer().batch_bytes(64 << 10).linger(Duration::ZERO)
}

fn record(value: Vec<u8>) -> ProduceRecord {
    ProduceRecord::new("t").partition(0).key("key").value(value).header("name", "value")
}

/// Chunk numbers of the log, in order; `None` for a batch of whole records.
fn layout(fake: &Fake) -> Vec<Option<u32>> {
    let state = fake.state();
    let entries = &state.topic("t").unwrap().partitions[0].entries;
    let open = |batch| DecodedBatch::open(batch).unwrap();
    entries.iter().map(|e| open(e.batch.clone()).chunk.map(|chunk| chunk.index)).collect()
}

#[tokio::test]
async fn a_large_record_goes_through_in_small_chunks() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = small_chunks(&client).build().await.unwrap();
    let values = [vec![1; 10], noise(5 * MIB, 1), vec![2; 10], noise(MIB, 2), vec![3; 10]];
    let mut deliveries = Vec::new();
    for value in &values {
        deliveries.push(producer.send(record(value.clone())).await.unwrap());
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.unwrap().offset.unwrap());
    }
    // Its offset is that of its last chunk; between the chunks stands nothing else.
    let layout = layout(&fake);
    assert_eq!(offsets.iter().copied().max(), Some(layout.len() as u64 - 1));
    let last = offsets[1] as usize;
    let chunks: Vec<u32> = layout[1..=last].iter().map(|index| index.unwrap()).collect();
    assert_eq!(chunks, (0..last as u32).collect::<Vec<_>>());
    assert_eq!(last, (5 * MIB).div_ceil(60 << 10));
    assert_eq!(layout[last + 1], None);

    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    for (value, offset) in values.iter().zip(offsets) {
        let consumed = consumer.next().await.unwrap();
        assert!(consumed.record.value == value[..], "the bytes at offset {offset}");
        assert_eq!(consumed.record.offset, offset);
        assert_eq!(&consumed.record.key[..], b"key");
        assert_eq!(consumed.record.headers[0].0, "name");
    }
    assert!(consumer.at_end());
}

#[tokio::test]
async fn lost_connections_in_the_middle_leave_it_whole() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::Refuse(ErrorCode::Overloaded)] {
        let fake = Fake::start().await;
        fake.create_topic("t", 1);
        for nth in [3, 4, 9] {
            fake.fail(Api::Produce, nth, fault.clone());
        }
        let producer = small_chunks(&fake.client().await).build().await.unwrap();
        let values = [noise(MIB, 3), vec![1; 10], noise(MIB, 4)];
        for value in &values {
            drop(producer.send(record(value.clone())).await.unwrap());
        }
        producer.close().await.unwrap();
        let records = fake.records("t", 0);
        assert!(records.iter().map(|record| &record.value[..]).eq(values.iter().map(|v| &v[..])));
        let chunks = layout(&fake).iter().flatten().count();
        assert_eq!(chunks, 2 * MIB.div_ceil(60 << 10), "no chunk is there twice");
    }
}

#[tokio::test]
async fn a_chunk_that_fails_for_good_fails_its_record_alone() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    fake.fail(Api::Produce, 4, Fault::RefuseParts(ErrorCode::InvalidBatch));
    let client = fake.client().await;
    let producer = small_chunks(&client).build().await.unwrap();
    let failing = producer.send(record(noise(MIB, 5))).await.unwrap();
    let behind = noise(MIB, 6);
    let kept = producer.send(record(behind.clone())).await.unwrap();
    let error = failing.await.unwrap_err();
    assert!(matches!(error, ProduceError::Refused { .. }), "{error}");
    kept.await.unwrap();
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    let consumed = consumer.next().await.unwrap();
    assert!(consumed.record.value == behind[..]);
    assert!(consumer.at_end(), "the chunks that will never be a record do not count");
    assert_eq!(producer.close().await.unwrap_err().records, 1);
}

/// Readers tell records apart by their producer: a record whose producer id changes in the middle
/// begins again.
#[tokio::test]
async fn a_forgotten_producer_sends_its_record_again_from_the_beginning() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = small_chunks(&client).build().await.unwrap();
    fake.fail(Api::Produce, 6, Fault::RefuseParts(ErrorCode::UnknownProducer));
    let values = [noise(MIB, 7), vec![9; 10], noise(MIB, 8)];
    for value in &values {
        drop(producer.send(record(value.clone())).await.unwrap());
    }
    producer.close().await.unwrap();
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    for value in &values {
        assert!(consumer.next().await.unwrap().record.value == value[..]);
    }
    let begins = layout(&fake).iter().filter(|index| **index == Some(0)).count();
    assert_eq!(begins, 3, "the first record began twice");
}

#[tokio::test]
async fn only_a_few_chunks_are_in_flight() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let gate = Gate::closed();
    for nth in 0..20 {
        fake.fail(Api::Produce, nth, Fault::Hold(gate.clone()));
    }
    let client = fake.client().await;
    let producer = small_chunks(&client).in_flight_max(100).compression(Compression::None);
    let producer = producer.build().await.unwrap();
    let delivery = producer.send(record(noise(MIB, 9))).await.unwrap();
    fake.until(|state| state.in_flight == 5).await;
    gate.open();
    delivery.await.unwrap();
    assert_eq!(fake.state().in_flight_most, 5);
}

#[tokio::test]
async fn a_record_larger_than_the_reader_takes_is_named_and_can_be_passed() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = small_chunks(&client).build().await.unwrap();
    for value in [vec![1; 10], noise(MIB, 10), vec![2; 10]] {
        producer.send_and_wait(record(value)).await.unwrap();
    }
    let builder = client.consumer().topic("t").record_bytes_max(500_000);
    let mut consumer = builder.build().await.unwrap();
    assert_eq!(consumer.next().await.unwrap().record.value[0], 1);
    let error = consumer.next().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1048576 bytes") && text.contains("500000"), "{text}");
    let Some((0, Some(past))) = error.stands_still() else { panic!("{error:?}") };
    consumer.seek(0, Position::Offset(past)).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().record.value[0], 2);
    assert!(consumer.at_end());
}

#[tokio::test]
async fn a_record_with_a_chunk_missing_is_no_record() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    put_chunk(&fake, 7, 0, 2, b"zz"); // 0, never finished
    put_chunk(&fake, 1, 0, 4, b"aa"); // 1
    put_chunk(&fake, 1, 2, 4, b"cc"); // 2
    put_chunk(&fake, 1, 3, 4, b"dd"); // 3
    put_chunk(&fake, 2, 0, 1, b"whole"); // 4
    let mut consumer =
        client.consumer().topic("t").from(Position::Offset(1)).build().await.unwrap();
    let consumed = consumer.next().await.unwrap();
    assert_eq!((&consumed.record.value[..], consumed.record.offset), (&b"whole"[..], 4));
    assert_eq!(consumer.safe_position(0).unwrap(), 5);
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    consumer.next().await.unwrap();
    assert_eq!(consumer.safe_position(0).unwrap(), 0, "only the first may still be finished");
}

/// Puts one chunk into the log, as another producer would.
fn put_chunk(fake: &Fake, record_id: u64, index: u32, count: u32, value: &[u8]) {
    let record_bytes = (value.len() * count as usize) as u64;
    let info = ChunkInfo { record_id, record_bytes, index, count };
    let part = RecordRef { value, ..RecordRef::default() };
    let batch = build_chunk(Compression::None, info, &part, ProducerStamp::NONE).unwrap();
    fake.state().log("t", 0).append(&batch).unwrap();
    fake.shared.changed.notify_waiters();
}

#[tokio::test]
async fn records_of_two_producers_interleave_and_positions_say_from_where_to_read_again() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    put_chunk(&fake, 1, 0, 3, b"aa"); // 0
    put_chunk(&fake, 2, 0, 2, b"bb"); // 1
    put_chunk(&fake, 2, 1, 2, b"BB"); // 2
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    let consumed = consumer.next().await.unwrap();
    assert_eq!((&consumed.record.value[..], consumed.record.offset), (&b"bbBB"[..], 2));
    assert_eq!(consumer.position(0).unwrap(), 3);
    assert_eq!(consumer.safe_position(0).unwrap(), 0, "the first record is not complete");
    put_chunk(&fake, 1, 1, 3, b"AA"); // 3
    put_chunk(&fake, 1, 2, 3, b".."); // 4
    let consumed = consumer.next().await.unwrap();
    assert_eq!((&consumed.record.value[..], consumed.record.offset), (&b"aaAA.."[..], 4));
    assert_eq!(consumer.safe_position(0).unwrap(), 5);
    assert!(consumer.at_end());
    // In the middle of it, there is no record.
    let mut late = client.consumer().topic("t").from(Position::Offset(3)).build().await.unwrap();
    assert!(late.poll(Duration::from_millis(50)).await.unwrap().is_empty());
    assert!(late.at_end());
}

#[tokio::test]
async fn chunks_that_do_not_fit_together_are_an_error() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    put_chunk(&fake, 1, 0, 4, b"aa");
    put_chunk(&fake, 1, 1, 5, b"bb");
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    let error = consumer.poll(LONG).await.unwrap_err();
    assert!(
        matches!(error, ConsumeError::BrokenRecord { offset: 1, next_offset: 2, .. }),
        "{error}"
    );
}
