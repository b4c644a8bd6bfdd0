//! The golden vectors: what each `.bin` under `wire/vectors/` is the encoding of.

use bytes::Bytes;
use ringspool_wire::*;

/// A frame, by the name of its file.
pub(crate) enum Frames {
    Request(Request),
    Response(Api, Response),
}

const CORRELATION: u32 = 0x0102_0304;

impl Frames {
    pub(crate) fn encode(&self) -> Bytes {
        let frame = match self {
            Frames::Request(request) => request.encode(CORRELATION),
            Frames::Response(api, response) => response.encode(*api, CORRELATION),
        };
        super::on_the_wire(&frame)
    }
}

fn request(name: &'static str, request: Request) -> (&'static str, Frames) {
    (name, Frames::Request(request))
}

fn response(name: &'static str, response: Response) -> (&'static str, Frames) {
    let api = response.api().expect("errors are made with `failed`");
    (name, Frames::Response(api, response))
}

fn failed(name: &'static str, api: Api, error: ErrorResponse) -> (&'static str, Frames) {
    (name, Frames::Response(api, Response::Error(error)))
}

/// The frames: for each api a request and a response, and what can go wrong.
pub(crate) fn frames() -> Vec<(&'static str, Frames)> {
    let mut frames = session();
    frames.extend(topics());
    frames.extend(records());
    frames
}

fn session() -> Vec<(&'static str, Frames)> {
    let hello = HelloResponse {
        version: 1,
        node_id: 7,
        cluster_id: "b7c1a0de-cluster".into(),
        shard: 3,
        shards: 4,
        apis: Api::numbers(),
        frame_bytes_max: FRAME_BYTES_MAX,
        batch_bytes_max: BATCH_BYTES_MAX,
        in_flight_bytes_max: 64 << 20,
    };
    let unsupported = "protocol version 9 is not spoken here; use one from 1 to 1";
    let overloaded = "64 MiB of requests are waiting; send the request again later";
    vec![
        request("hello_request", Request::Hello(HelloRequest::new("golden/1.0", 3))),
        request(
            "hello_request_any_shard",
            Request::Hello(HelloRequest {
                version_min: 1,
                version_max: 9,
                client: None,
                shard: ANY_SHARD,
            }),
        ),
        response("hello_response", Response::Hello(hello)),
        failed(
            "error_unsupported_version",
            Api::Hello,
            ErrorResponse::new(ErrorCode::UnsupportedVersion, unsupported),
        ),
        failed(
            "error_overloaded",
            Api::Produce,
            ErrorResponse::new(ErrorCode::Overloaded, overloaded),
        ),
        request("init_producer_request", Request::InitProducer),
        response(
            "init_producer_response",
            Response::InitProducer(InitProducerResponse {
                producer_id: 0x0123_4567_89AB_CDEF,
                producer_epoch: 2,
            }),
        ),
    ]
}

fn topic() -> TopicMetadata {
    let place = |leader, vnode, shard, error| PartitionPlace { leader, vnode, shard, error };
    TopicMetadata {
        name: "orders".into(),
        id: 42,
        error: ErrorCode::None,
        partitions: vec![
            place(7, 17, 1, ErrorCode::None),
            place(8, 60, 0, ErrorCode::None),
            place(0, 5, 0, ErrorCode::NoQuorum),
        ],
    }
}

