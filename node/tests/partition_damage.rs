//! Damaged and missing files, full and failing disks.
#![allow(clippy::unwrap_used)]

mod partition_support;

use futures::executor::block_on;
use partition_support::*;
use ringspool_node::io::Disk;
use ringspool_node::partition::{PartitionCheckpoint, ReadError};
use std::io::ErrorKind;
use std::path::PathBuf;

fn log_file(base_offset: u64) -> PathBuf {
    dir_of(ID).join(format!("{base_offset:020}.log"))
}

fn index_file(base_offset: u64) -> PathBuf {
    dir_of(ID).join(format!("{base_offset:020}.idx"))
}

/// A log of several sealed segments with indexes, none of it in memory.
fn sealed() -> Fixture {
    let mut fixture = Fixture::small();
    fixture.fill(400, 9_000);
    fixture.forget_clean();
    fixture
}

#[test]
fn a_missing_index_is_rebuilt_and_written_again() {
    let fixture = sealed();
    let path = index_file(0);
    let good = fixture.disk.content(&path).unwrap();
    block_on(fixture.disk.remove_file(&path)).unwrap();
    fixture.check_log(20_000);
    let counters = fixture.context.counters();
    assert_eq!(counters.indexes_rebuilt.get(), 1);
    assert!(fixture.disk.content(&path).is_none());
    fixture.flush(true);
    assert!(fixture.disk.content(&path).unwrap() == good, "the same bytes again");
    fixture.check_log(20_000);
    assert_eq!(counters.indexes_rebuilt.get(), 1);
}

#[test]
fn a_damaged_index_is_rebuilt_and_written_again() {
    for byte in [0, 5, 6, 21, 40, 300, 4095] {
        let fixture = sealed();
        let path = index_file(0);
        let good = fixture.disk.content(&path).unwrap();
        assert!(fixture.disk.flip_bit(&path, byte));
        fixture.check_log(20_000);
        assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 1, "byte {byte}");
        fixture.flush(true);
        assert!(fixture.disk.content(&path).unwrap() == good, "the same bytes again");
    }
}

#[test]
fn the_index_of_the_active_segment_may_be_lost_too() {
    let mut fixture = Fixture::new(segments_of(64 << 20), small_storage());
    fixture.fill(250, 90_000); // more than one block of entries
    fixture.flush(false);
    fixture.forget_clean();
    let path = index_file(0);
    let good = fixture.disk.content(&path).unwrap();
    assert_eq!(good.len(), 4096);
    block_on(fixture.disk.remove_file(&path)).unwrap();
    fixture.check_log(100_000);
    assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 1);
    fixture.fill(1, 90_000);
    fixture.flush(true);
    assert!(fixture.disk.content(&path).unwrap() == good, "the same bytes again");
    fixture.forget_clean();
    fixture.check_log(100_000);
    assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 0);
}

#[test]
fn an_index_block_is_written_though_the_file_is_gone() {
    let mut fixture = Fixture::new(segments_of(64 << 20), small_storage());
    fixture.fill(250, 90_000);
    fixture.flush(false);
    fixture.forget_clean();
    block_on(fixture.disk.remove_file(&index_file(0))).unwrap();
    fixture.fill(250, 90_000);
    fixture.flush(false);
    fixture.forget_clean();
    fixture.check_log(100_000);
    assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 1);
}

