//! Reading: order, waiting, seeking, errors, and going on after them.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Fake;
use fake::fault::{Fault, Gate};
use futures::{FutureExt, StreamExt};
use ringspool_client::{
    Client, Compression, ConsumeError, ConsumedRecord, Consumer, ErrorCode, OffsetReset,
    OutOfRange, Position, ProduceRecord,
};
use ringspool_wire::Api;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(60);

/// Writes values to a partition, each `batch` of them as a batch.
async fn write(client: &Client, partition: u32, range: std::ops::Range<u64>, batch: u64) {
    let producer = client.producer().linger(LONG).build().await.unwrap();
    for n in range {
        let record = ProduceRecord::new("t").partition(partition).value(format!("{partition}/{n}"));
        drop(producer.send(record.timestamp_ms(1000 + 10 * n as i64)).await.unwrap());
        if (n + 1) % batch == 0 {
            producer.flush().await.unwrap();
        }
    }
    producer.close().await.unwrap();
}

fn text(consumed: &ConsumedRecord) -> String {
    String::from_utf8(consumed.record.value.to_vec()).unwrap()
}

/// Reads this many records.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<ConsumedRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.poll(LONG).await.unwrap());
    }
    assert_eq!(records.len(), count);
    records
}

/// `partition`'s records are exactly those of the range, in order.
fn assert_range(records: &[ConsumedRecord], partition: u32, range: std::ops::Range<u64>) {
    let of = records.iter().filter(|record| record.partition == partition);
    let (offsets, values): (Vec<u64>, Vec<String>) =
        of.map(|record| (record.record.offset, text(record))).unzip();
    assert_eq!(offsets, range.clone().collect::<Vec<_>>());
    assert_eq!(values, range.map(|n| format!("{partition}/{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_partition_is_read_in_order_to_its_end() {
    let fake = Fake::with_shards(2).await;
    fake.create_topic("t", 3);
    let client = fake.client().await;
    for partition in 0..3 {
        write(&client, partition, 0..100, 7).await;
    }
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    assert!(!consumer.at_end());
    let records = read(&mut consumer, 300).await;
    for partition in 0..3 {
        assert_range(&records, partition, 0..100);
        assert_eq!(consumer.position(partition).unwrap(), 100);
        assert_eq!(consumer.safe_position(partition).unwrap(), 100);
        assert_eq!(consumer.high_watermark(partition).unwrap(), 100);
    }
    assert!(consumer.at_end());
    assert_eq!(&*records[0].topic, "t");
    // One fetch covers all partitions of a shard.
    for seen in fake.seen(Api::Fetch) {
        assert_eq!(seen.parts.len(), if seen.shard == 0 { 2 } else { 1 }, "{seen:?}");
    }
}

#[tokio::test]
async fn an_empty_topic_is_at_its_end_at_once() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let consumer = fake.client().await.consumer().topic("t").build().await.unwrap();
    assert!(consumer.at_end());
}

#[tokio::test]
async fn poll_wakes_when_something_is_written() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let mut consumer = client.consumer().topic("t").wait_max(LONG).build().await.unwrap();
    fake.until(|state| state.seen.iter().any(|seen| seen.api == Api::Fetch)).await;
    let polling =
        tokio::spawn(async move { consumer.poll(LONG).await.map(|records| (records, consumer)) });
    write(&client, 0, 0..1, 1).await;
    let (records, consumer) = polling.await.unwrap().unwrap();
    assert_range(&records, 0, 0..1);
    assert!(consumer.at_end());
}

#[tokio::test(start_paused = true)]
async fn poll_gives_nothing_after_its_wait() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let mut consumer = client.consumer().topic("t").wait_max(LONG).build().await.unwrap();
    let begun = Instant::now();
    assert!(consumer.poll(Duration::from_secs(3)).await.unwrap().is_empty());
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(fake.count(Api::Fetch) <= 1, "the node holds the fetch");
}

#[tokio::test]
async fn a_poll_gives_no_more_than_asked() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..100, 50).await;
    let builder = client.consumer().topic("t").poll_records_max(30);
    let mut consumer = builder.build().await.unwrap();
    let mut records = Vec::new();
    while records.len() < 100 {
        let some = consumer.poll(LONG).await.unwrap();
        assert!(some.len() <= 30);
        records.extend(some);
    }
    assert_range(&records, 0, 0..100);
}

