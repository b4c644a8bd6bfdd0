//! An entry of the sparse index, and the search among them.

use crate::segment::Place;

/// Where a batch begins, and what came before it in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where the batch begins in the file.
    pub position: u32,
    /// The offset of its first record.
    pub offset: u64,
    /// The latest record timestamp in the segment before this batch.
    pub max_timestamp_before: i64,
}

impl IndexEntry {
    /// The entry's place.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { position: self.position.into(), offset: self.offset }
    }
}

/// What to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The batch that holds this offset.
    Offset(u64),
    /// The first batch that reaches this timestamp.
    Timestamp(i64),
}

/// The last entry that is not past what is sought: the batch sought begins there or after it, and
/// before the entry that follows. `None` when it is before the first entry.
#[must_use]
pub fn find(entries: &[IndexEntry], seek: Seek) -> Option<&IndexEntry> {
    let not_past = entries.partition_point(|entry| match seek {
        Seek::Offset(offset) => entry.offset <= offset,
        Seek::Timestamp(timestamp) => entry.max_timestamp_before < timestamp,
    });
    not_past.checked_sub(1).map(|index| &entries[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<IndexEntry> {
        let entry = |position, offset, max_timestamp_before| IndexEntry {
            position,
            offset,
            max_timestamp_before,
        };
        vec![entry(100, 10, 5), entry(200, 20, 9), entry(300, 30, 9), entry(400, 40, 12)]
    }

    fn position(seek: Seek) -> Option<u32> {
        find(&entries(), seek).map(|entry| entry.position)
    }

    #[test]
    fn an_offset_is_at_or_after_its_entry() {
        assert_eq!(position(Seek::Offset(9)), None);
        assert_eq!(position(Seek::Offset(10)), Some(100));
        assert_eq!(position(Seek::Offset(29)), Some(200));
        assert_eq!(position(Seek::Offset(1000)), Some(400));
    }

    #[test]
    fn a_timestamp_reached_before_an_entry_is_looked_for_before_it() {
        assert_eq!(position(Seek::Timestamp(5)), None);
        assert_eq!(position(Seek::Timestamp(6)), Some(100));
        assert_eq!(position(Seek::Timestamp(9)), Some(100));
        assert_eq!(position(Seek::Timestamp(10)), Some(300));
        assert_eq!(position(Seek::Timestamp(13)), Some(400));
    }
}
