//! Bytes that are no frame, frames that are no request, and connections that begin otherwise than with
//! Hello.

use std::net::SocketAddr;

use ringspool_wire::{
    Api, ErrorCode, FLAG_RESPONSE, FRAME_BYTES_MAX, FrameHeader, HelloRequest, MESSAGE_BYTES_MAX,
    ProducePart, Request, Response, VERSION_MAX, VERSION_MIN,
};

use super::common::Place;
use super::common::raw::{RawConnection, assert_serves, batch_of, produce_request, whole};
use super::common::text::noise;
use super::{error_for, header, hello};

/// Fresh connections, and ones on which the handshake is over.
fn connections(address: SocketAddr) -> [RawConnection; 2] {
    [RawConnection::open(address), RawConnection::connect(address)]
}

#[test]
fn bytes_that_are_no_frame_are_told_so_and_end_their_connection() {
    let place = Place::new();
    let server = place.serve(2);
    let request = whole(&Request::ListTopics.encode(1));
    let wrong_magic = [b"SR", &request[2..]].concat();
    let http = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for bytes in [noise(4096, 1), noise(300_000, 2), wrong_magic, http, vec![0; 64]] {
        for mut connection in connections(server.listen) {
            // The node may close before it has read it all.
            let _ = connection.try_write(&bytes);
            let error = error_for(&mut connection, 0);
            assert_eq!(error.code, ErrorCode::MalformedFrame, "{error:?}");
            assert!(error.message.contains("port"), "says how to mend it: {error:?}");
            connection.assert_closed();
        }
    }
    assert_serves(server.listen);
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_bytes_come() {
    let place = Place::new();
    let server = place.serve(2);
    let message = FrameHeader { message_bytes: MESSAGE_BYTES_MAX + 1, ..header() };
    let attachment = FrameHeader { attachment_bytes: FRAME_BYTES_MAX, ..header() };
    let huge = FrameHeader { attachment_bytes: u32::MAX, ..header() };
    for bad in [message, attachment, huge] {
        for mut connection in connections(server.listen) {
            connection.write(&bad.encode());
            let error = error_for(&mut connection, bad.correlation);
            assert_eq!(error.code, ErrorCode::FrameTooLarge, "{bad:?}: {error:?}");
            connection.assert_closed();
        }
    }
    assert_serves(server.listen);
}

#[test]
fn a_frame_that_is_cut_off_has_no_effect() {
    let place = Place::new();
    let server = place.serve(2);
    let topic = RawConnection::connect(server.listen).create("t", 1, &[]);
    let part = ProducePart { topic_id: topic, partition: 0, batch: batch_of(noise(90_000, 3)) };
    let produce = whole(&produce_request(vec![part]).encode(1));
    let greeting = whole(&hello(0).encode(1));
    for cut in [1, 15, 16, greeting.len() - 1] {
        let mut connection = RawConnection::open(server.listen);
        connection.write(&greeting[..cut]);
        connection.close_writing();
        connection.assert_closed();
    }
    for cut in [1, 15, 16, 40, 5_000, 70_000, produce.len() - 1] {
        let mut connection = RawConnection::connect(server.listen);
        connection.write(&produce[..cut]);
        connection.close_writing();
        connection.assert_closed();
    }
    let state = &RawConnection::connect(server.listen).describe("t").states[0];
    assert_eq!(state.high_watermark, 0, "nothing was stored");
    assert_serves(server.listen);
}

#[test]
fn an_unknown_version_or_api_is_told_what_there_is_and_the_connection_goes_on() {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    for version in [VERSION_MAX + 1, 0, 255] {
        // A body, which must be skipped.
        let bad = FrameHeader { version, message_bytes: 8, attachment_bytes: 3, ..header() };
        connection.write(&[&bad.encode()[..], &[0xee; 11]].concat());
        let error = error_for(&mut connection, bad.correlation);
        assert_eq!(error.code, ErrorCode::UnsupportedVersion);
        assert_eq!((error.version_min, error.version_max), (VERSION_MIN, VERSION_MAX));
    }
    for api in [0, 12, 255] {
        let bad = FrameHeader { api, message_bytes: 5, ..header() };
        connection.write(&[&bad.encode()[..], &[0xee; 5]].concat());
        let (head, body) = connection.read_frame().unwrap();
        assert_eq!((head.api, head.correlation), (api, bad.correlation));
        let Response::Error(error) = Response::decode(&head, body).unwrap() else {
            panic!("api {api} was carried out");
        };
        assert_eq!(error.code, ErrorCode::UnsupportedApi);
        assert_eq!(error.apis, Api::numbers());
    }
    // A response is no request either, and a message that does not verify is refused alone.
    let bad = FrameHeader { flags: FLAG_RESPONSE, ..header() };
    connection.write(&bad.encode());
    assert_eq!(error_for(&mut connection, 77).code, ErrorCode::MalformedFrame);
    let bad = FrameHeader { message_bytes: 32, ..header() };
    connection.write(&[&bad.encode()[..], &[0xff; 32]].concat());
    assert_eq!(error_for(&mut connection, 77).code, ErrorCode::MalformedMessage);
    assert!(matches!(connection.call(&Request::ListTopics), Ok(Response::ListTopics(_))));
    assert_serves(server.listen);
}

#[test]
fn hello_comes_first_once_and_in_a_version_that_both_speak() {
    let place = Place::new();
    let server = place.serve(2);
    for request in [Request::ListTopics, Request::InitProducer] {
        let mut connection = RawConnection::open(server.listen);
        let correlation = connection.send(&request);
        let error = error_for(&mut connection, correlation);
        assert_eq!(error.code, ErrorCode::HelloRequired, "{error:?}");
        connection.assert_closed();
    }
    let from_the_future = HelloRequest {
        version_min: VERSION_MAX + 1,
        version_max: VERSION_MAX + 3,
        client: None,
        shard: 0,
    };
    let mut connection = RawConnection::open(server.listen);
    let error = connection.call(&Request::Hello(from_the_future)).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert_eq!((error.version_min, error.version_max), (VERSION_MIN, VERSION_MAX));

    let (mut connection, _) = RawConnection::connect_to(server.listen, 1);
    assert_eq!(connection.call(&hello(0)).unwrap_err().code, ErrorCode::MalformedMessage);
    assert!(matches!(connection.call(&Request::ListTopics), Ok(Response::ListTopics(_))));
    assert_serves(server.listen);
}

#[test]
fn the_shard_that_was_asked_for_answers_and_one_that_is_not_there_is_refused() {
    let place = Place::new();
    let server = place.serve(3);
    // Which shard accepts is up to the kernel: many connections meet every combination.
    for round in 0..30 {
        let shard = round % 3;
        let (mut connection, hello) = RawConnection::connect_to(server.listen, shard);
        assert_eq!((hello.shard, hello.shards), (shard, 3));
        assert!(matches!(connection.call(&Request::ListTopics), Ok(Response::ListTopics(_))));
    }
    for shard in [3, 4, u16::MAX - 1] {
        let mut connection = RawConnection::open(server.listen);
        let error = connection.call(&hello(shard)).unwrap_err();
        assert!(error.message.contains("0 to 2"), "{error:?}");
        connection.assert_closed();
    }
    assert_serves(server.listen);
}
