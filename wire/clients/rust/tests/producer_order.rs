//! Order, and each acknowledged record once, whatever happens on the way.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use fake::Fake;
use fake::fault::{Fault, Gate};
use ringspool_client::{
    Client, Compression, Delivery, DeliveryFuture, ErrorCode, ProduceError, ProduceRecord,
    Producer, ProducerBuilder,
};
use ringspool_wire::Api;

/// Small batches, sent at once.
fn eager(client: &Client) -> ProducerBuilder {
    client.producer().linger(Duration::ZERO).compression(Compression::None)
}

fn record(n: usize) -> ProduceRecord {
    ProduceRecord::new("t").partition(0).value(format!("record {n}"))
}

/// Sends records one by one; every other one lets the producer's task run, so that batches of
/// several sizes come about.
async fn send(producer: &Producer, range: std::ops::Range<usize>) -> Vec<DeliveryFuture> {
    let mut deliveries = Vec::new();
    for n in range {
        deliveries.push(producer.send(record(n)).await.unwrap());
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
    }
    deliveries
}

async fn all(deliveries: Vec<DeliveryFuture>) -> Vec<Delivery> {
    let mut done = Vec::new();
    for delivery in deliveries {
        done.push(delivery.await.unwrap());
    }
    done
}

/// Every record stands where its delivery says, and nothing else does.
fn assert_once_in_order(fake: &Fake, deliveries: &[Delivery]) {
    let expected: Vec<String> = (0..deliveries.len()).map(|n| format!("record {n}")).collect();
    assert_eq!(fake.values("t", 0), expected);
    for (n, delivery) in deliveries.iter().enumerate() {
        assert_eq!(delivery.offset, Some(n as u64));
    }
}

