//! Damage, torn writes, limits and full disks: what a node says of them, and that nothing which was
//! acknowledged is lost or served wrong.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::raw::{RawConnection, assert_serves, batch_of, fetch_part, records, until};
use common::text::noise;
use common::{Place, describe, lossy, ringspool, run};
use ringspool_wire::{ErrorCode, FetchPart, FetchRequest};
use rustix::fs::{FallocateFlags, fallocate};
use serde_json::Value;
use tempfile::TempDir;

const BLOCK_BYTES: u64 = 4096;

/// Files below a directory whose path satisfies `wanted`, in order.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let below = entries.into_iter().flat_map(|path| match path.is_dir() {
        true => files(&path, wanted),
        false => {
            if wanted(&path) {
                vec![path]
            } else {
                Vec::new()
            }
        }
    });
    below.collect()
}

fn read_at(path: &Path, position: u64, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    File::open(path).unwrap().read_exact_at(&mut read, position).unwrap();
    read
}

fn write_at(path: &Path, position: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, position).unwrap();
}

/// Turns one bit of a byte.
fn flip(path: &Path, position: u64) {
    let byte = read_at(path, position, 1)[0];
    write_at(path, position, &[byte ^ 4]);
}

fn serve_command(data: &Path) -> Command {
    let mut command = ringspool(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--shards", "1", "--data-dir"]).arg(data);
    command
}

/// What a start says that must be refused: exit code 1 and no ready line.
fn refused(command: Command) -> String {
    let output: Output = run(command, None);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(output.stdout.is_empty(), "not ready: {}", describe(&output));
    lossy(&output.stderr)
}

/// The items `dump --json` lists of a file.
fn dump(path: &Path) -> Vec<Value> {
    let mut command = ringspool(&["dump", "--json"]);
    command.arg(path);
    let output = run(command, None);
    assert!(output.status.success(), "{}", describe(&output));
    lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn values(count: u64, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| noise(bytes, number + 1)).collect()
}

/// Produces values one by one, each acknowledged before the next, from an offset on.
fn produce(connection: &mut RawConnection, topic: u64, first: u64, values: &[Vec<u8>]) {
    for (value, offset) in values.iter().zip(first..) {
        let ack = connection.produce(topic, 0, batch_of(value)).unwrap();
        assert_eq!((ack.base_offset, ack.duplicate), (offset, false));
    }
}

#[test]
fn a_damaged_checkpoint_stops_the_start_and_is_named() {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 1, &[]);
    produce(&mut connection, topic, 0, &values(3, 100));
    assert!(server.stop().success());
    let checkpoints = files(&place.data(), &|path| path.ends_with("checkpoint"));
    let coordinator = place.data().join("coordinator/checkpoint");
    assert!(checkpoints.contains(&coordinator));
    let vnode = checkpoints.iter().find(|path| **path != coordinator).unwrap();
    for path in [&coordinator, vnode] {
        let length = std::fs::metadata(path).unwrap().len();
        for position in [0, length / 2, length - 1] {
            flip(path, position);
            let said = refused(serve_command(&place.data()));
            assert!(said.contains(path.to_str().unwrap()), "byte {position}: {said}");
            assert!(said.contains("backup"), "how to mend it: {said}");
            flip(path, position);
        }
    }
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    assert_eq!(connection.values_from(topic, 0, 0), values(3, 100), "as before, mended");
}

/// A stopped node with closed segments in two partitions: each of `values` in a batch of its own.
fn filled(values: &[Vec<u8>]) -> (Place, u64) {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 2, &[("segment_bytes", "1048576")]);
    for value in values {
        for partition in 0..2 {
            connection.produce(topic, partition, batch_of(value)).unwrap();
        }
    }
    assert!(server.stop().success());
    (place, topic)
}

fn segments(place: &Place, topic: u64, partition: u32, extension: &str) -> Vec<PathBuf> {
    let folder = place.data().join(format!("topic/{topic}/{partition}"));
    files(&folder, &|path| path.extension().is_some_and(|end| end == extension))
}

