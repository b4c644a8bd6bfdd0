//! Threads that make load: one each, with a runtime and a client of its own.
//!
//! A producer and its connections share one thread, so a request costs no hand-over between threads
//! on the client's side. All threads begin together, when every one of them is ready.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::error::BenchError;

/// Tells a thread when the run begins to count; gone when another thread was not ready.
pub(crate) type Go = oneshot::Receiver<Instant>;

/// Threads that are ready to begin.
pub(crate) struct Workers<T> {
    threads: Vec<thread::JoinHandle<Option<T>>>,
    go: Vec<oneshot::Sender<Instant>>,
}

/// Says that a thread is ready, or why it is not.
pub(crate) struct Ready {
    sender: mpsc::Sender<Result<(), BenchError>>,
    go: Go,
}

impl Ready {
    /// Waits for the others. `None`: the run does not take place.
    pub(crate) async fn wait(self, prepared: Result<(), BenchError>) -> Option<Instant> {
        // Whoever does not listen any more does not send the instant either.
        let _ = self.sender.send(prepared);
        self.go.await.ok()
    }
}

impl<T: Send + 'static> Workers<T> {
    /// Starts `count` threads, the `i`th with the work `make(i, ready)`, and waits until all are
    /// ready.
    ///
    /// # Errors
    ///
    /// What the first of them said that could not get ready.
    pub(crate) fn prepare<F>(
        count: u32,
        make: impl Fn(u32, Ready) -> F + Clone + Send + 'static,
    ) -> Result<Self, BenchError>
    where
        F: Future<Output = Option<T>>,
    {
        let (sender, receiver) = mpsc::channel();
        let mut workers = Workers { threads: Vec::new(), go: Vec::new() };
        for index in 0..count {
            let runtime = runtime()?;
            let (go_sender, go) = oneshot::channel();
            let ready = Ready { sender: sender.clone(), go };
            let make = make.clone();
            let thread = thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn(move || runtime.block_on(make(index, ready)))
                .map_err(|source| BenchError::System { action: "start a thread", source })?;
            workers.threads.push(thread);
            workers.go.push(go_sender);
        }
        drop(sender);
        for _ in 0..count {
            // A thread that ends without a word has panicked.
            receiver.recv().map_err(|_| BenchError::WorkerPanicked)??;
        }
        Ok(workers)
    }

    /// Begins.
    pub(crate) fn start(&mut self, count_from: Instant) {
        for go in self.go.drain(..) {
            // A thread that does not listen any more has panicked, which `join` tells.
            let _ = go.send(count_from);
        }
    }

    /// Waits for all of them.
    ///
    /// # Errors
    ///
    /// When one panicked.
    pub(crate) fn join(self) -> Result<Vec<T>, BenchError> {
        let mut results = Vec::with_capacity(self.threads.len());
        for thread in self.threads {
            match thread.join() {
                Ok(Some(result)) => results.push(result),
                Ok(None) | Err(_) => return Err(BenchError::WorkerPanicked),
            }
        }
        Ok(results)
    }
}

/// A runtime for the current thread alone.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    let built: io::Result<_> = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|source| BenchError::System { action: "start a runtime", source })
}
