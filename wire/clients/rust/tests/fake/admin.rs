//! Metadata and topics.

use ringspool_wire::*;

use super::State;
use super::log::Topic;

pub fn answer(state: &mut State, request: &Request) -> Response {
    let unknown = |name: &str| {
        Response::Error(ErrorResponse::new(
            ErrorCode::UnknownTopic,
            format!("topic {name:?} does not exist"),
        ))
    };
    match request {
        Request::Metadata(metadata) => {
            let names = metadata
                .topics
                .clone()
                .unwrap_or_else(|| state.topics.iter().map(|topic| topic.name.clone()).collect());
            let topics = names.iter().map(|name| match state.topic(name) {
                Some(topic) => describe(topic),
                None => TopicMetadata {
                    name: name.clone(),
                    id: 0,
                    error: ErrorCode::UnknownTopic,
                    partitions: Vec::new(),
                },
            });
            let topics = topics.collect();
            let address = state.address.clone();
            Response::Metadata(MetadataResponse {
                cluster_id: "fake".to_owned(),
                version: 1,
                nodes: vec![Node { id: 1, address, shards: state.shards, rack: None }],
                topics,
            })
        }
        Request::CreateTopic(create) => {
            if state.topic(&create.name).is_some() {
                let text = format!("topic {:?} exists", create.name);
                return Response::Error(ErrorResponse::new(ErrorCode::TopicExists, text));
            }
            let topic_id = state.create_topic(&create.name, create.partitions);
            Response::CreateTopic(CreateTopicResponse { topic_id })
        }
        Request::AlterTopic(alter) => match state.topic(&alter.name) {
            Some(_) => Response::AlterTopic,
            None => unknown(&alter.name),
        },
        Request::DescribeTopic(wanted) => match state.topic(&wanted.name) {
            Some(topic) => Response::DescribeTopic(DescribeTopicResponse {
                topic: describe(topic),
                replicas: 1,
                settings: vec![Setting::new("retention_ms", "-1")],
                states: topic
                    .partitions
                    .iter()
                    .map(|log| PartitionState {
                        log_start_offset: log.start,
                        high_watermark: log.end,
                        bytes: 0,
                        segments: 1,
                        error: ErrorCode::None,
                    })
                    .collect(),
            }),
            None => unknown(&wanted.name),
        },
        Request::ListTopics => Response::ListTopics(ListTopicsResponse {
            topics: state
                .topics
                .iter()
                .map(|topic| TopicSummary {
                    name: topic.name.clone(),
                    id: topic.id,
                    partitions: topic.partitions.len() as u32,
                    replicas: 1,
                })
                .collect(),
        }),
        Request::DeleteTopic(delete) => {
            if state.topic(&delete.name).is_none() {
                return unknown(&delete.name);
            }
            state.topics.retain(|topic| topic.name != delete.name);
            Response::DeleteTopic
        }
        other => panic!("{} is answered elsewhere", other.api()),
    }
}

fn describe(topic: &Topic) -> TopicMetadata {
    let place = |log: &super::log::Log| PartitionPlace {
        leader: 1,
        vnode: 0,
        shard: log.shard,
        error: log.error,
    };
    TopicMetadata {
        name: topic.name.clone(),
        id: topic.id,
        error: ErrorCode::None,
        partitions: topic.partitions.iter().map(place).collect(),
    }
}
