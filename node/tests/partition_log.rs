//! A partition's log from outside: append, read, roll, trim, retention, timestamps, waiting.
#![allow(clippy::unwrap_used)]

mod partition_support;

use futures::executor::{LocalPool, block_on};
use futures::task::LocalSpawnExt;
use partition_support::*;
use ringspool_node::io::{CrashMode, SimDisk};
use ringspool_node::partition::{PartitionSettings, ReadError, StorageSettings};
use ringspool_wire::batch::{BatchBuilder, Compression, ProducerStamp, RecordRef};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

#[test]
fn what_is_appended_is_read_from_memory_and_from_disk() {
    let mut fixture = Fixture::small();
    fixture.fill(300, 10_000);
    assert!(fixture.partition.segments() >= 3, "it rolled");
    fixture.check_log(100_000);
    fixture.flush(false);
    fixture.check_log(100_000);
    let counters = fixture.context.counters();
    assert!(counters.reads_from_memory.get() > 0 && counters.reads_from_disk.get() > 0);
    fixture.forget_clean();
    for bytes_max in [1, 5_000, 64 << 10, 16 << 20] {
        fixture.check_log(bytes_max);
    }
    assert_eq!(fixture.context.counters().reads_from_memory.get(), 0);
    assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 0);
}

#[test]
fn every_offset_finds_its_batch() {
    let mut fixture = Fixture::small();
    fixture.fill(200, 9_000);
    fixture.forget_clean();
    fixture.fill(5, 700);
    for (base, batch) in &fixture.log {
        for offset in *base..base + u64::from(records_of(batch)) {
            let read = block_on(fixture.partition.read(offset, 1)).unwrap();
            assert!(read.batches.concat() == batch[..], "at {offset}");
            assert_eq!(read.next_offset, base + 3);
        }
    }
}

#[test]
fn a_read_is_bounded_whatever_the_log_holds() {
    let mut fixture = Fixture::new(segments_of(64 << 20), small_storage());
    fixture.fill(2_000, 6_000);
    fixture.forget_clean();
    block_on(fixture.partition.read(0, 1)).unwrap(); // opens the file, loads the index
    let before = fixture.disk.bytes_read();
    for offset in [5, 1_000, 3_000, 5_900] {
        block_on(fixture.partition.read(offset, 20_000)).unwrap();
    }
    let each = (fixture.disk.bytes_read() - before) / 4;
    assert!(each <= (64 << 10) + 20_000, "{each} bytes for one read");
}

#[test]
fn a_batch_larger_than_asked_for_is_returned_whole() {
    let mut fixture = Fixture::new(segments_of(16 << 20), small_storage());
    fixture.append(batch(1, 1, 100));
    let large = fixture.append(batch(2, 1, 3 << 20));
    fixture.append(batch(3, 1, 100));
    for _ in 0..2 {
        let read = block_on(fixture.partition.read(large, 10)).unwrap();
        assert!(read.bytes > 3 << 20);
        assert_eq!(read.next_offset, large + 1);
        fixture.check_log(10);
        fixture.forget_clean();
    }
    // Only the large one reaches past the batch before it.
    let read = block_on(fixture.partition.read(0, 1_000)).unwrap();
    assert_eq!(read.next_offset, 1);
}

