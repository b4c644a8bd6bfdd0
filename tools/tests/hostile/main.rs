//! What a node does with bytes that no honest client sends. Each test ends with the node still doing
//! its work for others.
//!
//! Frames and the handshake, changed messages, batches that lie, and clients that take more than
//! their share.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod crowd;
mod frames;
mod mutated;

use common::raw::RawConnection;
use ringspool_wire::{Api, ErrorResponse, FrameHeader, HelloRequest, Request, VERSION_MIN};

/// A header of a ListTopics request whose correlation id is 77.
pub(crate) fn header() -> FrameHeader {
    FrameHeader {
        version: VERSION_MIN,
        api: Api::ListTopics as u8,
        flags: 0,
        message_bytes: 0,
        correlation: 77,
        attachment_bytes: 0,
    }
}

pub(crate) fn hello(shard: u16) -> Request {
    Request::Hello(HelloRequest::new("hostile", shard))
}

/// The next frame, which must be an error for the request of this correlation id.
pub(crate) fn error_for(connection: &mut RawConnection, correlation: u32) -> ErrorResponse {
    let (answered, response) = connection.receive();
    assert_eq!(answered, correlation, "{response:?}");
    response.unwrap_err()
}
