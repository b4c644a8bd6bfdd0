//! Compressing and decompressing bodies, with zstd contexts that each thread keeps.
//!
//! Rule: a body is stored compressed only if that makes it smaller than 7/8, so that a reader
//! never pays for nothing. Hostile input: the body must be exactly one frame of today's zstd format
//! (the library would also take several, skippable ones and legacy formats), and never more than
//! the header's `uncompressed_bytes`, which is capped before this allocates it.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::BatchError;

/// How a builder compresses bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// With zstd, where it pays.
    Zstd {
        /// zstd's level; 1 is fast, 3 is zstd's own default.
        level: i32,
    },
}

impl Default for Compression {
    /// zstd level 1: little time, and most of what there is to gain.
    fn default() -> Self {
        Compression::Zstd { level: 1 }
    }
}

/// Bodies below this are not worth a try: zstd's own overhead eats the gain.
pub(super) const BODY_BYTES_MIN: usize = 128;

/// Of bodies at least this large, samples are tried first, since most of the time that goes into a
/// body that does not compress can be saved.
const SAMPLED_BODY_BYTES_MIN: usize = 256 << 10;

/// Samples, evenly spread over the body.
const SAMPLES: usize = 4;

/// Bytes of one sample.
const SAMPLE_BYTES: usize = 16 << 10;

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What a body of `bytes` must shrink to for compression to pay.
fn worth_bytes(bytes: usize) -> usize {
    bytes / 8 * 7
}

/// Compresses `body` into `scratch` and gives the result; `None` if it does not pay.
pub(super) fn compress<'a>(
    level: i32,
    body: &[u8],
    scratch: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, BatchError> {
    let failed = |error: std::io::Error| BatchError::Compress { detail: error.to_string() };
    COMPRESSOR.with_borrow_mut(|slot| {
        if !matches!(slot, Some((kept, _)) if *kept == level) {
            *slot = Some((level, Compressor::new(level).map_err(failed)?));
        }
        let Some((_, compressor)) = slot else { unreachable!("it was just put there") };
        let room = worth_bytes(body.len());
        if scratch.len() < room {
            scratch.resize(room, 0);
        }
        if !samples_shrink(compressor, body, scratch) {
            return Ok(None);
        }
        // There is no room for a result that does not pay: then zstd gives up.
        match compressor.compress_to_buffer(body, &mut scratch[..room]) {
            Ok(length) => Ok(Some(&scratch[..length])),
            Err(_) => Ok(None),
        }
    })
}

/// Whether it is worth compressing all of a large body.
fn samples_shrink(compressor: &mut Compressor<'_>, body: &[u8], scratch: &mut [u8]) -> bool {
    if body.len() < SAMPLED_BODY_BYTES_MIN {
        return true;
    }
    let stride = body.len() / SAMPLES;
    (0..SAMPLES).any(|sample| {
        let sample = &body[sample * stride..][..SAMPLE_BYTES];
        compressor.compress_to_buffer(sample, &mut scratch[..worth_bytes(SAMPLE_BYTES)]).is_ok()
    })
}

/// Decompresses a body that must have exactly `uncompressed_bytes`, already capped.
pub(super) fn decompress(body: &[u8], uncompressed_bytes: u32) -> Result<Vec<u8>, BatchError> {
    let failed = |detail: &str| BatchError::Decompress { detail: detail.to_string() };
    if !body.starts_with(&ZSTD_MAGIC) {
        return Err(failed("it is not a zstd frame"));
    }
    match zstd_safe::find_frame_compressed_size(body) {
        Ok(length) if length == body.len() => {}
        Ok(_) => return Err(failed("there are bytes after the zstd frame")),
        Err(code) => return Err(failed(zstd_safe::get_error_name(code))),
    }
    let length = uncompressed_bytes as usize;
    if let Ok(Some(declared)) = zstd_safe::get_frame_content_size(body)
        && declared != length as u64
    {
        return Err(failed("the zstd frame's length is not the header's uncompressed_bytes"));
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(Decompressor::new().map_err(|error| failed(&error.to_string()))?);
        }
        let Some(decompressor) = slot else { unreachable!("it was just put there") };
        let mut bytes = Vec::with_capacity(length);
        match decompressor.decompress_to_buffer(body, &mut bytes) {
            Ok(written) if written == length => Ok(bytes),
            Ok(_) => Err(failed("the zstd frame gives fewer bytes than uncompressed_bytes")),
            Err(error) => Err(failed(&error.to_string())),
        }
    })
}
