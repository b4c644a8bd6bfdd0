//! Topics from the outside: create, alter, describe, list, delete, and where offsets are.

use std::sync::Arc;

use ringspool_wire::{
    AlterTopicRequest, ApiError, CreateTopicRequest, DeleteTopicRequest, DescribeTopicRequest,
    DescribeTopicResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetAnswer, OffsetQuery,
    PARTS_PER_REQUEST_MAX, Request, Response, Setting, TopicSummary,
};
use thiserror::Error;

use crate::cluster::{Cluster, Repeat};
use crate::connection::RequestError;
use crate::error::ClientError;

/// Why an admin call failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The node refused. Its code is for programs, its message says how to mend it.
    #[error("cannot {what}: {source}")]
    Refused {
        /// What was asked: `create topic "orders"`.
        what: String,
        /// The node's words.
        source: ApiError,
    },
    /// The connection was lost after the request was sent: it may have taken effect. It is not
    /// repeated, because a repeated creation or deletion would report the wrong thing.
    #[error("cannot tell whether {what:?} took effect: {source}; look with describe or list")]
    OutcomeUnknown {
        /// What was asked.
        what: String,
        /// What happened.
        source: ClientError,
    },
    /// No server could be asked, or it could not be asked that.
    #[error("cannot {what}: {source}")]
    Failed {
        /// What was asked.
        what: String,
        /// What happened.
        source: ClientError,
    },
}

impl AdminError {
    /// The node's error code, if a node refused.
    pub fn code(&self) -> Option<ringspool_wire::ErrorCode> {
        match self {
            AdminError::Refused { source, .. } => Some(source.code),
            _ => None,
        }
    }
}

/// A topic to create.
///
/// ```
/// use ringspool_client::NewTopic;
///
/// let topic = NewTopic::new("orders").partitions(12).setting("retention_ms", "86400000");
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to Admin::create_topic"]
pub struct NewTopic {
    name: String,
    partitions: u32,
    replicas: u16,
    settings: Vec<Setting>,
}

impl NewTopic {
    /// A topic of one partition and one replica, with the settings' defaults.
    pub fn new(name: impl Into<String>) -> Self {
        NewTopic { name: name.into(), partitions: 1, replicas: 1, settings: Vec::new() }
    }

    /// Number of partitions. It cannot be changed later.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Number of replicas of every partition.
    pub fn replicas(mut self, replicas: u16) -> Self {
        self.replicas = replicas;
        self
    }

    /// One setting, such as `retention_ms`. The node knows which there are.
    pub fn setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push(Setting::new(key, value));
        self
    }
}