fn topics() -> Vec<(&'static str, Frames)> {
    let missing = TopicMetadata {
        name: "nirgends-ä".into(),
        id: 0,
        error: ErrorCode::UnknownTopic,
        partitions: Vec::new(),
    };
    let rack = Some("rack-b".to_string());
    let metadata = MetadataResponse {
        cluster_id: "b7c1a0de-cluster".into(),
        version: 1 << 40,
        nodes: vec![
            Node { id: 7, address: "127.0.0.1:7400".into(), shards: 2, rack: None },
            Node { id: 8, address: "node8.example:7400".into(), shards: 16, rack },
        ],
        topics: vec![topic(), missing],
    };
    let settings = vec![Setting::new("retention_ms", "86400000")];
    let create = CreateTopicRequest {
        name: "orders".into(),
        partitions: 3,
        replicas: 1,
        settings: settings.clone(),
    };
    let is_default = true;
    let default = Setting { key: "segment_bytes".into(), value: "268435456".into(), is_default };
    let state = |high_watermark, error| PartitionState {
        log_start_offset: 5,
        high_watermark,
        bytes: 1 << 33,
        segments: 33,
        error,
    };
    let describe = DescribeTopicResponse {
        topic: topic(),
        replicas: 1,
        settings: vec![settings[0].clone(), default],
        states: vec![
            state(1000, ErrorCode::None),
            state(1 << 53, ErrorCode::None),
            state(5, ErrorCode::NotReady),
        ],
    };
    let summary =
        |name: &str, id| TopicSummary { name: name.into(), id, partitions: 3, replicas: 1 };
    let list = ListTopicsResponse { topics: vec![summary("events", 41), summary("orders", 42)] };
    let name = || "orders".to_string();
    let some = MetadataRequest { topics: Some(vec![name(), "nirgends-ä".into()]) };
    let exists = "topic orders exists already; choose another name";
    vec![
        request("metadata_request", Request::Metadata(some)),
        request("metadata_request_all", Request::Metadata(MetadataRequest { topics: None })),
        response("metadata_response", Response::Metadata(metadata)),
        request("create_topic_request", Request::CreateTopic(create)),
        response(
            "create_topic_response",
            Response::CreateTopic(CreateTopicResponse { topic_id: 42 }),
        ),
        failed(
            "error_topic_exists",
            Api::CreateTopic,
            ErrorResponse::new(ErrorCode::TopicExists, exists),
        ),
        request(
            "alter_topic_request",
            Request::AlterTopic(AlterTopicRequest { name: name(), settings }),
        ),
        response("alter_topic_response", Response::AlterTopic),
        request(
            "describe_topic_request",
            Request::DescribeTopic(DescribeTopicRequest { name: name() }),
        ),
        response("describe_topic_response", Response::DescribeTopic(describe)),
        request("list_topics_request", Request::ListTopics),
        response("list_topics_response", Response::ListTopics(list)),
        request("delete_topic_request", Request::DeleteTopic(DeleteTopicRequest { name: name() })),
        response("delete_topic_response", Response::DeleteTopic),
    ]
}

fn records() -> Vec<(&'static str, Frames)> {
    let (one, two) = (plain_batch(), full_batch());
    let produce = ProduceRequest {
        acks: Acks::Quorum,
        timeout_ms: 30_000,
        parts: vec![
            ProducePart { topic_id: 42, partition: 0, batch: one.clone() },
            ProducePart { topic_id: 42, partition: 2, batch: two.clone() },
        ],
    };
    let leader = ProduceRequest { acks: Acks::Leader, timeout_ms: 0, parts: Vec::new() };
    let ack = |base_offset, duplicate| ProduceResult {
        outcome: Ok(ProduceAck { base_offset, duplicate }),
    };
    let sequence = "sequence 12 of producer 9 is not the next one, 10; send the records before it";
    let out_of_sequence = ApiError::new(ErrorCode::OutOfSequence, sequence);
    let produced = ProduceResponse {
        results: vec![
            ack(1 << 60, false),
            ProduceResult { outcome: Err(out_of_sequence) },
            ack(17, true),
        ],
    };
    let fetch = FetchRequest {
        wait_ms_max: 500,
        bytes_min: 1,
        bytes_max: 8 << 20,
        parts: vec![
            FetchPart { topic_id: 42, partition: 0, offset: 1000, bytes_max: 1 << 20 },
            FetchPart { topic_id: 41, partition: 1, offset: 0, bytes_max: 64 << 10 },
        ],
    };
    let below = "offset 3 is below the log start offset 5; read from there";
    let result = |partition, outcome| FetchResult {
        topic_id: 42,
        partition,
        high_watermark: 1003,
        log_start_offset: 5,
        outcome,
    };
    let stamped = |batch: &Bytes, base_offset| {
        let header = ringspool_wire::stamp(batch.first_chunk().expect("a header"), base_offset, 3);
        Bytes::from([&header[..], &batch[64..]].concat())
    };
    let fetched = FetchResponse {
        results: vec![
            result(0, Ok(vec![[stamped(&one, 1000), stamped(&two, 1001)].concat().into()])),
            result(1, Err(ApiError::new(ErrorCode::OffsetOutOfRange, below))),
            result(2, Ok(Vec::new())),
            result(3, Ok(vec![stamped(&one, 1002)])),
        ],
    };
    let query = |partition, timestamp| OffsetQuery { topic_id: 42, partition, timestamp };
    let offsets = ListOffsetsRequest {
        queries: vec![query(0, EARLIEST), query(1, LATEST), query(2, 1_700_000_000_123)],
    };
    let answer = |partition, offset, timestamp| OffsetAnswer {
        partition,
        outcome: Ok(OffsetFound { offset, timestamp }),
    };
    let not_leader = ApiError::new(ErrorCode::NotLeader, "node 8 leads it; ask for metadata");
    let answers = ListOffsetsResponse {
        answers: vec![
            answer(0, 5, 1_699_999_999_000),
            answer(1, 1003, -1),
            OffsetAnswer { partition: 2, outcome: Err(not_leader) },
        ],
    };
    vec![
        request("produce_request", Request::Produce(produce)),
        request("produce_request_empty", Request::Produce(leader)),
        response("produce_response", Response::Produce(produced)),
        request("fetch_request", Request::Fetch(fetch)),
        response("fetch_response", Response::Fetch(fetched)),
        request("list_offsets_request", Request::ListOffsets(offsets)),
        response("list_offsets_response", Response::ListOffsets(answers)),
    ]
}

