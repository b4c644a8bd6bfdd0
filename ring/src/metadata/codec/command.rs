//! Bytes of a command; the layout is in the parent module.

use super::super::command::Command;
use super::{DecodeError, Reader, Writer, put_node, put_settings, take_node, take_settings};
use crate::limits::{
    CLUSTER_ID_BYTES_MAX, COMMAND_BYTES_MAX, SETTING_KEY_BYTES_MAX, SETTING_PAIRS_MAX,
    SETTING_VALUE_BYTES_MAX, TOPIC_NAME_BYTES_MAX,
};

const COMMAND_VERSION: u8 = 1;

const INIT_CLUSTER: u8 = 1;
const REGISTER_NODE: u8 = 2;
const CREATE_TOPIC: u8 = 3;
const ALTER_TOPIC: u8 = 4;
const DELETE_TOPIC: u8 = 5;
const ALLOCATE_PRODUCER_IDS: u8 = 6;

/// Bytes of the shortest setting pair: two empty texts.
const PAIR_BYTES_MIN: usize = 4;

impl Command {
    /// The command's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.u8(COMMAND_VERSION);
        match self {
            Command::InitCluster { cluster_id, vnode_count, format_version } => {
                to.u8(INIT_CLUSTER);
                to.text(cluster_id);
                to.u32(*vnode_count);
                to.u32(*format_version);
            }
            Command::RegisterNode(node) => {
                to.u8(REGISTER_NODE);
                put_node(&mut to, node);
            }
            Command::CreateTopic { name, partitions, replicas, settings, created_ms } => {
                to.u8(CREATE_TOPIC);
                to.text(name);
                to.u32(*partitions);
                to.u16(*replicas);
                to.u64(*created_ms);
                put_settings(&mut to, settings);
            }
            Command::AlterTopic { name, settings } => {
                to.u8(ALTER_TOPIC);
                to.text(name);
                to.count(settings.len());
                for (key, value) in settings {
                    to.text(key);
                    to.text(value);
                }
            }
            Command::DeleteTopic { name } => {
                to.u8(DELETE_TOPIC);
                to.text(name);
            }
            Command::AllocateProducerIds { count } => {
                to.u8(ALLOCATE_PRODUCER_IDS);
                to.u32(*count);
            }
        }
        to.finish()
    }

    /// The command of these bytes.
    ///
    /// # Errors
    /// Says where the bytes stop being a command. What is read may still be refused by `apply`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > COMMAND_BYTES_MAX {
            return Err(DecodeError::TooLarge { bytes: bytes.len(), bytes_max: COMMAND_BYTES_MAX });
        }
        let mut from = Reader::new(bytes);
        let version = from.u8()?;
        if version != COMMAND_VERSION {
            return Err(DecodeError::UnsupportedVersion {
                what: "command",
                version: u16::from(version),
                supported: u16::from(COMMAND_VERSION),
            });
        }
        let command = match from.u8()? {
            INIT_CLUSTER => Command::InitCluster {
                cluster_id: from.text("cluster id", CLUSTER_ID_BYTES_MAX)?.to_owned(),
                vnode_count: from.u32()?,
                format_version: from.u32()?,
            },
            REGISTER_NODE => Command::RegisterNode(take_node(&mut from)?),
            CREATE_TOPIC => Command::CreateTopic {
                name: topic_name(&mut from)?,
                partitions: from.u32()?,
                replicas: from.u16()?,
                created_ms: from.u64()?,
                settings: take_settings(&mut from)?,
            },
            ALTER_TOPIC => {
                let name = topic_name(&mut from)?;
                let pairs = from.count("settings", SETTING_PAIRS_MAX, PAIR_BYTES_MIN)?;
                let settings = (0..pairs)
                    .map(|_| {
                        let key = from.text("setting key", SETTING_KEY_BYTES_MAX)?;
                        let value = from.text("setting value", SETTING_VALUE_BYTES_MAX)?;
                        Ok((key.to_owned(), value.to_owned()))
                    })
                    .collect::<Result<_, DecodeError>>()?;
                Command::AlterTopic { name, settings }
            }
            DELETE_TOPIC => Command::DeleteTopic { name: topic_name(&mut from)? },
            ALLOCATE_PRODUCER_IDS => Command::AllocateProducerIds { count: from.u32()? },
            number => return Err(DecodeError::UnknownKind { what: "command", number }),
        };
        from.finish()?;
        Ok(command)
    }
}

fn topic_name(from: &mut Reader<'_>) -> Result<String, DecodeError> {
    Ok(from.text("topic name", TOPIC_NAME_BYTES_MAX)?.to_owned())
}
