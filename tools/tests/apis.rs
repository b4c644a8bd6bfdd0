//! What every api answers, good and bad, over the wire and across restarts.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use common::Place;
use common::raw::{
    FETCH_BYTES, RawConnection, batch, batch_of, create_request, fetch_part, produce_request,
    records, setting, until,
};
use common::text::noise;
use ringspool_wire::{
    AlterTopicRequest, DeleteTopicRequest, DescribeTopicRequest, EARLIEST, ErrorCode, FetchPart,
    FetchRequest, LATEST, ListOffsetsRequest, MetadataRequest, OffsetFound, OffsetQuery,
    ProduceAck, ProducePart, ProducerStamp, Request, Response,
};

/// The code a request is refused with, and what is said.
fn refused(connection: &mut RawConnection, request: &Request) -> (ErrorCode, String) {
    match connection.call(request) {
        Err(error) => (error.code, error.message),
        Ok(response) => panic!("{request:?} was answered with {response:?}"),
    }
}

fn delete(name: &str) -> Request {
    Request::DeleteTopic(DeleteTopicRequest { name: name.to_owned() })
}

fn alter(name: &str, settings: &[(&str, &str)]) -> Request {
    let settings = settings.iter().map(|(key, value)| setting(key, value)).collect();
    Request::AlterTopic(AlterTopicRequest { name: name.to_owned(), settings })
}

