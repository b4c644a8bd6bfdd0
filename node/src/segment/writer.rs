//! Writes a range of a segment in large blocks, several at a time, and tells how far it got.

use crate::io::{BLOCK_BYTES, DiskError, File};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use std::rc::Rc;
use tokio::sync::Semaphore;

/// Bytes of one write at most. Larger ones gain nothing on the device and make a flush of the log,
/// which somebody waits for, queue longer behind them (p90 of 100 KB writes: a quarter less).
pub const WRITE_BYTES_MAX: u64 = 256 << 10;
/// Writes to one file at a time.
const WRITES_IN_FLIGHT_MAX: usize = 4;

const _: () = assert!(WRITE_BYTES_MAX.is_multiple_of(BLOCK_BYTES), "writes are whole blocks");

/// Writes `from..to` (whole blocks) of a file.
///
/// `fill` puts the bytes at a position into a buffer, or returns false when they are not wanted any
/// more, which ends the writing without an error. `written` is called with each position up to
/// which everything is written, in order; never for what follows a failed write. `permits` bounds
/// the writes of a shard, and with them the memory of their buffers. When this returns no write is
/// under way, even if one failed.
pub async fn write_blocks(
    file: &Rc<dyn File>,
    permits: &Semaphore,
    from: u64,
    to: u64,
    fill: impl Fn(u64, &mut [u8]) -> bool,
    mut written: impl FnMut(u64),
) -> Result<(), DiskError> {
    assert!(from.is_multiple_of(BLOCK_BYTES) && to.is_multiple_of(BLOCK_BYTES), "whole blocks");
    let write = |position: u64, end: u64| {
        let fill = &fill;
        async move {
            // Taken here and not before the write is queued: a permit must never wait for the
            // caller to poll something else.
            let Ok(_permit) = permits.acquire().await else {
                unreachable!("a shard's semaphore is never closed")
            };
            let mut buffer = file.alloc((end - position) as usize);
            if !fill(position, buffer.as_bytes_mut()) {
                return Ok(None);
            }
            file.write_at(buffer, position).await?;
            Ok(Some(end))
        }
    };
    let mut in_flight = FuturesOrdered::new();
    let mut next = from;
    let mut outcome = Ok(());
    let mut goes_on = true;
    loop {
        while goes_on && next < to && in_flight.len() < WRITES_IN_FLIGHT_MAX {
            let end = to.min(next + WRITE_BYTES_MAX);
            in_flight.push_back(write(next, end));
            next = end;
        }
        match in_flight.next().await {
            Some(Ok(Some(end))) if goes_on => written(end),
            Some(Ok(Some(_))) => {}
            Some(Ok(None)) => goes_on = false,
            Some(Err(error)) => {
                goes_on = false;
                if outcome.is_ok() {
                    outcome = Err(error);
                }
            }
            None => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::io::{Disk, OpenMode, SimDisk};
    use futures::executor::block_on;
    use std::cell::RefCell;
    use std::io::ErrorKind;
    use std::path::Path;

    fn fill(position: u64, buffer: &mut [u8]) -> bool {
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = ((position + index as u64) / BLOCK_BYTES) as u8;
        }
        true
    }

    fn write(disk: &SimDisk, from: u64, to: u64) -> (Result<(), DiskError>, Vec<u64>) {
        let file = block_on(disk.open(Path::new("/f"), OpenMode::Create)).unwrap();
        let progress = RefCell::new(Vec::new());
        let written = |end| progress.borrow_mut().push(end);
        let permits = Semaphore::new(2);
        let outcome = block_on(write_blocks(&file, &permits, from, to, fill, written));
        (outcome, progress.into_inner())
    }

    #[test]
    fn a_range_is_written_in_order_and_as_a_whole() {
        let disk = SimDisk::new();
        disk.yield_in_operations(true);
        let end = 5 * WRITE_BYTES_MAX + BLOCK_BYTES;
        let (outcome, progress) = write(&disk, BLOCK_BYTES, end);
        outcome.unwrap();
        let mut expected: Vec<u64> = (1..=5).map(|n| n * WRITE_BYTES_MAX + BLOCK_BYTES).collect();
        expected.dedup();
        assert_eq!(progress, expected);
        let content = disk.content(Path::new("/f")).unwrap();
        assert_eq!(content.len() as u64, end);
        let blocks = content.chunks(BLOCK_BYTES as usize).enumerate();
        assert!(blocks.skip(1).all(|(n, block)| block.iter().all(|byte| *byte == n as u8)));
    }

    #[test]
    fn nothing_after_a_failed_write_counts() {
        let disk = SimDisk::new();
        disk.fail_writes_with(ErrorKind::StorageFull, 2);
        let (outcome, progress) = write(&disk, 0, 8 * WRITE_BYTES_MAX);
        assert!(outcome.unwrap_err().is_out_of_space());
        assert_eq!(progress, [WRITE_BYTES_MAX, 2 * WRITE_BYTES_MAX]);
        // Those under way with it may well succeed: they do not make up for it.
        disk.heal();
        disk.fail_one_write_with(ErrorKind::Other, 1);
        let (outcome, progress) = write(&disk, 0, 3 * WRITE_BYTES_MAX);
        assert!(outcome.is_err());
        assert_eq!(progress, [WRITE_BYTES_MAX]);
    }

    #[test]
    fn bytes_no_longer_wanted_end_it_without_an_error() {
        let disk = SimDisk::new();
        let file = block_on(disk.open(Path::new("/f"), OpenMode::Create)).unwrap();
        let permits = Semaphore::new(1);
        let progress = RefCell::new(Vec::new());
        let wanted = |position: u64, _: &mut [u8]| position < WRITE_BYTES_MAX;
        let written = |end| progress.borrow_mut().push(end);
        block_on(write_blocks(&file, &permits, 0, 4 * WRITE_BYTES_MAX, wanted, written)).unwrap();
        assert_eq!(progress.into_inner(), [WRITE_BYTES_MAX]);
    }
}
