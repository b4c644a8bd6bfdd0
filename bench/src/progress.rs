//! How far a run is, for whoever wants to show it meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted while a run goes on, warm-up included; only to be looked at. Results are in the report.
#[derive(Debug, Default)]
pub struct Progress {
    records: AtomicU64,
}

impl Progress {
    pub(crate) fn add(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// Records acknowledged or read until now.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}
