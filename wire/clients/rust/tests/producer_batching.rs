//! When batches leave, how large they are, and what waits for what.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use bytes::Bytes;
use fake::Fake;
use fake::fault::{Fault, Gate};
use futures::FutureExt;
use ringspool_client::{
    Acks, BatchBuilder, Compression, ErrorCode, ProduceError, ProduceRecord, ProducerStamp,
    RecordRef, partition_for_key,
};
use ringspool_wire::Api;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(3600);

fn record(value: impl Into<Bytes>) -> ProduceRecord {
    ProduceRecord::new("t").partition(0).value(value)
}

#[test]
fn keys_go_to_the_partitions_that_every_client_agrees_on() {
    // XXH3-64 with seed 0, by the reference implementation in C; the lengths take different paths
    // through it.
    let long: Vec<u8> = (0..=255).chain(0..=255).collect();
    let golden: [(&[u8], u64); 7] = [
        (b"", 0x2d06_8005_38d3_94c2),
        (b"a", 0xe6c6_32b6_1e96_4e1f),
        (b"abc", 0x78af_5f94_892f_3950),
        (b"customer-17", 0xf22f_d48e_c1e6_739c),
        (b"0123456789abcdef", 0x6443_9946_d8fa_212d),
        (&long[..100], 0x004e_4f92_1a64_bd1c),
        (&long, 0x1059_105a_d19b_fa09),
    ];
    for (key, hash) in golden {
        for partitions in [1, 2, 3, 12, 1000, 100_000] {
            let expected = (hash % u64::from(partitions)) as u32;
            assert_eq!(partition_for_key(key, partitions), expected, "{key:?} of {partitions}");
        }
    }
    assert_eq!(partition_for_key(b"customer-17", 12), 8);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_linger_and_takes_what_comes_meanwhile() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let linger = Duration::from_secs(5);
    let producer = fake.client().await.producer().linger(linger).build().await.unwrap();
    let begun = Instant::now();
    let first = producer.send(record("one")).await.unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    let second = producer.send(record("two")).await.unwrap();
    assert_eq!(fake.count(Api::Produce), 0);
    assert_eq!(first.await.unwrap().offset, Some(0));
    assert_eq!(second.await.unwrap().offset, Some(1));
    assert!(begun.elapsed() >= linger);
    assert_eq!(fake.count(Api::Produce), 1);
}

#[tokio::test]
async fn a_full_batch_does_not_wait() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = fake.client().await.producer();
    let producer = producer.linger(LONG).batch_bytes(16 << 10).compression(Compression::None);
    let producer = producer.build().await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..40 {
        deliveries.push(producer.send(record(vec![b'x'; 1000])).await.unwrap());
    }
    // 15 records of 1000 bytes go into 16 KiB: two batches leave, the third waits for more.
    let last = deliveries.split_off(30);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let parts: Vec<(u32, u64)> =
        fake.seen(Api::Produce).into_iter().flat_map(|s| s.parts).collect();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|(_, bytes)| *bytes <= 16 << 10), "{parts:?}");
    for delivery in last {
        assert!(delivery.now_or_never().is_none());
    }
}

#[tokio::test]
async fn flush_sends_what_waits_and_knows_what_failed() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = fake.client().await.producer().linger(LONG).build().await.unwrap();
    let delivery = producer.send(record("one")).await.unwrap();
    producer.flush().await.unwrap();
    // Flush has waited for it.
    assert_eq!(delivery.now_or_never().unwrap().unwrap().offset, Some(0));
    fake.fail(Api::Produce, 0, Fault::RefuseParts(ErrorCode::InvalidBatch));
    drop(producer.send(record("two")).await.unwrap());
    drop(producer.send(record("three")).await.unwrap());
    let error = producer.flush().await.unwrap_err();
    assert_eq!(error.records, 2);
    assert!(matches!(error.first, ProduceError::Refused { .. }), "{error}");
    producer.flush().await.unwrap();
}

#[tokio::test]
async fn partitions_that_are_ready_together_share_a_request_per_shard() {
    let fake = Fake::with_shards(2).await;
    fake.create_topic("t", 6);
    let producer = fake.client().await.producer().linger(LONG).build().await.unwrap();
    let mut deliveries = Vec::new();
    for partition in 0..6 {
        let record = ProduceRecord::new("t").partition(partition).value("x");
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    for (partition, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.unwrap().partition, partition as u32);
    }
    let mut requests: Vec<(u16, Vec<u32>)> = Vec::new();
    for seen in fake.seen(Api::Produce) {
        let mut partitions: Vec<u32> = seen.parts.iter().map(|(partition, _)| *partition).collect();
        partitions.sort_unstable();
        requests.push((seen.shard, partitions));
    }
    requests.sort();
    assert_eq!(requests, [(0, vec![0, 2, 4]), (1, vec![1, 3, 5])]);
}

