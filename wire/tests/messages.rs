//! Frames and messages, from outside: what one side encodes, the other decodes to the same; what
//! is cut off, mislabelled or too large is refused with an error that says so.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use ringspool_wire::*;
use support::{header_and_body, on_the_wire, strategies};

fn header() -> FrameHeader {
    FrameHeader {
        version: 1,
        api: Api::Fetch as u8,
        flags: 0,
        message_bytes: 0x01_02_03,
        correlation: 0xAABB_CCDD,
        attachment_bytes: 0x0004_0506,
    }
}

proptest! {
    #[test]
    fn requests_come_back_the_same(request in strategies::request(), correlation: u32) {
        let bytes = on_the_wire(&request.encode(correlation));
        let (header, body) = header_and_body(&bytes);
        prop_assert_eq!(header.api, request.api() as u8);
        prop_assert_eq!(header.correlation, correlation);
        prop_assert!(!header.is_response() && !header.is_error());
        prop_assert_eq!(Request::decode(&header, body), Ok(request));
    }

    #[test]
    fn responses_come_back_the_same((api, response) in strategies::response(), correlation: u32) {
        let bytes = on_the_wire(&response.encode(api, correlation));
        let (header, body) = header_and_body(&bytes);
        prop_assert_eq!(header.api, api as u8);
        prop_assert_eq!(header.correlation, correlation);
        prop_assert!(header.is_response());
        prop_assert_eq!(header.is_error(), matches!(response, Response::Error(_)));
        prop_assert_eq!(Response::decode(&header, body), Ok(response));
    }

    #[test]
    fn frame_headers_come_back_the_same(
        version: u8, api: u8, flags: u8, correlation: u32,
        message_bytes in 0..=MESSAGE_BYTES_MAX,
        attachment_bytes in 0..=FRAME_BYTES_MAX - MESSAGE_BYTES_MAX - 16,
    ) {
        let header =
            FrameHeader { version, api, flags, message_bytes, correlation, attachment_bytes };
        prop_assert_eq!(FrameHeader::decode(&header.encode(), FRAME_BYTES_MAX), Ok(header));
    }
}

#[test]
fn the_frame_header_has_the_layout_of_the_documentation() {
    let expected =
        [0x52, 0x53, 1, 10, 0, 0x03, 0x02, 0x01, 0xDD, 0xCC, 0xBB, 0xAA, 0x06, 0x05, 0x04, 0x00];
    assert_eq!(header().encode(), expected);
    assert_eq!(&expected[..2], b"RS");
}

#[test]
fn a_frame_of_another_protocol_is_not_believed_its_length() {
    // What a web browser sends first; its "lengths" would be enormous.
    let error = FrameHeader::decode(b"GET / HTTP/1.1\r\n", FRAME_BYTES_MAX).unwrap_err();
    assert_eq!(error, FrameError::BadMagic { found: u16::from_le_bytes(*b"GE") });
    assert_eq!(error.code(), ErrorCode::MalformedFrame);
}

#[test]
fn a_frame_may_be_as_large_as_the_cap_and_no_larger() {
    let mut header = header();
    header.message_bytes = 100;
    header.attachment_bytes = 884;
    assert_eq!(header.body_bytes(), 984);
    assert_eq!(FrameHeader::decode(&header.encode(), 1000), Ok(header));
    let error = FrameHeader::decode(&header.encode(), 999).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { bytes: 1000, bytes_max: 999 });
    assert_eq!(error.code(), ErrorCode::FrameTooLarge);

    header.attachment_bytes = u32::MAX;
    let error = FrameHeader::decode(&header.encode(), u32::MAX).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { .. }), "no overflow: {error}");
}

#[test]
fn a_message_may_not_be_larger_than_its_own_cap() {
    let mut header = header();
    header.message_bytes = MESSAGE_BYTES_MAX + 1;
    let error = FrameHeader::decode(&header.encode(), u32::MAX).unwrap_err();
    assert!(matches!(error, FrameError::MessageTooLarge { .. }));
    header.message_bytes = MESSAGE_BYTES_MAX;
    assert!(FrameHeader::decode(&header.encode(), u32::MAX).is_ok());
}

