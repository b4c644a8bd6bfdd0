//! `kill -9` in the middle of producing, ten times in a row: every acknowledged record is there
//! once, in order, at the offset it was acknowledged with, and no record is there twice.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use common::text::{lines_of_about, numbered};
use common::{DEADLINE, Place};
use ringspool_client::{Acks, Client, DeliveryFuture, NewTopic, Position, ProduceRecord, Producer};
use tokio::sync::{Notify, mpsc};

const ROUNDS: u64 = 10;
const PARTITIONS: u32 = 3;

/// Acknowledgements between a start and the next kill.
const ACKED_PER_ROUND: u64 = 2000;

/// What was acknowledged: payloads by partition and offset, in the order they were sent.
type Acknowledged = Vec<(u32, u64, Vec<u8>)>;

#[derive(Default)]
struct Progress {
    acked: AtomicU64,
    changed: Notify,
}

impl Progress {
    async fn reach(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.acked.load(SeqCst) >= count {
                return;
            }
            changed.await;
        }
    }
}

/// Sends line after line, each told apart by its number, until told to stop.
async fn send(
    producer: Producer,
    lines: Arc<Vec<Vec<u8>>>,
    deliveries: mpsc::Sender<(Vec<u8>, DeliveryFuture)>,
    stop: Arc<AtomicBool>,
) {
    for number in 0u64.. {
        if stop.load(SeqCst) {
            break;
        }
        let line = &lines[number as usize % lines.len()];
        let payload = [format!("{number}:").as_bytes(), line].concat();
        let record = ProduceRecord::new("t")
            .partition((number % u64::from(PARTITIONS)) as u32)
            .value(payload.clone());
        let delivery = producer.send(record).await.unwrap();
        deliveries.send((payload, delivery)).await.unwrap();
    }
}

async fn collect(
    mut deliveries: mpsc::Receiver<(Vec<u8>, DeliveryFuture)>,
    progress: Arc<Progress>,
) -> Acknowledged {
    let mut acknowledged = Vec::new();
    while let Some((payload, delivery)) = deliveries.recv().await {
        let delivery = delivery.await.unwrap();
        acknowledged.push((delivery.partition, delivery.offset.unwrap(), payload));
        progress.acked.fetch_add(1, SeqCst);
        progress.changed.notify_waiters();
    }
    acknowledged
}

/// Everything there is, by partition, in the order it is read.
async fn read_all(client: &Client) -> HashMap<u32, Vec<(u64, Vec<u8>)>> {
    let description = client.admin().describe_topic("t").await.unwrap();
    let total: u64 = description.states.iter().map(|state| state.high_watermark).sum();
    let mut consumer = client.consumer().topic("t").from(Position::Earliest).build().await.unwrap();
    let mut all: HashMap<u32, Vec<(u64, Vec<u8>)>> = HashMap::new();
    let mut count = 0;
    while count < total {
        let records = consumer.poll(DEADLINE).await.unwrap();
        assert!(!records.is_empty(), "{} of {total} records came", count);
        for consumed in records {
            count += 1;
            let record = (consumed.record.offset, consumed.record.value.to_vec());
            all.entry(consumed.partition).or_default().push(record);
        }
    }
    all
}

fn check(acknowledged: &Acknowledged, all: &HashMap<u32, Vec<(u64, Vec<u8>)>>) {
    let mut seen = HashSet::new();
    for (partition, records) in all {
        for (index, (offset, payload)) in (0u64..).zip(records) {
            assert_eq!(*offset, index, "partition {partition} has a gap or a double");
            let text = common::lossy(payload);
            assert!(seen.insert(payload), "{text:?} is there twice");
        }
    }
    let mut last_offset = HashMap::new();
    for (partition, offset, payload) in acknowledged {
        let found = &all[partition][*offset as usize].1;
        assert!(
            found == payload,
            "partition {partition} offset {offset}: acknowledged was {:?}, there is {:?}",
            common::lossy(payload),
            common::lossy(found)
        );
        let last = last_offset.insert(*partition, *offset);
        assert!(last < Some(*offset), "partition {partition}: {offset} follows {last:?}");
    }
    let stored: usize = all.values().map(Vec::len).sum();
    assert_eq!(stored, acknowledged.len(), "every record was acknowledged in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_in_a_row_lose_nothing_and_double_nothing() {
    let place = Place::new();
    let mut server = place.serve(2);
    let listen = server.listen;
    let client = Client::connect(&listen.to_string()).await.unwrap();
    client.admin().create_topic(NewTopic::new("t").partitions(PARTITIONS)).await.unwrap();
    // Small batches: many requests are under way at every kill.
    let producer = client
        .producer()
        .acks(Acks::Quorum)
        .batch_bytes(8192)
        .linger(Duration::from_millis(1))
        .buffer_bytes_max(256 << 10)
        .delivery_timeout(DEADLINE)
        .build()
        .await
        .unwrap();

    let lines = Arc::new(numbered(lines_of_about(1_000_000)));
    let progress = Arc::new(Progress::default());
    let stop = Arc::new(AtomicBool::new(false));
    let (deliveries, to_collect) = mpsc::channel(100_000);
    let sending = tokio::spawn(send(producer.clone(), lines, deliveries, stop.clone()));
    let collecting = tokio::spawn(collect(to_collect, progress.clone()));

    for round in 1..=ROUNDS {
        // A little later in every round, so that the kills meet different moments.
        let count = progress.acked.load(SeqCst) + ACKED_PER_ROUND + 137 * round;
        tokio::time::timeout(DEADLINE, progress.reach(count)).await.unwrap_or_else(|_| {
            panic!("round {round}: nothing is acknowledged any more; {}", server.log())
        });
        server.kill();
        server = place.serve_again(listen, 2);
    }
    stop.store(true, SeqCst);
    sending.await.unwrap();
    producer.close().await.unwrap();
    let acknowledged = collecting.await.unwrap();
    assert!(acknowledged.len() as u64 > ROUNDS * ACKED_PER_ROUND);

    check(&acknowledged, &read_all(&client).await);
    // And once more from what is on the disk.
    server.kill();
    let server = place.serve_again(listen, 2);
    check(&acknowledged, &read_all(&client).await);
    assert!(server.stop().success());
}