fn topic_names(connection: &mut RawConnection) -> Vec<(String, u64)> {
    match connection.call(&Request::ListTopics).unwrap() {
        Response::ListTopics(list) => {
            list.topics.into_iter().map(|topic| (topic.name, topic.id)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_topic_that_cannot_be_is_refused_and_told_why() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let id = connection.create("orders", 3, &[]);
    let long = "x".repeat(250);
    let many = u16::MAX;
    for (request, code, says) in [
        (create_request("orders", 1, 1, &[]), ErrorCode::TopicExists, "orders"),
        (create_request("", 1, 1, &[]), ErrorCode::InvalidTopicName, "empty"),
        (create_request("a/b", 1, 1, &[]), ErrorCode::InvalidTopicName, "'/'"),
        (create_request("..", 1, 1, &[]), ErrorCode::InvalidTopicName, "reserved"),
        (create_request(&long, 1, 1, &[]), ErrorCode::InvalidTopicName, "250"),
        (create_request("none", 0, 1, &[]), ErrorCode::InvalidPartitions, "0"),
        (create_request("all", 100_001, 1, &[]), ErrorCode::InvalidPartitions, "100001"),
        (create_request("twice", 1, 2, &[]), ErrorCode::InvalidReplicas, "2"),
        (create_request("ever", 1, many, &[]), ErrorCode::InvalidReplicas, "65535"),
        (create_request("s", 1, 1, &[("colour", "red")]), ErrorCode::InvalidSetting, "colour"),
        (
            create_request("s", 1, 1, &[("retention_by", "1")]),
            ErrorCode::InvalidSetting,
            "retention_bytes",
        ),
        (create_request("s", 1, 1, &[("segment_bytes", "1")]), ErrorCode::InvalidSetting, "1MiB"),
        (alter("orders", &[("segment_ms", "soon")]), ErrorCode::InvalidSetting, "soon"),
        (alter("nobody", &[]), ErrorCode::UnknownTopic, "nobody"),
        (delete("nobody"), ErrorCode::UnknownTopic, "nobody"),
        (
            Request::DescribeTopic(DescribeTopicRequest { name: "nobody".into() }),
            ErrorCode::UnknownTopic,
            "nobody",
        ),
    ] {
        let (found, message) = refused(&mut connection, &request);
        assert_eq!(found, code, "{request:?}: {message}");
        assert!(message.contains(says), "{says:?} is not in: {message}");
    }
    assert_eq!(topic_names(&mut connection), [("orders".to_owned(), id)], "nothing came of it");
    assert_eq!(connection.describe("orders").topic.partitions.len(), 3);
}

#[test]
fn zero_replicas_are_the_default_of_the_cluster() {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    connection.call(&create_request("t", 1, 0, &[])).unwrap();
    assert_eq!(connection.describe("t").replicas, 1);
}

#[test]
fn a_topic_is_created_described_altered_and_listed_on_every_shard() {
    let place = Place::new();
    let server = place.serve(2);
    let (mut first, _) = RawConnection::connect_to(server.listen, 0);
    let (mut second, _) = RawConnection::connect_to(server.listen, 1);
    let b = first.create("b", 2, &[("retention_bytes", "5000000")]);
    let a = second.create("a", 1, &[]);
    assert_ne!(a, b);
    second.call(&alter("b", &[("segment_bytes", "2097152")])).unwrap();
    for connection in [&mut first, &mut second] {
        let listed = topic_names(connection);
        assert_eq!(listed, [("a".to_owned(), a), ("b".to_owned(), b)], "by name");
        let described = connection.describe("b");
        let value = |key: &str| {
            let found = described.settings.iter().find(|setting| setting.key == key).unwrap();
            (found.value.clone(), found.is_default)
        };
        assert_eq!(value("retention_bytes"), ("5000000".to_owned(), false), "kept");
        assert_eq!(value("segment_bytes"), ("2097152".to_owned(), false), "altered");
        assert!(value("segment_ms").1, "not touched");
        let topics = Some(vec!["b".to_owned(), "nobody".to_owned()]);
        let request = Request::Metadata(MetadataRequest { topics });
        let Ok(Response::Metadata(metadata)) = connection.call(&request) else { panic!() };
        let told = |index: usize| (metadata.topics[index].id, metadata.topics[index].error);
        assert_eq!(told(0), (b, ErrorCode::None));
        assert_eq!(told(1), (0, ErrorCode::UnknownTopic));
    }
}

/// An idempotent producer of one partition.
struct Producer {
    topic: u64,
    id: u64,
}

impl Producer {
    fn send(
        &self,
        connection: &mut RawConnection,
        producer_epoch: u16,
        base_sequence: u32,
        values: &[&[u8]],
    ) -> Result<(u64, bool), ErrorCode> {
        let stamp = ProducerStamp { producer_id: self.id, producer_epoch, base_sequence };
        let outcome = connection.produce(self.topic, 0, batch(values, 1, stamp));
        let told = |ProduceAck { base_offset, duplicate }| (base_offset, duplicate);
        outcome.map(told).map_err(|error| error.code)
    }
}

#[test]
fn a_producer_is_remembered_whatever_ends_the_node() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 1, &[]);
    let Ok(Response::InitProducer(told)) = connection.call(&Request::InitProducer) else {
        panic!("no producer id");
    };
    assert!(told.producer_id > 0);
    let producer = Producer { topic, id: told.producer_id };
    let (pair, single): (&[&[u8]], &[&[u8]]) = (&[b"a", b"b"], &[b"c"]);
    // Somebody else's record in between: offsets and sequences are not the same thing.
    assert_eq!(producer.send(&mut connection, 0, 0, pair), Ok((0, false)));
    connection.produce(topic, 0, batch_of("stranger")).unwrap();
    assert_eq!(producer.send(&mut connection, 0, 2, single), Ok((3, false)));

    let assert_remembered = |connection: &mut RawConnection, when: &str| {
        assert_eq!(producer.send(connection, 0, 0, pair), Ok((0, true)), "{when}");
        assert_eq!(producer.send(connection, 0, 2, single), Ok((3, true)), "{when}");
        let gap = producer.send(connection, 0, 4, single);
        assert_eq!(gap, Err(ErrorCode::OutOfSequence), "{when}");
        assert_eq!(connection.values_from(topic, 0, 0), ["a", "b", "stranger", "c"], "{when}");
    };
    assert_remembered(&mut connection, "at once");
    server.kill();
    let server = place.serve(2);
    assert_remembered(&mut RawConnection::connect(server.listen), "after a kill");
    assert!(server.stop().success());
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    assert_remembered(&mut connection, "after a stop");

    // A new epoch begins at 0 and shuts the old one out, for ever.
    let early = producer.send(&mut connection, 1, 3, single);
    assert_eq!(early, Err(ErrorCode::OutOfSequence), "a new epoch begins at 0");
    assert_eq!(producer.send(&mut connection, 1, 0, single), Ok((4, false)));
    assert_eq!(producer.send(&mut connection, 0, 3, single), Err(ErrorCode::FencedProducer));
    assert!(server.stop().success());
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    assert_eq!(producer.send(&mut connection, 0, 3, single), Err(ErrorCode::FencedProducer));
    assert_eq!(producer.send(&mut connection, 1, 0, single), Ok((4, true)));
    let Ok(Response::InitProducer(other)) = connection.call(&Request::InitProducer) else {
        panic!("no producer id");
    };
    assert_ne!(other.producer_id, producer.id, "never given out twice");
    let unknown = Producer { topic, id: other.producer_id };
    assert_eq!(unknown.send(&mut connection, 0, 7, single), Err(ErrorCode::UnknownProducer));
}

fn fetch(wait_ms_max: u32, bytes_min: u32, bytes_max: u32, parts: Vec<FetchPart>) -> FetchRequest {
    FetchRequest { wait_ms_max, bytes_min, bytes_max, parts }
}

#[test]
fn one_batch_comes_however_little_is_asked_for() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 2, &[]);
    let value = noise(500_000, 1);
    for partition in 0..2 {
        for _ in 0..3 {
            connection.produce(topic, partition, batch_of(&value)).unwrap();
        }
        for (bytes_max, part_bytes_max) in [(0, 0), (1, 1), (1, FETCH_BYTES), (FETCH_BYTES, 10)] {
            let part = FetchPart { bytes_max: part_bytes_max, ..fetch_part(topic, partition, 1) };
            let fetched = connection.fetch_parts(fetch(0, 0, bytes_max, vec![part]));
            let records = records(fetched.results[0].outcome.as_ref().unwrap(), 0);
            assert_eq!(records.len(), 1, "{bytes_max}, {part_bytes_max}");
            assert_eq!((records[0].offset, &records[0].value[..]), (1, &value[..]));
        }
    }
}

