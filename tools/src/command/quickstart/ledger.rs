//! What was acknowledged: which line of the input stands at which offset of which partition.
//!
//! The order of the acknowledgements is the order in which lines were handed over, so within a
//! partition both the lines' numbers and the offsets must rise; and nothing else writes to the
//! topic, so the offsets must have no gap. [`Ledger::check`] proves that before anything is read.

use ringspool_client::Delivery;

use crate::error::CommandError;

/// Acknowledged records by partition, in the order they were handed over.
#[derive(Debug)]
pub(crate) struct Ledger {
    partitions: Vec<Vec<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    line: u64,
    offset: u64,
}

/// A ledger without gaps: entry n of a partition is the line at offset n.
#[derive(Debug)]
pub(crate) struct CheckedLedger {
    partitions: Vec<Vec<u64>>,
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new(partitions: u32) -> Self {
        Ledger { partitions: vec![Vec::new(); partitions as usize] }
    }

    /// Line `line` was acknowledged.
    pub(crate) fn acknowledged(
        &mut self,
        line: u64,
        delivery: &Delivery,
    ) -> Result<(), CommandError> {
        let Some(offset) = delivery.offset else {
            let text = format!("line {line} was acknowledged without an offset");
            return Err(CommandError::Failed(text));
        };
        self.enter(line, delivery.partition, offset);
        Ok(())
    }

    fn enter(&mut self, line: u64, partition: u32, offset: u64) {
        let partition = partition as usize;
        if partition >= self.partitions.len() {
            self.partitions.resize(partition + 1, Vec::new());
        }
        self.partitions[partition].push(Entry { line, offset });
    }

    /// Makes sure that every partition has each offset once, and the lines in order.
    pub(crate) fn check(self) -> Result<CheckedLedger, CommandError> {
        let mut checked = Vec::with_capacity(self.partitions.len());
        for (partition, entries) in self.partitions.into_iter().enumerate() {
            for (expected, entry) in (0u64..).zip(&entries) {
                if entry.offset != expected {
                    return Err(CommandError::Failed(format!(
                        "line {} was acknowledged at offset {} of partition {partition}, but the \
                         acknowledgement before it leads to offset {expected}: a record was lost, \
                         doubled or reordered",
                        entry.line, entry.offset
                    )));
                }
            }
            checked.push(entries.into_iter().map(|entry| entry.line).collect());
        }
        Ok(CheckedLedger { partitions: checked })
    }
}

impl CheckedLedger {
    /// The number of the line that stands at `offset`, if one was acknowledged there.
    pub(crate) fn line_at(&self, partition: u32, offset: u64) -> Option<u64> {
        let lines = self.partitions.get(partition as usize)?;
        lines.get(usize::try_from(offset).ok()?).copied()
    }

    /// Records of each partition.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.partitions.iter().map(|lines| lines.len() as u64).collect()
    }

    /// Records of all partitions.
    pub(crate) fn records(&self) -> u64 {
        self.counts().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ledger(entries: &[(u64, u32, u64)]) -> Ledger {
        let mut ledger = Ledger::new(2);
        for &(line, partition, offset) in entries {
            ledger.enter(line, partition, offset);
        }
        ledger
    }

    #[test]
    fn lines_are_found_by_partition_and_offset() {
        let checked = ledger(&[(0, 1, 0), (1, 0, 0), (2, 1, 1)]).check().unwrap();
        assert_eq!(checked.line_at(1, 1), Some(2));
        assert_eq!(checked.line_at(0, 0), Some(1));
        assert_eq!(checked.line_at(0, 1), None);
        assert_eq!(checked.line_at(7, 0), None);
        assert_eq!((checked.records(), checked.counts()), (3, vec![1, 2]));
    }

    #[test]
    fn a_gap_a_double_and_a_swap_are_found() {
        assert!(ledger(&[(0, 0, 0), (1, 0, 2)]).check().is_err(), "gap");
        assert!(ledger(&[(0, 0, 0), (1, 0, 0)]).check().is_err(), "double");
        assert!(ledger(&[(0, 0, 1), (1, 0, 0)]).check().is_err(), "swap");
    }
}
