//! How a proposal's outcome travels back: a one-shot channel that may cross shards.

use openraft::RaftTypeConfig;
use openraft::raft::responder::Responder;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// openraft's end.
pub struct ProposalResponder<T>(oneshot::Sender<T>);

/// The proposer's end: resolves when the command has been applied, or `None` when the group stopped
/// before that.
#[derive(Debug)]
pub struct Proposed<T>(oneshot::Receiver<T>);

impl<T> ProposalResponder<T> {
    /// Both ends.
    #[must_use]
    pub fn channel() -> (Self, Proposed<T>) {
        let (tx, rx) = oneshot::channel();
        (Self(tx), Proposed(rx))
    }
}

impl<C: RaftTypeConfig, T: 'static> Responder<C, T> for ProposalResponder<T> {
    fn on_complete(self, result: T) {
        // The proposer may have gone (its connection closed): the command stands all the same.
        let _ = self.0.send(result);
    }
}

impl<T> Future for Proposed<T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
