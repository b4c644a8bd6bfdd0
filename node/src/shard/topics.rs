//! Metadata and topics: answered from the copy of the metadata that every shard has; changes go to
//! the coordinator on shard 0 and are answered when every shard has carried them out.

use super::Shard;
use super::mailbox::{Asked, Message};
use super::route::stopped;
use crate::coordinator::ChangeError;
use crate::io::runtime;
use crate::limits::PRODUCER_IDS_BLOCK;
use crate::partition::PartitionId;
use futures::future::join_all;
use ringspool_ring::{Applied, Command, Metadata, Refused, Topic, TopicSettings};
use ringspool_wire::{
    AlterTopicRequest, ApiError, CreateTopicRequest, CreateTopicResponse, DescribeTopicResponse,
    ErrorCode, InitProducerResponse, ListTopicsResponse, MetadataRequest, MetadataResponse, Node,
    PartitionPlace, PartitionState, Setting, TopicMetadata, TopicSummary,
};
use std::rc::Rc;

/// Replicas of a topic whose creator leaves it to the cluster.
const REPLICAS_DEFAULT: u16 = 1;

impl Shard {
    /// Nodes, topics, and where each partition is served.
    #[must_use]
    pub fn describe_cluster(&self, request: &MetadataRequest) -> MetadataResponse {
        let metadata = self.metadata();
        let nodes = metadata.nodes().values().map(|node| Node {
            id: node.id,
            address: node.address.clone(),
            shards: node.shards,
            rack: node.rack.clone(),
        });
        let topics = match &request.topics {
            None => metadata.topics_by_name().map(|topic| self.topic_metadata(topic)).collect(),
            Some(names) => names.iter().map(|name| self.named_topic(&metadata, name)).collect(),
        };
        MetadataResponse {
            cluster_id: metadata.cluster_id().to_owned(),
            version: metadata.version(),
            nodes: nodes.collect(),
            topics,
        }
    }

    fn named_topic(&self, metadata: &Metadata, name: &str) -> TopicMetadata {
        match metadata.topic_by_name(name) {
            Some(topic) => self.topic_metadata(topic),
            None => TopicMetadata {
                name: name.to_owned(),
                id: 0,
                error: ErrorCode::UnknownTopic,
                partitions: Vec::new(),
            },
        }
    }

    fn topic_metadata(&self, topic: &Topic) -> TopicMetadata {
        let place = |vnode: &u32| PartitionPlace {
            leader: self.identity.node_id,
            vnode: *vnode,
            shard: self.owner(*vnode),
            error: ErrorCode::None,
        };
        TopicMetadata {
            name: topic.name.to_string(),
            id: topic.id,
            error: ErrorCode::None,
            partitions: topic.vnodes.iter().map(place).collect(),
        }
    }

    /// All topics in short.
    #[must_use]
    pub fn list_topics(&self) -> ListTopicsResponse {
        let metadata = self.metadata();
        let topics = metadata.topics_by_name().map(|topic| TopicSummary {
            name: topic.name.to_string(),
            id: topic.id,
            partitions: topic.partitions(),
            replicas: topic.replicas,
        });
        ListTopicsResponse { topics: topics.collect() }
    }

    /// One topic with its settings and the state of each partition.
    ///
    /// # Errors
    /// `UnknownTopic`, or an owner that does not answer.
    pub async fn describe_topic(
        self: &Rc<Self>,
        name: &str,
    ) -> Result<DescribeTopicResponse, ApiError> {
        let metadata = self.metadata();
        let topic = metadata.topic_by_name(name).ok_or_else(|| unknown_topic(name))?;
        let settings = topic.settings.to_pairs().into_iter().map(|pair| Setting {
            key: pair.key.to_owned(),
            value: pair.value,
            is_default: pair.is_default,
        });
        Ok(DescribeTopicResponse {
            topic: self.topic_metadata(topic),
            replicas: topic.replicas,
            settings: settings.collect(),
            states: self.partition_states(topic).await?,
        })
    }

    async fn partition_states(&self, topic: &Topic) -> Result<Vec<PartitionState>, ApiError> {
        let mut shares: Vec<(Vec<usize>, Vec<Asked>)> = Vec::new();
        shares.resize_with(usize::from(self.shards), Default::default);
        for (index, (partition, vnode)) in (0..).zip(&topic.vnodes).enumerate() {
            let partition = PartitionId { topic: topic.id, partition };
            let share = &mut shares[usize::from(self.owner(*vnode))];
            share.0.push(index);
            share.1.push(Asked { partition, vnode: *vnode });
        }
        let asked = shares.into_iter().zip(0..).filter(|((indexes, _), _)| !indexes.is_empty());
        let asked = asked.map(|((indexes, partitions), owner)| async move {
            let states = match owner == self.id {
                true => Ok(self.states(&partitions)),
                false => {
                    let ask = |reply| Message::States { partitions, reply };
                    self.mailboxes.ask(owner, ask).await
                }
            };
            states.map(|states| (indexes, states))
        });
        let mut states: Vec<Option<PartitionState>> = vec![None; topic.vnodes.len()];
        for answered in join_all(asked).await {
            let (indexes, found) = answered.map_err(stopped)?;
            for (index, state) in indexes.into_iter().zip(found) {
                states[index] = Some(state);
            }
        }
        let every = states.into_iter().map(|state| {
            state.unwrap_or_else(|| unreachable!("every partition's owner was asked"))
        });
        Ok(every.collect())
    }

