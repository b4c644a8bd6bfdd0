//! How long to wait before trying again: 50 ms doubling to 1 s, with jitter, so that many clients
//! that lost the same node do not come back in the same instant.

use std::time::Duration;

const FIRST_MS: u64 = 50;
const LAST_MS: u64 = 1_000;

/// Counts failures in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure, and says how long to wait: between half of the step and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let step_ms = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LAST_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(rand::random_range(step_ms / 2..=step_ms))
    }

    /// Notes a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_a_success_starts_over() {
        let mut backoff = Backoff::default();
        for step_ms in [50, 100, 200, 400, 800, 1000, 1000, 1000] {
            let wait_ms = backoff.next().as_millis() as u64;
            assert!((step_ms / 2..=step_ms).contains(&wait_ms), "{wait_ms} for {step_ms}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(50));
    }
}
