//! What goes first: retention by time and by size, and trimming.

use super::Partition;
use super::state::DeadSegment;

impl Partition {
    /// The offset that retention would trim to now (milliseconds since 1970), if it would drop a
    /// segment. Whoever leads proposes it.
    ///
    /// By time a segment goes when its latest record is too old, even the one being written; by
    /// size the oldest go while the others are still enough, never the one being written.
    #[must_use]
    pub fn retention_trim_offset(&self, now_ms: u64) -> Option<u64> {
        let state = self.state.borrow();
        let segments = state.segments.len();
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let expired = state.settings.retention_ms.map_or(0, |retention_ms| {
            let oldest_kept = now_ms.saturating_sub_unsigned(retention_ms);
            let infos = state.segments.iter().map(|segment| segment.info);
            infos.take_while(|info| info.max_timestamp < oldest_kept).count()
        });
        let surplus = state.settings.retention_bytes.map_or(0, |retention_bytes| {
            let mut left: u64 = state.segments.iter().map(|segment| segment.info.bytes).sum();
            let mut count = 0;
            while count + 1 < segments && left - state.segments[count].info.bytes >= retention_bytes
            {
                left -= state.segments[count].info.bytes;
                count += 1;
            }
            count
        });
        let dropped = expired.max(surplus);
        dropped.checked_sub(1).map(|last| state.end_offset(last))
    }

    /// Makes `log_start_offset` the first offset that can be read, within what there is; it never
    /// moves back. Whole segments below it go: at once from the log, their files once the next
    /// checkpoint is durable (see [`Partition::remove_dead_files`]).
    pub fn trim(&self, log_start_offset: u64) {
        {
            let mut state = self.state.borrow_mut();
            let start = log_start_offset.min(state.high_watermark).max(state.log_start_offset);
            state.log_start_offset = start;
            while !state.segments.is_empty() && state.end_offset(0) <= start {
                let Some(segment) = state.segments.pop_front() else { break };
                let end = segment.stream_end();
                state.tail.drop_before(end);
                state.written = state.written.max(end);
                let base_offset = segment.info.base_offset;
                state.index_repairs.retain(|(base, _)| *base != base_offset);
                state.dead.push(DeadSegment { base_offset, is_in_checkpoint: false });
            }
        }
        self.settle();
    }
}