#[tokio::test]
async fn a_stream_gives_the_same_and_loses_nothing_when_it_is_dropped() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..30, 10).await;
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    let mut records = Vec::new();
    for _ in 0..6 {
        let mut stream = consumer.stream();
        for _ in 0..5 {
            records.push(stream.next().await.unwrap().unwrap());
        }
    }
    assert_range(&records, 0, 0..30);
    let mut stream = consumer.stream();
    assert!(stream.next().now_or_never().is_none(), "it waits for more");
}

#[tokio::test]
async fn positions_begin_where_they_say() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..100, 10).await;
    for (position, first) in [
        (Position::Earliest, 0),
        (Position::Offset(0), 0),
        (Position::Offset(55), 55),
        (Position::Timestamp(-5), 0),
        (Position::Timestamp(1000 + 10 * 42), 42),
        (Position::Timestamp(1000 + 10 * 42 - 1), 42),
    ] {
        let builder = client.consumer().topic("t").from(position);
        let mut consumer = builder.build().await.unwrap();
        assert_eq!(consumer.position(0).unwrap(), first);
        let records = read(&mut consumer, 100 - first as usize).await;
        assert_range(&records, 0, first..100);
    }
    for position in [Position::Latest, Position::Offset(100), Position::Timestamp(i64::MAX)] {
        let builder = client.consumer().topic("t").from(position);
        let consumer = builder.build().await.unwrap();
        assert!(consumer.at_end(), "{position:?}");
    }
}

#[tokio::test]
async fn a_seek_forgets_what_was_read_ahead() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let client = fake.client().await;
    write(&client, 0, 0..100, 10).await;
    write(&client, 1, 0..100, 10).await;
    let builder = client.consumer().topic("t").partitions([0, 1]).poll_records_max(3);
    let mut consumer = builder.fetch_bytes_max(1 << 10).build().await.unwrap();
    fake.until(|state| state.seen.iter().filter(|seen| seen.api == Api::Fetch).count() > 4).await;
    let before = consumer.poll(LONG).await.unwrap();
    let busy = before[0].partition;
    // Back, in the middle of a batch, with the rest of a batch and more read ahead.
    consumer.seek(busy, Position::Offset(1)).await.unwrap();
    let records = read(&mut consumer, 199).await;
    assert_range(&records, busy, 1..100);
    assert_range(&records, 1 - busy, 0..100);
    consumer.seek(0, Position::Offset(95)).await.unwrap();
    assert!(!consumer.at_end());
    assert_range(&read(&mut consumer, 5).await, 0, 95..100);
    consumer.seek(1, Position::Earliest).await.unwrap();
    assert_range(&read(&mut consumer, 100).await, 1, 0..100);
    consumer.seek(1, Position::Latest).await.unwrap();
    assert!(consumer.at_end());
}

#[tokio::test]
async fn assign_keeps_what_stays_and_drops_what_goes() {
    let fake = Fake::start().await;
    fake.create_topic("t", 3);
    let client = fake.client().await;
    for partition in 0..3 {
        write(&client, partition, 0..20, 5).await;
    }
    let mut consumer = client.consumer().topic("t").partitions([0, 1]).build().await.unwrap();
    read(&mut consumer, 40).await;
    write(&client, 0, 20..25, 5).await;
    write(&client, 1, 20..25, 5).await;
    consumer.assign([1, 2], Position::Offset(10)).await.unwrap();
    assert_eq!(consumer.assignment().collect::<Vec<_>>(), [1, 2]);
    let records = read(&mut consumer, 15).await;
    assert_range(&records, 1, 20..25);
    assert_range(&records, 2, 10..20);
    assert!(matches!(consumer.position(0), Err(ConsumeError::NotAssigned { partition: 0, .. })));
    let error = consumer.assign([3], Position::Earliest).await.unwrap_err();
    assert!(matches!(error, ConsumeError::UnknownPartition { partition: 3, last: 2, .. }));
    assert_eq!(consumer.assignment().collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn lost_connections_leave_no_gap_and_repeat_nothing() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::Refuse(ErrorCode::Overloaded)] {
        let fake = Fake::start().await;
        fake.create_topic("t", 2);
        let client = fake.client().await;
        write(&client, 0, 0..200, 10).await;
        write(&client, 1, 0..200, 10).await;
        for nth in [0, 2, 3, 7] {
            fake.fail(Api::Fetch, nth, fault.clone());
        }
        let builder = client.consumer().topic("t").fetch_bytes_max(1 << 10);
        let mut consumer = builder.build().await.unwrap();
        let records = read(&mut consumer, 400).await;
        assert_range(&records, 0, 0..200);
        assert_range(&records, 1, 0..200);
    }
}

