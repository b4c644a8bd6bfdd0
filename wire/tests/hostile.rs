//! What a hostile peer can send: it is refused, quickly, and nothing panics.
//!
//! Messages that no encoder of this crate would make are made here, field by field.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;
use ringspool_wire::*;
use support::Random;

/// Mutations of each golden vector; enough that each lands in every field of the smaller ones.
const ROUNDS: usize = 4000;

/// Changes some bytes of a vector: flips, small and extreme numbers, moved and repeated pieces.
fn mutate(random: &mut Random, bytes: &[u8], from: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = from + random.below(bytes.len() - from);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => {
                let extreme = [0_u32, 1, 4, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
                let extreme = extreme[random.below(extreme.len())].to_le_bytes();
                bytes.iter_mut().skip(at & !3).zip(extreme).for_each(|(byte, new)| *byte = new);
            }
            3 => {
                // An offset that points somewhere else nearby.
                bytes[at] = bytes[at].wrapping_add(random.below(9) as u8).wrapping_sub(4);
            }
            4 => {
                let length = random.below(bytes.len() - at).min(16);
                let to = from + random.below(bytes.len() - from - length);
                bytes.copy_within(at..at + length, to);
            }
            _ if random.below(8) == 0 && at > from => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
        if bytes.len() <= from {
            break;
        }
    }
    bytes
}

#[test]
fn mutated_frames_are_refused_or_decode_to_something_that_can_be_sent_on() {
    let mut random = Random(0x51D3);
    for (_, frame) in support::golden::frames() {
        let bytes = frame.encode();
        for round in 0..ROUNDS {
            // Mostly the message; its header is mutated in every eighth round.
            let from = if round % 8 == 0 { 2 } else { HEADER_BYTES };
            fuzzing::frame(&mutate(&mut random, &bytes, from));
        }
    }
}

#[test]
fn mutated_batches_are_refused_or_open_to_records_that_can_be_built_again() {
    let mut random = Random(0xBA7C);
    for golden in support::golden::batches() {
        for _ in 0..ROUNDS {
            let bytes = mutate(&mut random, &golden.batch, 0);
            fuzzing::batch(&bytes);
        }
    }
}

#[test]
fn bytes_at_random_are_refused() {
    let mut random = Random(1);
    for length in 0..600 {
        let bytes = random.bytes(length);
        fuzzing::frame(&bytes);
        fuzzing::batch(&bytes);
        let header = FrameHeader {
            version: 1,
            api: 1 + random.below(11) as u8,
            flags: random.below(4) as u8,
            message_bytes: length as u32,
            correlation: 0,
            attachment_bytes: 0,
        };
        fuzzing::frame(&[&header.encode()[..], &bytes].concat());
    }
}

type Builder = FlatBufferBuilder<'static>;

/// Where field `index` of a table stands in its vtable.
fn slot(index: u16) -> u16 {
    4 + 2 * index
}

/// A table of this crate's schema with any content.
fn message(fill: impl FnOnce(&mut Builder)) -> Bytes {
    let mut builder = FlatBufferBuilder::new();
    fill(&mut builder);
    Bytes::copy_from_slice(builder.finished_data())
}

fn finish(builder: &mut Builder, write: impl FnOnce(&mut Builder)) {
    let table = builder.start_table();
    write(builder);
    let table = builder.end_table(table);
    builder.finish_minimal(table);
}

fn header(api: Api, flags: u8, message: &Bytes) -> FrameHeader {
    let message_bytes = message.len() as u32;
    FrameHeader {
        version: 1,
        api: api as u8,
        flags,
        message_bytes,
        correlation: 0,
        attachment_bytes: 0,
    }
}

fn request(api: Api, message: Bytes) -> Result<Request, DecodeError> {
    Request::decode(&header(api, 0, &message), message)
}

fn response(api: Api, flags: u8, message: Bytes) -> Result<Response, DecodeError> {
    Response::decode(&header(api, FLAG_RESPONSE | flags, &message), message)
}

#[test]
fn one_table_that_is_listed_very_often_does_not_cost_its_number() {
    let answer = |times: usize, name: &str| {
        let message = message(|builder| {
            let name = builder.create_string(name);
            let topic = builder.start_table();
            builder.push_slot_always(slot(0), name);
            let topic = builder.end_table(topic);
            let topics = builder.create_vector(&vec![topic; times]);
            finish(builder, |builder| builder.push_slot_always(slot(0), topics));
        });
        response(Api::ListTopics, 0, message)
    };
    let Ok(Response::ListTopics(few)) = answer(3, "t") else { panic!("three are harmless") };
    assert_eq!(few.topics.len(), 3);
    // 800 KB that would become 200 thousand topics.
    assert!(matches!(answer(200_000, "t"), Err(DecodeError::Malformed { .. })));
    // 20 KB that would become 50 MB of names.
    assert!(matches!(answer(50, &"n".repeat(20_000)), Err(DecodeError::Malformed { .. })));
}

