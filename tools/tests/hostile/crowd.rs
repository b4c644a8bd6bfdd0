//! Clients that are silent, hasty, deaf or at the wrong door: each gets what it is due and takes
//! nothing from the others.

use std::collections::BTreeMap;

use ringspool_wire::{
    Acks, FRAME_BYTES_MAX, FetchPart, FetchRequest, FrameHeader, HEADER_BYTES, ProducePart,
    ProduceRequest, Request, Response,
};

use super::common::Place;
use super::common::raw::{
    RawConnection, assert_serves, batch_of, fetch_part, produce_request, records, whole,
};
use super::common::text::noise;
use super::{header, hello};

#[test]
fn many_connections_that_stop_inside_a_frame_hold_up_nobody() {
    let place = Place::new();
    let server = place.serve(2);
    let greeting = whole(&hello(0).encode(1));
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut connection = RawConnection::open(server.listen);
        connection.write(&greeting[..number % greeting.len()]);
        silent.push(connection);
    }
    for shard in (0..100).map(|number| number % 2) {
        let (mut connection, _) = RawConnection::connect_to(server.listen, shard);
        // The largest frame there is, of which nothing but the header comes.
        let attachment_bytes = FRAME_BYTES_MAX - HEADER_BYTES as u32;
        connection.write(&FrameHeader { attachment_bytes, ..header() }.encode());
        silent.push(connection);
    }
    for _ in 0..3 {
        assert_serves(server.listen);
    }
}

#[test]
fn a_thousand_pipelined_requests_are_all_answered_in_order_of_the_log() {
    const REQUESTS: u32 = 1000;
    let place = Place::new();
    let server = place.serve(2);
    let (mut connection, _) = RawConnection::connect_to(server.listen, 0);
    let topic_id = connection.create("t", 2, &[]);
    let mut sent = BTreeMap::new();
    for number in 0..REQUESTS {
        let batch = batch_of(number.to_string());
        let part = ProducePart { topic_id, partition: number % 2, batch };
        sent.insert(connection.send(&produce_request(vec![part])), number);
    }
    for _ in 0..REQUESTS {
        let (correlation, response) = connection.receive();
        let number = sent.remove(&correlation).expect("a request that is not answered yet");
        let Ok(Response::Produce(produced)) = response else { panic!("{response:?}") };
        let ack = produced.results[0].outcome.as_ref().unwrap();
        assert_eq!(ack.base_offset, u64::from(number / 2), "order of sending");
    }
    for partition in 0..2 {
        let values = connection.values_from(topic_id, partition, 0);
        let expected = (0..REQUESTS).filter(|number| number % 2 == partition);
        assert_eq!(values, expected.map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_serves(server.listen);
}

#[test]
fn a_client_that_does_not_read_its_answers_holds_up_nobody() {
    const FETCHES: usize = 24;
    let place = Place::new();
    let server = place.serve(2);
    let mut honest = RawConnection::connect(server.listen);
    let topic = honest.create("t", 4, &[]);
    let value = noise(900_000, 6);
    for partition in 0..4 {
        for _ in 0..8 {
            honest.produce(topic, partition, batch_of(&value)).unwrap();
        }
    }
    // More than a shard's budget for answers, of one partition of its own or of the other shard.
    let owners: Vec<u16> =
        honest.describe("t").topic.partitions.iter().map(|place| place.shard).collect();
    let mut mute = Vec::new();
    for (shard, owner) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut connection, _) = RawConnection::connect_to(server.listen, shard);
        let partition = owners.iter().position(|&place| place == owner).unwrap() as u32;
        let part = FetchPart { bytes_max: 8 << 20, ..fetch_part(topic, partition, 0) };
        for _ in 0..FETCHES {
            connection.send(&Request::Fetch(FetchRequest {
                wait_ms_max: 0,
                bytes_min: 1,
                bytes_max: 8 << 20,
                parts: vec![part],
            }));
        }
        mute.push(connection);
    }
    for shard in 0..2 {
        let (mut connection, _) = RawConnection::connect_to(server.listen, shard);
        for partition in 0..4 {
            let fetched = connection.fetch(topic, partition, 7).unwrap();
            assert_eq!(fetched[0].value, value, "shard {shard}, partition {partition}");
        }
    }
    assert_serves(server.listen);
    // The others were not served only because these were given up: they get all they asked for.
    for connection in &mut mute {
        for _ in 0..FETCHES {
            let (_, response) = connection.receive();
            let Ok(Response::Fetch(fetched)) = response else { panic!("{response:?}") };
            let slices = fetched.results[0].outcome.as_ref().unwrap();
            assert_eq!(records(slices, 0).len(), 8);
        }
    }
}

