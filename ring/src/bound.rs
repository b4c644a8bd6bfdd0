//! The bound of bounded loads: how far above its share a place may go.

/// How much more than its share a place may take, in percent of the share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slack {
    /// Percent of the share; 5 lets a place with a share of 100 take 105.
    pub percent: u32,
}

impl Slack {
    /// What was measured to be enough: 5 percent.
    pub const DEFAULT: Slack = Slack { percent: 5 };

    /// The bound `ceil((1 + slack) * load * weight / weight_total)`; 0 when nothing has weight.
    #[must_use]
    pub fn bound(self, load: u64, weight: u64, weight_total: u64) -> u64 {
        if weight_total == 0 {
            return 0;
        }
        let scaled =
            (u128::from(load) * u128::from(weight)).saturating_mul(100 + u128::from(self.percent));
        let bound = scaled.div_ceil(u128::from(weight_total) * 100);
        u64::try_from(bound).unwrap_or(u64::MAX)
    }
}

impl Default for Slack {
    fn default() -> Self {
        Slack::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_rounded_up_and_never_overflows() {
        let exact = Slack { percent: 0 };
        assert_eq!(exact.bound(12, 1, 64), 1);
        assert_eq!(exact.bound(128, 1, 64), 2);
        assert_eq!(Slack::DEFAULT.bound(192, 1, 3), 68, "64 and 5 percent: 67.2");
        assert_eq!(Slack::DEFAULT.bound(192, 2, 4), 101, "96 and 5 percent: 100.8");
        assert_eq!(exact.bound(5, 0, 0), 0);
        assert_eq!(Slack { percent: u32::MAX }.bound(u64::MAX / 4, u64::MAX / 4, 1), u64::MAX);
    }
}
