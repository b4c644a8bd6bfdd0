//! A topic's life: create, alter, describe, list, delete. Settings are strings here; what they may
//! say is the coordinator's to judge.

use flatbuffers::{ForwardsUOffset, Vector, WIPOffset};

use super::metadata::TopicMetadata;
use crate::codec::{self, Builder, DecodeError, Tables};
use crate::error::ErrorCode;
use crate::generated::fb;
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, SETTINGS_PER_TOPIC_MAX};

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Such as `retention_ms`.
    pub key: String,
    /// As text; numbers in decimal.
    pub value: String,
    /// In answers: nobody has set it.
    pub is_default: bool,
}

impl Setting {
    /// A setting to make.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Setting { key: key.into(), value: value.into(), is_default: false }
    }
}

type SettingTables<'a> = Vector<'a, ForwardsUOffset<fb::Setting<'a>>>;

fn write_settings(builder: &mut Builder, settings: &[Setting]) -> Tables<fb::Setting<'static>> {
    let settings: Vec<_> = settings
        .iter()
        .map(|setting| {
            let key = Some(builder.create_string(&setting.key));
            let value = Some(builder.create_string(&setting.value));
            let is_default = setting.is_default;
            fb::Setting::create(builder, &fb::SettingArgs { key, value, is_default })
        })
        .collect();
    builder.create_vector(&settings)
}

fn read_settings(tables: Option<SettingTables<'_>>) -> Result<Vec<Setting>, DecodeError> {
    let Some(tables) = tables else { return Ok(Vec::new()) };
    codec::at_most("settings", tables.len(), SETTINGS_PER_TOPIC_MAX)?;
    let settings = tables.iter().map(|table| Setting {
        key: table.key().to_string(),
        value: table.value().to_string(),
        is_default: table.is_default(),
    });
    Ok(settings.collect())
}

/// Creates a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopicRequest {
    /// The name, new in the cluster.
    pub name: String,
    /// At least 1.
    pub partitions: u32,
    /// At least 1; 0: the cluster's default.
    pub replicas: u16,
    /// Those that differ from the defaults.
    pub settings: Vec<Setting>,
}

impl CreateTopicRequest {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::CreateTopicRequest<'static>> {
        let name = Some(builder.create_string(&self.name));
        let settings = Some(write_settings(builder, &self.settings));
        let args = fb::CreateTopicRequestArgs {
            name,
            partitions: self.partitions,
            replicas: self.replicas,
            settings,
        };
        fb::CreateTopicRequest::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::CreateTopicRequest<'_>>("CreateTopicRequest", message)?;
        Ok(CreateTopicRequest {
            name: table.name().to_string(),
            partitions: table.partitions(),
            replicas: table.replicas(),
            settings: read_settings(table.settings())?,
        })
    }
}

/// The topic is there, on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateTopicResponse {
    /// How produce and fetch name it; at least 1, never given out twice.
    pub topic_id: u64,
}

impl CreateTopicResponse {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::CreateTopicResponse<'static>> {
        let args = fb::CreateTopicResponseArgs { topic_id: self.topic_id };
        fb::CreateTopicResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::CreateTopicResponse<'_>>("CreateTopicResponse", message)?;
        Ok(CreateTopicResponse { topic_id: table.topic_id() })
    }
}

/// Changes the settings named, and leaves the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTopicRequest {
    /// The topic.
    pub name: String,
    /// The new values.
    pub settings: Vec<Setting>,
}

impl AlterTopicRequest {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::AlterTopicRequest<'static>> {
        let name = Some(builder.create_string(&self.name));
        let settings = Some(write_settings(builder, &self.settings));
        fb::AlterTopicRequest::create(builder, &fb::AlterTopicRequestArgs { name, settings })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::AlterTopicRequest<'_>>("AlterTopicRequest", message)?;
        let settings = read_settings(table.settings())?;
        Ok(AlterTopicRequest { name: table.name().to_string(), settings })
    }
}

/// Asks for all there is to say about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeTopicRequest {
    /// The topic.
    pub name: String,
}

