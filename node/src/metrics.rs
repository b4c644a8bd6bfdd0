//! Counters and latencies that a shard keeps for itself; the admin thread asks for copies.

/// A latency histogram in microseconds, up to a minute, with two significant digits.
#[must_use]
pub fn latency_histogram() -> hdrhistogram::Histogram<u64> {
    // The bounds are constants that the library accepts; a default one only lacks the cap.
    hdrhistogram::Histogram::new_with_bounds(1, 60_000_000, 2)
        .unwrap_or_else(|_| unreachable!("constant bounds are valid"))
}
