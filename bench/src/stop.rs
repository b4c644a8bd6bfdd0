//! The wish to end a run early.

use tokio::sync::watch;

/// Becomes true when the run is to end: no more is begun, what is under way is waited for, and the
/// report tells what was measured so far.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<bool>,
}

impl Stop {
    /// Follows `receiver`. A sender that is dropped without having sent `true` never stops it.
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        Stop { receiver }
    }

    /// Whether the run is to end.
    pub fn is_set(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Resolves when the run is to end.
    pub(crate) async fn wait(mut self) {
        let ended = self.receiver.wait_for(|stop| *stop).await.is_err();
        if ended {
            std::future::pending::<()>().await;
        }
    }
}
