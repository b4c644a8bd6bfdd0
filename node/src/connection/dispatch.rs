//! From a request to what carries it out.

use super::sessions::{AnswerRoom, AnswerShare};
use crate::shard::Shard;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use ringspool_wire::{
    Acks, Api, ApiError, ErrorCode, ErrorResponse, Frame, FrameHeader, Request, Response,
};
use std::rc::Rc;

/// A response on its way to the socket, or nothing when none was asked for.
pub(super) struct Answer {
    frame: Option<Frame>,
    is_error: bool,
    /// What fetched batches take up.
    _room: Option<AnswerRoom>,
}

impl Answer {
    /// A frame that is an error.
    pub(super) fn frame(frame: Frame) -> Self {
        Self { frame: Some(frame), is_error: true, _room: None }
    }

    fn response(response: &Response, api: Api, correlation: u32) -> Self {
        let is_error = matches!(response, Response::Error(_));
        Self { frame: Some(response.encode(api, correlation)), is_error, _room: None }
    }

    fn nothing() -> Self {
        Self { frame: None, is_error: false, _room: None }
    }

    fn holding(mut self, room: AnswerRoom) -> Self {
        self._room = Some(room);
        self
    }

    /// Whether the request as a whole failed.
    pub(super) fn is_error(&self) -> bool {
        self.is_error
    }

    /// Bytes to send.
    pub(super) fn bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, Frame::bytes_total)
    }

    /// The bytes, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.frame.iter().flat_map(|frame| {
            std::iter::once(&frame.head[..]).chain(frame.attachment.iter().map(|piece| &piece[..]))
        })
    }
}

/// Lets a request in. A produce request is in its logs, in order, when this returns; the future
/// resolves to the answer.
pub(super) async fn dispatch(
    shard: &Rc<Shard>,
    header: &FrameHeader,
    request: Request,
    share: &AnswerShare,
) -> LocalBoxFuture<'static, Answer> {
    let (api, correlation) = (request.api(), header.correlation);
    let shard = Rc::clone(shard);
    match request {
        Request::Produce(produce) => {
            let is_answered = produce.acks != Acks::None;
            let submitted = shard.submit(produce).await;
            async move {
                let response = submitted.await;
                match is_answered {
                    true => Answer::response(&Response::Produce(response), api, correlation),
                    false => Answer::nothing(),
                }
            }
            .boxed_local()
        }
        Request::Fetch(fetch) => {
            let share = share.clone();
            async move {
                let (response, room) = shard.fetch(fetch, &share).await;
                Answer::response(&Response::Fetch(response), api, correlation).holding(room)
            }
            .boxed_local()
        }
        other => async move {
            let response = carry_out(&shard, other).await.unwrap_or_else(|error| {
                Response::Error(ErrorResponse::new(error.code, error.message))
            });
            Answer::response(&response, api, correlation)
        }
        .boxed_local(),
    }
}

async fn carry_out(shard: &Rc<Shard>, request: Request) -> Result<Response, ApiError> {
    Ok(match request {
        Request::Hello(_) => {
            let text = "Hello is the first request of a connection and only that";
            return Err(ApiError::new(ErrorCode::MalformedMessage, text));
        }
        Request::Metadata(request) => Response::Metadata(shard.describe_cluster(&request)),
        Request::CreateTopic(request) => Response::CreateTopic(shard.create_topic(request).await?),
        Request::AlterTopic(request) => {
            shard.alter_topic(request).await?;
            Response::AlterTopic
        }
        Request::DescribeTopic(request) => {
            Response::DescribeTopic(shard.describe_topic(&request.name).await?)
        }
        Request::ListTopics => Response::ListTopics(shard.list_topics()),
        Request::DeleteTopic(request) => {
            shard.delete_topic(request.name).await?;
            Response::DeleteTopic
        }
        Request::InitProducer => Response::InitProducer(shard.init_producer().await?),
        Request::ListOffsets(request) => Response::ListOffsets(shard.list_offsets(request).await),
        Request::Produce(_) | Request::Fetch(_) => unreachable!("handled before"),
    })
}
