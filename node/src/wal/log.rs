//! One group's log: openraft's log storage over the shard's WAL.
//!
//! Per entry a slot in memory says where its record lies; the entry itself stays in memory until it
//! was applied and the shard's cache is full. A slot holds its file, so purging entries is what
//! gives files up. `log/recover.rs` rebuilds it at start.

use super::format::{RecordHeader, RecordKind, record};
use super::queue::{Append, Done, Placed, Placement, QueuedRecord};
use super::writer::{Wal, WalError};
use crate::io::{Disk, DiskError};
use crate::limits::LOG_CACHE_BYTES_MAX;
use crate::raft::codec::{self, Reader};
use crate::raft::{
    Application, DecodePayloadError, Encoded, Entry, GroupId, LeaderId, LogId, Payload, TypeConfig,
    Vote,
};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, RaftLogReader};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use tokio::sync::oneshot;

mod recover;

pub use recover::RecoverLogError;

/// Bytes of applied entries that the groups of a shard keep in memory.
#[derive(Debug, Default)]
pub struct LogCache(Cell<usize>);

/// An entry that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadEntryError {
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The record is damaged.
    #[error("the record of entry {index} of {group} at byte {position} of {path} is damaged")]
    Damaged {
        /// The group.
        group: GroupId,
        /// The entry.
        index: u64,
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
    },
    /// The record is whole but not understood.
    #[error(transparent)]
    Decode(#[from] DecodePayloadError),
}

struct Slot<A: Application> {
    log_id: LogId,
    sequence: u64,
    bytes: usize,
    entry: Option<Entry<A>>,
    place: Option<Placed>,
}

struct State<A: Application> {
    slots: VecDeque<Slot<A>>,
    /// Everything up to it is gone from the log and in the checkpoint.
    purged: Option<LogId>,
    vote: Option<Vote>,
    vote_sequence: u64,
    vote_place: Option<Placed>,
    next_sequence: u64,
    /// Entries below this index have left the cache.
    evicted_to: u64,
}

/// One group's log.
pub struct GroupLog<A: Application> {
    group: GroupId,
    wal: Wal,
    cache: Rc<LogCache>,
    state: RefCell<State<A>>,
}

impl<A: Application> State<A> {
    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index + 1)
    }

    fn slot_of(&self, index: u64) -> Option<usize> {
        let first = self.slots.front()?.log_id.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        (at < self.slots.len()).then_some(at)
    }

    fn last(&self) -> Option<LogId> {
        self.slots.back().map(|slot| slot.log_id).or(self.purged)
    }

    fn take_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }
}

/// The payload of an entry as a WAL record.
fn encode_payload<A: Application>(payload: &Payload<A>) -> (RecordKind, Encoded) {
    match payload {
        EntryPayload::Blank => (RecordKind::Blank, Encoded::default()),
        EntryPayload::Normal(command) => (RecordKind::Command, A::encode(command)),
        EntryPayload::Membership(membership) => {
            let mut bytes = Vec::new();
            codec::put_membership(&mut bytes, membership);
            (RecordKind::Membership, bytes.into())
        }
    }
}

fn decode_entry<A: Application>(
    header: &RecordHeader,
    payload: Bytes,
) -> Result<Entry<A>, DecodePayloadError> {
    let payload = match header.kind {
        RecordKind::Blank => EntryPayload::Blank,
        RecordKind::Command => EntryPayload::Normal(A::decode(payload)?),
        RecordKind::Membership => codec::membership(&mut Reader::new(&payload))
            .map(EntryPayload::Membership)
            .map_err(|e| DecodePayloadError(e.to_string()))?,
        RecordKind::Vote | RecordKind::Truncate => {
            return Err(DecodePayloadError(format!("{:?} is not an entry", header.kind)));
        }
    };
    Ok(Entry::<A>::new(header.log_id, payload))
}

