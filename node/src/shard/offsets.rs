//! Finding offsets: earliest, latest, or the first at or after a timestamp.

use super::Shard;
use super::mailbox::{Asked, Message};
use super::route::{find, stopped};
use crate::partition::PartitionId;
use ringspool_wire::{
    ApiError, EARLIEST, ErrorCode, LATEST, ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer,
    OffsetFound,
};
use std::rc::Rc;

impl Shard {
    /// Answers each query; one that fails does not fail the others.
    pub async fn list_offsets(self: &Rc<Self>, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let mut answers = Vec::with_capacity(request.queries.len());
        for query in request.queries {
            let id = PartitionId { topic: query.topic_id, partition: query.partition };
            let found = find(&self.metadata(), id).map(|(_, asked)| asked);
            let outcome = match found {
                Ok(asked) => self.offset_on_owner(asked, query.timestamp).await,
                Err(error) => Err(error),
            };
            answers.push(OffsetAnswer { partition: query.partition, outcome });
        }
        ListOffsetsResponse { answers }
    }

    async fn offset_on_owner(&self, asked: Asked, timestamp: i64) -> Result<OffsetFound, ApiError> {
        let owner = self.owner(asked.vnode);
        if owner == self.id {
            return self.offset(asked, timestamp).await;
        }
        let queries = vec![(asked, timestamp)];
        let ask = self.mailboxes.ask(owner, |reply| Message::Offsets { queries, reply });
        let mut answers = ask.await.map_err(stopped)?;
        answers.pop().unwrap_or_else(|| unreachable!("one query has one answer"))
    }

    /// Finds an offset of a partition of this shard.
    pub(super) async fn offset(
        &self,
        asked: Asked,
        timestamp: i64,
    ) -> Result<OffsetFound, ApiError> {
        let partition = self.partition(asked)?;
        match timestamp {
            EARLIEST => Ok(OffsetFound { offset: partition.log_start_offset(), timestamp: -1 }),
            LATEST => Ok(OffsetFound { offset: partition.high_watermark(), timestamp: -1 }),
            timestamp if timestamp < 0 => {
                let text = format!("timestamp {timestamp} is neither a time nor -1 nor -2");
                Err(ApiError::new(ErrorCode::MalformedMessage, text))
            }
            timestamp => {
                let found = partition.offset_for_timestamp(timestamp).await;
                let (offset, timestamp) =
                    found.map_err(|error| self.unreadable(&partition, &error))?;
                Ok(OffsetFound { offset, timestamp })
            }
        }
    }
}