#[test]
fn a_flipped_bit_in_a_segment_is_never_served() {
    const DAMAGED: u64 = 5;
    let values = values(40, 80_000);
    let (place, topic) = filled(&values);
    let logs = segments(&place, topic, 0, "log");
    assert!(logs.len() >= 3, "{logs:?}");
    let batch_bytes = batch_of(&values[0]).len() as u64;
    let position = DAMAGED * batch_bytes;
    flip(&logs[0], position + 70_000);

    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let mut read = Vec::new();
    let error = loop {
        match connection.fetch(topic, 0, read.len() as u64) {
            Ok(records) => read.extend(records.into_iter().map(|record| record.value)),
            Err(error) => break error,
        }
    };
    assert_eq!(read, values[..DAMAGED as usize], "what is before it is served");
    assert_eq!(error.code, ErrorCode::DamagedData, "{error}");
    assert!(error.message.contains(logs[0].to_str().unwrap()), "{error}");
    assert!(error.message.contains(&format!("byte {position}")), "{error}");
    // What is behind it, and what is beside it in the same request.
    let behind = connection.values_from(topic, 0, DAMAGED + 1);
    assert_eq!(behind, values[DAMAGED as usize + 1..]);
    let small = |partition| FetchPart { bytes_max: 1, ..fetch_part(topic, partition, DAMAGED) };
    let request = FetchRequest {
        wait_ms_max: 0,
        bytes_min: 1,
        bytes_max: 1 << 20,
        parts: vec![small(0), small(1)],
    };
    let results = connection.fetch_parts(request).results;
    assert_eq!(results[0].outcome.as_ref().unwrap_err().code, ErrorCode::DamagedData);
    let beside = records(results[1].outcome.as_ref().unwrap(), DAMAGED);
    assert_eq!(beside[0].value, values[DAMAGED as usize]);
    assert_eq!(connection.values_from(topic, 1, 0), values);
    assert_serves(server.listen);
}

#[test]
fn a_missing_or_damaged_index_is_made_anew() {
    let values = values(40, 80_000);
    let (place, topic) = filled(&values);
    let indexes = segments(&place, topic, 0, "idx");
    assert!(indexes.len() >= 3, "{indexes:?}");
    let before = dump(&indexes[0]);
    std::fs::remove_file(&indexes[0]).unwrap();
    let length = std::fs::metadata(&indexes[1]).unwrap().len();
    flip(&indexes[1], length / 2);

    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    for offset in [20, 3, 39, 12, 0, 14, 25] {
        let fetched = connection.fetch(topic, 0, offset).unwrap();
        assert_eq!(
            (fetched[0].offset, &fetched[0].value[..]),
            (offset, &values[offset as usize][..])
        );
    }
    assert_eq!(connection.values_from(topic, 0, 0), values);
    // They are written with the next checkpoint.
    connection.produce(topic, 0, batch_of("one more")).unwrap();
    assert!(server.stop().success());
    assert_eq!(dump(&indexes[0]), before, "the same as it was");
    dump(&indexes[1]);
}

/// An append in a WAL file: the position of its flush, and the position behind that flush's end.
struct Append {
    file: PathBuf,
    flush_at: u64,
    record_at: u64,
    payload_bytes: u64,
}

/// Appends of a killed node's only WAL file with records, in order.
fn appends(place: &Place) -> Vec<Append> {
    let mut found = Vec::new();
    for file in files(&place.data().join("wal"), &|path| path.extension().is_some()) {
        let mut flush_first = (u64::MAX, 0);
        for item in dump(&file) {
            let Some(record_at) = item["position"].as_u64() else { continue };
            let flush = item["flush"].as_u64().unwrap();
            if flush_first.0 != flush {
                flush_first = (flush, record_at);
            }
            if item["command"].as_str().is_some_and(|text| text.starts_with("append")) {
                let flush_at = flush_first.1 / BLOCK_BYTES * BLOCK_BYTES;
                let payload_bytes = item["payload_bytes"].as_u64().unwrap();
                found.push(Append { file: file.clone(), flush_at, record_at, payload_bytes });
            }
        }
    }
    found
}

