//! Finding offsets: the earliest, the latest, or the first at or after a time.

use flatbuffers::WIPOffset;

use crate::codec::{self, Builder, DecodeError, ErrorTexts};
use crate::error::ApiError;
use crate::generated::fb;
use crate::limits::PARTS_PER_REQUEST_MAX;

/// [`OffsetQuery::timestamp`]: the log start offset.
pub const EARLIEST: i64 = -2;

/// [`OffsetQuery::timestamp`]: the high watermark.
pub const LATEST: i64 = -1;

/// What offset is wanted of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetQuery {
    /// The topic, from Metadata.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
    /// Milliseconds since 1970, or [`EARLIEST`], or [`LATEST`].
    pub timestamp: i64,
}

/// Finds offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsRequest {
    /// The questions.
    pub queries: Vec<OffsetQuery>,
}

impl ListOffsetsRequest {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::ListOffsetsRequest<'static>> {
        let queries = self
            .queries
            .iter()
            .map(|query| fb::OffsetQuery::new(query.topic_id, query.timestamp, query.partition, 0));
        let queries = Some(builder.create_vector_from_iter(queries));
        fb::ListOffsetsRequest::create(builder, &fb::ListOffsetsRequestArgs { queries })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::ListOffsetsRequest<'_>>("ListOffsetsRequest", message)?;
        codec::at_most("queries", table.queries().len(), PARTS_PER_REQUEST_MAX)?;
        let queries = table.queries().iter().map(|query| OffsetQuery {
            topic_id: query.topic_id(),
            partition: query.partition(),
            timestamp: query.timestamp(),
        });
        Ok(ListOffsetsRequest { queries: queries.collect() })
    }
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetFound {
    /// The offset; the high watermark when no record is at or after the time asked for.
    pub offset: u64,
    /// The timestamp of the record at the offset, or -1 if there is none.
    pub timestamp: i64,
}

/// The answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAnswer {
    /// The partition.
    pub partition: u32,
    /// What was found, or why there is no answer.
    pub outcome: Result<OffsetFound, ApiError>,
}

/// The answers, in the order of the request's queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsResponse {
    /// One for each query.
    pub answers: Vec<OffsetAnswer>,
}

impl ListOffsetsResponse {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::ListOffsetsResponse<'static>> {
        let errors = self.answers.iter().filter_map(|answer| answer.outcome.as_ref().err());
        let messages = codec::write_error_texts(builder, errors);
        let answers = self.answers.iter().map(|answer| match &answer.outcome {
            Ok(found) => {
                fb::OffsetAnswer::new(found.offset, found.timestamp, answer.partition, 0, 0)
            }
            Err(error) => fb::OffsetAnswer::new(0, 0, answer.partition, error.number(), 0),
        });
        let answers = Some(builder.create_vector_from_iter(answers));
        fb::ListOffsetsResponse::create(builder, &fb::ListOffsetsResponseArgs { answers, messages })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::ListOffsetsResponse<'_>>("ListOffsetsResponse", message)?;
        let answers = table.answers();
        codec::at_most("answers", answers.len(), PARTS_PER_REQUEST_MAX)?;
        let numbers = answers.iter().map(|answer| answer.error());
        let mut texts = ErrorTexts::new(table.messages(), numbers)?;
        let answers = answers.iter().map(|answer| {
            let found = OffsetFound { offset: answer.offset(), timestamp: answer.timestamp() };
            OffsetAnswer {
                partition: answer.partition(),
                outcome: texts.next(answer.error()).map(|()| found),
            }
        });
        Ok(ListOffsetsResponse { answers: answers.collect() })
    }
}
