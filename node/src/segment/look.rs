//! One batch at the start of some bytes: is it there, is it the one expected, is it whole.

use super::DamageReason;
use ringspool_wire::batch::{BATCH_HEADER_BYTES, BatchHeader, verify};

/// What stands at the start of some bytes.
#[derive(Debug)]
pub enum Look {
    /// A batch with a plausible header. Its body may lie beyond the bytes, and nothing was
    /// compared with its checksum yet: see [`check`].
    Batch(BatchHeader),
    /// Fewer bytes than a header.
    TooShort,
    /// A header's worth of zeros: what a sealed segment's last block is filled up with.
    Zeros,
    /// No batch, or not the expected one.
    Damaged(DamageReason),
}

/// Looks at the batch at the start of `bytes`. Its base offset must be `expected_offset`: that
/// field is outside the batch's checksum, so this is what guards it.
#[must_use]
pub fn look(bytes: &[u8], expected_offset: Option<u64>) -> Look {
    let Some(header) = bytes.get(..BATCH_HEADER_BYTES) else { return Look::TooShort };
    if header.iter().all(|byte| *byte == 0) {
        return Look::Zeros;
    }
    let header = match BatchHeader::decode(header) {
        Ok(header) => header,
        Err(error) => return Look::Damaged(DamageReason::Batch(error.to_string())),
    };
    let found = header.base_offset;
    if let Some(expected) = expected_offset
        && found != expected
    {
        return Look::Damaged(DamageReason::WrongOffset { expected, found });
    }
    if found.checked_add(u64::from(header.record_count)).is_none() {
        let reason = format!("base offset {found} leaves no room for its records");
        return Look::Damaged(DamageReason::Batch(reason));
    }
    Look::Batch(header)
}

/// Whether `batch`, the exact bytes of one batch, is what its producer sent.
pub fn check(batch: &[u8]) -> Result<(), DamageReason> {
    match verify(batch) {
        Ok(_) => Ok(()),
        Err(error) => Err(DamageReason::Batch(error.to_string())),
    }
}
