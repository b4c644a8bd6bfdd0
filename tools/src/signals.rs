//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use crate::error::EXIT_FAILED;

/// Becomes true at the first signal, or when somebody asks by `stop`. Cheap to clone and to wait on.
#[derive(Clone, Debug)]
pub(crate) struct StopSignal {
    sender: Arc<watch::Sender<bool>>,
    receiver: watch::Receiver<bool>,
}

impl StopSignal {
    /// A signal that only `stop` raises.
    pub(crate) fn manual() -> Self {
        let (sender, receiver) = watch::channel(false);
        StopSignal { sender: Arc::new(sender), receiver }
    }

    /// Installs the handlers and the thread that waits for them. `at_second` runs before the
    /// process is ended by a second signal: the last chance to say what was done.
    pub(crate) fn install(at_second: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let stop = StopSignal::manual();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let for_thread = stop.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut arrivals = signals.forever();
            if arrivals.next().is_some() {
                for_thread.stop();
            }
            if arrivals.next().is_some() {
                at_second();
                std::process::exit(i32::from(EXIT_FAILED));
            }
        })?;
        Ok(stop)
    }

    /// Asks for the end.
    pub(crate) fn stop(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the end was asked for.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.receiver.borrow()
    }

    /// Resolves when the end is asked for.
    pub(crate) async fn stopped(&self) {
        let mut receiver = self.receiver.clone();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}