#[test]
fn no_flipped_bit_of_a_segment_is_ever_served() {
    let mut fixture = Fixture::new(segments_of(8_000), small_storage());
    fixture.fill(30, 1_000);
    fixture.forget_clean();
    let log = fixture.log.clone();
    let segments = fixture.partition.segment_infos();
    let (first, second) = (segments[0], segments[1]);
    let in_first = log.iter().filter(|(base, _)| *base < second.base_offset).count();
    let batch_bytes = first.bytes / in_first as u64;
    for byte in 0..first.bytes {
        let within = byte % batch_bytes;
        let index = (byte / batch_bytes) as usize;
        fixture.disk.flip_bit(&log_file(0), byte);
        // The term is stamped by the leader and guarded by nothing.
        let mut bad = None;
        for (base, batch) in log.iter().take(in_first) {
            match block_on(fixture.partition.read(*base, 1)) {
                Ok(read) => assert!(
                    read.batches.concat() == batch[..] || (8..12).contains(&within),
                    "byte {byte} was served"
                ),
                Err(ReadError::Damaged { file, position, offset, .. }) => {
                    assert_eq!(file, log_file(0));
                    if bad.is_none() {
                        assert_eq!(position, index as u64 * batch_bytes, "byte {byte}");
                        assert_eq!(offset, log[index].0);
                        assert_eq!(*base, offset, "what is before the damage is served");
                    }
                    bad = Some(offset);
                }
                Err(error) => panic!("byte {byte}: {error}"),
            }
        }
        assert!(bad.is_some() || (8..12).contains(&within), "byte {byte} was not noticed");
        fixture.disk.flip_bit(&log_file(0), byte);
    }
    fixture.check_log(2_000);
}

#[test]
fn a_read_ends_before_damage_and_goes_on_behind_it() {
    let fixture = sealed();
    let (base, batch) = &fixture.log[40];
    let position = fixture.log[..40].iter().map(|(_, batch)| batch.len() as u64).sum::<u64>();
    assert!(fixture.disk.flip_bit(&log_file(0), position + 500));
    let before = block_on(fixture.partition.read(0, 1 << 20)).unwrap();
    assert_eq!(before.next_offset, *base, "what is before it is served");
    let error = block_on(fixture.partition.read(*base, 1)).unwrap_err();
    let text = error.to_string();
    let expected =
        format!("{} is damaged at byte {position} (offset {base})", log_file(0).display());
    assert!(text.starts_with(&expected), "{text}");
    let behind = base + u64::from(records_of(batch));
    let rest = read_all(&fixture.partition, behind, 50_000).unwrap();
    assert!(rest == fixture.log[41..], "what is behind it is served");
    assert_eq!(fixture.context.counters().damage_met.get(), 1);
}

#[test]
fn a_damaged_segment_without_index_serves_what_is_before_the_damage() {
    let fixture = sealed();
    let position: u64 = fixture.log[..40].iter().map(|(_, batch)| batch.len() as u64).sum();
    assert!(fixture.disk.flip_bit(&log_file(0), position + 500));
    block_on(fixture.disk.remove_file(&index_file(0))).unwrap();
    let before = block_on(fixture.partition.read(60, 1)).unwrap();
    assert!(before.batches.concat() == fixture.log[20].1[..]);
    assert!(matches!(
        block_on(fixture.partition.read(fixture.log[40].0, 1)),
        Err(ReadError::Damaged { .. })
    ));
    fixture.flush(true);
    assert!(fixture.disk.content(&index_file(0)).is_none(), "half an index is not written");
}

#[test]
fn a_missing_or_short_segment_is_named() {
    let fixture = sealed();
    let second = fixture.partition.segment_infos()[1];
    let path = log_file(second.base_offset);
    let file = block_on(fixture.disk.open(&path, ringspool_node::io::OpenMode::ReadWrite)).unwrap();
    block_on(file.truncate(second.bytes / 2)).unwrap();
    let last = fixture.partition.segment_infos()[2].base_offset - 1;
    let error = block_on(fixture.partition.read(last, 1)).unwrap_err();
    assert!(matches!(&error, ReadError::Damaged { file, .. } if *file == path), "{error}");
    block_on(fixture.disk.remove_file(&log_file(0))).unwrap();
    let error = block_on(fixture.partition.read(0, 1)).unwrap_err();
    assert!(error.to_string().contains("00000000000000000000.log is damaged at byte 0"), "{error}");
    assert!(error.to_string().contains("the file is missing"), "{error}");
}

