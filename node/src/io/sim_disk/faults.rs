//! What is to go wrong on a simulated disk, and when.

use std::io::{Error, ErrorKind};

/// Fails with the kind once the number of operations that may still succeed is used up.
pub(super) type Countdown = Option<(ErrorKind, u64)>;

/// The faults that are set.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) writes: Countdown,
    pub(super) syncs: Countdown,
    pub(super) reads: Countdown,
    /// Bytes all files may have together.
    pub(super) capacity_bytes: Option<u64>,
}

/// Counts one operation against a countdown.
pub(super) fn check(countdown: &mut Countdown) -> Result<(), Error> {
    match countdown {
        Some((kind, 0)) => Err((*kind).into()),
        Some((_, left)) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}
