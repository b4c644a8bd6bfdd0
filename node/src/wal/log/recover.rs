//! Rebuilding a group's log from the records found in the WAL.

use super::{GroupLog, LogCache, Slot, State, decode_entry};
use crate::raft::{Application, DecodePayloadError, GroupId, LeaderId, LogId, Vote};
use crate::wal::format::RecordKind;
use crate::wal::{Placed, RecoveredRecord, RecoveryError, Wal, WalFile};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::rc::Rc;

/// Why a group's log cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RecoverLogError {
    /// Records are missing or unreadable.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A record is not understood.
    #[error(transparent)]
    Decode(#[from] DecodePayloadError),
    /// A record came from a file nobody announced.
    #[error("a record names {}, which was not among the files found", .0.display())]
    UnknownFile(std::path::PathBuf),
}

impl<A: Application> GroupLog<A> {
    /// Rebuilds the log from what was found in the WAL. `purged` is the checkpoint's applied entry.
    /// The vote is written again so that the files found hold nothing that the checkpoint lacks.
    ///
    /// # Errors
    /// [`RecoveryError::Gap`] when entries are missing.
    pub fn recover(
        group: GroupId,
        wal: Wal,
        cache: Rc<LogCache>,
        purged: Option<LogId>,
        mut records: Vec<RecoveredRecord>,
        files: &HashMap<std::sync::Arc<Path>, Rc<WalFile>>,
    ) -> Result<Rc<Self>, RecoverLogError> {
        records.sort_by_key(|record| record.header.sequence);
        let mut state = State {
            slots: VecDeque::new(),
            purged,
            vote: None,
            vote_sequence: 0,
            vote_place: None,
            next_sequence: 1,
            evicted_to: 0,
        };
        for record in records {
            let RecoveredRecord { header, payload, place } = record;
            state.next_sequence = header.sequence + 1;
            let file = files.get(&place.path).cloned();
            let file =
                file.ok_or_else(|| RecoverLogError::UnknownFile(place.path.to_path_buf()))?;
            let placed = Placed { file, position: place.position, bytes: place.bytes };
            let index = header.log_id.index;
            match header.kind {
                RecordKind::Vote => {
                    let LeaderId { term, node_id } = header.log_id.leader_id;
                    let committed = index == 1;
                    let vote = if committed {
                        Vote::new_committed(term, node_id)
                    } else {
                        Vote::new(term, node_id)
                    };
                    state.vote = Some(vote);
                    state.vote_place = Some(placed);
                }
                RecordKind::Truncate => drop_from(&mut state.slots, index),
                // The second: entries that were overwritten and are left because the file with
                // what overwrote them went first. Ids grow along a log.
                _ if index < state.first_index() || Some(header.log_id) < state.purged => {}
                _ => {
                    drop_from(&mut state.slots, index);
                    let expected = state.last().map_or(0, |last| last.index + 1);
                    if index != expected {
                        let path = place.path.to_path_buf();
                        let gap = RecoveryError::Gap { group, expected, found: index, path };
                        return Err(gap.into());
                    }
                    let bytes = payload.len();
                    let entry = Some(decode_entry::<A>(&header, payload)?);
                    let (log_id, sequence) = (header.log_id, header.sequence);
                    let place = Some(placed);
                    state.slots.push_back(Slot { log_id, sequence, bytes, entry, place });
                }
            }
        }
        let cached: usize = state.slots.iter().map(|slot| slot.bytes).sum();
        cache.0.set(cache.0.get() + cached);
        state.evicted_to = state.first_index();
        let log = Rc::new(Self { group, wal, cache, state: RefCell::new(state) });
        log.rewrite_vote();
        Ok(log)
    }
}

fn drop_from<A: Application>(slots: &mut VecDeque<Slot<A>>, index: u64) {
    while slots.back().is_some_and(|slot| slot.log_id.index >= index) {
        slots.pop_back();
    }
}