#[test]
fn unknown_versions_and_apis_can_be_answered() {
    let (mut header, body) = header_and_body(&on_the_wire(&Request::ListTopics.encode(5)));
    header.version = 9;
    let error = Request::decode(&header, body.clone()).unwrap_err();
    let answer = ErrorResponse::from(&error);
    assert_eq!(answer.code, ErrorCode::UnsupportedVersion);
    assert_eq!((answer.version_min, answer.version_max), (VERSION_MIN, VERSION_MAX));

    header.version = 1;
    header.api = 200;
    let error = Request::decode(&header, body).unwrap_err();
    let answer = ErrorResponse::from(&error);
    assert_eq!((answer.code, &answer.apis), (ErrorCode::UnsupportedApi, &Api::numbers()));

    // The client reads the answer, although it carries the api that nobody knows.
    let (mut header, body) = header_and_body(&on_the_wire(&answer.encode(200, 5)));
    assert_eq!((header.api, header.correlation), (200, 5));
    assert_eq!(Response::decode(&header, body.clone()), Ok(Response::Error(answer.clone())));
    // Even from a node that speaks only versions this client does not.
    header.version = 3;
    assert_eq!(Response::decode(&header, body), Ok(Response::Error(answer)));
}

#[test]
fn requests_and_responses_are_not_taken_for_each_other() {
    let (header, body) = header_and_body(&on_the_wire(&Request::ListTopics.encode(5)));
    let error = Response::decode(&header, body).unwrap_err();
    assert!(matches!(error, DecodeError::WrongDirection { .. }), "{error}");
    let response = Response::AlterTopic.encode(Api::AlterTopic, 5);
    let (header, body) = header_and_body(&on_the_wire(&response));
    let error = Request::decode(&header, body).unwrap_err();
    assert!(matches!(error, DecodeError::WrongDirection { .. }), "{error}");
}

/// A request with two batches, and its frame.
fn produce() -> (ProduceRequest, Frame) {
    let part = |partition, batch| ProducePart { topic_id: 1, partition, batch };
    let parts = vec![part(0, Bytes::from("first batch")), part(1, Bytes::from("second"))];
    let request = ProduceRequest { acks: Acks::Leader, timeout_ms: 10, parts };
    let frame = Request::Produce(request.clone()).encode(1);
    (request, frame)
}

#[test]
fn batches_are_sent_and_received_without_a_copy() {
    let (request, frame) = produce();
    for (part, slice) in request.parts.iter().zip(&frame.attachment) {
        assert_eq!(part.batch.as_ptr(), slice.as_ptr(), "the frame holds the slice it was given");
    }
    let bytes = on_the_wire(&frame);
    let (header, body) = header_and_body(&bytes);
    let received = bytes.as_ptr_range();
    let Request::Produce(decoded) = Request::decode(&header, body).unwrap() else { panic!() };
    for part in &decoded.parts {
        assert!(received.contains(&part.batch.as_ptr()), "it is a slice of what was received");
    }

    let slices = vec![Bytes::from("one"), Bytes::new(), Bytes::from("two")];
    let (topic_id, partition, high_watermark, log_start_offset) = (1, 2, 3, 0);
    let outcome = Ok(slices.clone());
    let result = FetchResult { topic_id, partition, high_watermark, log_start_offset, outcome };
    let response = Response::Fetch(FetchResponse { results: vec![result] });
    let frame = response.encode(Api::Fetch, 1);
    assert_eq!(frame.attachment, [slices[0].clone(), slices[2].clone()]);
    let (header, body) = header_and_body(&on_the_wire(&frame));
    let Response::Fetch(decoded) = Response::decode(&header, body).unwrap() else { panic!() };
    assert_eq!(decoded.results[0].outcome, Ok(vec![Bytes::from("onetwo")]));
}

