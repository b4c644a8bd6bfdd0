//! Binary form of openraft's own values, little endian. Used in WAL records and checkpoints.
//!
//! ```text
//! vote        term u64 | node u64 | committed u8
//! log id      term u64 | node u64 | index u64
//! membership  configs u16 { voters u16 { node u64 } } | nodes u16 { node u64 }
//! option      present u8 (0, 1) | value
//! ```

use super::types::{LeaderId, LogId, Membership, NodeId, Vote};
use std::collections::{BTreeMap, BTreeSet};

/// A value that ended early or is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {position} is cut off or out of range")]
pub struct CodecError {
    /// What was being read.
    pub what: &'static str,
    /// Where.
    pub position: usize,
}

/// Most joint configurations or members that are read back.
const MEMBERS_MAX: u16 = 1024;

/// Reads little-endian values off the front of a slice.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The error of the value at hand.
    #[must_use]
    pub fn invalid(&self, what: &'static str) -> CodecError {
        CodecError { what, position: self.position }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.invalid(what))?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// A byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }
}

/// Appends a vote.
pub fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.extend_from_slice(&vote.leader_id.term.to_le_bytes());
    out.extend_from_slice(&vote.leader_id.node_id.to_le_bytes());
    out.push(u8::from(vote.committed));
}

/// Reads a vote.
///
/// # Errors
/// When it is cut off or its flag is neither 0 nor 1.
pub fn vote(reader: &mut Reader<'_>) -> Result<Vote, CodecError> {
    let (term, node) = (reader.u64("vote")?, reader.u64("vote")?);
    match reader.u8("vote")? {
        0 => Ok(Vote::new(term, node)),
        1 => Ok(Vote::new_committed(term, node)),
        _ => Err(reader.invalid("vote")),
    }
}

/// Appends an optional log id.
pub fn put_log_id(out: &mut Vec<u8>, log_id: Option<LogId>) {
    out.push(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        out.extend_from_slice(&log_id.leader_id.term.to_le_bytes());
        out.extend_from_slice(&log_id.leader_id.node_id.to_le_bytes());
        out.extend_from_slice(&log_id.index.to_le_bytes());
    }
}

/// Reads an optional log id.
///
/// # Errors
/// When it is cut off or its flag is neither 0 nor 1.
pub fn log_id(reader: &mut Reader<'_>) -> Result<Option<LogId>, CodecError> {
    match reader.u8("log id")? {
        0 => Ok(None),
        1 => {
            let (term, node_id) = (reader.u64("log id")?, reader.u64("log id")?);
            let leader = LeaderId { term, node_id };
            Ok(Some(LogId::new(leader, reader.u64("log id")?)))
        }
        _ => Err(reader.invalid("log id")),
    }
}

/// Appends a membership.
pub fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
    let configs = membership.get_joint_config();
    out.extend_from_slice(&count(configs.len()));
    for voters in configs {
        out.extend_from_slice(&count(voters.len()));
        voters.iter().for_each(|node| out.extend_from_slice(&node.to_le_bytes()));
    }
    let nodes: Vec<NodeId> = membership.nodes().map(|(node, ())| *node).collect();
    out.extend_from_slice(&count(nodes.len()));
    nodes.iter().for_each(|node| out.extend_from_slice(&node.to_le_bytes()));
}

/// Reads a membership.
///
/// # Errors
/// When it is cut off, too large, or a voter is not among the nodes.
pub fn membership(reader: &mut Reader<'_>) -> Result<Membership, CodecError> {
    let mut configs: Vec<BTreeSet<NodeId>> = Vec::new();
    for _ in 0..members(reader)? {
        let mut voters = BTreeSet::new();
        for _ in 0..members(reader)? {
            voters.insert(reader.u64("membership")?);
        }
        configs.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..members(reader)? {
        nodes.insert(reader.u64("membership")?, ());
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| reader.invalid("membership"))
}

fn members(reader: &mut Reader<'_>) -> Result<u16, CodecError> {
    match reader.u16("membership")? {
        count if count <= MEMBERS_MAX => Ok(count),
        _ => Err(reader.invalid("membership")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_vote_comes_back() {
        for sent in [Vote::new(7, 3), Vote::new_committed(u64::MAX, 1)] {
            let mut bytes = Vec::new();
            put_vote(&mut bytes, &sent);
            assert_eq!(vote(&mut Reader::new(&bytes)).unwrap(), sent);
            bytes[16] = 2;
            assert!(vote(&mut Reader::new(&bytes)).is_err());
        }
    }

    #[test]
    fn a_joint_membership_comes_back_and_cut_ones_are_refused() {
        let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let nodes: BTreeMap<u64, ()> = (1..=5).map(|n| (n, ())).collect();
        let sent = Membership::new(configs, nodes).unwrap();
        let mut bytes = Vec::new();
        put_membership(&mut bytes, &sent);
        assert_eq!(membership(&mut Reader::new(&bytes)).unwrap(), sent);
        for end in 0..bytes.len() {
            assert!(membership(&mut Reader::new(&bytes[..end])).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_log_id_comes_back() {
        let leader = LeaderId { term: 4, node_id: 9 };
        for sent in [None, Some(LogId::new(leader, 77))] {
            let mut bytes = Vec::new();
            put_log_id(&mut bytes, sent);
            assert_eq!(log_id(&mut Reader::new(&bytes)).unwrap(), sent);
        }
    }
}
