//! The batches of a partition: which one comes when depends on nothing but the partition, so that a
//! test can say at any time what has to be where.

use bytes::{Bytes, BytesMut};
use ringspool_node::partition::PartitionId;
use ringspool_node::vnode::command::AppendBatch;
use ringspool_wire::batch::{
    BatchBuilder, BatchHeader, Compression, ProducerStamp, RecordRef, stamp,
};
use std::rc::Rc;

/// A batch and where it belongs.
#[derive(Clone)]
pub struct Planned {
    pub batch: AppendBatch,
    pub base_offset: u64,
    /// Whether its producer is idempotent: sent again, it is recognised.
    pub is_idempotent: bool,
}

impl Planned {
    /// The offset after its last record.
    pub fn end_offset(&self) -> u64 {
        self.base_offset + u64::from(self.batch.header.record_count)
    }

    /// Its bytes as they are in the log, but for the term.
    pub fn stored(&self) -> Bytes {
        without_term(&self.batch.batch, self.base_offset)
    }
}

/// A batch's bytes with that base offset and no term.
pub fn without_term(batch: &[u8], base_offset: u64) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    let head = stamp(batch.first_chunk().unwrap(), base_offset, 0);
    bytes[..head.len()].copy_from_slice(&head);
    bytes.freeze()
}

/// All batches of a partition, in order.
#[derive(Clone)]
pub struct Plan {
    batches: Rc<[Planned]>,
}

/// A number that looks random.
fn mix(seed: u64) -> u64 {
    let value = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value ^ (value >> 29)
}

impl Plan {
    /// `count` batches of up to three records and about `bytes_max` bytes. `producers` idempotent
    /// ones take turns; without any, nobody is idempotent.
    pub fn new(id: PartitionId, count: u64, bytes_max: u64, producers: u64) -> Self {
        let mut batches: Vec<Planned> = Vec::new();
        let mut sequences = vec![0; producers as usize];
        for n in 0..count {
            let seed = mix(id.topic << 32 | u64::from(id.partition) << 16 | n);
            let records = 1 + (seed % 3) as u32;
            let bytes = mix(seed) % bytes_max;
            let mut builder = BatchBuilder::new(Compression::None);
            for record in 0..records {
                let value = vec![mix(seed + u64::from(record)) as u8; bytes as usize / 3];
                let key = format!("{id} {n} {record}");
                let timestamp_ms = 1_700_000_000_000 + n as i64;
                let record =
                    RecordRef { key: key.as_bytes(), value: &value, timestamp_ms, headers: &[] };
                builder.push(&record).unwrap();
            }
            let stamp = match n.checked_rem(producers) {
                None => ProducerStamp::NONE,
                Some(producer) => {
                    let sequence = &mut sequences[producer as usize];
                    let producer_id =
                        1_000 * id.topic + u64::from(id.partition) * 10 + producer + 1;
                    let base_sequence = *sequence;
                    *sequence += records;
                    ProducerStamp { producer_id, producer_epoch: 0, base_sequence }
                }
            };
            let batch = builder.finish(stamp).unwrap();
            let header = BatchHeader::decode(&batch).unwrap();
            batches.push(Planned {
                batch: AppendBatch { partition: id, header, batch },
                base_offset: batches.last().map_or(0, Planned::end_offset),
                is_idempotent: producers > 0,
            });
        }
        Self { batches: batches.into() }
    }

    /// The batch at that place.
    pub fn batch(&self, n: usize) -> &Planned {
        &self.batches[n]
    }

    /// How many batches the log has whose next offset is this.
    pub fn batches_until(&self, high_watermark: u64) -> Option<usize> {
        if high_watermark == 0 {
            return Some(0);
        }
        let place = self.batches.iter().position(|batch| batch.end_offset() == high_watermark)?;
        Some(place + 1)
    }
}
