//! Bytes of commands and snapshots. Little endian throughout, no padding.
//!
//! ```text
//! text      u16 length | UTF-8 bytes
//! option    u8: 0, or 1 followed by the value
//! node      id u64 | address text | shards u16 | rack option text | weight u32 | state u8 |
//!           version text
//! settings  segment_bytes u64 | segment_ms u64 | retention_ms option u64 |
//!           retention_bytes option u64 | batch_bytes_max u32 | record_bytes_max u64
//!
//! command   version u8 = 1 | kind u8 | by kind:
//!   1 InitCluster          cluster_id text | vnode_count u32 | format_version u32
//!   2 RegisterNode         node
//!   3 CreateTopic          name text | partitions u32 | replicas u16 | created_ms u64 | settings
//!   4 AlterTopic           name text | pairs u32 | pairs x (key text | value text)
//!   5 DeleteTopic          name text
//!   6 AllocateProducerIds  count u32
//!
//! snapshot  magic "RSMD" | version u16 = 1 | reserved u16 = 0 | metadata version u64 |
//!           cluster_id text | format_version u32 | vnode_count u32 | next_topic_id u64 |
//!           next_producer_id u64 | nodes u32 | nodes x node | topics u32 | topics x topic |
//!           crc32c u32 of everything before it
//! topic     id u64 | name text | replicas u16 | created_ms u64 | settings | partitions u32 |
//!           partitions x vnode u16
//! ```
//!
//! Nodes and topics are in ascending order of their ids. A command has no checksum of its own: the
//! log that carries it has. Reading caps every length before it allocates, checks the invariants
//! of [`Metadata`](super::Metadata), and never panics, whatever the bytes.

mod bytes;
mod command;
mod snapshot;

use bytes::{Reader, Writer};

use super::node::{NodeInfo, NodeState};
use super::settings::TopicSettings;
use crate::limits::{ADDRESS_BYTES_MAX, NODE_VERSION_BYTES_MAX, RACK_BYTES_MAX};

/// Why bytes are not a command or a snapshot.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// It is longer than any can be.
    #[error("{bytes} bytes are refused; the limit is {bytes_max}")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// It does not begin like a snapshot.
    #[error("this is not a metadata snapshot: it begins with {found:02x?}, not with \"RSMD\"")]
    BadMagic {
        /// What it begins with.
        found: [u8; 4],
    },
    /// It was written by a newer program.
    #[error("this {what} has version {version}; this program reads {supported}; update it")]
    UnsupportedVersion {
        /// What it is.
        what: &'static str,
        /// Its version.
        version: u16,
        /// The version this program reads.
        supported: u16,
    },
    /// Its bytes were damaged.
    #[error("snapshot damaged: its CRC32C is {found:08x}, it says {stored:08x}; use another copy")]
    Damaged {
        /// Checksum of the bytes.
        found: u32,
        /// Checksum in the snapshot.
        stored: u32,
    },
    /// It ends too early.
    #[error("truncated: {needed} bytes needed at byte {at}, {left} are left")]
    Truncated {
        /// Position, in bytes.
        at: usize,
        /// Bytes needed there.
        needed: usize,
        /// Bytes there.
        left: usize,
    },
    /// It goes on after its end.
    #[error("{left} bytes follow its end at byte {at}")]
    LeftOver {
        /// Position of the end, in bytes.
        at: usize,
        /// Bytes after it.
        left: usize,
    },
    /// A length is over its limit.
    #[error("{what}: {count} is over the limit of {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The length.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A number stands for nothing known.
    #[error("{what} {number} is not known")]
    UnknownKind {
        /// What it should stand for.
        what: &'static str,
        /// The number.
        number: u8,
    },
    /// A value cannot be.
    #[error("{what}: {why}")]
    Invalid {
        /// Of what.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

fn invalid(what: &'static str, why: impl Into<String>) -> DecodeError {
    DecodeError::Invalid { what, why: why.into() }
}

fn put_node(to: &mut Writer, node: &NodeInfo) {
    to.u64(node.id);
    to.text(&node.address);
    to.u16(node.shards);
    to.option_text(node.rack.as_deref());
    to.u32(node.weight);
    to.u8(node.state as u8);
    to.text(&node.version);
}

fn take_node(from: &mut Reader<'_>) -> Result<NodeInfo, DecodeError> {
    Ok(NodeInfo {
        id: from.u64()?,
        address: from.text("node address", ADDRESS_BYTES_MAX)?.to_owned(),
        shards: from.u16()?,
        rack: from.option_text("node rack", RACK_BYTES_MAX)?.map(str::to_owned),
        weight: from.u32()?,
        state: {
            let number = from.u8()?;
            NodeState::from_u8(number)
                .ok_or(DecodeError::UnknownKind { what: "node state", number })?
        },
        version: from.text("node version", NODE_VERSION_BYTES_MAX)?.to_owned(),
    })
}

fn put_settings(to: &mut Writer, settings: &TopicSettings) {
    to.u64(settings.segment_bytes);
    to.u64(settings.segment_ms);
    to.option_u64(settings.retention_ms);
    to.option_u64(settings.retention_bytes);
    to.u32(settings.batch_bytes_max);
    to.u64(settings.record_bytes_max);
}

fn take_settings(from: &mut Reader<'_>) -> Result<TopicSettings, DecodeError> {
    Ok(TopicSettings {
        segment_bytes: from.u64()?,
        segment_ms: from.u64()?,
        retention_ms: from.option_u64("retention_ms")?,
        retention_bytes: from.option_u64("retention_bytes")?,
        batch_bytes_max: from.u32()?,
        record_bytes_max: from.u64()?,
    })
}
