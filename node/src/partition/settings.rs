//! What a topic's settings say about each of its partitions.

use ringspool_wire::limits::BATCH_BYTES_DEFAULT;

/// Settings of a partition. Those that decide where a segment ends are part of what `apply` depends
/// on: they change by a command in the vnode's log and are in its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSettings {
    /// Bytes after which a new segment begins.
    pub segment_bytes: u64,
    /// Milliseconds (by the leader's clock) after which a new segment begins.
    pub segment_ms: u64,
    /// How long records are kept, in milliseconds after their timestamp; `None`: for ever.
    pub retention_ms: Option<u64>,
    /// How many bytes are kept, by whole segments; `None`: all.
    pub retention_bytes: Option<u64>,
    /// The largest batch a producer may send, in bytes.
    pub batch_bytes_max: u32,
}

impl Default for PartitionSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            retention_ms: None,
            retention_bytes: None,
            batch_bytes_max: BATCH_BYTES_DEFAULT,
        }
    }
}