#[test]
fn a_full_disk_keeps_serving_and_goes_on_when_there_is_space() {
    let mut fixture = Fixture::new(segments_of(300_000), small_storage());
    fixture.fill(50, 9_000);
    fixture.flush(true);
    fixture.disk.set_free_bytes(100_000);
    fixture.fill(50, 9_000);
    let flush = |sync| block_on(fixture.partition.flush(fixture.partition.flush_target(), sync));
    for _ in 0..3 {
        let next = fixture.context.next_flush().expect("it is queued, again after a failure");
        assert_eq!(next.id(), ID);
        let error = flush(true).unwrap_err();
        assert!(error.is_out_of_space(), "{error}");
        fixture.check_log(50_000);
    }
    assert!(fixture.partition.dirty_bytes() > 0);
    fixture.disk.heal();
    flush(true).unwrap();
    assert_eq!(fixture.partition.flushable_bytes(), 0);
    fixture.forget_clean();
    fixture.check_log(50_000);
}

#[test]
fn a_write_that_fails_anywhere_loses_nothing() {
    for once in [false, true] {
        for after in 0..12 {
            let mut fixture = Fixture::new(segments_of(300_000), small_storage());
            fixture.fill(100, 9_000);
            if once {
                fixture.disk.fail_one_write_with(ErrorKind::Other, after);
            } else {
                fixture.disk.fail_writes_with(ErrorKind::StorageFull, after);
            }
            let target = fixture.partition.flush_target();
            let failed = block_on(fixture.partition.flush(target, true)).is_err();
            fixture.check_log(50_000);
            fixture.disk.heal();
            fixture.flush(true);
            fixture.forget_clean();
            fixture.check_log(50_000);
            if !failed {
                assert!(after > 3, "the flush makes at least a few writes");
                break;
            }
        }
    }
}

#[test]
fn after_a_failed_sync_no_checkpoint_is_called_durable() {
    let mut fixture = Fixture::small();
    fixture.fill(50, 9_000);
    fixture.disk.fail_syncs_with(ErrorKind::Other, 0);
    let flush = |fixture: &Fixture| {
        block_on(fixture.partition.flush(fixture.partition.flush_target(), true))
    };
    assert!(flush(&fixture).is_err());
    fixture.disk.heal();
    let error = flush(&fixture).unwrap_err().to_string();
    assert!(error.contains("restart the node"), "{error}");
    fixture.check_log(50_000);
    // Without sync it still moves bytes out of memory.
    fixture.fill(50, 9_000);
    fixture.flush(false);
    assert_eq!(fixture.partition.flushable_bytes(), 0);
}

#[test]
fn a_sync_without_space_is_tried_again() {
    let mut fixture = Fixture::small();
    fixture.fill(50, 9_000);
    fixture.disk.fail_syncs_with(ErrorKind::StorageFull, 0);
    let target = fixture.partition.flush_target();
    assert!(block_on(fixture.partition.flush(target, true)).unwrap_err().is_out_of_space());
    fixture.disk.heal();
    fixture.flush(true);
    let mode = ringspool_node::io::CrashMode::LoseUnsynced;
    let crashed = fixture.disk.crash_at(fixture.disk.journal_len(), mode);
    let checkpoint = PartitionCheckpoint::decode(&fixture.partition.checkpoint().encode()).unwrap();
    fixture.restart(crashed, checkpoint);
    fixture.check_log(50_000);
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error_and_not_damage() {
    let fixture = sealed();
    fixture.disk.fail_reads_with(ErrorKind::Other, 0);
    assert!(matches!(block_on(fixture.partition.read(0, 1)), Err(ReadError::Disk(_))));
    fixture.disk.heal();
    fixture.check_log(50_000);
    assert_eq!(fixture.context.counters().indexes_rebuilt.get(), 0);
}
