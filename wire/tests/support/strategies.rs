//! Any request, any response, any records; within the limits of the protocol.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringspool_wire::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9._-]{1,20}", "\\PC{0,12}"]
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    proptest::sample::select(ErrorCode::ALL)
}

fn api_error() -> impl Strategy<Value = ApiError> {
    let failed = proptest::sample::select(&ErrorCode::ALL[1..]);
    (failed, text()).prop_map(|(code, message)| ApiError { code, message })
}

fn outcome<T: std::fmt::Debug + Clone>(
    good: impl Strategy<Value = T>,
) -> impl Strategy<Value = Result<T, ApiError>> {
    prop_oneof![3 => good.prop_map(Ok), 1 => api_error().prop_map(Err)]
}

fn setting() -> impl Strategy<Value = Setting> {
    (text(), text(), any::<bool>()).prop_map(|(key, value, is_default)| Setting {
        key,
        value,
        is_default,
    })
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    vec(setting(), 0..SETTINGS_PER_TOPIC_MAX)
}

fn topic() -> impl Strategy<Value = TopicMetadata> {
    let place = (any::<u64>(), any::<u32>(), any::<u16>(), error_code())
        .prop_map(|(leader, vnode, shard, error)| PartitionPlace { leader, vnode, shard, error });
    (text(), any::<u64>(), error_code(), vec(place, 0..20))
        .prop_map(|(name, id, error, partitions)| TopicMetadata { name, id, error, partitions })
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let hello = (any::<u8>(), any::<u8>(), option::of(text()), any::<u16>()).prop_map(
        |(version_min, version_max, client, shard)| {
            Request::Hello(HelloRequest { version_min, version_max, client, shard })
        },
    );
    let metadata = option::of(vec(text(), 0..20))
        .prop_map(|topics| Request::Metadata(MetadataRequest { topics }));
    let create = (text(), any::<u32>(), any::<u16>(), settings()).prop_map(
        |(name, partitions, replicas, settings)| {
            Request::CreateTopic(CreateTopicRequest { name, partitions, replicas, settings })
        },
    );
    let alter = (text(), settings())
        .prop_map(|(name, settings)| Request::AlterTopic(AlterTopicRequest { name, settings }));
    let acks = proptest::sample::select(&[Acks::None, Acks::Leader, Acks::Quorum]);
    let part = (any::<u64>(), any::<u32>(), bytes(200))
        .prop_map(|(topic_id, partition, batch)| ProducePart { topic_id, partition, batch });
    let produce = (acks, any::<u32>(), vec(part, 0..12)).prop_map(|(acks, timeout_ms, parts)| {
        Request::Produce(ProduceRequest { acks, timeout_ms, parts })
    });
    let part = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(
        |(topic_id, partition, offset, bytes_max)| FetchPart {
            topic_id,
            partition,
            offset,
            bytes_max,
        },
    );
    let fetch = (any::<u32>(), any::<u32>(), any::<u32>(), vec(part, 0..12)).prop_map(
        |(wait_ms_max, bytes_min, bytes_max, parts)| {
            Request::Fetch(FetchRequest { wait_ms_max, bytes_min, bytes_max, parts })
        },
    );
    let query =
        (any::<u64>(), any::<u32>(), any::<i64>()).prop_map(|(topic_id, partition, timestamp)| {
            OffsetQuery { topic_id, partition, timestamp }
        });
    let offsets =
        vec(query, 0..12).prop_map(|queries| Request::ListOffsets(ListOffsetsRequest { queries }));
    prop_oneof![
        hello,
        metadata,
        create,
        alter,
        text().prop_map(|name| Request::DescribeTopic(DescribeTopicRequest { name })),
        Just(Request::ListTopics),
        text().prop_map(|name| Request::DeleteTopic(DeleteTopicRequest { name })),
        Just(Request::InitProducer),
        produce,
        fetch,
        offsets,
    ]
}

/// A response and the api it answers.
pub(crate) fn response() -> impl Strategy<Value = (Api, Response)> {
    let ok = prop_oneof![session_and_topics(), records()]
        .prop_map(|response| (response.api().expect("not an error"), response));
    let failed = (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..20), api_error()).prop_map(
        |(version_min, version_max, apis, ApiError { code, message })| {
            Response::Error(ErrorResponse { code, message, version_min, version_max, apis })
        },
    );
    let failed = (proptest::sample::select(&Api::ALL), failed);
    prop_oneof![11 => ok, 1 => failed]
}

