//! Why a connection could not be opened, or why it ended.
//!
//! One fault ends every request on a connection, so the error is shared: cloning it is cheap.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ringspool_wire::{Api, ApiError, ErrorCode, FrameError};
use thiserror::Error;

/// What is wrong with a connection to a node. Every variant names the address.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The address did not resolve, or nothing accepts connections there.
    #[error("cannot connect to {address}: {source}; check the address and that the node runs")]
    Connect {
        /// `host:port` as given.
        address: Arc<str>,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Connecting and greeting took longer than the connect timeout.
    #[error(
        "{address} did not accept and greet within {}; check the network, or raise connect_timeout",
        human(*.timeout)
    )]
    ConnectTimeout {
        /// `host:port` as given.
        address: Arc<str>,
        /// The connect timeout.
        timeout: Duration,
    },
    /// Something answers at the address, in another protocol.
    #[error(
        "{address} is not a Ringspool node: {detail}; the admin port speaks HTTP, use the other one"
    )]
    NotRingspool {
        /// `host:port` as given.
        address: Arc<str>,
        /// What came instead.
        detail: Arc<str>,
    },
    /// Client and node have no protocol version in common.
    #[error(
        "{address} speaks protocol versions {server_min} to {server_max}, this client \
         {client_min} to {client_max}; use a client and a node that overlap"
    )]
    UnsupportedVersion {
        /// `host:port` as given.
        address: Arc<str>,
        /// Oldest version of this client.
        client_min: u8,
        /// Newest version of this client.
        client_max: u8,
        /// Oldest version of the node.
        server_min: u8,
        /// Newest version of the node.
        server_max: u8,
    },
    /// The node answered the greeting with an error.
    #[error("{address} refused the session: {source}")]
    HelloRefused {
        /// `host:port` as given.
        address: Arc<str>,
        /// The node's words.
        source: ApiError,
    },
    /// The node closed the connection. It does so when it stops, and when a connection is idle.
    #[error("{address} closed the connection")]
    ClosedByPeer {
        /// `host:port` as given.
        address: Arc<str>,
    },
    /// Reading or writing failed.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// `host:port` as given.
        address: Arc<str>,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The node sent what the protocol does not allow; the connection cannot be trusted any more.
    #[error("{address} sent what the protocol does not allow: {detail}")]
    Malformed {
        /// `host:port` as given.
        address: Arc<str>,
        /// What it was.
        detail: Arc<str>,
    },
    /// A request was not answered in time. The connection is given up: its answers can no longer
    /// be relied on to come.
    #[error(
        "{address} did not answer {api} within {}; is it overloaded? otherwise raise request_timeout",
        human(*.timeout)
    )]
    RequestTimeout {
        /// `host:port` as given.
        address: Arc<str>,
        /// What was asked.
        api: Api,
        /// How long was waited.
        timeout: Duration,
    },
    /// The client closed the connection itself, because nobody uses it any more.
    #[error("the connection to {address} was closed by this client")]
    ClosedHere {
        /// `host:port` as given.
        address: Arc<str>,
    },
}

impl ConnectionError {
    /// Whether trying again later can help. A node of another version, or something that is not a
    /// node, will not change by itself.
    pub fn is_retriable(&self) -> bool {
        match self {
            ConnectionError::NotRingspool { .. } | ConnectionError::UnsupportedVersion { .. } => {
                false
            }
            ConnectionError::HelloRefused { source, .. } => source.is_retriable(),
            _ => true,
        }
    }
}

/// Why one request has no answer to use.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No connection could be opened, so the request was not sent.
    #[error(transparent)]
    NotSent(ConnectionError),
    /// The request is larger than a frame may be, so it was not sent.
    #[error("the {1} request does not fit into a frame: {0}; ask for less at once")]
    TooLarge(#[source] FrameError, Api),
    /// The connection ended after the request was handed to it: whether it took effect is not known.
    #[error("{0} (whether {1} took effect is not known)")]
    Lost(#[source] ConnectionError, Api),
    /// The node answered with an error.
    #[error("{address} refused {api}: {source}")]
    Refused {
        /// `host:port` as given.
        address: Arc<str>,
        /// What was asked.
        api: Api,
        /// The node's words.
        source: ApiError,
    },
}

impl RequestError {
    /// Whether the same request can succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            RequestError::NotSent(source) | RequestError::Lost(source, _) => source.is_retriable(),
            RequestError::Refused { source, .. } => source.is_retriable(),
            RequestError::TooLarge(..) => false,
        }
    }

    /// Whether the request may have taken effect although it has no answer.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            RequestError::Lost(..) => true,
            RequestError::Refused { source, .. } => source.code == ErrorCode::Timeout,
            RequestError::NotSent(_) | RequestError::TooLarge(..) => false,
        }
    }
}

/// A duration as people write it: `1.5 s`, `250 ms`.
pub(crate) fn human(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{} s", duration.as_millis() as f64 / 1000.0)
    } else {
        format!("{} ms", duration.as_millis())
    }
}