/// Manages topics. Made by [`Client::admin`](crate::Client::admin).
///
/// Calls wait while the cluster is not ready, up to the request timeout.
///
/// ```no_run
/// # async fn example(client: ringspool_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use ringspool_client::NewTopic;
///
/// let admin = client.admin();
/// admin.create_topic(NewTopic::new("orders").partitions(12)).await?;
/// admin.alter_topic("orders", [("retention_ms", "86400000")]).await?;
/// for topic in admin.list_topics().await? {
///     println!("{} {}", topic.name, topic.partitions);
/// }
/// admin.delete_topic("orders").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Admin { cluster }
    }

    /// Creates a topic, and gives its id.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with `TopicExists`, `InvalidTopicName`, `InvalidSetting`,
    /// `InvalidPartitions`, `InvalidReplicas` or `TooManyPartitions`.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<u64, AdminError> {
        let what = format!("create topic {:?}", topic.name);
        let request = Request::CreateTopic(CreateTopicRequest {
            name: topic.name,
            partitions: topic.partitions,
            replicas: topic.replicas,
            settings: topic.settings,
        });
        self.call(what, &request, Repeat::Harmful, |response| match response {
            Response::CreateTopic(created) => Some(created.topic_id),
            _ => None,
        })
        .await
    }

    /// Changes settings of a topic; those that are not named stay.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with `UnknownTopic` or `InvalidSetting`.
    pub async fn alter_topic<K: Into<String>, V: Into<String>>(
        &self,
        name: &str,
        settings: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), AdminError> {
        let settings = settings.into_iter().map(|(key, value)| Setting::new(key, value)).collect();
        let request = Request::AlterTopic(AlterTopicRequest { name: name.to_owned(), settings });
        let what = format!("alter topic {name:?}");
        self.call(what, &request, Repeat::Harmless, |response| {
            matches!(response, Response::AlterTopic).then_some(())
        })
        .await
    }

    /// Settings of a topic, and the state and place of each partition.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with `UnknownTopic`.
    pub async fn describe_topic(&self, name: &str) -> Result<DescribeTopicResponse, AdminError> {
        let request = Request::DescribeTopic(DescribeTopicRequest { name: name.to_owned() });
        let what = format!("describe topic {name:?}");
        self.call(what, &request, Repeat::Harmless, |response| match response {
            Response::DescribeTopic(description) => Some(description),
            _ => None,
        })
        .await
    }

    /// Every topic in short.
    ///
    /// # Errors
    ///
    /// When no server answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicSummary>, AdminError> {
        let what = "list topics".to_owned();
        self.call(what, &Request::ListTopics, Repeat::Harmless, |response| match response {
            Response::ListTopics(list) => Some(list.topics),
            _ => None,
        })
        .await
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with `UnknownTopic`.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let request = Request::DeleteTopic(DeleteTopicRequest { name: name.to_owned() });
        let what = format!("delete topic {name:?}");
        self.call(what, &request, Repeat::Harmful, |response| {
            matches!(response, Response::DeleteTopic).then_some(())
        })
        .await
    }

    /// Where an offset is in each of some partitions. `timestamp` is milliseconds since 1970, and
    /// finds the first record at or after it; or [`EARLIEST`](crate::EARLIEST) or
    /// [`LATEST`](crate::LATEST). No partitions: all of the topic. The answers come in the order
    /// of the partitions; each has its own outcome.
    ///
    /// # Errors
    ///
    /// When the topic does not exist, or no server answers.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[u32],
        timestamp: i64,
    ) -> Result<Vec<OffsetAnswer>, AdminError> {
        let what = format!("list offsets of topic {topic:?}");
        let failed = |source| AdminError::Failed { what: what.clone(), source };
        let found = self.cluster.topic(topic).await.map_err(failed)?;
        let all: Vec<u32> = (0..found.partitions()).collect();
        let partitions = if partitions.is_empty() { &all } else { partitions };
        let mut answers = Vec::with_capacity(partitions.len());
        for some in partitions.chunks(PARTS_PER_REQUEST_MAX) {
            let query = |partition: &u32| OffsetQuery {
                topic_id: found.id,
                partition: *partition,
                timestamp,
            };
            let request = Request::ListOffsets(ListOffsetsRequest {
                queries: some.iter().map(query).collect(),
            });
            let response: ListOffsetsResponse = self
                .call(what.clone(), &request, Repeat::Harmless, |response| match response {
                    Response::ListOffsets(found) => Some(found),
                    _ => None,
                })
                .await?;
            answers.extend(response.answers);
        }
        Ok(answers)
    }

    async fn call<T>(
        &self,
        what: String,
        request: &Request,
        repeat: Repeat,
        take: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, AdminError> {
        match self.cluster.ask(request, repeat).await {
            Ok((connection, response)) => take(response).ok_or_else(|| {
                let source = connection.unexpected(request.api()).into();
                AdminError::Failed { what, source }
            }),
            Err(ClientError::Request(RequestError::Refused { source, .. })) => {
                Err(AdminError::Refused { what, source })
            }
            Err(source) if repeat == Repeat::Harmful && source.may_have_taken_effect() => {
                Err(AdminError::OutcomeUnknown { what, source })
            }
            Err(source) => Err(AdminError::Failed { what, source }),
        }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