#[test]
fn a_fetch_of_many_large_batches_is_answered_within_a_frame() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 8, &[("batch_bytes_max", "8388608")]);
    let places = connection.describe("t").topic.partitions;
    // Of each shard first one that does not use up its share, then ones that pass it.
    let mut seen = [false; 2];
    let bytes = places.iter().map(|place| {
        let is_first = !std::mem::replace(&mut seen[usize::from(place.shard)], true);
        if is_first { 3_500_000 } else { 8_000_000 }
    });
    let values: Vec<Vec<u8>> = bytes.zip(1..).map(|(bytes, seed)| noise(bytes, seed)).collect();
    assert_eq!(seen, [true; 2], "both shards have partitions");
    for (partition, value) in (0..).zip(&values) {
        connection.produce(topic, partition, batch_of(value)).unwrap();
    }
    // Each answer is read within the frame limit; a reader that goes on gets everything.
    let mut next = [0u64; 8];
    while next != [1; 8] {
        let before = next;
        let parts = (0..8).zip(next).map(|(partition, offset)| FetchPart {
            bytes_max: 8 << 20,
            ..fetch_part(topic, partition, offset)
        });
        let fetched = connection.fetch_parts(FetchRequest {
            wait_ms_max: 0,
            bytes_min: 1,
            bytes_max: 8 << 20,
            parts: parts.collect(),
        });
        for ((result, next), value) in fetched.results.iter().zip(&mut next).zip(&values) {
            assert_eq!(result.high_watermark, 1);
            for record in records(result.outcome.as_ref().unwrap(), *next) {
                assert!(record.value == value);
                *next += 1;
            }
        }
        assert_ne!(before, next, "every answer brings something");
    }
    assert_serves(server.listen);
}

#[test]
fn acks_none_is_not_answered_and_the_record_is_there() {
    let place = Place::new();
    let server = place.serve(2);
    let (mut connection, _) = RawConnection::connect_to(server.listen, 0);
    let topic_id = connection.create("t", 2, &[]);
    for partition in 0..2 {
        let parts = vec![ProducePart { topic_id, partition, batch: batch_of("silent") }];
        connection.send(&Request::Produce(ProduceRequest {
            acks: Acks::None,
            timeout_ms: 0,
            parts,
        }));
        // Answered by a later offset, and by nothing in between.
        let ack = connection.produce(topic_id, partition, batch_of("answered")).unwrap();
        assert_eq!(ack.base_offset, 1);
        assert_eq!(connection.values_from(topic_id, partition, 0), ["silent", "answered"]);
    }
    assert_serves(server.listen);
}

#[test]
fn any_shard_serves_every_partition() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 8, &[]);
    let places = connection.describe("t").topic.partitions;
    let mut owners: Vec<u16> = places.iter().map(|place| place.shard).collect();
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners, [0, 1], "both shards have partitions");
    for shard in 0..2 {
        let (mut connection, hello) = RawConnection::connect_to(server.listen, shard);
        assert_eq!(hello.shard, shard);
        for partition in 0..8 {
            let value = format!("by {shard} for {partition}");
            let ack = connection.produce(topic, partition, batch_of(&value)).unwrap();
            assert_eq!(ack.base_offset, u64::from(shard));
            let fetched = connection.fetch(topic, partition, ack.base_offset).unwrap();
            assert_eq!(fetched[0].value, value);
        }
    }
}
