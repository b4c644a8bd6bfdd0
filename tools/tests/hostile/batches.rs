//! Batches that are damaged, lie about themselves, or go where nothing is.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringspool_wire::{ErrorCode, ProducePart};

use super::common::Place;
use super::common::raw::{RawConnection, assert_serves, batch_of, produce_request, records, whole};
use super::common::text::noise;
use super::error_for;

/// A batch with one bit of the byte at `at` turned.
fn flipped(batch: &Bytes, at: usize) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[test]
fn a_bad_part_fails_alone() {
    let place = Place::new();
    let server = place.serve(2);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 4, &[]);
    let narrow = connection.create("narrow", 1, &[("batch_bytes_max", "65536")]);
    let good = batch_of(noise(1000, 4));
    let longer = [&good[..], &[0; 10]].concat();
    let large = batch_of(noise(70_000, 5));
    let cases = [
        (topic, 0, good.clone(), None),
        (topic, 1, flipped(&good, good.len() - 1), Some(ErrorCode::CorruptBatch)),
        (topic, 1, flipped(&good, 50), Some(ErrorCode::CorruptBatch)),
        (topic, 1, flipped(&good, 12), Some(ErrorCode::CorruptBatch)),
        (topic, 1, good.clone(), None),
        (topic, 4, good.clone(), Some(ErrorCode::UnknownPartition)),
        (topic, u32::MAX, good.clone(), Some(ErrorCode::UnknownPartition)),
        (topic + 999, 0, good.clone(), Some(ErrorCode::UnknownTopic)),
        (0, 0, good.clone(), Some(ErrorCode::UnknownTopic)),
        (narrow, 0, large.clone(), Some(ErrorCode::BatchTooLarge)),
        (narrow, 0, good.clone(), None),
        (topic, 2, large, None),
        (topic, 3, flipped(&good, 16), Some(ErrorCode::InvalidBatch)),
        (topic, 3, flipped(&good, 18), Some(ErrorCode::InvalidBatch)),
        (topic, 3, flipped(&good, 20), Some(ErrorCode::InvalidBatch)),
        (topic, 3, good.slice(..good.len() - 8), Some(ErrorCode::InvalidBatch)),
        (topic, 3, longer.into(), Some(ErrorCode::InvalidBatch)),
        (topic, 3, good.slice(..63), Some(ErrorCode::InvalidBatch)),
        (topic, 3, Bytes::new(), Some(ErrorCode::InvalidBatch)),
        (topic, 3, good.clone(), None),
        (topic, 0, good.clone(), None),
    ];
    let parts = cases.iter().map(|(topic_id, partition, batch, _)| ProducePart {
        topic_id: *topic_id,
        partition: *partition,
        batch: batch.clone(),
    });
    let outcomes = connection.produce_parts(parts.collect());
    assert_eq!(outcomes.len(), cases.len());
    let mut stored: BTreeMap<(u64, u32), Vec<Bytes>> = BTreeMap::new();
    for (index, (outcome, (topic_id, partition, batch, expected))) in
        outcomes.iter().zip(cases).enumerate()
    {
        assert_eq!(outcome.as_ref().err().map(|error| error.code), expected, "part {index}");
        if let Ok(ack) = outcome {
            let log = stored.entry((topic_id, partition)).or_default();
            assert_eq!(ack.base_offset, log.len() as u64, "part {index}");
            log.push(batch);
        }
    }
    let large = outcomes[9].as_ref().unwrap_err();
    assert!(large.message.contains("narrow") && large.message.contains("65536"), "{large}");
    for ((topic_id, partition), batches) in stored {
        let values = connection.values_from(topic_id, partition, 0);
        let expected = batches.into_iter().map(|batch| records(&[batch], 0).remove(0).value);
        assert_eq!(values, expected.collect::<Vec<_>>(), "{topic_id}/{partition}");
    }
    assert_serves(server.listen);
}

#[test]
fn parts_that_do_not_add_up_to_the_attachment_store_nothing() {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let topic_id = connection.create("t", 1, &[]);
    let part = ProducePart { topic_id, partition: 0, batch: batch_of("value") };
    let bytes = whole(&produce_request(vec![part]).encode(9));
    let attachment = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    for (lied, extra) in [(attachment + 8, 8), (attachment - 8, 0)] {
        let mut bad = bytes.clone();
        bad[12..16].copy_from_slice(&lied.to_le_bytes());
        bad.resize(bytes.len() + extra, 0);
        bad.truncate(bytes.len() - attachment as usize + lied as usize);
        connection.write(&bad);
        assert_eq!(error_for(&mut connection, 9).code, ErrorCode::MalformedMessage);
    }
    assert_eq!(connection.describe("t").states[0].high_watermark, 0);
    assert_serves(server.listen);
}