#[test]
fn offsets_outside_the_log_are_refused() {
    let mut fixture = Fixture::small();
    let empty = block_on(fixture.partition.read(0, 100)).unwrap();
    assert_eq!((empty.bytes, empty.next_offset), (0, 0));
    fixture.fill(10, 1_000);
    fixture.partition.trim(7);
    let end = block_on(fixture.partition.read(30, 100)).unwrap();
    assert_eq!((end.bytes, end.next_offset), (0, 30));
    for offset in [6, 31, u64::MAX] {
        let error = block_on(fixture.partition.read(offset, 100)).unwrap_err();
        let ReadError::OffsetOutOfRange { log_start_offset, high_watermark, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((log_start_offset, high_watermark), (7, 30));
    }
    // The batch that holds the log start is read as a whole.
    assert_eq!(block_on(fixture.partition.read(7, 1)).unwrap().next_offset, 9);
}

#[test]
fn files_hold_the_batches_back_to_back_and_nothing_else() {
    let mut fixture = Fixture::new(segments_of(64 << 10), small_storage());
    fixture.fill(60, 3_000);
    fixture.flush(true);
    let segments = fixture.partition.segment_infos();
    assert!(segments.len() > 2);
    for (segment, next) in segments.iter().zip(&segments[1..]) {
        let path = dir_of(ID).join(format!("{:020}.log", segment.base_offset));
        let range = segment.base_offset..next.base_offset;
        let batches = fixture.log.iter().filter(|(base, _)| range.contains(base));
        let expected: Vec<u8> = batches.flat_map(|(_, batch)| batch.to_vec()).collect();
        assert_eq!(expected.len() as u64, segment.bytes);
        assert!(fixture.disk.content(&path).unwrap() == expected, "segment {range:?}");
    }
}

#[test]
fn at_no_time_does_a_file_hold_anything_but_batches_and_zeros() {
    let mut fixture = Fixture::new(segments_of(40_000), small_storage());
    for _ in 0..10 {
        fixture.fill(7, 3_000);
        fixture.flush(false);
    }
    let segments = fixture.partition.segment_infos();
    for prefix in 0..fixture.disk.journal_len() {
        let disk = fixture.disk.crash_at(prefix, CrashMode::KeepUnsynced);
        for (segment, next) in segments.iter().zip(&segments[1..]) {
            let path = dir_of(ID).join(format!("{:020}.log", segment.base_offset));
            let Some(content) = disk.content(&path) else { continue };
            let range = segment.base_offset..next.base_offset;
            let batches = fixture.log.iter().filter(|(base, _)| range.contains(base));
            let expected: Vec<u8> = batches.flat_map(|(_, batch)| batch.to_vec()).collect();
            let end = content.len().min(expected.len());
            assert!(content[..end] == expected[..end], "after {prefix} operations");
            assert!(content[end..].iter().all(|byte| *byte == 0), "after {prefix} operations");
        }
    }
}

#[test]
fn index_blocks_of_earlier_runs_stay() {
    let mut fixture = Fixture::new(segments_of(64 << 20), small_storage());
    for _ in 0..3 {
        fixture.fill(210, 90_000);
        fixture.flush(false);
        fixture.forget_clean();
        fixture.check_log(200_000);
        assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 0);
        assert_eq!(fixture.context.counters().indexes_loaded.get(), 1);
    }
}

#[test]
fn a_new_segment_begins_by_size_and_by_age() {
    let mut fixture = Fixture::new(
        PartitionSettings { segment_ms: 1_000, ..segments_of(50_000) },
        StorageSettings::default(),
    );
    let bases = |fixture: &Fixture| -> Vec<u64> {
        fixture.partition.segment_infos().iter().map(|segment| segment.base_offset).collect()
    };
    fixture.append(batch(0, 1, 100_000)); // larger than a segment: alone in one
    fixture.append(batch(1, 1, 20_000));
    fixture.append(batch(2, 1, 20_000));
    fixture.append(batch(3, 1, 20_000)); // would make 60,000
    assert_eq!(bases(&fixture), [0, 1, 3]);
    fixture.now_ms += 1_000;
    fixture.append(batch(4, 1, 10));
    assert_eq!(bases(&fixture), [0, 1, 3], "just old enough is not too old");
    fixture.now_ms += 1;
    fixture.append(batch(5, 1, 10));
    assert_eq!(bases(&fixture), [0, 1, 3, 5]);
    // Records' own timestamps begin no segment, however strange.
    for timestamp in [i64::MAX, i64::MIN, 0, i64::MAX / 2] {
        fixture.append(batch_at(6, 1, 10, timestamp));
    }
    assert_eq!(bases(&fixture), [0, 1, 3, 5]);
}

#[test]
fn a_trim_drops_whole_segments_and_their_files_follow_the_checkpoint() {
    let mut fixture = Fixture::new(segments_of(100_000), small_storage());
    fixture.fill(100, 9_000);
    fixture.flush(true);
    let segments = fixture.partition.segment_infos();
    let files = fixture.disk.files();
    fixture.partition.trim(segments[2].base_offset + 1);
    assert_eq!(fixture.partition.segments(), segments.len() - 2);
    fixture.check_log(50_000);
    block_on(fixture.partition.remove_dead_files()).unwrap();
    assert_eq!(fixture.disk.files(), files, "no checkpoint knows of the trim yet");
    let checkpoint = fixture.checkpoint();
    block_on(fixture.partition.remove_dead_files()).unwrap();
    let left = fixture.disk.files();
    assert_eq!(files.len() - left.len(), 4, "two logs, two indexes");
    assert_eq!(checkpoint.dead, [segments[0].base_offset, segments[1].base_offset]);
    assert_eq!(fixture.partition.checkpoint().dead, [0u64; 0]);
    fixture.check_log(50_000);
    // A restart from that checkpoint removes what a crash may have brought back.
    fixture.restart(fixture.disk.clone(), checkpoint);
    block_on(fixture.partition.remove_dead_files()).unwrap();
    fixture.check_log(50_000);
    assert_eq!(fixture.disk.files(), left);
}