impl<A: Application> GroupLog<A> {
    /// The index after the last entry.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.state.borrow().last().map_or(0, |last| last.index + 1)
    }

    /// Whether a vote was ever cast: the group has been started before.
    #[must_use]
    pub fn has_vote(&self) -> bool {
        self.state.borrow().vote.is_some()
    }

    /// Told when entries up to `index` were applied: they may leave the memory.
    pub fn applied(&self, index: u64) {
        let mut state = self.state.borrow_mut();
        while state.evicted_to <= index && self.cache.0.get() > LOG_CACHE_BYTES_MAX {
            let at = state.evicted_to;
            if let Some(slot) = state.slot_of(at).and_then(|at| state.slots.get_mut(at)) {
                if slot.place.is_none() {
                    return;
                }
                if slot.entry.take().is_some() {
                    self.cache.0.set(self.cache.0.get() - slot.bytes);
                }
            }
            state.evicted_to += 1;
        }
    }

    /// Whether entries (not only the vote) keep a file other than the active one.
    #[must_use]
    pub fn pins_closed_file(&self) -> bool {
        let state = self.state.borrow();
        let place = state.slots.front().and_then(|slot| slot.place.as_ref());
        place.is_some_and(|place| !self.wal.is_active(&place.file))
    }

    /// Writes the vote again when it lies in a file that is not the active one.
    pub fn rewrite_vote(self: &Rc<Self>) {
        let vote = {
            let state = self.state.borrow();
            let place = state.vote_place.as_ref();
            state.vote.filter(|_| place.is_some_and(|place| !self.wal.is_active(&place.file)))
        };
        if let Some(vote) = vote {
            self.write_vote(&vote, Box::new(|_| {}));
        }
    }

    fn write_vote(self: &Rc<Self>, vote: &Vote, done: Done) {
        let index = u64::from(vote.committed);
        let header = {
            let mut state = self.state.borrow_mut();
            let sequence = state.take_sequence();
            state.vote = Some(*vote);
            state.vote_sequence = sequence;
            self.header(RecordKind::Vote, sequence, LogId::new(vote.leader_id, index))
        };
        self.append_records(vec![(header, Encoded::default())], done);
    }

    fn header(&self, kind: RecordKind, sequence: u64, log_id: LogId) -> RecordHeader {
        RecordHeader { group: self.group, kind, sequence, log_id }
    }

    fn append_records(self: &Rc<Self>, records: Vec<QueuedRecord>, done: Done) {
        let placement = Rc::clone(self) as Rc<dyn Placement>;
        self.wal.append(Append { records, placement, done });
    }

    fn append_entries(self: &Rc<Self>, entries: impl IntoIterator<Item = Entry<A>>, done: Done) {
        let mut records = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            for entry in entries {
                let log_id = entry.log_id();
                let (kind, payload) = encode_payload::<A>(&entry.payload);
                let sequence = state.take_sequence();
                let bytes = payload.len();
                self.cache.0.set(self.cache.0.get() + bytes);
                records.push((self.header(kind, sequence, log_id), payload));
                let entry = Some(entry);
                state.slots.push_back(Slot { log_id, sequence, bytes, entry, place: None });
            }
        }
        self.append_records(records, done);
    }

    /// Forgets slots from `index` on; returns what the cache no longer holds.
    fn truncate(self: &Rc<Self>, index: u64, done: Done) {
        let header = {
            let mut state = self.state.borrow_mut();
            while state.slots.back().is_some_and(|slot| slot.log_id.index >= index) {
                let slot = state.slots.pop_back();
                self.forget(slot.as_ref());
            }
            let sequence = state.take_sequence();
            self.header(
                RecordKind::Truncate,
                sequence,
                LogId::new(LeaderId { term: 0, node_id: 0 }, index),
            )
        };
        self.append_records(vec![(header, Encoded::default())], done);
    }

    fn purge(&self, log_id: LogId) {
        let mut state = self.state.borrow_mut();
        while state.slots.front().is_some_and(|slot| slot.log_id.index <= log_id.index) {
            let slot = state.slots.pop_front();
            self.forget(slot.as_ref());
        }
        if state.purged.is_none_or(|purged| purged < log_id) {
            state.purged = Some(log_id);
        }
        state.evicted_to = state.evicted_to.max(log_id.index + 1);
    }

    fn forget(&self, slot: Option<&Slot<A>>) {
        if let Some(slot) = slot.filter(|slot| slot.entry.is_some()) {
            self.cache.0.set(self.cache.0.get() - slot.bytes);
        }
    }

    /// Entries of a range, from memory or from the files.
    async fn read(&self, range: std::ops::Range<u64>) -> Result<Vec<Entry<A>>, ReadEntryError> {
        let mut entries = Vec::new();
        for index in range {
            let found = {
                let state = self.state.borrow();
                let Some(at) = state.slot_of(index) else { break };
                let slot = &state.slots[at];
                match (&slot.entry, &slot.place) {
                    (Some(entry), _) => Ok(entry.clone()),
                    (None, Some(place)) => Err(place.clone()),
                    (None, None) => unreachable!("an entry leaves memory only once it is placed"),
                }
            };
            entries.push(match found {
                Ok(entry) => entry,
                Err(place) => self.read_placed(index, &place).await?,
            });
        }
        Ok(entries)
    }

    async fn read_placed(&self, index: u64, place: &Placed) -> Result<Entry<A>, ReadEntryError> {
        let disk: &dyn Disk = &**self.wal.disk();
        let file = place.file.handle(disk).await?;
        let bytes = Bytes::from(file.read_at(place.position, place.bytes as usize).await?);
        let view = record(&bytes, 0, place.file.incarnation());
        let view = view
            .filter(|view| view.header.group == self.group && view.header.log_id.index == index);
        let view = view.ok_or_else(|| ReadEntryError::Damaged {
            group: self.group,
            index,
            path: place.file.path().display().to_string(),
            position: place.position,
        })?;
        Ok(decode_entry::<A>(&view.header, bytes.slice(view.payload))?)
    }
}