#[test]
fn parts_that_do_not_add_up_to_the_attachment_are_refused() {
    let (_, frame) = produce();
    let bytes = on_the_wire(&frame);
    let (mut header, body) = header_and_body(&bytes);
    header.attachment_bytes -= 1;
    let error = Request::decode(&header, body.slice(..body.len() - 1)).unwrap_err();
    assert_eq!(error, DecodeError::AttachmentLength { parts_bytes: 17, attachment_bytes: 16 });
    assert_eq!(error.code(), ErrorCode::MalformedMessage);

    header.attachment_bytes += 2;
    let longer = [body.as_ref(), b"x"].concat();
    let error = Request::decode(&header, longer.into()).unwrap_err();
    assert_eq!(error, DecodeError::AttachmentLength { parts_bytes: 17, attachment_bytes: 18 });
}

#[test]
fn a_message_without_batches_may_have_no_attachment() {
    let (mut header, body) = header_and_body(&on_the_wire(&Request::InitProducer.encode(5)));
    header.attachment_bytes = 3;
    let body = Bytes::from([body.as_ref(), b"abc"].concat());
    let error = Request::decode(&header, body).unwrap_err();
    assert_eq!(error, DecodeError::AttachmentLength { parts_bytes: 0, attachment_bytes: 3 });
}

#[test]
fn a_body_of_another_length_than_the_header_says_is_refused() {
    let (header, body) = header_and_body(&on_the_wire(&Request::ListTopics.encode(5)));
    let short = Request::decode(&header, body.slice(1..)).unwrap_err();
    assert!(matches!(short, DecodeError::BodyLength { .. }), "{short}");
    let longer = Bytes::from([body.as_ref(), b"x"].concat());
    let longer = Request::decode(&header, longer).unwrap_err();
    assert!(matches!(longer, DecodeError::BodyLength { .. }), "{longer}");
    let short = Response::decode(&FrameHeader { flags: 3, ..header }, body.slice(1..)).unwrap_err();
    assert!(matches!(short, DecodeError::BodyLength { .. }), "{short}");
}

#[test]
fn lists_longer_than_their_limit_are_refused() {
    let query = OffsetQuery { topic_id: 1, partition: 0, timestamp: LATEST };
    let decode = |count| {
        let request = Request::ListOffsets(ListOffsetsRequest { queries: vec![query; count] });
        let (header, body) = header_and_body(&on_the_wire(&request.encode(1)));
        Request::decode(&header, body)
    };
    assert!(decode(PARTS_PER_REQUEST_MAX).is_ok());
    let count_max = PARTS_PER_REQUEST_MAX;
    let expected = DecodeError::TooMany { list: "queries", count: count_max + 1, count_max };
    assert_eq!(decode(count_max + 1), Err(expected));

    let settings = |count| {
        let settings = vec![Setting::new("k", "v"); count];
        let request = Request::AlterTopic(AlterTopicRequest { name: "t".into(), settings });
        let (header, body) = header_and_body(&on_the_wire(&request.encode(1)));
        Request::decode(&header, body)
    };
    assert!(settings(SETTINGS_PER_TOPIC_MAX).is_ok());
    assert!(matches!(settings(SETTINGS_PER_TOPIC_MAX + 1), Err(DecodeError::TooMany { .. })));
    // Far more: the verifier stops before they are counted.
    assert!(matches!(settings(5000), Err(DecodeError::Malformed { .. })));
}

