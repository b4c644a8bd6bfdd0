//! Every request and every response, as one enum each, and their way into and out of frames.
//!
//! A response is decoded by the `api` byte of its frame, so that it needs no memory of the request.

use bytes::Bytes;

use crate::api::Api;
use crate::codec::{self, DecodeError};
use crate::error::ErrorCode;
use crate::frame::{FLAG_ERROR, FLAG_RESPONSE, Frame, FrameError, FrameHeader};
use crate::generated::fb;
use crate::records::{
    FetchRequest, FetchResponse, InitProducerResponse, ListOffsetsRequest, ListOffsetsResponse,
    ProduceRequest, ProduceResponse,
};
use crate::session::{ErrorResponse, HelloRequest, HelloResponse};
use crate::topics::{
    AlterTopicRequest, CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest,
    DescribeTopicRequest, DescribeTopicResponse, ListTopicsResponse, MetadataRequest,
    MetadataResponse,
};

/// What a client asks, one variant per [`Api`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the request of the api of its name")]
pub enum Request {
    Hello(HelloRequest),
    Metadata(MetadataRequest),
    CreateTopic(CreateTopicRequest),
    AlterTopic(AlterTopicRequest),
    DescribeTopic(DescribeTopicRequest),
    ListTopics,
    DeleteTopic(DeleteTopicRequest),
    InitProducer,
    Produce(ProduceRequest),
    Fetch(FetchRequest),
    ListOffsets(ListOffsetsRequest),
}

impl Request {
    /// The api of this request.
    pub fn api(&self) -> Api {
        match self {
            Request::Hello(_) => Api::Hello,
            Request::Metadata(_) => Api::Metadata,
            Request::CreateTopic(_) => Api::CreateTopic,
            Request::AlterTopic(_) => Api::AlterTopic,
            Request::DescribeTopic(_) => Api::DescribeTopic,
            Request::ListTopics => Api::ListTopics,
            Request::DeleteTopic(_) => Api::DeleteTopic,
            Request::InitProducer => Api::InitProducer,
            Request::Produce(_) => Api::Produce,
            Request::Fetch(_) => Api::Fetch,
            Request::ListOffsets(_) => Api::ListOffsets,
        }
    }

    /// The frame of this request.
    ///
    /// # Panics
    ///
    /// If it is larger than a frame can say. Where its size is not bounded by the caller, such as
    /// a list of topics from a user, use [`Request::try_encode`].
    pub fn encode(&self, correlation: u32) -> Frame {
        match self.try_encode(correlation) {
            Ok(frame) => frame,
            Err(error) => panic!("a {} request does not fit into a frame: {error}", self.api()),
        }
    }