/// The response to the request of this correlation id, which must be the next one.
fn fetched(connection: &mut RawConnection, correlation: u32) -> Vec<Vec<u8>> {
    let (answered, response) = connection.receive();
    assert_eq!(answered, correlation, "{response:?}");
    let Ok(Response::Fetch(fetched)) = response else { panic!("{response:?}") };
    let slices = fetched.results.iter().flat_map(|result| result.outcome.clone().unwrap());
    let records = records(&slices.collect::<Vec<_>>(), 0);
    records.iter().map(|record| record.value.to_vec()).collect()
}

#[test]
fn a_waiting_fetch_is_answered_by_what_comes() {
    let place = Place::new();
    let server = place.serve(2);
    let mut producer = RawConnection::connect(server.listen);
    let topic = producer.create("t", 8, &[]);
    for shard in 0..2 {
        for partition in 0..4 {
            let next = u64::from(shard);
            let (mut reader, _) = RawConnection::connect_to(server.listen, shard);
            // Asked first and answered last: it waits for a partition to which nothing comes.
            let never = fetch(30_000, 1, FETCH_BYTES, vec![fetch_part(topic, 7, 0)]);
            reader.send(&Request::Fetch(never));
            let parts = vec![fetch_part(topic, 6, 0), fetch_part(topic, partition, next)];
            let waiting = reader.send(&Request::Fetch(fetch(60_000, 1, FETCH_BYTES, parts)));
            // The node has both when it has answered what was sent after them.
            let listed = reader.send(&Request::ListTopics);
            assert_eq!(reader.receive().0, listed, "nothing came for the others");
            producer.produce(topic, partition, batch_of("here")).unwrap();
            assert_eq!(fetched(&mut reader, waiting), [b"here"]);
        }
    }
}

#[test]
fn a_fetch_waits_for_as_much_as_it_wants_or_its_deadline() {
    let place = Place::new();
    let server = place.serve(1);
    let mut producer = RawConnection::connect(server.listen);
    let topic = producer.create("t", 1, &[]);
    let mut reader = RawConnection::connect(server.listen);
    let from_start = || vec![fetch_part(topic, 0, 0)];

    let empty = reader.send(&Request::Fetch(fetch(100, 1, FETCH_BYTES, from_start())));
    assert!(fetched(&mut reader, empty).is_empty(), "nothing by its deadline");

    producer.produce(topic, 0, batch_of("little")).unwrap();
    let much = fetch(60_000, 100_000, FETCH_BYTES, from_start());
    let waiting = reader.send(&Request::Fetch(much));
    let short = reader.send(&Request::Fetch(fetch(100, 100_000, FETCH_BYTES, from_start())));
    assert_eq!(fetched(&mut reader, short), [b"little"], "what there is by its deadline");
    let rest = noise(100_000, 1);
    producer.produce(topic, 0, batch_of("more")).unwrap();
    producer.produce(topic, 0, batch_of(&rest)).unwrap();
    assert_eq!(fetched(&mut reader, waiting), [b"little".to_vec(), b"more".to_vec(), rest]);
}

