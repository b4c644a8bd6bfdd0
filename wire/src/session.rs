//! Opening a session: versions, the shard, the limits of the node; and the error that answers any
//! request that could not be carried out as a whole.
//!
//! The frames of Hello are in version [`VERSION_MIN`], whatever is negotiated after it.

use flatbuffers::WIPOffset;

use crate::api::{Api, VERSION_MAX, VERSION_MIN};
use crate::codec::{self, Builder, DecodeError};
use crate::error::{ApiError, ErrorCode};
use crate::generated::fb;

/// [`HelloRequest::shard`]: whichever shard accepts the connection.
pub const ANY_SHARD: u16 = u16::MAX;

/// The first request of every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloRequest {
    /// Oldest protocol version the client speaks.
    pub version_min: u8,
    /// Newest protocol version the client speaks.
    pub version_max: u8,
    /// What the client calls itself, for the node's log.
    pub client: Option<String>,
    /// The shard the client wants to be served by; [`ANY_SHARD`]: any.
    pub shard: u16,
}

impl HelloRequest {
    /// A Hello of this crate's versions.
    pub fn new(client: impl Into<String>, shard: u16) -> Self {
        HelloRequest {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            client: Some(client.into()),
            shard,
        }
    }

    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::HelloRequest<'static>> {
        let client = self.client.as_deref().map(|client| builder.create_string(client));
        let args = fb::HelloRequestArgs {
            version_min: self.version_min,
            version_max: self.version_max,
            client,
            shard: self.shard,
        };
        fb::HelloRequest::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::HelloRequest<'_>>("HelloRequest", message)?;
        Ok(HelloRequest {
            version_min: table.version_min(),
            version_max: table.version_max(),
            client: table.client().map(str::to_string),
            shard: table.shard(),
        })
    }
}

/// The newest version both sides speak, given what the other side speaks.
pub fn negotiate(version_min: u8, version_max: u8) -> Option<u8> {
    let version = version_max.min(VERSION_MAX);
    (version >= version_min.max(VERSION_MIN)).then_some(version)
}

/// What the node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloResponse {
    /// The version of every frame after this one.
    pub version: u8,
    /// The node that answers.
    pub node_id: u64,
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// The shard that serves this connection.
    pub shard: u16,
    /// Shards of the node.
    pub shards: u16,
    /// Numbers of the apis it serves.
    pub apis: Vec<u8>,
    /// Largest frame it takes.
    pub frame_bytes_max: u32,
    /// Largest batch it takes, whatever a topic says.
    pub batch_bytes_max: u32,
    /// Bytes of requests it lets a connection have unanswered; then it stops reading.
    pub in_flight_bytes_max: u32,
}

impl HelloResponse {
    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::HelloResponse<'static>> {
        let cluster_id = Some(builder.create_string(&self.cluster_id));
        let apis = Some(builder.create_vector(&self.apis));
        let args = fb::HelloResponseArgs {
            version: self.version,
            node_id: self.node_id,
            cluster_id,
            shard: self.shard,
            shards: self.shards,
            apis,
            frame_bytes_max: self.frame_bytes_max,
            batch_bytes_max: self.batch_bytes_max,
            in_flight_bytes_max: self.in_flight_bytes_max,
        };
        fb::HelloResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::HelloResponse<'_>>("HelloResponse", message)?;
        Ok(HelloResponse {
            version: table.version(),
            node_id: table.node_id(),
            cluster_id: table.cluster_id().to_string(),
            shard: table.shard(),
            shards: table.shards(),
            apis: table.apis().map(|apis| apis.bytes().to_vec()).unwrap_or_default(),
            frame_bytes_max: table.frame_bytes_max(),
            batch_bytes_max: table.batch_bytes_max(),
            in_flight_bytes_max: table.in_flight_bytes_max(),
        })
    }
}

/// Answers any request that could not be carried out as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, to what, and how to mend it.
    pub message: String,
    /// Oldest version that would have been understood; 0 unless the code is about versions.
    pub version_min: u8,
    /// Newest version that would have been understood; 0 unless the code is about versions.
    pub version_max: u8,
    /// Apis that would have been understood; empty unless the code is about apis.
    pub apis: Vec<u8>,
}

impl ErrorResponse {
    /// The answer with this code. For UnsupportedVersion and UnsupportedApi it also says what
    /// would have been understood.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let told = matches!(code, ErrorCode::UnsupportedVersion | ErrorCode::UnsupportedApi);
        ErrorResponse {
            code,
            message: message.into(),
            version_min: if told { VERSION_MIN } else { 0 },
            version_max: if told { VERSION_MAX } else { 0 },
            apis: if told { Api::numbers() } else { Vec::new() },
        }
    }

    pub(crate) fn write(&self, builder: &mut Builder) -> WIPOffset<fb::ErrorResponse<'static>> {
        let message = Some(builder.create_string(&self.message));
        let apis = (!self.apis.is_empty()).then(|| builder.create_vector(&self.apis));
        let args = fb::ErrorResponseArgs {
            code: self.code as u16,
            message,
            version_min: self.version_min,
            version_max: self.version_max,
            apis,
        };
        fb::ErrorResponse::create(builder, &args)
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let table = codec::root::<fb::ErrorResponse<'_>>("ErrorResponse", message)?;
        Ok(ErrorResponse {
            code: match ErrorCode::from_u16(table.code()) {
                ErrorCode::None => ErrorCode::Unknown,
                code => code,
            },
            message: table.message().to_string(),
            version_min: table.version_min(),
            version_max: table.version_max(),
            apis: table.apis().map(|apis| apis.bytes().to_vec()).unwrap_or_default(),
        })
    }
}

impl From<ApiError> for ErrorResponse {
    fn from(error: ApiError) -> Self {
        ErrorResponse::new(error.code, error.message)
    }
}

impl From<ErrorResponse> for ApiError {
    fn from(response: ErrorResponse) -> Self {
        ApiError::new(response.code, response.message)
    }
}

impl From<&DecodeError> for ErrorResponse {
    fn from(error: &DecodeError) -> Self {
        ErrorResponse::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_taken() {
        assert_eq!(negotiate(1, 1), Some(1));
        assert_eq!(negotiate(0, 200), Some(VERSION_MAX));
        assert_eq!(negotiate(0, 0), None, "too old");
        assert_eq!(negotiate(VERSION_MAX + 1, u8::MAX), None, "too new");
        assert_eq!(negotiate(2, 1), None, "an empty range");
    }
}