/// A killed node that has acknowledged values one after the other.
fn killed(values: &[Vec<u8>]) -> (Place, u64) {
    let place = Place::new();
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 1, &[]);
    produce(&mut connection, topic, 0, values);
    server.kill();
    (place, topic)
}

#[test]
fn a_flipped_bit_inside_the_wal_stops_the_start_and_leaves_the_file_alone() {
    let values = values(20, 6000);
    let (place, topic) = killed(&values);
    let appends = appends(&place);
    assert_eq!(appends.len(), values.len());
    for number in [0, 10, 18] {
        let Append { file, flush_at, record_at, .. } = &appends[number];
        for position in [*flush_at + 5, *record_at + 1, *record_at + 3000] {
            flip(file, position);
            let damaged = std::fs::read(file).unwrap();
            let said = refused(serve_command(&place.data()));
            assert!(said.contains(file.to_str().unwrap()), "{said}");
            assert!(said.contains(&format!("damaged at byte {flush_at}")), "{position}: {said}");
            assert!(std::fs::read(file).unwrap() == damaged, "the file was changed");
            flip(file, position);
        }
    }
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    assert_eq!(connection.values_from(topic, 0, 0), values, "as before, mended");
}

#[test]
fn a_torn_wal_tail_takes_nothing_with_it_that_was_whole() {
    let values = values(20, 6000);
    // The last block of the last flush never reached the disk, or did as noise, or the one in front
    // of it did not.
    for (blocks_back, bytes) in [(1, vec![0; 4096]), (1, noise(4096, 9)), (2, vec![0; 512])] {
        let (place, topic) = killed(&values);
        let appends = appends(&place);
        let last = appends.last().unwrap();
        let end = (last.record_at + 48 + last.payload_bytes).next_multiple_of(BLOCK_BYTES);
        assert!(end - last.flush_at >= 2 * BLOCK_BYTES, "it can be torn");
        write_at(&last.file, end - blocks_back * BLOCK_BYTES, &bytes);
        let server = place.serve(1);
        let mut connection = RawConnection::connect(server.listen);
        let earlier = values.len() - 1;
        assert_eq!(connection.values_from(topic, 0, 0), values[..earlier]);
        // It goes on where the log ends now, and that is kept.
        produce(&mut connection, topic, earlier as u64, &values[earlier..]);
        server.kill();
        let server = place.serve(1);
        let mut connection = RawConnection::connect(server.listen);
        assert_eq!(connection.values_from(topic, 0, 0), values);
    }
}

#[test]
fn a_flush_that_was_only_begun_takes_nothing_with_it() {
    let values = values(20, 6000);
    let (place, topic) = killed(&values);
    let appends = appends(&place);
    let last = appends.last().unwrap();
    let end = (last.record_at + 48 + last.payload_bytes).next_multiple_of(BLOCK_BYTES);
    // What a first block of the next flush would look like, followed by nothing that belongs to it.
    let begun = read_at(&last.file, last.flush_at, BLOCK_BYTES as usize);
    write_at(&last.file, end, &[begun, noise(5000, 3)].concat());
    let server = place.serve(1);
    let mut connection = RawConnection::connect(server.listen);
    assert_eq!(connection.values_from(topic, 0, 0), values);
    assert_serves(server.listen);
}

/// Why a test is not carried out here.
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// A command that runs the program with a limit that it cannot raise, if this machine can do that.
fn limited(limit: &str, data: &Path) -> Option<Command> {
    let mut command = Command::new("prlimit");
    if rustix::process::getuid().is_root() {
        // Root may raise any limit, unless that right is taken from it.
        command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_resource", "prlimit"]);
    }
    command.arg(limit);
    let mut probe = Command::new(command.get_program());
    probe.args(command.get_args()).arg("true");
    if !probe.output().is_ok_and(|output| output.status.success()) {
        skip(&format!("{probe:?} does not work here"));
        return None;
    }
    let serve = serve_command(data);
    command.arg(serve.get_program()).args(serve.get_args());
    Some(command)
}