#[test]
fn one_string_that_is_listed_very_often_is_not_copied_as_often() {
    let topics = |times: usize, length: usize| {
        let message = message(|builder| {
            let name = builder.create_string(&"n".repeat(length));
            let names = builder.create_vector(&vec![name; times]);
            finish(builder, |builder| builder.push_slot_always(slot(0), names));
        });
        request(Api::Metadata, message)
    };
    assert!(topics(2, 10).is_ok());
    // 140 KB that would become a gigabyte.
    assert!(matches!(topics(10_000, 100_000), Err(DecodeError::Malformed { .. })));
}

#[test]
fn a_missing_required_field_is_refused() {
    let empty = || message(|builder| finish(builder, |_| ()));
    for api in [Api::CreateTopic, Api::DescribeTopic, Api::Produce, Api::Fetch, Api::ListOffsets] {
        let error = request(api, empty()).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{api}: {error}");
    }
    assert!(request(Api::Hello, empty()).is_ok(), "all of Hello's fields have defaults");
}

#[test]
fn a_string_that_is_not_utf_8_is_refused() {
    let describe = |name: &[u8]| {
        request(
            Api::DescribeTopic,
            message(|builder| {
                let name = builder.create_byte_string(name);
                finish(builder, |builder| builder.push_slot_always(slot(0), name));
            }),
        )
    };
    assert!(describe(b"good").is_ok());
    assert!(matches!(describe(b"\xff\xfe"), Err(DecodeError::Malformed { .. })));
}

#[test]
fn acks_that_mean_nothing_are_refused() {
    let produce = |acks: u8| {
        let message = message(|builder| {
            let parts = builder.create_vector::<u64>(&[]);
            finish(builder, |builder| {
                builder.push_slot_always(slot(2), parts);
                builder.push_slot_always(slot(0), acks);
            });
        });
        request(Api::Produce, message)
    };
    assert!(produce(1).is_ok());
    assert_eq!(produce(3), Err(DecodeError::OutOfRange { field: "acks", value: 3 }));
}