#[test]
fn the_largest_topic_can_be_described() {
    let place = PartitionPlace { leader: 1, vnode: 63, shard: 1, error: ErrorCode::None };
    let state = PartitionState {
        log_start_offset: 1,
        high_watermark: u64::MAX,
        bytes: 1,
        segments: 1,
        error: ErrorCode::None,
    };
    let partitions = PARTITIONS_PER_TOPIC_MAX as usize;
    let response = Response::DescribeTopic(DescribeTopicResponse {
        topic: TopicMetadata {
            name: "n".repeat(TOPIC_NAME_BYTES_MAX),
            id: 1,
            error: ErrorCode::None,
            partitions: vec![place; partitions],
        },
        replicas: 3,
        settings: vec![Setting::new("key", "value"); SETTINGS_PER_TOPIC_MAX],
        states: vec![state; partitions],
    });
    let (header, body) = header_and_body(&on_the_wire(&response.encode(Api::DescribeTopic, 1)));
    assert_eq!(Response::decode(&header, body), Ok(response));
}

#[test]
fn an_answer_that_is_too_large_becomes_an_error() {
    let summary = TopicSummary { name: "x".repeat(200), id: 1, partitions: 1, replicas: 1 };
    let response = Response::ListTopics(ListTopicsResponse { topics: vec![summary; 30_000] });
    let (header, body) = header_and_body(&on_the_wire(&response.encode(Api::ListTopics, 1)));
    let Response::Error(error) = Response::decode(&header, body).unwrap() else { panic!() };
    assert_eq!(error.code, ErrorCode::FrameTooLarge);
    assert!(error.message.contains("ListTopics"), "{}", error.message);

    // What was used to build it is not kept, and the next message is not affected.
    let topics = Some(vec!["x".repeat(200); 40_000]);
    let error = Request::Metadata(MetadataRequest { topics }).try_encode(1).unwrap_err();
    assert!(matches!(error, FrameError::MessageTooLarge { .. }), "{error}");
    let (header, body) = header_and_body(&on_the_wire(&Request::ListTopics.encode(5)));
    assert_eq!(Request::decode(&header, body), Ok(Request::ListTopics));
}

#[test]
fn long_error_texts_are_cut_between_characters() {
    let text = "ä".repeat(10_000);
    let error = ErrorResponse::new(ErrorCode::Internal, text.clone());
    let (header, body) = header_and_body(&on_the_wire(&error.encode(Api::Fetch as u8, 1)));
    let Response::Error(error) = Response::decode(&header, body).unwrap() else { panic!() };
    assert!(text.starts_with(&error.message));
    assert_eq!(error.message.len(), 4096);

    let outcome = Err(ApiError::new(ErrorCode::Internal, format!("x{text}")));
    let results = vec![ProduceResult { outcome }; PARTS_PER_REQUEST_MAX];
    let frame = Response::Produce(ProduceResponse { results }).encode(Api::Produce, 1);
    let (header, body) = header_and_body(&on_the_wire(&frame));
    let Response::Produce(response) = Response::decode(&header, body).unwrap() else { panic!() };
    let error = response.results[9_999].outcome.as_ref().unwrap_err();
    assert_eq!(error.message.len(), ERROR_TEXT_BYTES_MAX - 1, "between two of two bytes");
}

#[test]
#[should_panic(expected = "cannot answer")]
fn a_response_to_another_api_is_a_programming_error() {
    Response::AlterTopic.encode(Api::DeleteTopic, 1);
}

#[test]
fn every_truncation_of_a_message_is_refused_or_harmless() {
    for (name, frame) in support::golden::frames() {
        let (whole, body) = header_and_body(&frame.encode());
        for length in 0..whole.message_bytes {
            let mut cut = BytesMut::from(&body[..length as usize]);
            cut.extend_from_slice(&body[whole.message_bytes as usize..]);
            let header = FrameHeader { message_bytes: length, ..whole };
            let outcome = match header.is_response() {
                true => Response::decode(&header, cut.freeze()).err(),
                false => Request::decode(&header, cut.freeze()).err(),
            };
            // The last bytes of a message can be padding, and its end be cut without a loss.
            let harmless = whole.message_bytes - length < 8;
            assert!(outcome.is_some() || harmless, "{name} decodes when cut to {length} bytes");
        }
    }
}
