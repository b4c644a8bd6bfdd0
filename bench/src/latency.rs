//! Latencies of a run: recorded by each thread for itself, merged at the end.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones are counted as this long in the percentiles; the maximum is exact.
const TRACKED_NS_MAX: u64 = 3_600_000_000_000;

/// Percentiles are exact to a part in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;

/// A histogram in nanoseconds, beside the true maximum.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    max_ns: u64,
}

/// Percentiles in microseconds. All zero when there was nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyUs {
    /// Half of them were not slower.
    pub p50: f64,
    /// 90%.
    pub p90: f64,
    /// 99%.
    pub p99: f64,
    /// 99.9%.
    pub p999: f64,
    /// 99.99%.
    pub p9999: f64,
    /// The slowest.
    pub max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let Ok(histogram) = Histogram::new_with_bounds(1, TRACKED_NS_MAX, SIGNIFICANT_DIGITS)
        else {
            unreachable!("the bounds are constants that make sense")
        };
        Latency { histogram, max_ns: 0 }
    }
}

impl Latency {
    /// Records one.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(ns.max(1));
        self.max_ns = self.max_ns.max(ns);
    }

    /// Takes over what `other` recorded.
    pub fn merge(&mut self, other: &Latency) {
        // Both have the same bounds, and all values were put within them.
        let merged = self.histogram.add(&other.histogram);
        assert!(merged.is_ok(), "histograms of the same bounds can be merged");
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The percentiles.
    pub fn percentiles(&self) -> LatencyUs {
        let us = |percentile| {
            // The end of a bucket may be above the true maximum.
            self.histogram.value_at_percentile(percentile).min(self.max_ns) as f64 / 1e3
        };
        LatencyUs {
            p50: us(50.0),
            p90: us(90.0),
            p99: us(99.0),
            p999: us(99.9),
            p9999: us(99.99),
            max: self.max_ns as f64 / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(microseconds: impl Iterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        microseconds.for_each(|us| latency.record(Duration::from_micros(us)));
        latency
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected / 500.0
    }

    #[test]
    fn percentiles_are_of_the_merged_values_and_the_maximum_is_exact() {
        let mut fast = of(1..=900);
        fast.merge(&of((901..=999).chain([12_345_678])));
        let percentiles = fast.percentiles();
        assert_eq!(fast.count(), 1000);
        assert!(near(percentiles.p50, 500.0), "{percentiles:?}");
        assert!(near(percentiles.p90, 900.0), "{percentiles:?}");
        assert!(near(percentiles.p99, 990.0), "{percentiles:?}");
        assert_eq!(percentiles.max, 12_345_678.0);
    }

    #[test]
    fn what_is_longer_than_can_be_tracked_is_not_lost() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(7_200));
        assert_eq!(latency.count(), 1);
        assert_eq!(latency.percentiles().max, 7_200e6);
    }

    #[test]
    fn nothing_recorded_gives_zeroes() {
        assert_eq!(Latency::default().percentiles(), LatencyUs::default());
    }
}