#[test]
fn a_trim_to_the_end_leaves_an_empty_log_that_goes_on() {
    let mut fixture = Fixture::small();
    fixture.fill(20, 9_000);
    fixture.flush(false);
    fixture.fill(20, 9_000);
    fixture.partition.trim(u64::MAX);
    assert_eq!(fixture.partition.log_start_offset(), 120);
    assert_eq!((fixture.partition.segments(), fixture.partition.bytes()), (0, 0));
    assert_eq!((fixture.context.dirty_bytes(), fixture.context.cached_bytes()), (0, 0));
    fixture.forget_clean();
    assert_eq!(fixture.partition.high_watermark(), 120);
    fixture.fill(5, 9_000);
    fixture.partition.trim(3);
    assert_eq!(fixture.partition.log_start_offset(), 120, "it never moves back");
    fixture.check_log(10_000);
    fixture.forget_clean();
    fixture.check_log(10_000);
}

#[test]
fn retention_by_time_takes_what_is_too_old_even_the_active_segment() {
    let settings = PartitionSettings { retention_ms: Some(1_000), ..segments_of(1) };
    let mut fixture = Fixture::new(settings, small_storage());
    for timestamp in [100, 300, 200, 400] {
        fixture.append(batch_at(0, 2, 10, timestamp));
    }
    let trim = |now_ms| fixture.partition.retention_trim_offset(now_ms);
    assert_eq!(trim(1_100), None);
    assert_eq!(trim(1_101), Some(2));
    assert_eq!(trim(1_300), Some(2), "an old segment behind a younger one waits for it");
    assert_eq!(trim(1_301), Some(6));
    assert_eq!(trim(1_401), Some(8), "the active one too");
    fixture.partition.trim(8);
    assert_eq!(fixture.partition.retention_trim_offset(u64::MAX), None);
}

#[test]
fn retention_by_size_keeps_enough_and_the_active_segment() {
    let mut fixture = Fixture::new(segments_of(1), small_storage());
    for seed in 0..4 {
        fixture.append(batch(seed, 1, 1_000));
    }
    let each = fixture.partition.bytes() / 4;
    let mut trim = |retention_bytes| {
        let retention_bytes = Some(retention_bytes);
        fixture.settings.retention_bytes = retention_bytes;
        fixture.partition.set_settings(fixture.settings.clone());
        fixture.partition.retention_trim_offset(NOW_MS)
    };
    assert_eq!(trim(4 * each), None);
    assert_eq!(trim(3 * each + 1), None);
    assert_eq!(trim(3 * each), Some(1));
    assert_eq!(trim(1), Some(3));
    assert_eq!(trim(0), Some(3), "the active segment stays");
}

#[test]
fn a_timestamp_finds_the_first_record_that_reaches_it() {
    let mut fixture = Fixture::new(segments_of(300_000), small_storage());
    let mut records = Vec::new();
    for n in 0..60i64 {
        // Mostly rising, with records out of order within and between batches.
        let times = [n * 100, n * 100 + 250, n * 100 + 50];
        let mut builder = BatchBuilder::new(Compression::Zstd { level: 1 });
        for time in times {
            let value = vec![n as u8; 6_000];
            let record = RecordRef { key: b"", value: &value, timestamp_ms: time, headers: &[] };
            builder.push(&record).unwrap();
        }
        let base = fixture.append(builder.finish(ProducerStamp::NONE).unwrap());
        records.extend(times.iter().zip(base..).map(|(time, offset)| (offset, *time)));
        fixture.append(batch_at(n as u64, 1, 12_000, n * 100));
        records.push((base + 3, n * 100));
    }
    assert!(fixture.partition.segments() > 2);
    let check = |fixture: &Fixture, from: u64| {
        let found = |time| block_on(fixture.partition.offset_for_timestamp(time)).unwrap();
        for time in (-50..6_300).step_by(25) {
            let expected = records.iter().find(|(offset, at)| *offset >= from && *at >= time);
            let end = (fixture.partition.high_watermark(), -1);
            assert_eq!(found(time), expected.copied().unwrap_or(end), "at {time}");
        }
    };
    check(&fixture, 0);
    fixture.forget_clean();
    check(&fixture, 0);
    fixture.partition.trim(101);
    check(&fixture, 101);
}