#[test]
fn requests_of_many_partitions_are_answered_part_by_part_in_order() {
    let place = Place::new();
    let server = place.serve(2);
    let (mut connection, _) = RawConnection::connect_to(server.listen, 1);
    let topic_id = connection.create("t", 8, &[]);
    let order = [5, 0, 7, 2, 2, 4, 1, 6, 3, 0];
    let mut logs: [Vec<Vec<u8>>; 8] = Default::default();
    for round in 0..3 {
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        for (index, partition) in order.into_iter().enumerate() {
            let value = format!("{round} {index}").into_bytes();
            parts.push(ProducePart { topic_id, partition, batch: batch_of(&value) });
            let log = &mut logs[partition as usize];
            expected.push(log.len() as u64);
            log.push(value);
        }
        let outcomes = connection.produce_parts(parts);
        let offsets = outcomes.into_iter().map(|outcome| outcome.unwrap().base_offset);
        assert_eq!(offsets.collect::<Vec<_>>(), expected, "round {round}");
    }
    let mut parts: Vec<FetchPart> =
        order.iter().map(|partition| fetch_part(topic_id, *partition, 1)).collect();
    parts.push(fetch_part(topic_id, 99, 0));
    let response = connection.fetch_parts(fetch(0, 0, FETCH_BYTES, parts));
    assert_eq!(response.results.len(), order.len() + 1);
    for (result, partition) in response.results.iter().zip(order) {
        let log = &logs[partition as usize];
        assert_eq!((result.topic_id, result.partition), (topic_id, partition));
        assert_eq!((result.log_start_offset, result.high_watermark), (0, log.len() as u64));
        let records = records(result.outcome.as_ref().unwrap(), 1);
        let values: Vec<Vec<u8>> = records.iter().map(|record| record.value.to_vec()).collect();
        assert_eq!(values, log[1..]);
    }
    let last = response.results.last().unwrap().outcome.as_ref().unwrap_err();
    assert_eq!(last.code, ErrorCode::UnknownPartition);
}

#[test]
fn an_offset_that_is_not_there_is_told_with_those_that_are() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 2, &[]);
    for partition in 0..2 {
        connection.produce(topic, partition, batch_of("only")).unwrap();
        for offset in [2, 1000, u64::MAX] {
            let error = connection.fetch(topic, partition, offset).unwrap_err();
            assert_eq!(error.code, ErrorCode::OffsetOutOfRange);
            assert!(error.message.contains(&offset.to_string()), "{error}");
        }
        assert_eq!(connection.fetch(topic, partition, 1), Ok(Vec::new()), "the next one may come");
    }
}

#[test]
fn offsets_are_found_by_time_and_at_both_ends() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic_id = connection.create("t", 3, &[]);
    // Two shards' partitions with records at 1000, 1001, 2000, 2001, ...; the third stays empty.
    for partition in 0..2 {
        for first_ms in [1000, 2000, 3000] {
            let batch = batch(&[b"x", b"y"], first_ms, ProducerStamp::NONE);
            connection.produce(topic_id, partition, batch).unwrap();
        }
    }
    let found = |offset, timestamp| Ok(OffsetFound { offset, timestamp });
    let mut queries = Vec::new();
    let mut expected = Vec::new();
    for partition in 0..2 {
        for (timestamp, outcome) in [
            (EARLIEST, found(0, -1)),
            (LATEST, found(6, -1)),
            (0, found(0, 1000)),
            (1001, found(1, 1001)),
            (1002, found(2, 2000)),
            (3001, found(5, 3001)),
            (3002, found(6, -1)),
            (i64::MAX, found(6, -1)),
            (-3, Err(ErrorCode::MalformedMessage)),
        ] {
            queries.push(OffsetQuery { topic_id, partition, timestamp });
            expected.push((partition, outcome));
        }
    }
    for (partition, timestamp, outcome) in [
        (2, EARLIEST, found(0, -1)),
        (2, LATEST, found(0, -1)),
        (2, 5, found(0, -1)),
        (9, LATEST, Err(ErrorCode::UnknownPartition)),
    ] {
        queries.push(OffsetQuery { topic_id, partition, timestamp });
        expected.push((partition, outcome));
    }
    let request = Request::ListOffsets(ListOffsetsRequest { queries });
    let Ok(Response::ListOffsets(listed)) = connection.call(&request) else { panic!() };
    let answers = listed.answers.into_iter();
    let answers: Vec<_> = answers
        .map(|answer| (answer.partition, answer.outcome.map_err(|error| error.code)))
        .collect();
    assert_eq!(answers, expected);
}

