//! From positions to offsets: asks the shards that own the partitions.

use std::collections::HashMap;
use std::sync::Arc;

use ringspool_wire::{
    Api, ApiError, EARLIEST, ErrorCode, LATEST, ListOffsetsRequest, OffsetQuery,
    PARTS_PER_REQUEST_MAX, Request, Response,
};
use tokio::time::{Instant, sleep};

use super::error::ConsumeError;
use super::options::Position;
use crate::backoff::Backoff;
use crate::cluster::{Cluster, Endpoint};
use crate::connection::RequestError;
use crate::error::ClientError;

/// An offset to begin at, and the partition's end at that moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) high_watermark: u64,
}

/// Finds the offsets of positions. Tries again while that can help, up to the request timeout.
pub(super) async fn find(
    cluster: &Cluster,
    topic: &Arc<str>,
    topic_id: u64,
    wanted: &[(u32, Position)],
) -> Result<Vec<Found>, ConsumeError> {
    let query = |partition, timestamp| OffsetQuery { topic_id, partition, timestamp };
    // The end is asked first: a position found after it is not behind it unless it really is.
    let ends: Vec<OffsetQuery> =
        wanted.iter().map(|(partition, _)| query(*partition, LATEST)).collect();
    let ends = ask(cluster, topic, topic_id, ends).await?;
    let starts = wanted.iter().filter_map(|(partition, position)| match position {
        Position::Earliest => Some(query(*partition, EARLIEST)),
        Position::Timestamp(at) => Some(query(*partition, (*at).max(0))),
        Position::Latest | Position::Offset(_) => None,
    });
    let starts = ask(cluster, topic, topic_id, starts.collect()).await?;
    let found = wanted.iter().filter_map(|(partition, position)| {
        let high_watermark = *ends.get(partition)?;
        let offset = match position {
            Position::Offset(offset) => *offset,
            Position::Latest => high_watermark,
            Position::Earliest | Position::Timestamp(_) => *starts.get(partition)?,
        };
        Some(Found { partition: *partition, offset, high_watermark })
    });
    Ok(found.collect())
}

/// Answers to all queries, by partition.
async fn ask(
    cluster: &Cluster,
    topic: &Arc<str>,
    topic_id: u64,
    mut queries: Vec<OffsetQuery>,
) -> Result<HashMap<u32, u64>, ConsumeError> {
    let deadline = Instant::now() + cluster.request_timeout();
    let mut backoff = Backoff::default();
    let mut answers = HashMap::new();
    loop {
        let mut left = Vec::new();
        let mut problem = None;
        let view = cluster.view();
        let mut by_place: HashMap<Endpoint, Vec<OffsetQuery>> = HashMap::new();
        for query in queries {
            match view.place(topic, topic_id, query.partition) {
                Some(place) => by_place.entry(place.clone()).or_default().push(query),
                None if view.is_gone(topic, topic_id) => {
                    return Err(ConsumeError::TopicDeleted { topic: topic.clone() });
                }
                None => {
                    let (topic, code) = (topic.to_string(), ErrorCode::NotReady);
                    problem = Some(ClientError::TopicNotReady { topic, code }.into());
                    left.push(query);
                }
            }
        }
        for (place, queries) in by_place {
            for some in queries.chunks(PARTS_PER_REQUEST_MAX) {
                match ask_place(cluster, &place, some).await {
                    Ok(outcomes) => {
                        for (query, outcome) in some.iter().zip(outcomes) {
                            match outcome {
                                Ok(offset) => {
                                    answers.insert(query.partition, offset);
                                }
                                Err(source) => {
                                    let lasting = !source.is_retriable()
                                        && source.code != ErrorCode::UnknownTopic;
                                    let (topic, partition) = (topic.clone(), query.partition);
                                    let error = ConsumeError::Refused { topic, partition, source };
                                    if lasting {
                                        return Err(error);
                                    }
                                    problem = Some(error);
                                    left.push(*query);
                                }
                            }
                        }
                    }
                    Err(error) if error.is_retriable() => {
                        problem = Some(ClientError::Request(error).into());
                        left.extend_from_slice(some);
                    }
                    Err(error) => return Err(ClientError::Request(error).into()),
                }
            }
        }
        let Some(problem) = problem else { return Ok(answers) };
        let wait = backoff.next();
        if Instant::now() + wait >= deadline {
            return Err(problem);
        }
        sleep(wait).await;
        // What this finds out is looked at in the next round; if it fails, so does that.
        if let Err(error) = cluster.refresh(view.generation).await {
            tracing::warn!(%error, "cannot refresh the metadata");
        }
        queries = left;
    }
}

async fn ask_place(
    cluster: &Cluster,
    place: &Endpoint,
    queries: &[OffsetQuery],
) -> Result<Vec<Result<u64, ApiError>>, RequestError> {
    let connection = cluster.connection(place).await.map_err(RequestError::NotSent)?;
    let request = Request::ListOffsets(ListOffsetsRequest { queries: queries.to_vec() });
    match connection.request(&request, cluster.request_timeout()).await? {
        Response::ListOffsets(found) if found.answers.len() == queries.len() => {
            let outcome =
                |outcome: Result<ringspool_wire::OffsetFound, _>| outcome.map(|f| f.offset);
            Ok(found.answers.into_iter().map(|answer| outcome(answer.outcome)).collect())
        }
        _ => Err(connection.unexpected(Api::ListOffsets)),
    }
}
