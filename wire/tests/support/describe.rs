//! What a decoded frame or batch says, as JSON: the `.json` beside each golden `.bin`.
//!
//! 64-bit numbers are strings, since JSON readers lose their last digits. Bytes are hexadecimal.
//! Error codes and apis are their numbers.

use ringspool_wire::*;
use serde_json::{Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list<T>(items: &[T], describe: impl Fn(&T) -> Value) -> Value {
    items.iter().map(describe).collect()
}

fn header(header: &FrameHeader) -> Value {
    json!({
        "version": header.version,
        "api": header.api,
        "flags": header.flags,
        "message_bytes": header.message_bytes,
        "correlation": header.correlation,
        "attachment_bytes": header.attachment_bytes,
    })
}

fn setting(setting: &Setting) -> Value {
    json!({ "key": setting.key, "value": setting.value, "is_default": setting.is_default })
}

fn topic(topic: &TopicMetadata) -> Value {
    let partitions = list(&topic.partitions, |place| {
        json!({
            "leader": place.leader.to_string(),
            "vnode": place.vnode,
            "shard": place.shard,
            "error": place.error as u16,
        })
    });
    json!({
        "name": topic.name,
        "id": topic.id.to_string(),
        "error": topic.error as u16,
        "partitions": partitions,
    })
}

fn failure(error: &ApiError) -> Value {
    json!({ "error": error.code as u16, "message": error.message })
}

pub(crate) fn request(frame: &FrameHeader, request: &Request) -> Value {
    let message = match request {
        Request::Hello(m) => json!({
            "version_min": m.version_min,
            "version_max": m.version_max,
            "client": m.client,
            "shard": m.shard,
        }),
        Request::Metadata(m) => json!({ "topics": m.topics }),
        Request::CreateTopic(m) => json!({
            "name": m.name,
            "partitions": m.partitions,
            "replicas": m.replicas,
            "settings": list(&m.settings, setting),
        }),
        Request::AlterTopic(m) => {
            json!({ "name": m.name, "settings": list(&m.settings, setting) })
        }
        Request::DescribeTopic(m) => json!({ "name": m.name }),
        Request::DeleteTopic(m) => json!({ "name": m.name }),
        Request::ListTopics | Request::InitProducer => json!({}),
        Request::Produce(m) => json!({
            "acks": m.acks as u8,
            "timeout_ms": m.timeout_ms,
            "parts": list(&m.parts, |part| json!({
                "topic_id": part.topic_id.to_string(),
                "partition": part.partition,
                "batch": hex(&part.batch),
            })),
        }),
        Request::Fetch(m) => json!({
            "wait_ms_max": m.wait_ms_max,
            "bytes_min": m.bytes_min,
            "bytes_max": m.bytes_max,
            "parts": list(&m.parts, |part| json!({
                "topic_id": part.topic_id.to_string(),
                "partition": part.partition,
                "offset": part.offset.to_string(),
                "bytes_max": part.bytes_max,
            })),
        }),
        Request::ListOffsets(m) => json!({
            "queries": list(&m.queries, |query| json!({
                "topic_id": query.topic_id.to_string(),
                "partition": query.partition,
                "timestamp": query.timestamp.to_string(),
            })),
        }),
    };
    json!({ "kind": "request", "frame": header(frame), "message": message })
}

pub(crate) fn response(frame: &FrameHeader, response: &Response) -> Value {
    let message = match response {
        Response::Hello(m) => json!({
            "version": m.version,
            "node_id": m.node_id.to_string(),
            "cluster_id": m.cluster_id,
            "shard": m.shard,
            "shards": m.shards,
            "apis": m.apis,
            "frame_bytes_max": m.frame_bytes_max,
            "batch_bytes_max": m.batch_bytes_max,
            "in_flight_bytes_max": m.in_flight_bytes_max,
        }),
        Response::Metadata(m) => json!({
            "cluster_id": m.cluster_id,
            "version": m.version.to_string(),
            "nodes": list(&m.nodes, |node| json!({
                "id": node.id.to_string(),
                "address": node.address,
                "shards": node.shards,
                "rack": node.rack,
            })),
            "topics": list(&m.topics, topic),
        }),
        Response::CreateTopic(m) => json!({ "topic_id": m.topic_id.to_string() }),
        Response::AlterTopic | Response::DeleteTopic => json!({}),
        Response::DescribeTopic(m) => json!({
            "topic": topic(&m.topic),
            "replicas": m.replicas,
            "settings": list(&m.settings, setting),
            "states": list(&m.states, |state| json!({
                "log_start_offset": state.log_start_offset.to_string(),
                "high_watermark": state.high_watermark.to_string(),
                "bytes": state.bytes.to_string(),
                "segments": state.segments,
                "error": state.error as u16,
            })),
        }),
        Response::ListTopics(m) => json!({
            "topics": list(&m.topics, |topic| json!({
                "name": topic.name,
                "id": topic.id.to_string(),
                "partitions": topic.partitions,
                "replicas": topic.replicas,
            })),
        }),
        Response::InitProducer(m) => json!({
            "producer_id": m.producer_id.to_string(),
            "producer_epoch": m.producer_epoch,
        }),
        Response::Produce(m) => json!({
            "results": list(&m.results, |result| match &result.outcome {
                Ok(ack) => json!({
                    "base_offset": ack.base_offset.to_string(),
                    "duplicate": ack.duplicate,
                }),
                Err(error) => failure(error),
            }),
        }),
        Response::Fetch(m) => json!({
            "results": list(&m.results, |result| json!({
                "topic_id": result.topic_id.to_string(),
                "partition": result.partition,
                "high_watermark": result.high_watermark.to_string(),
                "log_start_offset": result.log_start_offset.to_string(),
                "outcome": match &result.outcome {
                    Ok(slices) => json!({ "batches": hex(&slices.concat()) }),
                    Err(error) => failure(error),
                },
            })),
        }),
        Response::ListOffsets(m) => json!({
            "answers": list(&m.answers, |answer| json!({
                "partition": answer.partition,
                "outcome": match &answer.outcome {
                    Ok(found) => json!({
                        "offset": found.offset.to_string(),
                        "timestamp": found.timestamp.to_string(),
                    }),
                    Err(error) => failure(error),
                },
            })),
        }),
        Response::Error(m) => json!({
            "code": m.code as u16,
            "message": m.message,
            "version_min": m.version_min,
            "version_max": m.version_max,
            "apis": m.apis,
        }),
    };
    json!({ "kind": "response", "frame": header(frame), "message": message })
}

pub(crate) fn batch(batch: &DecodedBatch) -> Value {
    let h = &batch.header;
    let records: Vec<_> = batch.records().collect();
    json!({
        "kind": "batch",
        "header": {
            "base_offset": h.base_offset.to_string(),
            "term": h.term,
            "crc": h.crc,
            "codec": h.codec as u8,
            "batch_bytes": h.batch_bytes,
            "base_timestamp": h.base_timestamp.to_string(),
            "max_timestamp": h.max_timestamp.to_string(),
            "producer_id": h.producer_id.to_string(),
            "base_sequence": h.base_sequence,
            "record_count": h.record_count,
            "uncompressed_bytes": h.uncompressed_bytes,
            "producer_epoch": h.producer_epoch,
            "flags": h.flags,
        },
        "chunk": batch.chunk.map(|chunk| json!({
            "record_id": chunk.record_id.to_string(),
            "record_bytes": chunk.record_bytes.to_string(),
            "index": chunk.index,
            "count": chunk.count,
        })),
        "records": list(&records, |record| json!({
            "offset": record.offset.to_string(),
            "timestamp_ms": record.timestamp_ms.to_string(),
            "key": hex(&record.key),
            "value": hex(&record.value),
            "headers": list(&record.headers, |(name, value)| {
                json!({ "name": name, "value": hex(value) })
            }),
        })),
    })
}
