//! What the answer for one partition means: records, an error to report, or to ask again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringspool_wire::{ApiError, BatchHeader, ErrorCode, FetchPart, FetchResult, split};
use tokio::time::Instant;

use super::board::{Fetched, OffsetReset, State};
use super::error::ConsumeError;
use super::options::{Options, OutOfRange};

pub(super) enum Verdict {
    /// Nothing new.
    Nothing,
    /// There is something for the consumer.
    News,
    /// Ask again after a while, perhaps elsewhere.
    Again { refresh: bool, why: String },
}

/// Takes the answer for one partition, which is part of the fetch that this answers.
pub(super) fn judge(
    options: &Options,
    state: &mut State,
    part: &FetchPart,
    result: FetchResult,
) -> Verdict {
    let State { partitions, fetched, bytes, .. } = state;
    let Some(progress) = partitions.get_mut(&part.partition) else { return Verdict::Nothing };
    progress.in_fetch = None;
    let (topic, partition, offset) = (options.topic.clone(), part.partition, part.offset);
    let damaged = |offset, next_offset, detail: &str| {
        let (topic, detail) = (options.topic.clone(), detail.into());
        ConsumeError::Damaged { topic, partition, offset, next_offset, detail }
    };
    let error = match result.outcome {
        Ok(slices) => {
            progress.failing_since = None;
            progress.high_watermark = result.high_watermark;
            if slices.is_empty() {
                return Verdict::Nothing;
            }
            let (batches, next_offset, problem) = cut(slices, offset);
            let batches_bytes = batches.iter().map(Bytes::len).sum();
            if !batches.is_empty() {
                *bytes += batches_bytes;
                fetched.push_back(Fetched::Batches { partition, batches, bytes: batches_bytes });
            }
            progress.fetch_offset = next_offset;
            match problem {
                None => return Verdict::News,
                Some(detail) => damaged(next_offset, None, &detail),
            }
        }
        Err(ApiError { code: ErrorCode::OffsetOutOfRange, .. }) => {
            let to = match options.out_of_range {
                OutOfRange::Earliest => Some(result.log_start_offset),
                OutOfRange::Latest => Some(result.high_watermark),
                OutOfRange::Error => None,
            };
            progress.high_watermark = result.high_watermark;
            // A reset that leads nowhere else would be repeated for ever.
            if let Some(to) = to.filter(|to| *to != offset) {
                progress.fetch_offset = to;
                let reset = OffsetReset { partition, from: offset, to };
                fetched.push_back(Fetched::Moved(reset));
                return Verdict::News;
            }
            ConsumeError::OffsetOutOfRange {
                topic,
                partition,
                offset,
                log_start_offset: result.log_start_offset,
                high_watermark: result.high_watermark,
            }
        }
        Err(source) => match source.code {
            ErrorCode::DamagedData => damaged(offset, None, &source.message),
            // If the topic was deleted, the next look at the metadata shows it.
            ErrorCode::NotLeader
            | ErrorCode::UnknownTopic
            | ErrorCode::NotReady
            | ErrorCode::ShuttingDown => {
                return Verdict::Again { refresh: true, why: source.to_string() };
            }
            code if code.is_retriable() => {
                return Verdict::Again { refresh: false, why: source.to_string() };
            }
            _ => ConsumeError::Refused { topic, partition, source },
        },
    };
    progress.stopped = true;
    fetched.push_back(Fetched::Failed { partition: Some(partition), error });
    Verdict::News
}

/// Cuts slices into batches, up to the first that is not what it should be. Gives the offset
/// behind them.
fn cut(slices: Vec<Bytes>, offset: u64) -> (VecDeque<Bytes>, u64, Option<String>) {
    let mut batches = VecDeque::new();
    let mut next_offset = offset;
    for batch in slices.into_iter().flat_map(split) {
        let header = batch.and_then(|batch| Ok((BatchHeader::decode(&batch)?, batch)));
        match header {
            // Without this, a node that answers with the wrong batches would be asked for ever.
            Ok((header, _)) if header.last_offset() < next_offset => {
                let detail = format!(
                    "the node answered with a batch that ends at offset {}",
                    header.last_offset()
                );
                return (batches, next_offset, Some(detail));
            }
            Ok((header, batch)) => {
                next_offset = header.last_offset().saturating_add(1);
                batches.push_back(batch);
            }
            Err(error) => return (batches, next_offset, Some(error.to_string())),
        }
    }
    (batches, next_offset, None)
}

/// The topic is gone: stops everything, and says so once.
pub(super) fn topic_gone(topic: &Arc<str>, state: &mut State) {
    for progress in state.partitions.values_mut() {
        progress.stopped = true;
        progress.in_fetch = None;
    }
    let error = ConsumeError::TopicDeleted { topic: topic.clone() };
    state.fetched.push_back(Fetched::Failed { partition: None, error });
}

/// Reports partitions that have been failing for longer than `patience`; the clock starts again.
pub(super) fn report_failing(
    topic: &Arc<str>,
    state: &mut State,
    now: Instant,
    patience: Duration,
    last: &Arc<str>,
) -> bool {
    let mut partitions = Vec::new();
    let mut since = Duration::ZERO;
    for (partition, progress) in &mut state.partitions {
        if let Some(failing_since) = progress.failing_since
            && now - failing_since >= patience
            && !progress.stopped
        {
            since = since.max(now - failing_since);
            progress.failing_since = Some(now);
            partitions.push(*partition);
        }
    }
    if partitions.is_empty() {
        return false;
    }
    let (topic, last) = (topic.clone(), last.clone());
    let error = ConsumeError::Unavailable { topic, partitions, since, last };
    state.fetched.push_back(Fetched::Failed { partition: None, error });
    true
}
