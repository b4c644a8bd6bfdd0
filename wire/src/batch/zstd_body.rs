//! Compressing and decompressing bodies, with contexts that each thread keeps.
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
const BODY_BYTES_MIN: usize = 128;

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses `body` into a vector after `reserved` zero bytes; `None` if it does not pay.
pub(super) fn compress(
    compression: Compression,
    body: &[u8],
    reserved: usize,
) -> Result<Option<Vec<u8>>, BatchError> {
    let Compression::Zstd { level } = compression else { return Ok(None) };
    if body.len() < BODY_BYTES_MIN {
        return Ok(None);
    }
    let failed = |error: std::io::Error| BatchError::Compress { detail: error.to_string() };
    COMPRESSOR.with_borrow_mut(|slot| {
        if !matches!(slot, Some((kept, _)) if *kept == level) {
            *slot = Some((level, Compressor::new(level).map_err(failed)?));
        }
        let Some((_, compressor)) = slot else { unreachable!("it was just put there") };
        let mut bytes = vec![0; reserved + body.len() / 8 * 7];
        // There is no room for a result that does not pay: then zstd stops early.
        match compressor.compress_to_buffer(body, &mut bytes[reserved..]) {
            Ok(length) => {
                bytes.truncate(reserved + length);
                Ok(Some(bytes))
            }
            Err(_) => Ok(None),
        }
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
