//! One pinned executor per shard, and the thread that keeps them awake.
//!
//! glommio 0.9 can park an executor for ever while tasks are runnable; a wake from another thread
//! every few milliseconds bounds that to one such interval.

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often a shard is woken from outside: the longest an executor can sleep by mistake.
const WAKE_INTERVAL: Duration = Duration::from_millis(10);
/// How long an idle executor polls before it sleeps: a wake from another core costs 60 to 70 us
/// parked and 12 to 15 us while it still polls.
const SPIN_BEFORE_PARK: Duration = Duration::from_micros(20);
/// Threads for blocking file-system calls, per shard; they float over all CPUs.
const BLOCKING_THREADS: usize = 2;

/// A running executor.
pub struct ExecutorHandle<T: Send + 'static>(ExecutorJoinHandle<T>);

impl<T: Send + 'static> ExecutorHandle<T> {
    /// Waits until its future has ended; `None` when the thread panicked.
    #[must_use]
    pub fn join(self) -> Option<T> {
        self.0.join().ok()
    }
}

/// Starts a thread pinned to `cpu` that runs the future made by `start`.
///
/// # Errors
/// When the thread cannot be made or pinned, or io_uring refuses it (a seccomp filter, too little
/// locked memory).
pub fn spawn_pinned<G, F, T>(name: &str, cpu: usize, start: G) -> std::io::Result<ExecutorHandle<T>>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let handle = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name(name)
        .spin_before_park(SPIN_BEFORE_PARK)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
        .spawn(move || async move {
            let stay_awake = stay_awake();
            let result = start().await;
            drop(stay_awake);
            result
        })
        .map_err(std::io::Error::from)?;
    Ok(ExecutorHandle(handle))
}

/// The task to wake; `None` once the executor has ended.
type WakerSlot = Arc<Mutex<Option<Waker>>>;

/// Stops the waking when dropped.
struct StayAwake {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn stay_awake() -> StayAwake {
    let slot: WakerSlot = Arc::default();
    let task_slot = Arc::clone(&slot);
    glommio::spawn_local(std::future::poll_fn(move |cx| {
        *task_slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::<()>::Pending
    }))
    .detach();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            stopped.recv_timeout(WAKE_INTERVAL)
        {
            if let Some(waker) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                waker.wake_by_ref();
            }
        }
        slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    });
    StayAwake { stop, thread: Some(thread) }
}

impl Drop for StayAwake {
    fn drop(&mut self) {
        // The thread may have seen the channel close already; either way it ends now, and the
        // waker it holds does not outlive the executor.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