impl<A: Application> Placement for GroupLog<A> {
    fn placed(&self, header: &RecordHeader, place: Placed) {
        let mut state = self.state.borrow_mut();
        match header.kind {
            RecordKind::Vote if header.sequence == state.vote_sequence => {
                state.vote_place = Some(place);
            }
            kind if kind.is_entry() => {
                let at = state.slot_of(header.log_id.index);
                if let Some(slot) = at.and_then(|at| state.slots.get_mut(at))
                    && slot.sequence == header.sequence
                {
                    slot.place = Some(place);
                }
            }
            _ => {}
        }
    }
}

/// openraft's handle of a group's log.
pub struct LogStore<A: Application>(pub Rc<GroupLog<A>>);

impl<A: Application> Clone for LogStore<A> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// A completion as a closure and as a future.
fn completion() -> (Done, oneshot::Receiver<Result<(), WalError>>) {
    let (tx, rx) = oneshot::channel();
    let done = move |result| {
        // Whoever waited may be gone with its group.
        let _ = tx.send(result);
    };
    (Box::new(done), rx)
}

async fn durable(rx: oneshot::Receiver<Result<(), WalError>>) -> Result<(), io::Error> {
    rx.await.map_err(io::Error::other)?.map_err(io::Error::other)
}

impl<A: Application> RaftLogReader<TypeConfig<A>> for LogStore<A> {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<A>>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.0.next_index(),
        };
        let start = start.max(self.0.state.borrow().first_index());
        self.0.read(start..end).await.map_err(io::Error::other)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.state.borrow().vote)
    }
}

impl<A: Application> RaftLogStorage<TypeConfig<A>> for LogStore<A> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<A>>, io::Error> {
        let state = self.0.state.borrow();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, rx) = completion();
        self.0.write_vote(vote, done);
        durable(rx).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig<A>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry<A>>,
    {
        let done = Box::new(move |result: Result<(), WalError>| {
            callback.io_completed(result.map_err(io::Error::other));
        });
        self.0.append_entries(entries, done);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let (done, rx) = completion();
        self.0.truncate(last.map_or(0, |last| last.index + 1), done);
        durable(rx).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.0.purge(log_id);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