/// A batch, by the name of its file. `exact`: encoding gives the same bytes; not so for zstd,
/// whose output may change from one version of the library to the next.
pub(crate) struct Batches {
    pub(crate) name: &'static str,
    pub(crate) exact: bool,
    pub(crate) batch: Bytes,
}

/// One record with nothing but a value.
fn plain_batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let record =
        RecordRef { value: b"hello", timestamp_ms: 1_700_000_000_000, ..Default::default() };
    builder.push(&record).expect("it fits");
    builder.finish(ProducerStamp::NONE).expect("it can be built")
}

/// Every column, from an idempotent producer.
fn full_batch() -> Bytes {
    full_batch_of(Compression::None)
}

fn full_batch_of(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    let long = b"the quick brown fox jumps over the lazy dog; ".repeat(8);
    let headers: [(&str, &[u8]); 3] =
        [("trace", b"\x00\x01\xff"), ("größe", b""), ("trace", b"again")];
    let record = |key, value, after_ms: i64, headers| RecordRef {
        key,
        value,
        timestamp_ms: 1_700_000_000_000 + after_ms,
        headers,
    };
    for record in [
        record(b"key-1", b"first", 0, &headers[..]),
        record(b"", b"", -250, &[]),
        record(b"key-3", &long, 60_000, &headers[1..2]),
        record(b"\xfe\xff", &long, 59_999, &[]),
    ] {
        builder.push(&record).expect("it fits");
    }
    let stamp = ProducerStamp { producer_id: 9, producer_epoch: 1, base_sequence: 10 };
    builder.finish(stamp).expect("it can be built")
}

/// A record of three chunks.
fn chunk_batches() -> Vec<Bytes> {
    let headers: [(&str, &[u8]); 1] = [("kind", b"large")];
    let value: Vec<u8> = (0..100).collect();
    let record = RecordRef {
        key: b"big",
        value: &value,
        timestamp_ms: 1_700_000_000_500,
        headers: &headers,
    };
    let stamp =
        |index| ProducerStamp { producer_id: 9, producer_epoch: 1, base_sequence: 20 + index };
    chunks(&record, 77, 40)
        .map(|(chunk, part)| {
            build_chunk(Compression::None, chunk, &part, stamp(chunk.index)).expect("it fits")
        })
        .collect()
}

pub(crate) fn batches() -> Vec<Batches> {
    let exact = |name, batch| Batches { name, exact: true, batch };
    let zstd = full_batch_of(Compression::Zstd { level: 3 });
    let mut batches = vec![
        exact("batch_plain", plain_batch()),
        exact("batch_full", full_batch()),
        Batches { name: "batch_full_zstd", exact: false, batch: zstd },
    ];
    let names = ["batch_chunk_0", "batch_chunk_1", "batch_chunk_2"];
    let chunks = chunk_batches();
    assert_eq!(chunks.len(), names.len());
    batches.extend(names.into_iter().zip(chunks).map(|(name, batch)| exact(name, batch)));
    batches
}

/// Bytes that must be refused, with the name of the error.
pub(crate) fn refused() -> Vec<(&'static str, Bytes)> {
    let good = full_batch();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        bytes
    };
    let signed = |bytes: Vec<u8>| ringspool_wire::fuzzing::signed(&bytes);
    vec![
        ("bad_batch_crc", changed(&|bytes| bytes[100] ^= 1).into()),
        ("bad_batch_cut_off", changed(&|bytes| bytes.truncate(300)).into()),
        ("bad_batch_magic", changed(&|bytes| bytes[16] = 0).into()),
        ("bad_batch_version", changed(&|bytes| bytes[18] = 2).into()),
        ("bad_batch_record_count", signed(changed(&|bytes| bytes[52] = 5))),
    ]
}