#[tokio::test]
async fn batches_fill_up_while_others_are_in_flight() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let gate = Gate::closed();
    fake.fail(Api::Produce, 0, Fault::Hold(gate.clone()));
    let client = fake.client().await;
    let producer = client.producer().linger(Duration::ZERO).in_flight_max(1);
    let producer = producer.build().await.unwrap();
    let mut deliveries = vec![producer.send(record("first")).await.unwrap()];
    fake.until(|state| state.in_flight == 1).await;
    for n in 0..100 {
        deliveries.push(producer.send(record(format!("{n}"))).await.unwrap());
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.count(Api::Produce), 1);
    gate.open();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(fake.count(Api::Produce), 2, "all hundred in one batch");
    assert_eq!(fake.state().in_flight_most, 1);
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let fake = Fake::start().await;
    fake.create_topic("t", 8);
    let gate = Gate::closed();
    for nth in 0..50 {
        fake.fail(Api::Produce, nth, Fault::Hold(gate.clone()));
    }
    let client = fake.client().await;
    let producer = client.producer().linger(Duration::ZERO).in_flight_max(3);
    let producer = producer.build().await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..50_u32 {
        let record = ProduceRecord::new("t").partition(n % 8).value("x");
        deliveries.push(producer.send(record).await.unwrap());
        tokio::task::yield_now().await;
    }
    fake.until(|state| state.in_flight == 3).await;
    gate.open();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(fake.state().in_flight_most, 3);
}

#[tokio::test]
async fn send_waits_while_the_buffer_is_full() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let gate = Gate::closed();
    fake.fail(Api::Produce, 0, Fault::Hold(gate.clone()));
    let client = fake.client().await;
    // With this linger, only the want of room can make the first batch leave.
    let producer = client.producer().linger(LONG).buffer_bytes_max(10_000).build().await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..10 {
        deliveries.push(producer.send(record(vec![b'x'; 1000])).await.unwrap());
    }
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(record(vec![b'y'; 1000])).await }
    });
    fake.until(|state| state.in_flight == 1).await;
    assert!(!waiting.is_finished());
    gate.open();
    let eleventh = waiting.await.unwrap().unwrap();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(eleventh.await.unwrap().offset, Some(10));
}

#[tokio::test]
async fn a_record_larger_than_the_buffer_goes_alone() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = client.producer().buffer_bytes_max(1000).build().await.unwrap();
    for _ in 0..3 {
        producer.send_and_wait(record(vec![b'x'; 50_000])).await.unwrap();
    }
    assert_eq!(fake.records("t", 0).len(), 3);
}

#[tokio::test]
async fn compressed_batches_keep_their_order_and_are_smaller() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let client = fake.client().await;
    let producer = client.producer().linger(Duration::ZERO).batch_bytes(256 << 10);
    let producer = producer.build().await.unwrap();
    // Large batches are compressed on other threads, small ones behind them are not.
    let mut sent = [Vec::new(), Vec::new()];
    for n in 0..200_u32 {
        let size = if n % 3 == 0 { 200_000 } else { 10 };
        let value = format!("{n}-{}", "compressible ".repeat(size / 13));
        sent[n as usize % 2].push(value.clone());
        let record = ProduceRecord::new("t").partition(n % 2).value(value);
        drop(producer.send(record).await.unwrap());
        if n % 5 == 0 {
            tokio::task::yield_now().await;
        }
    }
    producer.flush().await.unwrap();
    for partition in 0..2 {
        assert!(fake.values("t", partition) == sent[partition as usize], "partition {partition}");
    }
    let bytes: u64 = fake.seen(Api::Produce).iter().flat_map(|s| &s.parts).map(|(_, b)| b).sum();
    assert!(bytes < 2_000_000, "{bytes} bytes for 13 MB of text");
}

#[tokio::test]
async fn records_without_key_fill_one_partition_after_the_other() {
    let fake = Fake::start().await;
    fake.create_topic("t", 3);
    let client = fake.client().await;
    let producer = client.producer().linger(LONG).batch_bytes(16 << 10).build().await.unwrap();
    let mut partitions = Vec::new();
    for _ in 0..60 {
        let record = ProduceRecord::new("t").value(vec![b'x'; 1000]);
        partitions.push(producer.send(record).await.unwrap().partition());
    }
    producer.flush().await.unwrap();
    let first = partitions[0];
    let expected: Vec<u32> = (0..60).map(|n| (first + n / 15) % 3).collect();
    assert_eq!(partitions, expected);
}

