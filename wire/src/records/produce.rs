//! Producing: a producer's identity, and batches with their acknowledgements.
//!
//! The attachment of a ProduceRequest holds the batches in the order of the parts; the results of
//! a ProduceResponse are in that order too.

use bytes::Bytes;
use flatbuffers::WIPOffset;

use crate::codec::{self, Attachment, Builder, DecodeError, ErrorTexts};
use crate::error::ApiError;
use crate::generated::fb;
use crate::limits::PARTS_PER_REQUEST_MAX;

/// An identity for an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitProducerResponse {
    /// Never 0; never given out twice.
    pub producer_id: u64,
    /// Of two producers with the same id, the one with the higher epoch is the real one.
    pub producer_epoch: u16,
}

impl InitProducerResponse {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::InitProducerResponse<'static>> {
        let args = fb::InitProducerResponseArgs {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
        };
        fb::InitProducerResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::InitProducerResponse<'_>>("InitProducerResponse", message)?;
        Ok(InitProducerResponse {
            producer_id: table.producer_id(),
            producer_epoch: table.producer_epoch(),
        })
    }
}

/// When a produce request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Acks {
    /// Never: the node sends no response at all.
    None = 0,
    /// When the records are on the leader's stable storage.
    Leader = 1,
    /// When the records are on the stable storage of a majority.
    #[default]
    Quorum = 2,
}

/// One batch for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePart {
    /// The topic, from Metadata.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
    /// Exactly one batch, which this crate's decoder has not looked at; see
    /// [`crate::batch::verify`].
    pub batch: Bytes,
}

/// Appends batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// When to answer.
    pub acks: Acks,
    /// How long the node may take, before it answers Timeout; 0: its default.
    pub timeout_ms: u32,
    /// The batches.
    pub parts: Vec<ProducePart>,
}

impl ProduceRequest {
    pub(crate) fn attachment(&self) -> Vec<Bytes> {
        self.parts.iter().map(|part| part.batch.clone()).collect()
    }

    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::ProduceRequest<'static>> {
        // The lengths fit: together they are at most what `codec::encode` lets into a frame.
        let parts = self.parts.iter().map(|part| {
            fb::ProducePart::new(part.topic_id, part.partition, part.batch.len() as u32)
        });
        let parts = Some(builder.create_vector_from_iter(parts));
        let acks = fb::Acks(self.acks as u8);
        let args = fb::ProduceRequestArgs { acks, timeout_ms: self.timeout_ms, parts };
        fb::ProduceRequest::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8], attachment: Bytes) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::ProduceRequest<'_>>("ProduceRequest", message)?;
        let acks = match table.acks() {
            fb::Acks::None => Acks::None,
            fb::Acks::Leader => Acks::Leader,
            fb::Acks::Quorum => Acks::Quorum,
            fb::Acks(value) => {
                return Err(DecodeError::OutOfRange { field: "acks", value: u64::from(value) });
            }
        };
        let parts = table.parts();
        codec::at_most("parts", parts.len(), PARTS_PER_REQUEST_MAX)?;
        let mut attachment = Attachment::new(attachment, parts.iter().map(|part| part.bytes()))?;
        let parts = parts.iter().map(|part| ProducePart {
            topic_id: part.topic_id(),
            partition: part.partition(),
            batch: attachment.take(part.bytes()),
        });
        Ok(ProduceRequest { acks, timeout_ms: table.timeout_ms(), parts: parts.collect() })
    }
}

/// A batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceAck {
    /// The offset of its first record; the others follow without gaps.
    pub base_offset: u64,
    /// It was in the log already, from an earlier try, and `base_offset` is where.
    pub duplicate: bool,
}

/// What became of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResult {
    /// Where it is, or why it is not in the log.
    pub outcome: Result<ProduceAck, ApiError>,
}

/// What became of each batch, in the order of the request's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResponse {
    /// One for each part.
    pub results: Vec<ProduceResult>,
}

impl ProduceResponse {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::ProduceResponse<'static>> {
        let errors = self.results.iter().filter_map(|result| result.outcome.as_ref().err());
        let messages = codec::write_error_texts(builder, errors);
        let results = self.results.iter().map(|result| match &result.outcome {
            Ok(ack) => fb::ProduceResult::new(ack.base_offset, 0, u16::from(ack.duplicate), 0),
            Err(error) => fb::ProduceResult::new(0, error.number(), 0, 0),
        });
        let results = Some(builder.create_vector_from_iter(results));
        fb::ProduceResponse::create(builder, &fb::ProduceResponseArgs { results, messages })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::ProduceResponse<'_>>("ProduceResponse", message)?;
        let results = table.results();
        codec::at_most("results", results.len(), PARTS_PER_REQUEST_MAX)?;
        let numbers = results.iter().map(|result| result.error());
        let mut texts = ErrorTexts::new(table.messages(), numbers)?;
        let results = results.iter().map(|result| {
            let ack = ProduceAck {
                base_offset: result.base_offset(),
                duplicate: result.duplicate() != 0,
            };
            ProduceResult { outcome: texts.next(result.error()).map(|()| ack) }
        });
        Ok(ProduceResponse { results: results.collect() })
    }
}
