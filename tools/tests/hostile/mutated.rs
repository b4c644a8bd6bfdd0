//! Valid requests with some bytes changed: whatever comes of it, the node lives and others are served.

use std::collections::BTreeMap;

use ringspool_wire::{
    Acks, AlterTopicRequest, DeleteTopicRequest, DescribeTopicRequest, ErrorCode, FetchRequest,
    HEADER_BYTES, ListOffsetsRequest, MetadataRequest, OffsetQuery, ProducePart, ProduceRequest,
    Request, Response,
};

use super::common::Place;
use super::common::raw::{
    RawConnection, assert_serves, batch_of, create_request, fetch_part, setting, whole,
};
use super::common::text::noise;
use super::hello;

/// A request of every kind, none of which can do harm if its message is changed: `topic` is theirs.
fn every_request(topic: u64) -> Vec<Request> {
    let batch = batch_of("mutated");
    let part = |partition| ProducePart { topic_id: topic, partition, batch: batch.clone() };
    let parts = vec![part(0), part(1)];
    vec![
        hello(0),
        Request::Metadata(MetadataRequest { topics: Some(vec!["mutated".into(), "x".into()]) }),
        // No partitions: whatever else is changed, nothing large is created.
        create_request("mutated-2", 0, 1, &[("retention_bytes", "1000000")]),
        Request::AlterTopic(AlterTopicRequest {
            name: "mutated".into(),
            settings: vec![setting("retention_bytes", "1000000000")],
        }),
        Request::DescribeTopic(DescribeTopicRequest { name: "mutated".into() }),
        Request::ListTopics,
        Request::DeleteTopic(DeleteTopicRequest { name: "mutated-3".into() }),
        Request::InitProducer,
        Request::Produce(ProduceRequest { acks: Acks::Leader, timeout_ms: 1000, parts }),
        Request::Fetch(FetchRequest {
            wait_ms_max: 1,
            bytes_min: 1,
            bytes_max: 1 << 20,
            parts: vec![fetch_part(topic, 0, 0), fetch_part(topic, 1, 0)],
        }),
        Request::ListOffsets(ListOffsetsRequest {
            queries: vec![OffsetQuery { topic_id: topic, partition: 0, timestamp: 5 }],
        }),
    ]
}

/// Changes up to four bytes at or behind `from`.
fn mutate(bytes: &mut [u8], from: usize, seed: u64) {
    let dice = noise(9, seed);
    for change in 0..=usize::from(dice[8] % 4) {
        let at = usize::from(dice[2 * change]) * 256 + usize::from(dice[2 * change + 1]);
        let at = from + at % (bytes.len() - from);
        // Values that lengths and offsets do not like, and single bits.
        bytes[at] = match dice[8] / 4 % 4 {
            0 => 0xff,
            1 => 0,
            2 => bytes[at] ^ (1 << (dice[change] % 8)),
            _ => dice[change],
        };
    }
}

#[test]
fn mutated_messages_are_answered_and_harm_nobody() {
    const PER_CONNECTION: u64 = 100;
    let place = Place::new();
    let server = place.serve(2);
    let topic = RawConnection::connect(server.listen).create("mutated", 2, &[]);
    let requests: Vec<Vec<u8>> =
        every_request(topic).iter().map(|request| whole(&request.encode(7))).collect();
    let mut answered = BTreeMap::new();
    for round in 0..30 {
        let mut connection = RawConnection::connect(server.listen);
        for turn in 0..PER_CONNECTION {
            let seed = round * PER_CONNECTION + turn + 1;
            let mut bytes = requests[seed as usize % requests.len()].clone();
            if bytes.len() > HEADER_BYTES {
                mutate(&mut bytes, HEADER_BYTES, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            }
            connection.write(&bytes);
            // A produce that was changed to acks none has no answer and a fetch may wait long, so
            // that an ordinary request tells when the node is past it.
            let sentinel = connection.send(&Request::ListTopics);
            loop {
                let (correlation, response) = connection.receive();
                let code = response.as_ref().err().map_or(ErrorCode::None, |error| error.code);
                if correlation == sentinel {
                    assert_eq!(code, ErrorCode::None, "seed {seed}");
                    break;
                }
                assert_eq!(correlation, 7, "seed {seed}");
                assert_ne!(code, ErrorCode::Internal, "seed {seed}: {response:?}");
                *answered.entry(code).or_insert(0) += 1;
            }
        }
    }
    // The mutations were neither all harmless nor all refused.
    for code in [ErrorCode::None, ErrorCode::MalformedMessage] {
        assert!(answered.get(&code).is_some_and(|&count| count > 100), "{answered:?}");
    }
    assert_serves(server.listen);
}

#[test]
fn mutated_frames_of_any_part_end_in_an_answer_or_a_closed_connection() {
    let place = Place::new();
    let server = place.serve(2);
    let topic = RawConnection::connect(server.listen).create("mutated", 2, &[]);
    let requests = every_request(topic);
    for seed in 1..=600u64 {
        let first = whole(&requests[0].encode(1));
        let request = &requests[seed as usize % requests.len()];
        let mut bytes = [first, whole(&request.encode(2)), whole(&request.encode(3))].concat();
        mutate(&mut bytes, 0, seed.wrapping_mul(0xd134_2543_de82_ef95));
        let mut connection = RawConnection::open(server.listen);
        let _ = connection.try_write(&bytes);
        connection.close_writing();
        // It ends: whatever the lengths say now, the node does not wait for bytes that cannot come.
        while let Some((header, body)) = connection.read_frame() {
            assert!(header.is_response(), "seed {seed}");
            Response::decode(&header, body).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
    }
    assert_serves(server.listen);
}
