//! What can go wrong with the client as a whole. Every part has its own error beside its code:
//! [`ConnectionError`] and [`RequestError`] (connection/error.rs), [`ProduceError`]
//! (producer/error.rs), [`ConsumeError`] (consumer/error.rs), [`AdminError`] (admin.rs).
//!
//! [`ConnectionError`]: crate::ConnectionError
//! [`ProduceError`]: crate::ProduceError
//! [`ConsumeError`]: crate::ConsumeError
//! [`AdminError`]: crate::AdminError

use ringspool_wire::ErrorCode;
use thiserror::Error;

use crate::connection::RequestError;

/// Why the cluster could not be asked, or a topic not be found.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The list of servers cannot be used.
    #[error("{detail}; give servers as HOST:PORT, several with commas between them")]
    InvalidServers {
        /// What is wrong with it.
        detail: String,
    },
    /// None of the servers that are known could be used.
    #[error("no server answered: {}", list(.attempts))]
    NoServerAnswered {
        /// What each server that was tried did.
        attempts: Vec<RequestError>,
    },
    /// A server took the request, and there is no answer to use.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No topic has this name.
    #[error("topic {topic:?} does not exist; create it first")]
    UnknownTopic {
        /// The name.
        topic: String,
    },
    /// The topic exists, but nothing serves it yet.
    #[error("topic {topic:?} is not ready: {code}; try again")]
    TopicNotReady {
        /// The name.
        topic: String,
        /// What the node said.
        code: ErrorCode,
    },
    /// The node will not tell about the topic.
    #[error("topic {topic:?} cannot be used: {code}")]
    TopicRefused {
        /// The name.
        topic: String,
        /// What the node said.
        code: ErrorCode,
    },
}

impl ClientError {
    /// Whether the same can succeed later without changing anything here.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::NoServerAnswered { attempts } => {
                attempts.iter().any(RequestError::is_retriable)
            }
            ClientError::Request(error) => error.is_retriable(),
            ClientError::TopicNotReady { .. } => true,
            ClientError::InvalidServers { .. }
            | ClientError::UnknownTopic { .. }
            | ClientError::TopicRefused { .. } => false,
        }
    }

    /// Whether a request was sent, and nobody knows what became of it.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            ClientError::Request(error) => error.may_have_taken_effect(),
            ClientError::NoServerAnswered { attempts } => {
                attempts.iter().any(RequestError::may_have_taken_effect)
            }
            _ => false,
        }
    }
}

fn list(attempts: &[RequestError]) -> String {
    let attempts: Vec<String> = attempts.iter().map(ToString::to_string).collect();
    attempts.join("; ")
}