#[test]
fn a_limit_that_is_too_low_is_named_with_how_to_raise_it() {
    let place = Place::new();
    for (limit, says) in [
        ("--nofile=256:256", ["RLIMIT_NOFILE", "256", "ulimit -n", "LimitNOFILE"]),
        ("--memlock=65536:65536", ["RLIMIT_MEMLOCK", "65536", "ulimit -l", "LimitMEMLOCK"]),
    ] {
        let Some(command) = limited(limit, &place.data()) else { return };
        let said = refused(command);
        for part in says {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert!(!place.data().exists(), "nothing was begun");
    }
    assert_serves(place.serve(1).listen);
}

/// A small file system of its own.
struct Mount {
    directory: TempDir,
}

impl Mount {
    fn new(bytes: u64) -> Option<Mount> {
        if !rustix::process::getuid().is_root() {
            skip("only root can mount a small file system");
            return None;
        }
        let mount = Mount { directory: TempDir::new().unwrap() };
        let image = mount.directory.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        std::fs::create_dir(mount.path()).unwrap();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-m", "0"]).arg(&image);
        let mut attach = Command::new("mount");
        attach.args(["-o", "loop"]).arg(&image).arg(mount.path());
        for mut command in [make, attach] {
            let output = command.output();
            if !output.as_ref().is_ok_and(|output| output.status.success()) {
                skip(&format!("{command:?}: {output:?}"));
                return None;
            }
        }
        Some(mount)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, since the kernel may still be taking the killed node's rings down.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

/// Takes all the space there is.
fn fill(path: &Path) {
    let ballast = File::create(path).unwrap();
    let mut length = 0;
    for step in [64 << 20, 1 << 20, 64 << 10, 4 << 10] {
        while fallocate(&ballast, FallocateFlags::empty(), length, step).is_ok() {
            length += step;
        }
    }
    assert!(length > 0, "there was space to take");
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_goes_on_when_there_is_space() {
    let Some(mount) = Mount::new(1 << 30) else { return };
    let place = Place::new_in(&mount.path());
    let config = place.file("ringspool.toml");
    std::fs::write(&config, "wal_file_bytes = 33554432\n").unwrap();
    let more = ["--shards", "1", "--config", config.to_str().unwrap()];
    let server = place.serve_at("127.0.0.1:0", &more);
    let mut connection = RawConnection::connect(server.listen);
    let topic = connection.create("t", 1, &[("segment_bytes", "1048576")]);
    let mut acked: Vec<Vec<u8>> = Vec::new();
    // The outcome of producing the next value.
    let produce_next = |connection: &mut RawConnection, acked: &mut Vec<Vec<u8>>| {
        let value = noise(60_000, acked.len() as u64 + 1);
        let ack = connection.produce(topic, 0, batch_of(&value))?;
        assert_eq!(ack.base_offset, acked.len() as u64);
        acked.push(value);
        Ok::<(), ringspool_wire::ApiError>(())
    };
    for _ in 0..50 {
        produce_next(&mut connection, &mut acked).unwrap();
    }
    let ballast = mount.path().join("ballast");
    for round in 0..2 {
        fill(&ballast);
        let mut refusal = None;
        until("refused", || {
            refusal = produce_next(&mut connection, &mut acked).err();
            refusal.is_some()
        });
        let refusal = refusal.unwrap();
        assert_eq!(refusal.code, ErrorCode::OutOfSpace, "round {round}: {refusal}");
        assert!(refusal.message.contains("free space"), "how to mend it: {refusal}");
        assert!(connection.values_from(topic, 0, 0) == acked, "round {round}: reads go on");
        std::fs::remove_file(&ballast).unwrap();
        until("accepted again", || produce_next(&mut connection, &mut acked).is_ok());
    }
    for _ in 0..50 {
        produce_next(&mut connection, &mut acked).unwrap();
    }
    assert!(connection.values_from(topic, 0, 0) == acked);
    server.kill();
    let server = place.serve_at("127.0.0.1:0", &more);
    let mut connection = RawConnection::connect(server.listen);
    assert!(connection.values_from(topic, 0, 0) == acked, "after a restart as well");
}