#[test]
fn a_timestamp_in_an_empty_log_is_its_end() {
    let fixture = Fixture::small();
    assert_eq!(block_on(fixture.partition.offset_for_timestamp(0)).unwrap(), (0, -1));
}

#[test]
fn a_waiter_wakes_with_its_record_and_not_before() {
    let mut fixture = Fixture::small();
    let mut pool = LocalPool::new();
    let reached = Rc::new(Cell::new(0));
    for offset in [0, 2, 3] {
        let (wait, reached) = (fixture.partition.wait_past(offset), reached.clone());
        let task = async move {
            wait.await;
            reached.set(reached.get() + 1);
        };
        pool.spawner().spawn_local(task).unwrap();
    }
    pool.run_until_stalled();
    assert_eq!((reached.get(), fixture.partition.waiters()), (0, 3));
    fixture.fill(1, 100);
    pool.run_until_stalled();
    assert_eq!((reached.get(), fixture.partition.waiters()), (2, 1));
    block_on(fixture.partition.wait_past(1));
    drop(pool);
    assert_eq!(fixture.partition.waiters(), 0, "a dropped waiter leaves nothing behind");
}

#[test]
fn closing_wakes_waiters_and_gives_memory_back() {
    let mut fixture = Fixture::small();
    fixture.fill(50, 3_000);
    fixture.flush(true);
    fixture.fill(50, 3_000);
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(fixture.partition.wait_past(1_000_000)).unwrap();
    pool.run_until_stalled();
    fixture.partition.close();
    assert!(pool.try_run_one(), "the waiter ends");
    assert_eq!((fixture.context.dirty_bytes(), fixture.context.cached_bytes()), (0, 0));
    assert!(matches!(block_on(fixture.partition.read(0, 1)), Err(ReadError::Closed)));
    fixture.flush(true);
    block_on(fixture.partition.delete_files()).unwrap();
    assert!(fixture.disk.files().is_empty());
    block_on(fixture.partition.delete_files()).unwrap();
}

#[test]
fn appends_reads_and_trims_during_a_flush_do_no_harm() {
    let mut fixture = Fixture::new(segments_of(200_000), small_storage());
    fixture.disk.yield_in_operations(true);
    fixture.fill(60, 9_000);
    let mut pool = LocalPool::new();
    for round in 0..20 {
        let partition = fixture.partition.clone();
        let flush = async move {
            partition.flush(partition.flush_target(), round % 3 == 0).await.unwrap();
        };
        pool.spawner().spawn_local(flush).unwrap();
        let partition = fixture.partition.clone();
        let from = fixture.partition.log_start_offset();
        let read = async move {
            let read = partition.read(from, 30_000).await;
            // A trim may overtake it.
            assert!(read.is_ok_and(|read| read.bytes > 0) || from < partition.log_start_offset());
        };
        pool.spawner().spawn_local(read).unwrap();
        for _ in 0..10 {
            pool.try_run_one();
        }
        fixture.fill(5, 9_000);
        if round % 4 == 3 {
            fixture.partition.trim(fixture.partition.log_start_offset() + 40);
        }
        let checkpoint = fixture.partition.checkpoint();
        assert_eq!(checkpoint.high_watermark, fixture.partition.high_watermark());
    }
    pool.run();
    fixture.check_log(20_000);
    fixture.forget_clean();
    fixture.check_log(20_000);
}

#[test]
fn the_names_of_folders_become_durable_with_the_first_synced_flush() {
    let mut fixture = Fixture::small();
    fixture.fill(20, 9_000);
    fixture.flush(true);
    let end = fixture.disk.journal_len();
    let crashed: SimDisk = fixture.disk.crash_at(end, CrashMode::LoseUnsynced);
    assert_eq!(crashed.files(), [dir_of(ID).join("00000000000000000000.log")]);
    assert!(fixture.disk.files()[0].starts_with(Path::new("/data/topic/7/3")));
}