#[tokio::test]
async fn records_with_a_key_go_where_it_says() {
    let fake = Fake::start().await;
    fake.create_topic("t", 5);
    let producer = fake.client().await.producer().build().await.unwrap();
    for n in 0..50 {
        let key = format!("key-{n}");
        let record = ProduceRecord::new("t").key(key.clone()).value("x").header("h", "v");
        let delivery = producer.send(record).await.unwrap();
        assert_eq!(delivery.partition(), partition_for_key(key.as_bytes(), 5));
    }
    producer.close().await.unwrap();
    let keyed: usize = (0..5).map(|p| fake.records("t", p).len()).sum();
    assert_eq!(keyed, 50);
    assert_eq!(fake.records("t", 0)[0].headers[0].0, "h");
}

#[tokio::test]
async fn acks_none_resolves_without_an_offset() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    let producer = client.producer().acks(Acks::None).linger(Duration::ZERO).build().await.unwrap();
    for n in 0..20 {
        let delivery = producer.send_and_wait(record(format!("{n}"))).await.unwrap();
        assert_eq!(delivery.offset, None);
    }
    producer.close().await.unwrap();
    fake.until(|state| state.topic("t").unwrap().partitions[0].end == 20).await;
    assert_eq!(fake.count(Api::InitProducer), 0);
    let values: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    assert_eq!(fake.values("t", 0), values);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let client = fake.client().await;
    let producer = client.producer().record_bytes_max(1000).linger(LONG).build().await.unwrap();
    let error = producer.send(record(vec![0; 1001])).await.unwrap_err();
    assert!(error.to_string().contains("1001 bytes"), "{error}");
    let error = producer.send(ProduceRecord::new("t").partition(2)).await.unwrap_err();
    assert!(error.to_string().contains("partitions 0 to 1"), "{error}");
    let error = producer.send(ProduceRecord::new("none")).await.unwrap_err();
    assert!(error.to_string().contains("\"none\" does not exist"), "{error}");
    let error = producer.send(record("x").key(vec![0; 65 << 10])).await.unwrap_err();
    assert!(matches!(error, ProduceError::InvalidRecord { .. }), "{error}");
    // None of them left anything behind.
    producer.close().await.unwrap();
    assert_eq!(fake.count(Api::Produce), 0);
    let error = producer.send(record("late")).await.unwrap_err();
    assert!(matches!(error, ProduceError::Closed), "{error}");
    let error = client.producer().batch_bytes(100).build().await.unwrap_err();
    assert!(error.to_string().contains("batch_bytes is 100"), "{error}");
}

#[tokio::test]
async fn what_a_dropped_producer_holds_is_still_sent() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = fake.client().await.producer().linger(LONG).build().await.unwrap();
    let delivery = producer.send(record("kept")).await.unwrap();
    drop(producer);
    assert_eq!(delivery.await.unwrap().offset, Some(0));
}

#[test]
fn a_runtime_that_ends_fails_what_it_leaves() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ending, staying) = (runtime(), runtime());
    let (delivery, producer) = ending.block_on(async {
        let fake = Fake::start().await;
        fake.create_topic("t", 1);
        let producer = fake.client().await.producer().linger(LONG).build().await.unwrap();
        (producer.send(record("lost")).await.unwrap(), producer)
    });
    drop(ending);
    let error = staying.block_on(delivery).unwrap_err();
    assert!(matches!(error, ProduceError::Abandoned), "{error}");
    assert!(staying.block_on(producer.send(record("late"))).is_err());
}

#[tokio::test]
async fn a_batch_of_the_callers_own_goes_out_as_it_is() {
    let fake = Fake::start().await;
    fake.create_topic("t", 2);
    let producer = fake.client().await.producer().build().await.unwrap();
    let mut builder = BatchBuilder::new(Compression::None);
    for value in [&b"a"[..], b"b"] {
        builder.push(&RecordRef { value, ..RecordRef::default() }).unwrap();
    }
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    for n in 0..3 {
        let ack = producer.produce_batch("t", 1, batch.clone(), Acks::Leader).await.unwrap();
        assert_eq!(ack.unwrap().base_offset, 2 * n);
    }
    let none = producer.produce_batch("t", 1, batch.clone(), Acks::None).await.unwrap();
    assert_eq!(none, None);
    fake.until(|state| state.topic("t").unwrap().partitions[1].end == 8).await;
    fake.fail(Api::Produce, 0, Fault::RefuseParts(ErrorCode::OutOfSpace));
    let error = producer.produce_batch("t", 1, batch, Acks::Leader).await.unwrap_err();
    assert!(error.to_string().contains("OutOfSpace"), "{error}");
}