#[tokio::test]
async fn a_partition_that_moves_is_followed() {
    let fake = Fake::with_shards(2).await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..10, 10).await;
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    assert_range(&read(&mut consumer, 10).await, 0, 0..10);
    fake.state().log("t", 0).shard = 1;
    write(&client, 0, 10..20, 10).await;
    assert_range(&read(&mut consumer, 10).await, 0, 10..20);
    assert_eq!(fake.seen(Api::Fetch).last().unwrap().shard, 1);
}

#[tokio::test]
async fn reading_ahead_stops_when_the_buffer_is_full() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = client.producer().compression(Compression::None).build().await.unwrap();
    for n in 0..64 {
        let record = ProduceRecord::new("t").value(vec![n; 10_000]);
        producer.send_and_wait(record).await.unwrap();
    }
    let builder = client.consumer().topic("t").buffer_bytes_max(40_000);
    let builder = builder.fetch_bytes_max(20_000);
    let mut consumer = builder.build().await.unwrap();
    fake.until(|state| state.seen.iter().filter(|seen| seen.api == Api::Fetch).count() >= 4).await;
    // An answer of every fetch that was sent is enough to see that there is no further one.
    client.admin().list_topics().await.unwrap();
    tokio::task::yield_now().await;
    let ahead = fake.count(Api::Fetch);
    assert!((4..=5).contains(&ahead), "{ahead} fetches of one batch each");
    let records = read(&mut consumer, 64).await;
    assert!(records.iter().enumerate().all(|(n, record)| record.record.value[0] == n as u8));
}

#[tokio::test]
async fn a_position_out_of_range_is_an_error_or_moves_as_asked() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let client = fake.client().await;
    write(&client, 0, 0..100, 10).await;
    write(&client, 1, 0..5, 5).await;
    fake.state().log("t", 0).trim(40);
    let consumer =
        |policy| client.consumer().topic("t").from(Position::Offset(3)).out_of_range(policy);

    let mut strict = consumer(OutOfRange::Error).build().await.unwrap();
    let error = loop {
        match strict.poll(LONG).await {
            Ok(records) => assert!(records.iter().all(|record| record.partition == 1)),
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    assert!(text.contains("40 to 100") && text.contains("no 3"), "{text}");
    assert_eq!(error.stands_still(), Some((0, None)));
    strict.seek(0, Position::Offset(90)).await.unwrap();
    let mut records = Vec::new();
    while !strict.at_end() {
        records.extend(strict.poll(LONG).await.unwrap());
    }
    assert_range(&records, 0, 90..100);

    let mut earliest = consumer(OutOfRange::Earliest).partitions([0]).build().await.unwrap();
    assert_range(&read(&mut earliest, 60).await, 0, 40..100);
    assert_eq!(earliest.take_resets(), [OffsetReset { partition: 0, from: 3, to: 40 }]);
    assert!(earliest.take_resets().is_empty());

    let mut latest = consumer(OutOfRange::Latest).partitions([0]).build().await.unwrap();
    write(&client, 0, 100..101, 1).await;
    let records = read(&mut latest, 1).await;
    let to = latest.take_resets()[0].to;
    assert_eq!(records[0].record.offset, 100);
    assert_eq!(to, 100);
}

#[tokio::test]
async fn a_damaged_batch_is_named_and_can_be_passed() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let client = fake.client().await;
    write(&client, 0, 0..100, 10).await;
    write(&client, 1, 0..100, 10).await;
    fake.state().log("t", 0).damage(1);
    // Small fetches: what is behind the damage comes in other answers than the damage.
    let builder = client.consumer().topic("t").fetch_bytes_max(1 << 10);
    let mut consumer = builder.build().await.unwrap();
    let mut records = Vec::new();
    let mut errors = Vec::new();
    while records.len() < 110 {
        match consumer.poll(LONG).await {
            Ok(some) => records.extend(some),
            Err(error) => errors.push(error),
        }
    }
    assert_range(&records, 0, 0..10);
    assert_range(&records, 1, 0..100);
    // The error may stand behind the other partition's records.
    if errors.is_empty() {
        errors.push(consumer.poll(LONG).await.unwrap_err());
    }
    let [error] = &errors[..] else { panic!("{errors:?}") };
    let text = error.to_string();
    assert!(text.contains("partition 0") && text.contains("offset 10"), "{text}");
    assert_eq!(consumer.position(0).unwrap(), 10);
    assert!(!consumer.at_end());
    let Some((0, Some(past))) = error.stands_still() else { panic!("{error:?}") };
    consumer.seek(0, Position::Offset(past)).await.unwrap();
    assert_range(&read(&mut consumer, 80).await, 0, 20..100);
    assert!(consumer.at_end());
}

