//! What the fuzz targets in `wire/fuzz` run, and a test on stable runs over mutated golden vectors.
//!
//! Each takes any bytes and must return. Beside not panicking, it holds the codec to its word: what
//! decodes can be encoded, and decodes again to the same.

use bytes::{Bytes, BytesMut};

use crate::batch::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchHeader, Compression, DecodedBatch,
    ProducerStamp, Reassembler, ReassemblerLimits, RecordRef,
};
use crate::frame::{FLAG_RESPONSE, Frame, FrameHeader, HEADER_BYTES};
use crate::limits::{BATCH_BYTES_MAX, FRAME_BYTES_MAX};
use crate::{Api, Request, Response};

/// A frame: 16 bytes of header, then message and attachment. Lengths that do not match the bytes
/// are bent to them, so that most inputs reach the messages.
pub fn frame(input: &[u8]) {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else { return };
    let Ok(mut header) = FrameHeader::decode(header, FRAME_BYTES_MAX) else { return };
    header.message_bytes = header.message_bytes.min(rest.len() as u32);
    header.attachment_bytes = rest.len() as u32 - header.message_bytes;
    let body = Bytes::copy_from_slice(rest);
    header.flags &= !FLAG_RESPONSE;
    if let Ok(first) = Request::decode(&header, body.clone()) {
        request_again(&first);
    }
    header.flags |= FLAG_RESPONSE;
    if let Ok(first) = Response::decode(&header, body) {
        response_again(&first, header.api);
    }
}

fn request_again(first: &Request) {
    // It can be too large: the bytes may have used one string many times.
    let Ok(frame) = first.try_encode(7) else { return };
    let (header, body) = received(&frame);
    let again = Request::decode(&header, body);
    assert_eq!(again.as_ref(), Ok(first), "a request changes when it is sent on");
}

fn response_again(first: &Response, api: u8) {
    // Twice, since error texts are cut to their limit the first time.
    let second = response_sent(first, api);
    assert_eq!(response_sent(&second, api), second, "a response changes when it is sent on");
}

fn response_sent(response: &Response, api: u8) -> Response {
    let frame = match (response, Api::try_from(api)) {
        (Response::Error(error), _) => error.encode(api, 7),
        (response, Ok(api)) => response.encode(api, 7),
        (response, Err(error)) => panic!("{response:?} was decoded from a frame with {error}"),
    };
    let (header, body) = received(&frame);
    match Response::decode(&header, body) {
        Ok(response) => response,
        Err(error) => panic!("a response that was encoded does not decode: {error}"),
    }
}

/// A frame as the other side sees it.
fn received(frame: &Frame) -> (FrameHeader, Bytes) {
    let mut bytes = BytesMut::from(frame.head.as_ref());
    frame.attachment.iter().for_each(|slice| bytes.extend_from_slice(slice));
    assert_eq!(bytes.len(), frame.bytes_total());
    let bytes = bytes.freeze();
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        panic!("a frame of {} bytes was encoded", bytes.len());
    };
    match FrameHeader::decode(header, u32::MAX) {
        Ok(header) => (header, bytes.slice(HEADER_BYTES..)),
        Err(error) => panic!("a frame header that was encoded does not decode: {error}"),
    }
}

/// A batch; first as it is, then with magic, length and CRC put right, so that most inputs reach
/// the body.
pub fn batch(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    for batch in crate::batch::split(bytes.clone()).flatten() {
        assert!(BatchHeader::decode(&batch).is_ok_and(|h| h.batch_bytes as usize == batch.len()));
    }
    open(bytes);
    if input.len() >= BATCH_HEADER_BYTES && input.len() <= BATCH_BYTES_MAX as usize {
        open(signed(input));
    }
}

/// `batch` with magic, version, length and CRC that are right.
pub fn signed(batch: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[16..18].copy_from_slice(&crate::BATCH_MAGIC.to_le_bytes());
    bytes[18] = crate::BATCH_VERSION;
    bytes[20..24].copy_from_slice(&(batch.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Bytes::from(bytes)
}

fn open(bytes: Bytes) {
    let Ok(batch) = DecodedBatch::open(bytes) else { return };
    let records: Vec<_> = batch.records().collect();
    assert_eq!(records.len(), batch.header.record_count as usize);
    let mut builder = BatchBuilder::new(Compression::None);
    let pushed = records.iter().try_for_each(|record| {
        let headers = record.headers.iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.as_str(), value.as_ref())).collect();
        builder.push(&RecordRef {
            key: &record.key,
            value: &record.value,
            timestamp_ms: record.timestamp_ms,
            headers: &headers,
        })
    });
    // A reader takes keys and headers that a builder would not.
    if pushed.is_ok() {
        match builder.finish(ProducerStamp::NONE).and_then(DecodedBatch::open) {
            Ok(again) => assert!(
                again.records().map(|record| (record.key, record.value, record.headers)).eq(
                    records.into_iter().map(|record| (record.key, record.value, record.headers))
                ),
                "a batch changes when it is built again"
            ),
            Err(error) => panic!("a batch that was built does not open: {error}"),
        }
    }
    reassemble(batch);
}

fn reassemble(batch: DecodedBatch) {
    let limits =
        ReassemblerLimits { record_bytes_max: 1 << 20, bytes_max: 1 << 20, records_max: 2 };
    let mut reassembler = Reassembler::new(limits);
    let is_chunk = batch.chunk.is_some();
    let outcome = reassembler.push(batch);
    assert_eq!(is_chunk, outcome != Err(BatchError::NotAChunk));
    assert!(reassembler.len() <= 1);
}