    /// The state of partitions of this shard.
    #[must_use]
    pub fn states(&self, partitions: &[Asked]) -> Vec<PartitionState> {
        let state = |asked: &Asked| match self.partition(*asked) {
            Ok(partition) => PartitionState {
                log_start_offset: partition.log_start_offset(),
                high_watermark: partition.high_watermark(),
                bytes: partition.bytes(),
                segments: u32::try_from(partition.segments()).unwrap_or(u32::MAX),
                error: ErrorCode::None,
            },
            Err(error) => PartitionState {
                log_start_offset: 0,
                high_watermark: 0,
                bytes: 0,
                segments: 0,
                error: error.code,
            },
        };
        partitions.iter().map(state).collect()
    }

    /// Creates a topic; returns when its partitions can be written to.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn create_topic(
        self: &Rc<Self>,
        request: CreateTopicRequest,
    ) -> Result<CreateTopicResponse, ApiError> {
        let settings = TopicSettings::from_pairs(&pairs(request.settings))
            .map_err(|e| ApiError::new(ErrorCode::InvalidSetting, e.to_string()))?;
        let command = Command::CreateTopic {
            name: request.name,
            partitions: request.partitions,
            replicas: match request.replicas {
                0 => REPLICAS_DEFAULT,
                replicas => replicas,
            },
            settings,
            created_ms: runtime::wall_ms(),
        };
        match self.change(command).await? {
            Applied::TopicCreated { id } => Ok(CreateTopicResponse { topic_id: id }),
            other => unreachable!("creating a topic was answered with {other:?}"),
        }
    }

    /// Changes a topic's settings.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn alter_topic(self: &Rc<Self>, request: AlterTopicRequest) -> Result<(), ApiError> {
        let settings = pairs(request.settings);
        self.change(Command::AlterTopic { name: request.name, settings }).await?;
        Ok(())
    }

    /// Deletes a topic with its data.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn delete_topic(self: &Rc<Self>, name: String) -> Result<(), ApiError> {
        self.change(Command::DeleteTopic { name }).await?;
        Ok(())
    }

    /// A producer id that nobody else has.
    ///
    /// # Errors
    /// When a new block of ids cannot be had.
    pub async fn init_producer(self: &Rc<Self>) -> Result<InitProducerResponse, ApiError> {
        loop {
            let next = self.producer_ids.borrow_mut().next();
            if let Some(producer_id) = next {
                return Ok(InitProducerResponse { producer_id, producer_epoch: 0 });
            }
            let count = u32::try_from(PRODUCER_IDS_BLOCK).unwrap_or(1);
            match self.commit(Command::AllocateProducerIds { count }).await?.0 {
                Applied::ProducerIds { first, count } => {
                    *self.producer_ids.borrow_mut() = first..first + u64::from(count);
                }
                other => unreachable!("allocating producer ids was answered with {other:?}"),
            }
        }
    }

    /// Commits a change and waits until every shard has carried it out.
    async fn change(self: &Rc<Self>, command: Command) -> Result<Applied, ApiError> {
        let (applied, version) = self.commit(command).await?;
        let reconciled = (0..self.shards).map(|shard| {
            self.mailboxes.ask(shard, move |reply| Message::Reconciled { version, reply })
        });
        for answered in join_all(reconciled).await {
            answered.map_err(stopped)?;
        }
        Ok(applied)
    }

    /// Commits a change; gives its answer and the version of the metadata that has it.
    async fn commit(self: &Rc<Self>, command: Command) -> Result<(Applied, u64), ApiError> {
        if self.id == 0 {
            return self.commit_here(command).await;
        }
        let ask = self.mailboxes.ask(0, |reply| Message::Change { command, reply });
        ask.await.map_err(stopped)?
    }

    /// Commits a change on shard 0.
    pub(super) async fn commit_here(&self, command: Command) -> Result<(Applied, u64), ApiError> {
        let Some(coordinator) = &self.coordinator else {
            unreachable!("changes are sent to shard 0, which runs the coordinator")
        };
        match coordinator.change(command).await {
            Ok(applied) => Ok((applied, coordinator.metadata().version())),
            Err(ChangeError::Refused(refused)) => {
                Err(ApiError::new(code_of(&refused), refused.to_string()))
            }
            Err(ChangeError::NotProposed(error)) => Err(super::produce::not_proposed(&error)),
        }
    }
}

fn pairs(settings: Vec<Setting>) -> Vec<(String, String)> {
    settings.into_iter().map(|setting| (setting.key, setting.value)).collect()
}

fn unknown_topic(name: &str) -> ApiError {
    ApiError::new(ErrorCode::UnknownTopic, format!("there is no topic {name}"))
}

fn code_of(refused: &Refused) -> ErrorCode {
    match refused {
        Refused::TopicExists { .. } => ErrorCode::TopicExists,
        Refused::UnknownTopic { .. } => ErrorCode::UnknownTopic,
        Refused::InvalidTopicName { .. } => ErrorCode::InvalidTopicName,
        Refused::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
        Refused::InvalidReplicas { .. } => ErrorCode::InvalidReplicas,
        Refused::InvalidSetting(..) => ErrorCode::InvalidSetting,
        Refused::TooManyPartitions { .. } | Refused::TooManyTopics { .. } => {
            ErrorCode::TooManyPartitions
        }
        Refused::NotInitialised => ErrorCode::NotReady,
        _ => ErrorCode::Internal,
    }
}