#[tokio::test]
async fn damage_that_the_node_found_is_reported_once() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..20, 10).await;
    fake.fail(Api::Fetch, 0, Fault::RefusePartition(0, ErrorCode::DamagedData));
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    let error = consumer.poll(LONG).await.unwrap_err();
    assert!(matches!(error, ConsumeError::Damaged { partition: 0, offset: 0, .. }), "{error}");
    let fetches = fake.count(Api::Fetch);
    assert!(consumer.poll(Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(fake.count(Api::Fetch), fetches, "it stands still");
    consumer.seek(0, Position::Offset(10)).await.unwrap();
    assert_range(&read(&mut consumer, 10).await, 0, 10..20);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_is_reported_and_read_again_when_it_is_back() {
    let mut fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.builder().request_timeout(Duration::from_secs(5)).build().await.unwrap();
    write(&client, 0, 0..10, 10).await;
    let mut consumer = client.consumer().topic("t").build().await.unwrap();
    assert_range(&read(&mut consumer, 10).await, 0, 0..10);
    fake.stop();
    let begun = Instant::now();
    let error = consumer.poll(LONG).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_secs(5));
    match &error {
        ConsumeError::Unavailable { partitions, last, .. } => {
            assert_eq!(partitions, &[0]);
            assert!(last.contains("cannot connect"), "{last}");
        }
        other => panic!("{other}"),
    }
    fake.restart().await;
    write(&client, 0, 10..20, 10).await;
    assert_range(&read(&mut consumer, 10).await, 0, 10..20);
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_told() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let error = client.consumer().topic("none").build().await.unwrap_err();
    assert!(error.to_string().contains("\"none\" does not exist"), "{error}");
    let builder = client.consumer().topic("t").wait_max(Duration::from_millis(1));
    let mut consumer = builder.build().await.unwrap();
    fake.delete_topic("t");
    let error = consumer.poll(LONG).await.unwrap_err();
    assert!(matches!(error, ConsumeError::TopicDeleted { .. }), "{error}");
}

#[tokio::test]
async fn a_fetch_that_is_held_up_neither_delays_a_seek_nor_counts_after_it() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    write(&client, 0, 0..100, 10).await;
    let (first, third) = (Gate::closed(), Gate::closed());
    let fetches =
        |state: &fake::State| state.seen.iter().filter(|seen| seen.api == Api::Fetch).count();
    fake.fail(Api::Fetch, 0, Fault::Hold(first.clone()));
    fake.fail(Api::Fetch, 2, Fault::Hold(third.clone()));
    let builder = client.consumer().topic("t").from(Position::Offset(60)).wait_max(LONG);
    let mut consumer = builder.fetch_bytes_max(1 << 10).build().await.unwrap();
    fake.until(|state| fetches(state) == 1).await;
    consumer.seek(0, Position::Offset(5)).await.unwrap();
    fake.until(|state| fetches(state) == 3).await;
    // The answer from before the seek, of records further on, comes before that of the third.
    first.open();
    fake.until(|state| state.released == 1).await;
    third.open();
    assert_range(&read(&mut consumer, 95).await, 0, 5..100);
}
