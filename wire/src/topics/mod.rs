//! Topics: where their partitions are ([`metadata`]) and what they are ([`topic`]).

mod metadata;
mod topic;

pub use metadata::{MetadataRequest, MetadataResponse, Node, PartitionPlace, TopicMetadata};
pub use topic::{
    AlterTopicRequest, CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest,
    DescribeTopicRequest, DescribeTopicResponse, ListTopicsResponse, PartitionState, Setting,
    TopicSummary,
};
