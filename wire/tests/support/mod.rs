//! What the tests of the wire crate share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod describe;
pub(crate) mod golden;
pub(crate) mod strategies;

use bytes::{Bytes, BytesMut};
use ringspool_wire::{DecodedBatch, FRAME_BYTES_MAX, Frame, FrameHeader, HEADER_BYTES, Record};

/// A frame as it goes over the wire.
pub(crate) fn on_the_wire(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::from(frame.head.as_ref());
    for slice in &frame.attachment {
        bytes.extend_from_slice(slice);
    }
    assert_eq!(bytes.len(), frame.bytes_total());
    bytes.freeze()
}

/// The header and the body of a frame that was received whole.
pub(crate) fn header_and_body(frame: &Bytes) -> (FrameHeader, Bytes) {
    let header = frame.first_chunk::<HEADER_BYTES>().unwrap();
    let header = FrameHeader::decode(header, FRAME_BYTES_MAX).unwrap();
    assert_eq!(frame.len(), HEADER_BYTES + header.body_bytes());
    (header, frame.slice(HEADER_BYTES..))
}

/// The records of one batch.
pub(crate) fn records_of(batch: &Bytes) -> Vec<Record> {
    DecodedBatch::open(batch.clone()).unwrap().records().collect()
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
