//! What is known of a segment without opening its file.

/// A segment of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The offset of its first record; its file is named after it.
    pub base_offset: u64,
    /// Bytes of its batches: the exact length of its file once it is sealed.
    pub bytes: u64,
    /// When its first batch was appended, in milliseconds since 1970 by the leader's clock.
    pub opened_ms: u64,
    /// The latest record timestamp in it, in milliseconds since 1970 by the producers' clocks;
    /// `i64::MIN` while it is empty.
    pub max_timestamp: i64,
}
