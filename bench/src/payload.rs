//! What records say, so that a reader can tell whether it got what was written.
//!
//! ```text
//!  value:   0 magic u32 "RBEN" | 4 run u32 | 8 producer u32 | 12 slot u32 | 16 sequence u64 | filler
//! ```
//!
//! Little endian. The sequence counts the records of one run and producer in one partition, from 0
//! without a gap. The filler is a piece of a block of random bytes that is the same in every
//! process; which piece, follows from the slot (the record's place in its batch) and the length, so
//! a reader needs nothing but the value. Random bytes do not compress, so a disk or a file system
//! cannot make them less.

use thiserror::Error;

/// The shortest value: the stamp alone.
pub(crate) const STAMP_BYTES: usize = 24;

const MAGIC: u32 = u32::from_le_bytes(*b"RBEN");

/// Of the block that fillers are pieces of.
const BLOCK_BYTES: usize = 1 << 20;

/// Makes the block the same everywhere. Another seed would make other processes' records unreadable.
const SEED: u64 = 0x5249_4E47_5350_4F4F;

/// Steps from slot to slot and from length to length, prime, so that pieces do not line up.
const SLOT_STEP: usize = 4_099;
const LENGTH_STEP: usize = 104_729;

/// Who wrote a record, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run: a number that no other has, most likely.
    pub(crate) run: u32,
    /// The producer of the run.
    pub(crate) producer: u32,
    /// The record's place in its batch.
    pub(crate) slot: u32,
    /// The records before it, of this run and producer in this partition.
    pub(crate) sequence: u64,
}

/// Why a value is not what any producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PayloadError {
    #[error("its {bytes} bytes were not written by `ringspool bench`")]
    Foreign { bytes: usize },
    #[error("byte {position} of its value is not what was written")]
    Changed { position: usize },
}

impl Stamp {
    /// Writes the stamp to the start of `value`, which must have room for it.
    pub(crate) fn write(&self, value: &mut [u8]) {
        value[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        value[4..8].copy_from_slice(&self.run.to_le_bytes());
        value[8..12].copy_from_slice(&self.producer.to_le_bytes());
        value[12..16].copy_from_slice(&self.slot.to_le_bytes());
        value[16..24].copy_from_slice(&self.sequence.to_le_bytes());
    }

    fn read(value: &[u8]) -> Option<Stamp> {
        let stamp = value.first_chunk::<STAMP_BYTES>()?;
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&stamp[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        if word(0) != MAGIC {
            return None;
        }
        let sequence = u64::from(word(16)) | u64::from(word(20)) << 32;
        Some(Stamp { run: word(4), producer: word(8), slot: word(12), sequence })
    }
}

/// The block of random bytes.
pub(crate) struct Filler {
    block: Vec<u8>,
}

impl Filler {
    pub(crate) fn new() -> Self {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let mut state = SEED;
        while block.len() < BLOCK_BYTES {
            block.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        Filler { block }
    }

    /// Fills what follows the stamp in a value.
    pub(crate) fn fill(&self, slot: u32, value: &mut [u8]) {
        let mut at = STAMP_BYTES;
        for piece in self.pieces(slot, value.len()) {
            value[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
    }

    /// The stamp of a value, if all of the value is what a producer wrote.
    pub(crate) fn check(&self, value: &[u8]) -> Result<Stamp, PayloadError> {
        let Some(stamp) = Stamp::read(value) else {
            return Err(PayloadError::Foreign { bytes: value.len() });
        };
        let mut at = STAMP_BYTES;
        for piece in self.pieces(stamp.slot, value.len()) {
            let found = &value[at..at + piece.len()];
            if found != piece {
                let same = found.iter().zip(piece).take_while(|(a, b)| a == b).count();
                return Err(PayloadError::Changed { position: at + same });
            }
            at += piece.len();
        }
        Ok(stamp)
    }

    /// What follows the stamp in a value of `bytes`.
    fn pieces(&self, slot: u32, bytes: usize) -> impl Iterator<Item = &[u8]> {
        let mixed =
            (slot as usize).wrapping_mul(SLOT_STEP).wrapping_add(bytes.wrapping_mul(LENGTH_STEP));
        let mut start = mixed % BLOCK_BYTES;
        let mut missing = bytes.saturating_sub(STAMP_BYTES);
        std::iter::from_fn(move || {
            let piece = missing.min(BLOCK_BYTES - start);
            if piece == 0 {
                return None;
            }
            let range = start..start + piece;
            missing -= piece;
            start = 0;
            Some(&self.block[range])
        })
    }
}

/// SplitMix64: written out here because its numbers must never change.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STAMP: Stamp = Stamp { run: 7, producer: 3, slot: 11, sequence: 5_000_000_000 };

    fn value(filler: &Filler, bytes: usize) -> Vec<u8> {
        let mut value = vec![0; bytes];
        filler.fill(STAMP.slot, &mut value);
        STAMP.write(&mut value);
        value
    }

    #[test]
    fn a_value_of_any_length_is_recognised() {
        let filler = Filler::new();
        for bytes in [STAMP_BYTES, STAMP_BYTES + 1, 1000, BLOCK_BYTES, 3 * BLOCK_BYTES + 17] {
            assert_eq!(filler.check(&value(&filler, bytes)), Ok(STAMP), "{bytes} bytes");
        }
    }

    #[test]
    fn every_changed_byte_of_the_filler_is_found() {
        let filler = Filler::new();
        let mut value = value(&filler, 300);
        for position in STAMP_BYTES..value.len() {
            value[position] ^= 0x10;
            assert_eq!(filler.check(&value), Err(PayloadError::Changed { position }));
            value[position] ^= 0x10;
        }
    }

    #[test]
    fn a_shortened_or_foreign_value_is_found() {
        let filler = Filler::new();
        let value = value(&filler, 300);
        assert!(matches!(filler.check(&value[..299]), Err(PayloadError::Changed { .. })));
        let short = filler.check(&value[..STAMP_BYTES - 1]);
        assert_eq!(short, Err(PayloadError::Foreign { bytes: STAMP_BYTES - 1 }));
        assert_eq!(filler.check(&[b'x'; 300]), Err(PayloadError::Foreign { bytes: 300 }));
    }

    #[test]
    fn the_filler_does_not_change_between_versions() {
        let filler = Filler::new();
        assert_eq!(
            crc32c::crc32c(&filler.block),
            2_246_473_787,
            "records of older runs could not be checked"
        );
    }
}