#[test]
fn an_error_of_a_newer_node_stays_an_error() {
    let code = |code: u16| {
        let message = message(|builder| {
            let text = builder.create_string("text");
            finish(builder, |builder| {
                builder.push_slot_always(slot(1), text);
                builder.push_slot_always(slot(0), code);
            });
        });
        match response(Api::Fetch, FLAG_ERROR, message) {
            Ok(Response::Error(error)) => error.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code(24), ErrorCode::Overloaded);
    assert_eq!(code(999), ErrorCode::Unknown);
    assert_eq!(code(0), ErrorCode::Unknown, "an error frame is an error, whatever it says");
}

#[test]
fn error_texts_belong_to_the_results_that_failed() {
    // Two results of 16 bytes each, as two words: the second failed with NotLeader.
    let results = [5_u64, 0, 0, 22];
    let produce = |texts: Option<&[&str]>| {
        let message = message(|builder| {
            let texts = texts.map(|texts| {
                let texts: Vec<_> = texts.iter().map(|text| builder.create_string(text)).collect();
                builder.create_vector(&texts)
            });
            builder.start_vector::<u64>(results.len());
            for word in results.iter().rev() {
                builder.push(*word);
            }
            let results = builder.end_vector::<u64>(2);
            finish(builder, |builder| {
                builder.push_slot_always(slot(0), results);
                if let Some(texts) = texts {
                    builder.push_slot_always(slot(1), texts);
                }
            });
        });
        response(Api::Produce, 0, message)
    };
    let failed = |text: &str| {
        let ack = ProduceAck { base_offset: 5, duplicate: false };
        let error = ApiError::new(ErrorCode::NotLeader, text);
        let outcomes = [Ok(ack), Err(error)];
        let results = outcomes.map(|outcome| ProduceResult { outcome }).to_vec();
        Ok(Response::Produce(ProduceResponse { results }))
    };
    assert_eq!(produce(Some(&["node 8"])), failed("node 8"));
    assert_eq!(produce(None), failed(""), "a node may leave the texts out");
    let mismatch = Err(DecodeError::ErrorTexts { messages: 2, errors: 1 });
    assert_eq!(produce(Some(&["one", "two"])), mismatch);
}

/// A batch with any body behind the header of a good one.
fn batch_with_body(body: &[u8], codec: Codec, uncompressed_bytes: usize) -> Bytes {
    let golden = &support::golden::batches()[0].batch;
    let mut header = verify(golden).unwrap();
    header.codec = codec;
    header.uncompressed_bytes = uncompressed_bytes as u32;
    fuzzing::signed(&[&header.encode()[..], body].concat())
}

fn refusal(batch: Bytes) -> String {
    DecodedBatch::open(batch).unwrap_err().to_string()
}

#[test]
fn a_zstd_bomb_is_refused_before_anything_is_allocated_for_it() {
    let bomb = zstd::bulk::compress(&vec![0; 100 << 20], 1).unwrap();
    assert!(bomb.len() < 20_000);
    // Honest about its size, it is over the cap.
    let error = refusal(batch_with_body(&bomb, Codec::Zstd, 100 << 20));
    assert!(error.contains("uncompressed_bytes is 104857600"), "{error}");
    // Lying about it, it is found out by its own frame header.
    let error = refusal(batch_with_body(&bomb, Codec::Zstd, 1000));
    assert!(error.contains("length is not the header's"), "{error}");
}

/// `bytes` compressed so that the frame does not say how long they are.
fn without_length(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_body_must_be_one_frame_of_the_stated_length() {
    let golden = &support::golden::batches()[0].batch;
    let body = &golden[64..];
    let open = |body: &[u8], length| DecodedBatch::open(batch_with_body(body, Codec::Zstd, length));
    let frame = zstd::bulk::compress(body, 1).unwrap();
    assert!(open(&frame, body.len()).is_ok());
    assert!(open(&without_length(body), body.len()).is_ok(), "streaming encoders are welcome");

    let refused = |body: &[u8], length| open(body, length).unwrap_err().to_string();
    for length in [body.len() - 1, body.len() + 1] {
        assert!(refused(&without_length(body), length).contains("does not decompress"));
        assert!(refused(&frame, length).contains("does not decompress"));
    }
    let twice = [&frame[..], &frame].concat();
    assert!(refused(&twice, 2 * body.len()).contains("after the zstd frame"));
    let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"skip"].concat();
    let error = refused(&[&skippable[..], &frame].concat(), body.len());
    assert!(error.contains("not a zstd frame"), "{error}");
    let legacy = [&0xFD2F_B527_u32.to_le_bytes()[..], &frame[4..]].concat();
    assert!(refused(&legacy, body.len()).contains("not a zstd frame"));
    assert!(refused(&[], 10).contains("not a zstd frame"));
    for cut in 1..frame.len() {
        assert!(refused(&frame[..cut], body.len()).contains("does not decompress"));
    }
}

#[test]
fn header_fields_are_held_to_their_limits() {
    let golden = &support::golden::batches()[0].batch;
    let good = verify(golden).unwrap();
    let decode = |change: &dyn Fn(&mut BatchHeader)| {
        let mut header = good;
        change(&mut header);
        BatchHeader::decode(&header.encode()).map(drop)
    };
    let out_of_range = |outcome: Result<(), BatchError>, expected: &str| match outcome {
        Err(BatchError::OutOfRange { field, .. }) => assert_eq!(field, expected),
        other => panic!("{expected}: {other:?}"),
    };
    assert_eq!(decode(&|_| ()), Ok(()));
    out_of_range(decode(&|h| h.batch_bytes = 63), "batch_bytes");
    let error = decode(&|h| h.batch_bytes = BATCH_BYTES_MAX + 1).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    out_of_range(decode(&|h| h.record_count = 0), "record_count");
    out_of_range(decode(&|h| h.record_count = RECORDS_PER_BATCH_MAX + 1), "record_count");
    out_of_range(decode(&|h| (h.record_count, h.flags) = (2, FLAG_CHUNK)), "record_count");
    out_of_range(decode(&|h| h.uncompressed_bytes += 1), "uncompressed_bytes");
    let zstd = |bytes| {
        move |h: &mut BatchHeader| {
            (h.codec, h.uncompressed_bytes) = (Codec::Zstd, bytes);
        }
    };
    assert_eq!(decode(&zstd(UNCOMPRESSED_BYTES_MAX)), Ok(()));
    out_of_range(decode(&zstd(UNCOMPRESSED_BYTES_MAX + 1)), "uncompressed_bytes");
    out_of_range(decode(&zstd(0)), "uncompressed_bytes");
    assert_eq!(decode(&|h| h.flags = 2), Err(BatchError::UnknownFlags { flags: 2 }));
    assert!(decode(&|h| h.max_timestamp = h.base_timestamp - 1).is_err());
    out_of_range(decode(&|h| (h.base_sequence, h.record_count) = (u32::MAX, 2)), "base_sequence");
    assert_eq!(decode(&|h| h.base_sequence = u32::MAX), Ok(()));
    let mut bytes = good.encode();
    bytes[19] = 2;
    assert_eq!(BatchHeader::decode(&bytes), Err(BatchError::UnknownCodec { codec: 2 }));
    // Outside the CRC, so it may be anything.
    let extreme = BatchHeader { base_offset: u64::MAX, record_count: 2, ..good };
    assert_eq!(extreme.last_offset(), u64::MAX);
}
