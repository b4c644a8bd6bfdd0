//! What is to go wrong on a simulated disk, and when.

use std::io::{Error, ErrorKind};

/// Fails with `kind` once `left`, the number of operations that may still succeed, is used up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) left: u64,
    /// Only one operation fails.
    pub(super) once: bool,
}

/// A failure that is to come, if one is.
pub(super) type Countdown = Option<Failure>;

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
        Some(Failure { kind, left: 0, once }) => {
            let error = (*kind).into();
            if *once {
                *countdown = None;
            }
            Err(error)
        }
        Some(Failure { left, .. }) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}