impl DescribeTopicRequest {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::DescribeTopicRequest<'static>> {
        let name = Some(builder.create_string(&self.name));
        fb::DescribeTopicRequest::create(builder, &fb::DescribeTopicRequestArgs { name })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::DescribeTopicRequest<'_>>("DescribeTopicRequest", message)?;
        Ok(DescribeTopicRequest { name: table.name().to_string() })
    }
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The first offset that can be read.
    pub log_start_offset: u64,
    /// The offset the next record will get.
    pub high_watermark: u64,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Segments, the active one included.
    pub segments: u32,
    /// Why the other fields are not known, or [`ErrorCode::None`].
    pub error: ErrorCode,
}

/// All there is to say about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeTopicResponse {
    /// Name, id and where its partitions are.
    pub topic: TopicMetadata,
    /// Copies of each partition.
    pub replicas: u16,
    /// Every setting, the defaults too.
    pub settings: Vec<Setting>,
    /// `states[i]` is what partition i holds.
    pub states: Vec<PartitionState>,
}

impl DescribeTopicResponse {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::DescribeTopicResponse<'static>> {
        let topic = Some(self.topic.write(builder));
        let settings = Some(write_settings(builder, &self.settings));
        let states = self.states.iter().map(|state| {
            fb::PartitionState::new(
                state.log_start_offset,
                state.high_watermark,
                state.bytes,
                state.segments,
                state.error as u16,
                0,
            )
        });
        let states = Some(builder.create_vector_from_iter(states));
        let replicas = self.replicas;
        let args = fb::DescribeTopicResponseArgs { topic, replicas, settings, states };
        fb::DescribeTopicResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::DescribeTopicResponse<'_>>("DescribeTopicResponse", message)?;
        codec::at_most("states", table.states().len(), PARTITIONS_PER_TOPIC_MAX as usize)?;
        let states = table.states().iter().map(|state| PartitionState {
            log_start_offset: state.log_start_offset(),
            high_watermark: state.high_watermark(),
            bytes: state.bytes(),
            segments: state.segments(),
            error: ErrorCode::from_u16(state.error()),
        });
        Ok(DescribeTopicResponse {
            topic: TopicMetadata::from_table(table.topic())?,
            replicas: table.replicas(),
            settings: read_settings(Some(table.settings()))?,
            states: states.collect(),
        })
    }
}

/// A topic in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSummary {
    /// The name.
    pub name: String,
    /// How produce and fetch name it.
    pub id: u64,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replicas: u16,
}

/// Every topic, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTopicsResponse {
    /// Every topic, by name.
    pub topics: Vec<TopicSummary>,
}

impl ListTopicsResponse {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::ListTopicsResponse<'static>> {
        let topics: Vec<_> = self
            .topics
            .iter()
            .map(|topic| {
                let args = fb::TopicSummaryArgs {
                    name: Some(builder.create_string(&topic.name)),
                    id: topic.id,
                    partitions: topic.partitions,
                    replicas: topic.replicas,
                };
                fb::TopicSummary::create(builder, &args)
            })
            .collect();
        let topics = Some(builder.create_vector(&topics));
        fb::ListTopicsResponse::create(builder, &fb::ListTopicsResponseArgs { topics })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table =
            codec::root_of_list::<fb::ListTopicsResponse<'_>>("ListTopicsResponse", message)?;
        let topics = table.topics().iter().map(|topic| TopicSummary {
            name: topic.name().to_string(),
            id: topic.id(),
            partitions: topic.partitions(),
            replicas: topic.replicas(),
        });
        Ok(ListTopicsResponse { topics: topics.collect() })
    }
}

/// Deletes a topic and its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicRequest {
    /// The topic.
    pub name: String,
}

impl DeleteTopicRequest {
    pub(crate) fn write(
        &self,
        builder: &mut Builder,
    ) -> WIPOffset<fb::DeleteTopicRequest<'static>> {
        let name = Some(builder.create_string(&self.name));
        fb::DeleteTopicRequest::create(builder, &fb::DeleteTopicRequestArgs { name })
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::DeleteTopicRequest<'_>>("DeleteTopicRequest", message)?;
        Ok(DeleteTopicRequest { name: table.name().to_string() })
    }
}
