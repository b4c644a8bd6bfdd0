//! A batch that has left the accumulator: what it holds, its place in the partition's order, and
//! its sequence numbers.

use std::sync::Arc;

use bytes::Bytes;
use ringspool_wire::{BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchHeader, ProducerStamp};
use tokio::time::Instant;

use super::delivery::Outcome;
use super::large::LargeRecord;
use super::ledger::Obligation;
use super::options::Options;
use super::queue::{Builders, RecordsBatch};

/// Where the CRC of a batch begins, and where it stands; see docs/batch-format.md.
const CRC_START: usize = 16;

/// To whom the batch is owed.
pub(super) enum Owner {
    Records(Obligation),
    Chunk { large: Arc<LargeRecord>, index: u32 },
}

/// A batch on its way.
pub(super) struct Batch {
    /// Its place in the order of the partition; never changes, whatever is tried again.
    pub(super) position: u64,
    pub(super) begun: Instant,
    pub(super) records: u32,
    pub(super) owner: Owner,
    /// Its producer and sequence; `None` until it is first sent, and again after the partition
    /// has changed its producer id.
    pub(super) stamp: Option<ProducerStamp>,
    /// A request with it was sent under `stamp`, and nobody knows what became of it.
    pub(super) maybe_stored: bool,
    builder: Option<BatchBuilder>,
    encoded: Option<(Bytes, ProducerStamp)>,
}

impl Batch {
    pub(super) fn of_records(batch: RecordsBatch, position: u64) -> Self {
        Batch {
            position,
            begun: batch.begun,
            records: batch.builder.len() as u32,
            owner: Owner::Records(batch.obligation),
            stamp: None,
            maybe_stored: false,
            builder: Some(batch.builder),
            encoded: None,
        }
    }

    pub(super) fn of_chunk(
        large: Arc<LargeRecord>,
        index: u32,
        position: u64,
        begun: Instant,
    ) -> Self {
        Batch {
            position,
            begun,
            records: 1,
            owner: Owner::Chunk { large, index },
            stamp: None,
            maybe_stored: false,
            builder: None,
            encoded: None,
        }
    }

    /// About the bytes it has on the wire, at most.
    pub(super) fn bytes_estimate(&self, options: &Options) -> usize {
        match (&self.encoded, &self.builder) {
            (Some((bytes, _)), _) => bytes.len(),
            (None, Some(builder)) => builder.bytes_estimate(),
            (None, None) => options.batch_bytes,
        }
    }

    /// Whether encoding it costs more than a copy.
    pub(super) fn is_encoded(&self) -> bool {
        self.encoded.is_some()
    }

    /// Makes the bytes, or brings them up to date with the stamp.
    pub(super) fn encode(
        &mut self,
        options: &Options,
        builders: &Builders,
    ) -> Result<(), BatchError> {
        let stamp = self.stamp.unwrap_or(ProducerStamp::NONE);
        let bytes = match (&self.encoded, &self.owner) {
            (Some((_, encoded_for)), _) if *encoded_for == stamp => return Ok(()),
            (Some((bytes, _)), _) => restamp(bytes, stamp)?,
            (None, Owner::Chunk { large, index }) => {
                large.encode(*index, options.compression, stamp)?
            }
            (None, Owner::Records(_)) => {
                let Some(mut builder) = self.builder.take() else { return Err(BatchError::Empty) };
                let bytes = builder.finish(stamp);
                builders.give(builder);
                bytes?
            }
        };
        self.encoded = Some((bytes, stamp));
        Ok(())
    }

    /// The bytes that `encode` made.
    pub(super) fn bytes(&self) -> Bytes {
        self.encoded.as_ref().map(|(bytes, _)| bytes.clone()).unwrap_or_default()
    }

    /// Tells the sender. Of a chunk: a failure fails the record, only the last success settles it.
    pub(super) fn settle(self, outcome: Outcome) {
        match self.owner {
            Owner::Records(obligation) => obligation.settle(outcome),
            Owner::Chunk { large, index } => {
                if outcome.is_err() || index + 1 == large.count() {
                    large.settle(outcome);
                }
            }
        }
    }
}

/// The same batch under another producer id and sequence.
fn restamp(batch: &[u8], stamp: ProducerStamp) -> Result<Bytes, BatchError> {
    let mut header = BatchHeader::decode(batch)?;
    header.producer_id = stamp.producer_id;
    header.producer_epoch = stamp.producer_epoch;
    header.base_sequence = stamp.base_sequence;
    let body = &batch[BATCH_HEADER_BYTES..];
    let unsigned = header.encode();
    header.crc = crc32c::crc32c_append(crc32c::crc32c(&unsigned[CRC_START..]), body);
    let mut bytes = Vec::with_capacity(batch.len());
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(body);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ringspool_wire::{Compression, RecordRef, verify};

    use super::*;

    #[test]
    fn a_restamped_batch_is_the_one_that_would_have_been_built_so() {
        for compression in [Compression::None, Compression::default()] {
            let build = |stamp| {
                let mut builder = BatchBuilder::new(compression);
                let value = vec![b'x'; 1000];
                let record = RecordRef { value: &value, ..RecordRef::default() };
                builder.push(&record).unwrap();
                builder.push(&record).unwrap();
                builder.finish(stamp).unwrap()
            };
            let old = ProducerStamp { producer_id: 4, producer_epoch: 1, base_sequence: 77 };
            let new = ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: 3 };
            let restamped = restamp(&build(old), new).unwrap();
            assert_eq!(restamped, build(new));
            assert_eq!(verify(&restamped).unwrap().base_sequence, 3);
        }
    }
}