fn topic_dir(place: &Place, topic: u64) -> PathBuf {
    place.data().join("topic").join(topic.to_string())
}

/// Names of a folder's files, sorted; none if there is no folder.
fn names(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn retention_by_size_removes_the_oldest_segments_and_their_files() {
    const BATCHES: u64 = 24;
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let settings = [("segment_bytes", "1048576"), ("retention_bytes", "2097152")];
    let topic = connection.create("t", 1, &settings);
    let kept = connection.create("kept", 1, &settings[..1]);
    let value = |number| noise(400_000, number + 1);
    for number in 0..BATCHES {
        connection.produce(topic, 0, batch_of(value(number))).unwrap();
        connection.produce(kept, 0, batch_of(value(number))).unwrap();
    }
    until("trimmed", || connection.describe("t").states[0].log_start_offset > 0);
    let state = connection.describe("t").states[0];
    assert_eq!(state.high_watermark, BATCHES);
    assert!(state.bytes >= 2_097_152 && state.bytes <= 2_097_152 + 1_500_000, "{state:?}");
    let trimmed = connection.fetch(topic, 0, state.log_start_offset - 1).unwrap_err();
    assert_eq!(trimmed.code, ErrorCode::OffsetOutOfRange);
    let values = connection.values_from(topic, 0, state.log_start_offset);
    let expected: Vec<_> = (state.log_start_offset..BATCHES).map(value).collect();
    assert_eq!(values, expected, "what is within the retention is there");
    let first = format!("{:020}.log", state.log_start_offset);
    let folder = topic_dir(&place, topic).join("0");
    until("removed", || {
        names(folder.clone()).first().is_some_and(|name| name[..20] >= first[..20])
    });
    assert_eq!(connection.values_from(kept, 0, 0).len() as u64, BATCHES, "no retention, all there");

    server.kill();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    assert!(connection.describe("t").states[0].log_start_offset >= state.log_start_offset);
    let start = connection.describe("t").states[0].log_start_offset;
    let values = connection.values_from(topic, 0, start);
    assert_eq!(values, (start..BATCHES).map(value).collect::<Vec<_>>());
}

#[test]
fn a_deleted_topic_is_gone_with_its_files_and_its_name_is_free() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let old = connection.create("t", 4, &[("segment_bytes", "1048576")]);
    for partition in 0..4 {
        for seed in 0..4 {
            connection.produce(old, partition, batch_of(noise(700_000, seed))).unwrap();
        }
    }
    until("written", || !names(topic_dir(&place, old)).is_empty());
    // A reader that waits there is not left waiting.
    let mut reader = RawConnection::connect(server.listen);
    let waiting = fetch(60_000, 1, FETCH_BYTES, vec![fetch_part(old, 1, 4)]);
    reader.send(&Request::Fetch(waiting));
    let listed = reader.send(&Request::ListTopics);
    assert_eq!(reader.receive().0, listed);
    connection.call(&delete("t")).unwrap();
    let (_, response) = reader.receive();
    let Ok(Response::Fetch(gone)) = response else { panic!("{response:?}") };
    assert_eq!(gone.results[0].outcome.as_ref().unwrap_err().code, ErrorCode::UnknownTopic);

    assert_eq!(connection.fetch(old, 0, 0).unwrap_err().code, ErrorCode::UnknownTopic);
    let part = ProducePart { topic_id: old, partition: 0, batch: batch_of("late") };
    let Ok(Response::Produce(late)) = connection.call(&produce_request(vec![part])) else {
        panic!("no answer");
    };
    let late = late.results[0].outcome.as_ref().unwrap_err();
    assert_eq!(late.code, ErrorCode::UnknownTopic);
    let new = connection.create("t", 4, &[]);
    assert_ne!(new, old);
    assert_eq!(connection.values_from(new, 0, 0).len(), 0);
    connection.produce(new, 0, batch_of("new")).unwrap();
    until("removed", || names(topic_dir(&place, old)).is_empty());

    server.kill();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    assert_eq!(topic_names(&mut connection), [("t".to_owned(), new)]);
    assert_eq!(connection.values_from(new, 0, 0), ["new"]);
    assert!(names(topic_dir(&place, old)).is_empty(), "nor does it come back");
}
