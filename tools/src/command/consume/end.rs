//! Where `--until-end` ends: the high watermarks there were at the start.

use ringspool_client::{ConsumedRecord, DescribeTopicResponse};

/// The partitions that have not been read to their end yet, and the ends of all.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Partition and its end, exclusive, sorted by partition.
    ends: Vec<(u32, u64)>,
    /// Partitions to go.
    open: Vec<(u32, u64)>,
}

impl Ends {
    /// The high watermarks of `partitions`, which are sorted.
    pub(crate) fn of(topic: &DescribeTopicResponse, partitions: &[u32]) -> Self {
        let ends = partitions.iter().map(|&partition| {
            let state = topic.states.get(partition as usize);
            (partition, state.map_or(0, |state| state.high_watermark))
        });
        Ends::new(ends.collect())
    }

    fn new(ends: Vec<(u32, u64)>) -> Self {
        let open = ends.iter().copied().filter(|&(_, end)| end > 0).collect();
        Ends { ends, open }
    }

    /// Whether the record was there at the start.
    pub(crate) fn includes(&self, record: &ConsumedRecord) -> bool {
        self.before_end(record.partition, record.record.offset)
    }

    fn before_end(&self, partition: u32, offset: u64) -> bool {
        match self.ends.binary_search_by_key(&partition, |&(partition, _)| partition) {
            Ok(index) => offset < self.ends[index].1,
            Err(_) => false,
        }
    }

    /// Whether every partition was read to its end, given the next offset to be read of each.
    pub(crate) fn reached(&mut self, position: impl Fn(u32) -> Option<u64>) -> bool {
        self.open.retain(|&(partition, end)| position(partition).is_none_or(|next| next < end));
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_reached_when_every_partition_is_at_its_own() {
        let mut ends = Ends::new(vec![(0, 10), (3, 5), (4, 0)]);
        assert!(!ends.reached(|_| Some(0)));
        assert!(!ends.reached(|partition| (partition == 0).then_some(10)));
        assert!(!ends.reached(|_| Some(4)));
        assert!(ends.reached(|_| Some(5)), "partition 0 was done before");
    }

    #[test]
    fn an_empty_topic_ends_at_once() {
        assert!(Ends::new(vec![(0, 0), (1, 0)]).reached(|_| None));
    }

    #[test]
    fn records_that_came_later_are_not_included() {
        let ends = Ends::new(vec![(0, 10), (3, 5)]);
        assert!(ends.before_end(0, 9) && ends.before_end(3, 4));
        assert!(!ends.before_end(0, 10) && !ends.before_end(3, 5) && !ends.before_end(1, 0));
    }
}
