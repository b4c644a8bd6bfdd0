//! How much is still to be sent, by all producers together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shared by the producers of a run.
#[derive(Debug)]
pub(super) enum Quota {
    /// Records nobody has taken yet.
    Records(AtomicU64),
    /// As much as goes into this time after counting began.
    Time(Duration),
}

impl Quota {
    pub(super) fn records(count: u64) -> Self {
        Quota::Records(AtomicU64::new(count))
    }

    pub(super) fn time(duration: Duration) -> Self {
        Quota::Time(duration)
    }

    /// Takes a batch; gives its records, which are fewer at the end, and then none.
    pub(super) fn take(&self, batch: u32) -> u32 {
        match self {
            Quota::Time(_) => batch,
            Quota::Records(left) => {
                let take = |left: u64| left.checked_sub(u64::from(batch).min(left));
                let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
                let before = before.unwrap_or_else(|left| left);
                before.min(u64::from(batch)) as u32
            }
        }
    }

    /// When nothing more is sent, whatever was taken.
    pub(super) fn ends(&self, count_from: Instant) -> Option<Instant> {
        match self {
            Quota::Records(_) => None,
            Quota::Time(duration) => Some(count_from + *duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_records_is_given_out_to_the_last_one() {
        let quota = Quota::records(25);
        assert_eq!([10; 5].map(|batch| quota.take(batch)), [10, 10, 5, 0, 0]);
    }

    #[test]
    fn time_ends_counted_from_the_warm_up() {
        let now = Instant::now();
        let quota = Quota::time(Duration::from_secs(3));
        assert_eq!(quota.take(7), 7);
        assert_eq!(quota.ends(now), Some(now + Duration::from_secs(3)));
        assert_eq!(Quota::records(1).ends(now), None);
    }
}
