//! Whether the records of a partition are those that were written: all of them, in order, unchanged.

use ringspool_wire::Record;
use thiserror::Error;

use crate::payload::{Filler, PayloadError, Stamp};

/// What is wrong with a record.
#[derive(Debug, Error, PartialEq)]
pub(super) enum Mismatch {
    #[error("partition {partition}: offset {found} came where {expected} was next")]
    Offset { partition: u32, expected: u64, found: u64 },
    #[error("partition {partition}, offset {offset}: {source}")]
    Payload { partition: u32, offset: u64, source: PayloadError },
    #[error(
        "partition {partition}, offset {offset}: record {found} of producer {producer} of run \
         {run:08x} came where its record {expected} was next"
    )]
    Sequence { partition: u32, offset: u64, run: u32, producer: u32, expected: u64, found: u64 },
}

/// Checks one partition, record by record.
#[derive(Clone, Debug)]
pub(super) struct Checker {
    partition: u32,
    next_offset: u64,
    /// Whether reading began at the very first record, so that every producer begins at 0.
    from_first: bool,
    /// Of each run and producer seen: what comes next. Those seen last are at the end.
    streams: Vec<Stream>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    run: u32,
    producer: u32,
    next: u64,
}

impl Checker {
    pub(super) fn new(partition: u32, start: u64) -> Self {
        Checker { partition, next_offset: start, from_first: start == 0, streams: Vec::new() }
    }

    /// The offset that must come next.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub(super) fn check(&mut self, filler: &Filler, record: &Record) -> Result<(), Mismatch> {
        let (partition, offset) = (self.partition, record.offset);
        if offset != self.next_offset {
            let expected = self.next_offset;
            return Err(Mismatch::Offset { partition, expected, found: offset });
        }
        let stamp = filler.check(&record.value).map_err(|source| Mismatch::Payload {
            partition,
            offset,
            source,
        })?;
        let expected = self.expected(&stamp);
        if stamp.sequence != expected {
            let Stamp { run, producer, sequence: found, .. } = stamp;
            return Err(Mismatch::Sequence { partition, offset, run, producer, expected, found });
        }
        self.next_offset += 1;
        Ok(())
    }

    /// The sequence that the stamp's producer must have now; counts it.
    fn expected(&mut self, stamp: &Stamp) -> u64 {
        let same = |stream: &Stream| stream.run == stamp.run && stream.producer == stamp.producer;
        if let Some(at) = self.streams.iter().rposition(same) {
            let last = self.streams.len() - 1;
            self.streams.swap(at, last);
            let stream = &mut self.streams[last];
            stream.next += 1;
            return stream.next - 1;
        }
        let first = if self.from_first { 0 } else { stamp.sequence };
        self.streams.push(Stream { run: stamp.run, producer: stamp.producer, next: first + 1 });
        first
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;

    fn record(filler: &Filler, offset: u64, producer: u32, sequence: u64) -> Record {
        let mut value = vec![0; 60];
        filler.fill(4, &mut value);
        Stamp { run: 1, producer, slot: 4, sequence }.write(&mut value);
        let (key, headers) = (Bytes::new(), Vec::new());
        Record { offset, timestamp_ms: 0, key, value: value.into(), headers }
    }

    #[test]
    fn producers_may_interleave_and_reading_may_begin_in_the_middle() {
        let filler = Filler::new();
        let mut checker = Checker::new(0, 0);
        for (offset, (producer, sequence)) in
            [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1)].into_iter().enumerate()
        {
            checker.check(&filler, &record(&filler, offset as u64, producer, sequence)).unwrap();
        }
        assert_eq!(checker.next_offset(), 5);
        let mut checker = Checker::new(0, 500);
        checker.check(&filler, &record(&filler, 500, 0, 77)).unwrap();
        checker.check(&filler, &record(&filler, 501, 0, 78)).unwrap();
    }

    #[test]
    fn missing_repeated_and_swapped_records_are_found() {
        let filler = Filler::new();
        let read = |records: &[(u64, u64)]| {
            let mut checker = Checker::new(3, 0);
            let mut check = |(offset, sequence): &(u64, u64)| {
                checker.check(&filler, &record(&filler, *offset, 0, *sequence))
            };
            records.iter().try_for_each(&mut check)
        };
        assert_eq!(read(&[(0, 0), (1, 1), (2, 2)]), Ok(()));
        let offset = |expected, found| Err(Mismatch::Offset { partition: 3, expected, found });
        assert_eq!(read(&[(0, 0), (2, 2)]), offset(1, 2));
        assert_eq!(read(&[(0, 0), (0, 0)]), offset(1, 0));
        for wrong in [[(0, 0), (1, 2)], [(0, 0), (1, 0)], [(0, 1), (1, 0)]] {
            assert!(matches!(read(&wrong), Err(Mismatch::Sequence { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_changed_record_is_found() {
        let filler = Filler::new();
        let mut changed = record(&filler, 0, 0, 0);
        let mut value = changed.value.to_vec();
        value[59] ^= 1;
        changed.value = value.into();
        let found = Checker::new(0, 0).check(&filler, &changed);
        assert!(matches!(found, Err(Mismatch::Payload { offset: 0, .. })), "{found:?}");
    }
}