#[tokio::test]
async fn every_record_is_there_once_and_in_order_when_connections_drop() {
    // Each fault at each of the first requests, alone and together with another one.
    let faults = [Fault::DropBefore, Fault::DropAfter, Fault::Refuse(ErrorCode::Overloaded)];
    for fault in &faults {
        for nth in [0, 1, 2, 5] {
            for second in [None, Some(Fault::DropBefore), Some(Fault::DropAfter)] {
                let fake = Fake::start().await;
                fake.create_topic("t", 1);
                fake.fail(Api::Produce, nth, fault.clone());
                if let Some(second) = &second {
                    fake.fail(Api::Produce, nth + 2, second.clone());
                }
                let producer = eager(&fake.client().await).build().await.unwrap();
                let deliveries = all(send(&producer, 0..60).await).await;
                assert_once_in_order(&fake, &deliveries);
                producer.close().await.unwrap();
                // A node that has not seen the first batch yet does not know the producer of the
                // second: that is a gap, and no reason for another id.
                assert_eq!(fake.count(Api::InitProducer), 1, "{fault:?} {nth} {second:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stored_batch_whose_answer_is_lost_gets_its_first_offset() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    fake.fail(Api::Produce, 1, Fault::DropAfter);
    let producer = eager(&fake.client().await).build().await.unwrap();
    let first = producer.send_and_wait(record(0)).await.unwrap();
    let second = producer.send_and_wait(record(1)).await.unwrap();
    let third = producer.send_and_wait(record(2)).await.unwrap();
    assert_once_in_order(&fake, &[first, second, third]);
    assert_eq!([first.duplicate, second.duplicate, third.duplicate], [false, true, false]);
}

#[tokio::test]
async fn batches_behind_one_that_was_refused_for_now_wait_for_it() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let gate = Gate::closed();
    // The first is held up at the node, while the others come there: they are out of sequence.
    fake.fail(Api::Produce, 0, Fault::RefuseParts(ErrorCode::NotReady));
    fake.fail(Api::Produce, 3, Fault::Hold(gate.clone()));
    let producer = eager(&fake.client().await).build().await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..5 {
        deliveries.extend(send(&producer, n..n + 1).await);
        let requests = n + 1;
        fake.until(|state| {
            state.seen.iter().filter(|seen| seen.api == Api::Produce).count() >= requests.min(2)
        })
        .await;
    }
    gate.open();
    let deliveries = all(deliveries).await;
    assert_once_in_order(&fake, &deliveries);
}

#[tokio::test]
async fn a_server_that_comes_back_gets_what_was_sent_meanwhile() {
    let mut fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    let mut deliveries = send(&producer, 0..10).await;
    producer.flush().await.unwrap();
    fake.stop();
    deliveries.extend(send(&producer, 10..30).await);
    fake.restart().await;
    let deliveries = all(deliveries).await;
    assert_once_in_order(&fake, &deliveries);
}

#[tokio::test]
async fn a_partition_that_moves_is_followed() {
    let fake = Fake::with_shards(2).await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    let mut deliveries = send(&producer, 0..10).await;
    producer.flush().await.unwrap();
    let asked = fake.count(Api::Metadata);
    fake.state().log("t", 0).shard = 1;
    deliveries.extend(send(&producer, 10..30).await);
    let deliveries = all(deliveries).await;
    assert_once_in_order(&fake, &deliveries);
    assert!(fake.count(Api::Metadata) > asked);
    assert_eq!(fake.seen(Api::Produce).last().unwrap().shard, 1);
}

#[tokio::test]
async fn a_partition_without_leader_is_waited_for() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.client().await;
    fake.state().log("t", 0).error = ErrorCode::NotReady;
    let producer = eager(&client).build().await.unwrap();
    let deliveries = send(&producer, 0..3).await;
    let asked = fake.count(Api::Metadata);
    fake.until(|state| {
        state.seen.iter().filter(|seen| seen.api == Api::Metadata).count() >= asked + 2
    })
    .await;
    fake.state().log("t", 0).error = ErrorCode::None;
    assert_once_in_order(&fake, &all(deliveries).await);
}

#[tokio::test]
async fn a_batch_that_fails_for_good_fails_alone_and_the_rest_goes_on_in_order() {
    for nth in [0, 1, 3] {
        let fake = Fake::start().await;
        fake.create_topic("t", 1);
        fake.fail(Api::Produce, nth, Fault::RefusePartition(0, ErrorCode::BatchTooLarge));
        let producer = eager(&fake.client().await).build().await.unwrap();
        let mut kept = Vec::new();
        let mut failed = 0;
        for (n, delivery) in send(&producer, 0..40).await.into_iter().enumerate() {
            match delivery.await {
                Ok(delivery) => kept.push((format!("record {n}"), delivery.offset.unwrap())),
                Err(ProduceError::Refused { source, partition: 0, .. }) => {
                    assert_eq!(source.code, ErrorCode::BatchTooLarge);
                    failed += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(failed > 0);
        let values: Vec<String> = kept.iter().map(|(value, _)| value.clone()).collect();
        assert_eq!(fake.values("t", 0), values);
        let offsets: Vec<u64> = kept.iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, (0..kept.len() as u64).collect::<Vec<_>>());
        assert_eq!(fake.count(Api::InitProducer), 2, "one new producer id");
        let error = producer.close().await.unwrap_err();
        assert_eq!(error.records, failed);
    }
}

/// The change of the producer id must not store again what an earlier try has stored.
#[tokio::test]
async fn a_new_producer_id_never_stores_a_batch_twice() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await)
        .delivery_timeout(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    // Three requests in flight. The first is stored and its answer comes last; the second and
    // third are stored, and lost with the connection.
    let gate = Gate::closed();
    fake.fail(Api::Produce, 0, Fault::Hold(gate.clone()));
    fake.fail(Api::Produce, 1, Fault::Hold(gate.clone()));
    fake.fail(Api::Produce, 2, Fault::DropAfter);
    // Sent again, the first is refused for good, as if the node could not read it any more, and
    // the others are lost once more: they may be stored, and only the node knows.
    fake.fail(Api::Produce, 3, Fault::RefuseParts(ErrorCode::InvalidBatch));
    fake.fail(Api::Produce, 4, Fault::DropBefore);
    let mut deliveries = Vec::new();
    for n in 0..3 {
        deliveries.extend(send(&producer, n..n + 1).await);
        fake.until(|state| state.seen.iter().filter(|seen| seen.api == Api::Produce).count() > n)
            .await;
    }
    let mut deliveries = deliveries.into_iter();
    assert!(deliveries.next().unwrap().await.is_err());
    let rest = all(deliveries.collect()).await;
    assert_eq!(fake.values("t", 0), ["record 0", "record 1", "record 2"]);
    assert_eq!([rest[0].offset, rest[1].offset], [Some(1), Some(2)]);
    assert!(rest[0].duplicate && rest[1].duplicate);
}

#[tokio::test]
async fn a_forgotten_producer_goes_on_under_a_new_id() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    let mut deliveries = send(&producer, 0..10).await;
    producer.flush().await.unwrap();
    fake.state().log("t", 0).forget_producers();
    deliveries.extend(send(&producer, 10..30).await);
    let deliveries = all(deliveries).await;
    assert_once_in_order(&fake, &deliveries);
    assert_eq!(fake.count(Api::InitProducer), 2);
}

#[tokio::test]
async fn a_gap_that_the_producer_did_not_make_fails_the_batch() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    producer.send_and_wait(record(0)).await.unwrap();
    fake.fail(Api::Produce, 0, Fault::RefuseParts(ErrorCode::OutOfSequence));
    let error = producer.send_and_wait(record(1)).await.unwrap_err();
    match error {
        ProduceError::Refused { source, .. } => assert_eq!(source.code, ErrorCode::OutOfSequence),
        other => panic!("{other}"),
    }
    producer.send_and_wait(record(2)).await.unwrap();
    assert_eq!(fake.values("t", 0), ["record 0", "record 2"]);
}

#[tokio::test]
async fn without_idempotence_one_batch_is_in_flight_and_order_holds() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    fake.fail(Api::Produce, 1, Fault::Refuse(ErrorCode::Overloaded));
    fake.fail(Api::Produce, 4, Fault::DropBefore);
    let producer = eager(&fake.client().await).idempotent(false).build().await.unwrap();
    let deliveries = all(send(&producer, 0..60).await).await;
    assert_once_in_order(&fake, &deliveries);
    assert_eq!(fake.state().in_flight_most, 1);
    assert_eq!(fake.count(Api::InitProducer), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_takes_too_long_fails_and_says_whether_it_may_be_stored() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let client = fake.builder().request_timeout(Duration::from_secs(1)).build().await.unwrap();
    let producer = eager(&client).delivery_timeout(Duration::from_secs(3)).build().await.unwrap();
    producer.send_and_wait(record(0)).await.unwrap();
    for nth in 0..20 {
        fake.fail(Api::Produce, nth, Fault::Ignore);
    }
    match producer.send_and_wait(record(1)).await {
        Err(ProduceError::TimedOut { maybe_stored: true, last, .. }) => {
            assert!(last.contains("did not answer Produce"), "{last}");
        }
        other => panic!("{other:?}"),
    }
    let fake2 = Fake::start().await;
    fake2.create_topic("t", 1);
    let client = fake2.client().await;
    let producer = eager(&client).delivery_timeout(Duration::from_secs(3)).build().await.unwrap();
    for nth in 0..200 {
        fake2.fail(Api::Produce, nth, Fault::RefuseParts(ErrorCode::OutOfSpace));
    }
    match producer.send_and_wait(record(1)).await {
        Err(ProduceError::TimedOut { maybe_stored: false, last, .. }) => {
            assert!(last.contains("OutOfSpace"), "{last}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_deleted_topic_fails_what_waits_and_a_new_one_of_its_name_is_found() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    producer.send_and_wait(record(0)).await.unwrap();
    fake.delete_topic("t");
    let error = producer.send_and_wait(record(1)).await.unwrap_err();
    assert!(matches!(error, ProduceError::TopicDeleted { .. }), "{error}");
    let error = producer.send(record(2)).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    fake.create_topic("t", 1);
    assert_eq!(producer.send_and_wait(record(0)).await.unwrap().offset, Some(0));
    // Deleted and created again between two records.
    fake.delete_topic("t");
    fake.create_topic("t", 1);
    let error = producer.send_and_wait(record(1)).await.unwrap_err();
    assert!(matches!(error, ProduceError::TopicDeleted { .. }), "{error}");
    assert_eq!(producer.send_and_wait(record(0)).await.unwrap().offset, Some(0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_before_all_that_is_in_flight_is_back() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let gate = Gate::closed();
    fake.fail(Api::Produce, 0, Fault::Delay(gate.clone()));
    fake.fail(Api::Produce, 1, Fault::RefuseParts(ErrorCode::NotReady));
    let producer = eager(&fake.client().await).build().await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..2 {
        deliveries.extend(send(&producer, n..n + 1).await);
        fake.until(|state| state.seen.iter().filter(|seen| seen.api == Api::Produce).count() > n)
            .await;
    }
    // Far beyond every backoff, on the paused clock.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(fake.count(Api::Produce), 2);
    gate.open();
    assert_once_in_order(&fake, &all(deliveries).await);
    assert_eq!(fake.count(Api::Produce), 3);
}

#[tokio::test]
async fn many_who_need_the_metadata_ask_for_it_once() {
    let fake = Fake::start().await;
    fake.create_topic("t", 1);
    let producer = eager(&fake.client().await).build().await.unwrap();
    let asked = fake.count(Api::Metadata);
    let gate = Gate::closed();
    fake.fail(Api::Metadata, 0, Fault::Hold(gate.clone()));
    let sending: Vec<_> = (0..10)
        .map(|n| {
            let producer = producer.clone();
            tokio::spawn(async move { producer.send_and_wait(record(n)).await })
        })
        .collect();
    fake.until(|state| state.seen.iter().filter(|seen| seen.api == Api::Metadata).count() > asked)
        .await;
    gate.open();
    for sent in sending {
        sent.await.unwrap().unwrap();
    }
    assert_eq!(fake.count(Api::Metadata), asked + 1);
}
