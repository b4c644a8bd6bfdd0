//! Fetching: whole batches from offsets, waiting for them if there are none yet.
//!
//! The attachment of a FetchResponse holds the batches in the order of the results.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::codec::{self, Attachment, Builder, DecodeError, ErrorTexts};
use crate::error::ApiError;
use crate::generated::fb;
use crate::limits::PARTS_PER_REQUEST_MAX;

/// From where to read one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPart {
    /// The topic, from Metadata.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
    /// The first record wanted. The batch that holds it comes whole, so records before it can
    /// come too.
    pub offset: u64,
    /// About how much of this partition is wanted; one whole batch may be more.
    pub bytes_max: u32,
}

/// Reads batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// How long to wait until there are `bytes_min` bytes; 0: answer at once.
    pub wait_ms_max: u32,
    /// Bytes worth answering for.
    pub bytes_min: u32,
    /// About how much is wanted in all; one whole batch may be more.
    pub bytes_max: u32,
    /// The partitions.
    pub parts: Vec<FetchPart>,
}

impl FetchRequest {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::FetchRequest<'static>> {
        let parts = self.parts.iter().map(|part| {
            fb::FetchPart::new(part.topic_id, part.offset, part.partition, part.bytes_max)
        });
        let args = fb::FetchRequestArgs {
            wait_ms_max: self.wait_ms_max,
            bytes_min: self.bytes_min,
            bytes_max: self.bytes_max,
            parts: Some(builder.create_vector_from_iter(parts)),
        };
        fb::FetchRequest::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::FetchRequest<'_>>("FetchRequest", message)?;
        codec::at_most("parts", table.parts().len(), PARTS_PER_REQUEST_MAX)?;
        let parts = table.parts().iter().map(|part| FetchPart {
            topic_id: part.topic_id(),
            partition: part.partition(),
            offset: part.offset(),
            bytes_max: part.bytes_max(),
        });
        Ok(FetchRequest {
            wait_ms_max: table.wait_ms_max(),
            bytes_min: table.bytes_min(),
            bytes_max: table.bytes_max(),
            parts: parts.collect(),
        })
    }
}

/// What there was of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResult {
    /// The topic.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
    /// The offset the next record will get: what a consumer at the end waits for.
    pub high_watermark: u64,
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// Slices that each hold whole batches back to back (see [`crate::batch::split`]), or why
    /// nothing could be read. No slice: there is nothing at the offset yet.
    pub outcome: Result<Vec<Bytes>, ApiError>,
}

/// What there was, in the order of the request's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// One for each part.
    pub results: Vec<FetchResult>,
}

impl FetchResponse {
    pub(crate) fn attachment(&self) -> Vec<Bytes> {
        let batches = self.results.iter().filter_map(|result| result.outcome.as_ref().ok());
        batches.flatten().filter(|slice| !slice.is_empty()).cloned().collect()
    }

    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::FetchResponse<'static>> {
        let errors = self.results.iter().filter_map(|result| result.outcome.as_ref().err());
        let messages = codec::write_error_texts(builder, errors);
        let results = self.results.iter().map(|result| {
            // The lengths fit: together they are at most what `codec::encode` lets into a frame.
            let (bytes, error) = match &result.outcome {
                Ok(slices) => (slices.iter().map(Bytes::len).sum::<usize>() as u32, 0),
                Err(error) => (0, error.number()),
            };
            fb::FetchResult::new(
                result.topic_id,
                result.high_watermark,
                result.log_start_offset,
                result.partition,
                bytes,
                error,
                0,
                0,
            )
        });
        let results = Some(builder.create_vector_from_iter(results));
        fb::FetchResponse::create(builder, &fb::FetchResponseArgs { results, messages })
    }

    pub(crate) fn read(message: &[u8], attachment: Bytes) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::FetchResponse<'_>>("FetchResponse", message)?;
        let results = table.results();
        codec::at_most("results", results.len(), PARTS_PER_REQUEST_MAX)?;
        let mut attachment = Attachment::new(attachment, results.iter().map(|r| r.bytes()))?;
        let numbers = results.iter().map(|result| result.error());
        let mut texts = ErrorTexts::new(table.messages(), numbers)?;
        let results = results.iter().map(|result| {
            let slice = attachment.take(result.bytes());
            let slices = if slice.is_empty() { Vec::new() } else { vec![slice] };
            FetchResult {
                topic_id: result.topic_id(),
                partition: result.partition(),
                high_watermark: result.high_watermark(),
                log_start_offset: result.log_start_offset(),
                outcome: texts.next(result.error()).map(|()| slices),
            }
        });
        Ok(FetchResponse { results: results.collect() })
    }
}
