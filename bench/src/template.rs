//! Batches made faster than they are sent: built once, then only stamped anew.
//!
//! A batch that was acknowledged gives its memory back. For the next one, the stamps of its
//! records, its timestamps and its CRC are written in place; the filler stays. So every request has
//! bytes of its own and a right CRC, and costs a pass over them instead of building and copying.

use bytes::{Bytes, BytesMut};
use ringspool_wire::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchHeader, Compression, DecodedBatch,
    ProducerStamp, RecordRef,
};

use crate::payload::{Filler, Stamp};

/// Where the bytes that a batch's CRC covers begin (docs/batch-format.md).
const CRC_START: usize = 16;

/// Batches of a number of records of one length.
pub(crate) struct Template {
    /// What new buffers are copied from.
    original: Bytes,
    header: BatchHeader,
    /// Where each record's value is.
    values: Vec<usize>,
    value_bytes: usize,
}

impl Template {
    /// # Errors
    ///
    /// When so many records are too much for one batch.
    pub(crate) fn new(
        filler: &Filler,
        records: u32,
        value_bytes: usize,
    ) -> Result<Self, BatchError> {
        let mut builder = BatchBuilder::new(Compression::None);
        let mut value = vec![0; value_bytes];
        for slot in 0..records {
            filler.fill(slot, &mut value);
            builder.push(&RecordRef { value: &value, ..RecordRef::default() })?;
        }
        let original = builder.finish(ProducerStamp::NONE)?;
        let opened = DecodedBatch::open(original.clone())?;
        // Without compression the values are slices of the batch itself.
        let start = original.as_ptr() as usize;
        let values =
            opened.records().map(|record| record.value.as_ptr() as usize - start).collect();
        Ok(Template { header: opened.header, original, values, value_bytes })
    }

    /// Records of each batch.
    pub(crate) fn records(&self) -> u32 {
        self.values.len() as u32
    }

    /// Bytes of each batch.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.original.len()
    }

    /// A buffer for [`Template::stamp`].
    pub(crate) fn buffer(&self) -> BytesMut {
        BytesMut::from(&self.original[..])
    }

    /// Makes the batch whose first record has this run, producer and sequence. `buffer` is one of
    /// this template's, stamped before or not.
    pub(crate) fn stamp(&self, mut buffer: BytesMut, first: Stamp, timestamp_ms: i64) -> Bytes {
        for (slot, value) in self.values.iter().enumerate() {
            let slot = slot as u32;
            let stamp = Stamp { slot, sequence: first.sequence + u64::from(slot), ..first };
            stamp.write(&mut buffer[*value..*value + self.value_bytes]);
        }
        let mut header = BatchHeader {
            base_timestamp: timestamp_ms,
            max_timestamp: timestamp_ms,
            ..self.header
        };
        buffer[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        header.crc = crc32c::crc32c(&buffer[CRC_START..]);
        buffer[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_buffer_can_be_stamped_again_and_again() {
        let filler = Filler::new();
        let template = Template::new(&filler, 5, 100).unwrap();
        let mut buffer = template.buffer();
        for round in 0..3u64 {
            let first = Stamp { run: 9, producer: 2, slot: 0, sequence: 5 * round };
            let batch = template.stamp(buffer, first, 1_700_000_000_000 + round as i64);
            let opened = DecodedBatch::open(batch.clone()).unwrap();
            assert_eq!(opened.header.max_timestamp, 1_700_000_000_000 + round as i64);
            let mut count = 0;
            for (slot, record) in opened.records().enumerate() {
                let stamp = filler.check(&record.value).unwrap();
                let slot = slot as u32;
                assert_eq!(stamp, Stamp { slot, sequence: 5 * round + u64::from(slot), ..first });
                assert_eq!(record.value.len(), 100);
                count += 1;
            }
            assert_eq!(count, 5);
            drop(opened);
            buffer = batch.try_into_mut().unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_a_batch_is_refused() {
        let filler = Filler::new();
        assert!(matches!(Template::new(&filler, 9, 1 << 20), Err(BatchError::Full { .. })));
        assert!(matches!(Template::new(&filler, 0, 100), Err(BatchError::Empty)));
    }
}
