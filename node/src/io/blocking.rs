//! Calls that block, off the executor: the rare operations on names of files.
//!
//! Each shard has a few threads of its own for them, which float over all CPUs. glommio has such a
//! pool too, but its threads panic when a call ends after its executor, which a stop can cause.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Threads of a shard.
const THREADS: usize = 2;

type Call = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The way to this shard's threads; they end when the shard's own thread does.
    static CALLS: RefCell<Option<Sender<Call>>> = const { RefCell::new(None) };
}

/// Runs a call on one of the shard's threads. It runs to its end even when nobody waits.
pub(super) async fn run<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (result_tx, result) = oneshot::channel();
    let boxed: Call = Box::new(move || {
        // Nobody may be waiting any more.
        let _ = result_tx.send(call());
    });
    CALLS.with_borrow_mut(|calls| {
        let sender = calls.get_or_insert_with(start);
        assert!(sender.send(boxed).is_ok(), "the threads live as long as the sender");
    });
    match result.await {
        Ok(result) => result,
        Err(_) => panic!("a call that blocks has panicked; its message stands above"),
    }
}

fn start() -> Sender<Call> {
    let (sender, receiver) = channel::<Call>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..THREADS {
        let receiver = Arc::clone(&receiver);
        std::thread::spawn(move || {
            float();
            while let Some(call) = next(&receiver) {
                call();
            }
        });
    }
    sender
}

fn next(receiver: &Mutex<Receiver<Call>>) -> Option<Call> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Undoes the pinning that a thread inherits from its shard.
fn float() {
    let mut cpus = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| cpus.set(cpu));
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cpus) {
        tracing::debug!(%error, "a thread for blocking calls stays on its shard's CPU");
    }
}