fn session_and_topics() -> impl Strategy<Value = Response> {
    let limits = (any::<u32>(), any::<u32>(), any::<u32>());
    let node = (any::<u64>(), any::<u16>(), any::<u16>());
    let hello = (any::<u8>(), node, text(), vec(any::<u8>(), 0..20), limits).prop_map(
        |(version, (node_id, shard, shards), cluster_id, apis, limits)| {
            let (frame_bytes_max, batch_bytes_max, in_flight_bytes_max) = limits;
            Response::Hello(HelloResponse {
                version,
                node_id,
                cluster_id,
                shard,
                shards,
                apis,
                frame_bytes_max,
                batch_bytes_max,
                in_flight_bytes_max,
            })
        },
    );
    let node = (any::<u64>(), text(), any::<u16>(), option::of(text()))
        .prop_map(|(id, address, shards, rack)| Node { id, address, shards, rack });
    // Many topics: more tables than any other message has.
    let metadata = (text(), any::<u64>(), vec(node, 0..10), vec(topic(), 0..100)).prop_map(
        |(cluster_id, version, nodes, topics)| {
            Response::Metadata(MetadataResponse { cluster_id, version, nodes, topics })
        },
    );
    let state = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), error_code()).prop_map(
        |(log_start_offset, high_watermark, bytes, segments, error)| PartitionState {
            log_start_offset,
            high_watermark,
            bytes,
            segments,
            error,
        },
    );
    let describe = (topic(), any::<u16>(), settings(), vec(state, 0..20)).prop_map(
        |(topic, replicas, settings, states)| {
            Response::DescribeTopic(DescribeTopicResponse { topic, replicas, settings, states })
        },
    );
    let summary = (text(), any::<u64>(), any::<u32>(), any::<u16>()).prop_map(
        |(name, id, partitions, replicas)| TopicSummary { name, id, partitions, replicas },
    );
    let list =
        vec(summary, 0..200).prop_map(|topics| Response::ListTopics(ListTopicsResponse { topics }));
    prop_oneof![
        hello,
        metadata,
        any::<u64>().prop_map(|topic_id| Response::CreateTopic(CreateTopicResponse { topic_id })),
        Just(Response::AlterTopic),
        describe,
        list,
        Just(Response::DeleteTopic),
    ]
}

fn records() -> impl Strategy<Value = Response> {
    let init = (any::<u64>(), any::<u16>()).prop_map(|(producer_id, producer_epoch)| {
        Response::InitProducer(InitProducerResponse { producer_id, producer_epoch })
    });
    let ack = (any::<u64>(), any::<bool>())
        .prop_map(|(base_offset, duplicate)| ProduceAck { base_offset, duplicate });
    let produce = vec(outcome(ack).prop_map(|outcome| ProduceResult { outcome }), 0..20)
        .prop_map(|results| Response::Produce(ProduceResponse { results }));
    // One slice or none, as a receiver has it.
    let slices = bytes(300).prop_map(|b| if b.is_empty() { Vec::new() } else { vec![b] });
    let place = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    let result = (place, outcome(slices)).prop_map(
        |((topic_id, partition, high_watermark, log_start_offset), outcome)| FetchResult {
            topic_id,
            partition,
            high_watermark,
            log_start_offset,
            outcome,
        },
    );
    let fetch = vec(result, 0..20).prop_map(|results| Response::Fetch(FetchResponse { results }));
    let found = (any::<u64>(), any::<i64>())
        .prop_map(|(offset, timestamp)| OffsetFound { offset, timestamp });
    let answer = (any::<u32>(), outcome(found))
        .prop_map(|(partition, outcome)| OffsetAnswer { partition, outcome });
    let offsets = vec(answer, 0..20)
        .prop_map(|answers| Response::ListOffsets(ListOffsetsResponse { answers }));
    prop_oneof![init, produce, fetch, offsets]
}

/// A record without offset: that is the batch's to give.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Vec<(String, Bytes)>,
}

impl NewRecord {
    /// Calls `with` with what a builder takes.
    pub(crate) fn with_ref<R>(&self, with: impl FnOnce(&RecordRef<'_>) -> R) -> R {
        let headers = self.headers.iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_ref())).collect();
        with(&RecordRef {
            key: &self.key,
            value: &self.value,
            timestamp_ms: self.timestamp_ms,
            headers: &headers,
        })
    }
}

/// Records that fit into one batch; of some batches none has a key, or headers, or its own time.
pub(crate) fn new_records() -> impl Strategy<Value = Vec<NewRecord>> {
    let shape = (any::<bool>(), any::<bool>(), any::<bool>(), -1_000_000_000_i64..1_000_000_000);
    shape.prop_flat_map(|(keys, headers, times, base)| {
        let key = bytes(if keys { 20 } else { 1 });
        let time = if times { base - 1_000_000..base + 1_000_000 } else { base..base + 1 };
        let header = (text(), bytes(30));
        let headers = vec(header, 0..if headers { 4 } else { 1 });
        let value = prop_oneof![
            bytes(60),
            (any::<u8>(), 0..500_usize).prop_map(|(byte, count)| Bytes::from(vec![byte; count]))
        ];
        let record = (key, value, time, headers).prop_map(|(key, value, timestamp_ms, headers)| {
            NewRecord { key, value, timestamp_ms, headers }
        });
        vec(record, 1..40)
    })
}

pub(crate) fn stamp() -> impl Strategy<Value = ProducerStamp> {
    (any::<u64>(), any::<u16>(), 0..u32::MAX - 100).prop_map(
        |(producer_id, producer_epoch, base_sequence)| ProducerStamp {
            producer_id,
            producer_epoch,
            base_sequence,
        },
    )
}
