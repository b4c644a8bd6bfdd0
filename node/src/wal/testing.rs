//! What tests of the log share: files made by hand, and logs on a simulated disk.
#![allow(clippy::unwrap_used)]

use super::format::{
    FILE_HEADER_BYTES, FLUSH_HEADER_BYTES, FileHeader, Previous, RecordHeader, RecordKind,
    flush_bytes, put_flush_header, put_record, record_bytes,
};
use super::queue::{Append, Placed, Placement};
use super::{Found, Wal, WalError, WalFile, WalOptions};
use crate::io::{BLOCK_BYTES, Disk, OpenMode, SimDisk, runtime};
use crate::raft::{Encoded, GroupId, LeaderId, LogId};
use bytes::Bytes;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::oneshot;

/// Folder of the log that most tests use.
pub(super) const DIR: &str = "/data/wal/shard-000";
/// The incarnation of files made by hand.
pub(super) const INCARNATION: u64 = 0x1122_3344_5566_7788;

/// The header of a command's record.
pub(super) fn command(group: u32, sequence: u64) -> RecordHeader {
    let leader = LeaderId { term: 1, node_id: 1 };
    let log_id = LogId::new(leader, sequence);
    RecordHeader { group: GroupId(group), kind: RecordKind::Command, sequence, log_id }
}

/// A flush as it stands in a file: a record for each of the payloads.
pub(super) fn flush(incarnation: u64, sequence: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let records_bytes = payloads.iter().map(|payload| record_bytes(payload.len())).sum();
    let mut bytes = vec![0; flush_bytes(records_bytes)];
    let mut at = FLUSH_HEADER_BYTES;
    for (number, payload) in payloads.iter().enumerate() {
        let header = command(7, sequence * 100 + number as u64);
        let payload = Bytes::copy_from_slice(payload);
        at += put_record(&mut bytes[at..], incarnation, &header, &[payload]);
    }
    let count = payloads.len() as u32;
    put_flush_header(&mut bytes, incarnation, sequence, records_bytes, count);
    bytes
}

/// A file's first block.
pub(super) fn file_header(sequence: u64, incarnation: u64, previous: Previous) -> Vec<u8> {
    let header = FileHeader { shard: 0, sequence, incarnation, file_bytes: 1 << 16, previous };
    let mut bytes = header.encode().to_vec();
    bytes.resize(FILE_HEADER_BYTES, 0);
    bytes
}

/// Puts a file on a disk, its bytes and its name durable.
pub(super) fn put_file(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    assert!((bytes.len() as u64).is_multiple_of(BLOCK_BYTES));
    let folder = path.parent().unwrap();
    futures::executor::block_on(async {
        disk.create_dir_all(folder).await.unwrap();
        let file = disk.open(path, OpenMode::Create).await.unwrap();
        let mut buffer = file.alloc(bytes.len());
        buffer.as_bytes_mut().copy_from_slice(bytes);
        file.write_at(buffer, 0).await.unwrap();
        file.sync_data().await.unwrap();
        for folder in folder.ancestors() {
            disk.sync_dir(folder).await.unwrap();
        }
    });
}

/// A disk with the log's folder.
pub(super) async fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).await.unwrap();
    for folder in Path::new(DIR).ancestors().skip(1) {
        disk.sync_dir(folder).await.unwrap();
    }
    disk
}

/// A log on an empty disk.
pub(super) fn start(disk: &SimDisk, file_bytes: u64) -> Wal {
    let options = WalOptions { dir: DIR.into(), shard: 0, file_bytes };
    Wal::start(Rc::new(disk.clone()), options, Found { next_number: 1, ..Found::default() })
}

/// Remembers where records were placed, and so keeps their files.
#[derive(Default)]
pub(super) struct Places(pub(super) RefCell<Vec<(u64, Placed)>>);

impl Placement for Places {
    fn placed(&self, header: &RecordHeader, place: Placed) {
        self.0.borrow_mut().push((header.sequence, place));
    }
}

impl Places {
    /// Sequences of the records placed so far, in order.
    pub(super) fn sequences(&self) -> Vec<u64> {
        self.0.borrow().iter().map(|(sequence, _)| *sequence).collect()
    }

    /// The files they lie in, each once.
    pub(super) fn files(&self) -> Vec<Rc<WalFile>> {
        let mut files: Vec<Rc<WalFile>> = Vec::new();
        for (_, place) in self.0.borrow().iter() {
            if !files.iter().any(|file| Rc::ptr_eq(file, &place.file)) {
                files.push(Rc::clone(&place.file));
            }
        }
        files
    }

    /// Lets go of what lies in the oldest file.
    pub(super) fn forget_oldest_file(&self) {
        let oldest = self.files().remove(0);
        self.0.borrow_mut().retain(|(_, place)| !Rc::ptr_eq(&place.file, &oldest));
    }
}

/// What becomes of an append.
pub(super) type Done = oneshot::Receiver<Result<(), WalError>>;

/// Appends records of these sequences and that payload.
pub(super) fn append(wal: &Wal, places: &Rc<Places>, sequences: &[u64], payload: &Bytes) -> Done {
    let (tx, rx) = oneshot::channel();
    let records = sequences.iter().map(|sequence| {
        let mut encoded = Encoded::default();
        encoded.push(payload.clone());
        (command(7, *sequence), encoded)
    });
    let done = Box::new(move |result| tx.send(result).unwrap());
    wal.append(Append {
        records: records.collect(),
        placement: Rc::clone(places) as Rc<dyn Placement>,
        done,
    });
    rx
}

/// Lets others run until something holds.
pub(super) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        runtime::yield_now().await;
    }
}