    /// The frame of this request, or why it does not fit into one.
    pub fn try_encode(&self, correlation: u32) -> Result<Frame, FrameError> {
        let api = self.api() as u8;
        let none = Vec::new();
        match self {
            Request::Hello(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::Metadata(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::CreateTopic(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::AlterTopic(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::DescribeTopic(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::ListTopics => codec::encode(api, 0, correlation, none, |b| {
                fb::ListTopicsRequest::create(b, &fb::ListTopicsRequestArgs {})
            }),
            Request::DeleteTopic(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::InitProducer => codec::encode(api, 0, correlation, none, |b| {
                fb::InitProducerRequest::create(b, &fb::InitProducerRequestArgs {})
            }),
            Request::Produce(m) => {
                codec::encode(api, 0, correlation, m.attachment(), |b| m.write(b))
            }
            Request::Fetch(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
            Request::ListOffsets(m) => codec::encode(api, 0, correlation, none, |b| m.write(b)),
        }
    }

    /// The request of a frame. `body` is the message followed by the attachment, as received;
    /// batches are slices of it, and keep it in memory as long as they live.
    pub fn decode(header: &FrameHeader, body: Bytes) -> Result<Request, DecodeError> {
        let (api, message, attachment) = codec::split_body(header, &body, false)?;
        if api == Api::Produce {
            return Ok(Request::Produce(ProduceRequest::read(&message, attachment)?));
        }
        codec::Attachment::new(attachment, std::iter::empty())?;
        let message = message.as_ref();
        Ok(match api {
            Api::Hello => Request::Hello(HelloRequest::read(message)?),
            Api::Metadata => Request::Metadata(MetadataRequest::read(message)?),
            Api::CreateTopic => Request::CreateTopic(CreateTopicRequest::read(message)?),
            Api::AlterTopic => Request::AlterTopic(AlterTopicRequest::read(message)?),
            Api::DescribeTopic => Request::DescribeTopic(DescribeTopicRequest::read(message)?),
            Api::ListTopics => {
                codec::root::<fb::ListTopicsRequest<'_>>("ListTopicsRequest", message)?;
                Request::ListTopics
            }
            Api::DeleteTopic => Request::DeleteTopic(DeleteTopicRequest::read(message)?),
            Api::InitProducer => {
                codec::root::<fb::InitProducerRequest<'_>>("InitProducerRequest", message)?;
                Request::InitProducer
            }
            Api::Produce => unreachable!("handled above, since it has an attachment"),
            Api::Fetch => Request::Fetch(FetchRequest::read(message)?),
            Api::ListOffsets => Request::ListOffsets(ListOffsetsRequest::read(message)?),
        })
    }
}

/// What a node answers, one variant per [`Api`], and the error that can answer any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the response of the api of its name")]
pub enum Response {
    Hello(HelloResponse),
    Metadata(MetadataResponse),
    CreateTopic(CreateTopicResponse),
    AlterTopic,
    DescribeTopic(DescribeTopicResponse),
    ListTopics(ListTopicsResponse),
    DeleteTopic,
    InitProducer(InitProducerResponse),
    Produce(ProduceResponse),
    Fetch(FetchResponse),
    ListOffsets(ListOffsetsResponse),
    Error(ErrorResponse),
}

impl Response {
    /// The api this answers; `None` for an error, which can answer any.
    pub fn api(&self) -> Option<Api> {
        Some(match self {
            Response::Hello(_) => Api::Hello,
            Response::Metadata(_) => Api::Metadata,
            Response::CreateTopic(_) => Api::CreateTopic,
            Response::AlterTopic => Api::AlterTopic,
            Response::DescribeTopic(_) => Api::DescribeTopic,
            Response::ListTopics(_) => Api::ListTopics,
            Response::DeleteTopic => Api::DeleteTopic,
            Response::InitProducer(_) => Api::InitProducer,
            Response::Produce(_) => Api::Produce,
            Response::Fetch(_) => Api::Fetch,
            Response::ListOffsets(_) => Api::ListOffsets,
            Response::Error(_) => return None,
        })
    }

    /// The frame of this response to a request of `api`. If the message is larger than allowed
    /// (metadata of very many topics), the frame is a FrameTooLarge error instead.
    ///
    /// # Panics
    ///
    /// If this is the response to another api, or the attachment is larger than a frame can say.
    pub fn encode(&self, api: Api, correlation: u32) -> Frame {
        assert!(
            self.api().is_none_or(|own| own == api),
            "a response of {:?} cannot answer {api}",
            self.api()
        );
        match self.encode_raw(api as u8, correlation) {
            Ok(frame) => frame,
            Err(FrameError::MessageTooLarge { bytes, bytes_max }) => {
                let message = format!(
                    "the answer to {api} has {bytes} bytes, at most {bytes_max} are allowed; \
                     ask for fewer topics at once"
                );
                ErrorResponse::new(ErrorCode::FrameTooLarge, message).encode(api as u8, correlation)
            }
            Err(error) => panic!("a {api} response does not fit into a frame: {error}"),
        }
    }

    fn encode_raw(&self, api: u8, correlation: u32) -> Result<Frame, FrameError> {
        let flags = FLAG_RESPONSE;
        let none = Vec::new();
        match self {
            Response::Hello(m) => codec::encode(api, flags, correlation, none, |b| m.write(b)),
            Response::Metadata(m) => codec::encode(api, flags, correlation, none, |b| m.write(b)),
            Response::CreateTopic(m) => {
                codec::encode(api, flags, correlation, none, |b| m.write(b))
            }
            Response::AlterTopic => codec::encode(api, flags, correlation, none, |b| {
                fb::AlterTopicResponse::create(b, &fb::AlterTopicResponseArgs {})
            }),
            Response::DescribeTopic(m) => {
                codec::encode(api, flags, correlation, none, |b| m.write(b))
            }
            Response::ListTopics(m) => codec::encode(api, flags, correlation, none, |b| m.write(b)),
            Response::DeleteTopic => codec::encode(api, flags, correlation, none, |b| {
                fb::DeleteTopicResponse::create(b, &fb::DeleteTopicResponseArgs {})
            }),
            Response::InitProducer(m) => {
                codec::encode(api, flags, correlation, none, |b| m.write(b))
            }
            Response::Produce(m) => codec::encode(api, flags, correlation, none, |b| m.write(b)),
            Response::Fetch(m) => {
                codec::encode(api, flags, correlation, m.attachment(), |b| m.write(b))
            }
            Response::ListOffsets(m) => {
                codec::encode(api, flags, correlation, none, |b| m.write(b))
            }
            Response::Error(m) => Ok(m.encode(api, correlation)),
        }
    }

    /// The response of a frame. `body` is the message followed by the attachment, as received;
    /// batches are slices of it, and keep it in memory as long as they live.
    pub fn decode(header: &FrameHeader, body: Bytes) -> Result<Response, DecodeError> {
        if header.is_response() && header.is_error() {
            // Whatever the api and the version: the error may be about them.
            let (message, attachment) = codec::split_message(header, &body)?;
            codec::Attachment::new(attachment, std::iter::empty())?;
            return Ok(Response::Error(ErrorResponse::read(&message)?));
        }
        let (api, message, attachment) = codec::split_body(header, &body, true)?;
        if api == Api::Fetch {
            return Ok(Response::Fetch(FetchResponse::read(&message, attachment)?));
        }
        codec::Attachment::new(attachment, std::iter::empty())?;
        let message = message.as_ref();
        Ok(match api {
            Api::Hello => Response::Hello(HelloResponse::read(message)?),
            Api::Metadata => Response::Metadata(MetadataResponse::read(message)?),
            Api::CreateTopic => Response::CreateTopic(CreateTopicResponse::read(message)?),
            Api::AlterTopic => {
                codec::root::<fb::AlterTopicResponse<'_>>("AlterTopicResponse", message)?;
                Response::AlterTopic
            }
            Api::DescribeTopic => Response::DescribeTopic(DescribeTopicResponse::read(message)?),
            Api::ListTopics => Response::ListTopics(ListTopicsResponse::read(message)?),
            Api::DeleteTopic => {
                codec::root::<fb::DeleteTopicResponse<'_>>("DeleteTopicResponse", message)?;
                Response::DeleteTopic
            }
            Api::InitProducer => Response::InitProducer(InitProducerResponse::read(message)?),
            Api::Produce => Response::Produce(ProduceResponse::read(message)?),
            Api::Fetch => unreachable!("handled above, since it has an attachment"),
            Api::ListOffsets => Response::ListOffsets(ListOffsetsResponse::read(message)?),
        })
    }
}

impl ErrorResponse {
    /// Most bytes of an error's text on the wire; the rest is cut off.
    const TEXT_BYTES_MAX: usize = 4096;

    /// The frame of this error, in answer to a request of any api, known or not.
    pub fn encode(&self, api: u8, correlation: u32) -> Frame {
        let mut error = self.clone();
        let end = error.message.floor_char_boundary(Self::TEXT_BYTES_MAX);
        error.message.truncate(end);
        error.apis.truncate(usize::from(u8::MAX));
        let flags = FLAG_RESPONSE | FLAG_ERROR;
        match codec::encode(api, flags, correlation, Vec::new(), |b| error.write(b)) {
            Ok(frame) => frame,
            Err(error) => unreachable!("a bounded error text fits into a frame: {error}"),
        }
    }
}
