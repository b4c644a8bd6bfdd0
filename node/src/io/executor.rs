//! One pinned executor per shard, and the thread that keeps them awake.
//!
//! glommio 0.9 can park an executor for ever while tasks are runnable; a wake from another thread
//! bounds that to one interval: a short one while the shard is in use, a long one while it is idle,
//! because a wake costs an idle executor about 150 us.

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How often a shard in use is woken from outside: the longest it can sleep by mistake.
const WAKE_INTERVAL: Duration = Duration::from_millis(5);
/// How often an idle shard is woken.
const IDLE_WAKE_INTERVAL: Duration = Duration::from_millis(100);
/// Wakes without any activity in between after which a shard counts as idle.
const IDLE_AFTER_WAKES: u32 = 100;
/// How long an idle executor polls before it sleeps: a wake from another core costs 60 to 70 us
/// parked and 12 to 15 us while it still polls.
const SPIN_BEFORE_PARK: Duration = Duration::from_micros(20);
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

thread_local! {
    /// Counts what this shard was asked to do; read by the thread that keeps it awake.
    static ACTIVITY: RefCell<Option<Arc<AtomicU64>>> = const { RefCell::new(None) };
}

/// Notes that this shard has work: it is kept awake more closely for a while.
pub fn note_activity() {
    ACTIVITY.with_borrow(|activity| {
        if let Some(activity) = activity {
            activity.fetch_add(1, Ordering::Relaxed);
        }
    });
}

fn stay_awake() -> StayAwake {
    let slot: WakerSlot = Arc::default();
    let task_slot = Arc::clone(&slot);
    glommio::spawn_local(std::future::poll_fn(move |cx| {
        *task_slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::<()>::Pending
    }))
    .detach();
    let activity = Arc::new(AtomicU64::new(0));
    ACTIVITY.set(Some(Arc::clone(&activity)));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let (mut seen, mut idle_wakes) = (0, 0);
        loop {
            let is_idle = idle_wakes >= IDLE_AFTER_WAKES;
            let interval = if is_idle { IDLE_WAKE_INTERVAL } else { WAKE_INTERVAL };
            if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                break;
            }
            let now = activity.load(Ordering::Relaxed);
            idle_wakes = if now == seen { (idle_wakes + 1).min(IDLE_AFTER_WAKES) } else { 0 };
            seen = now;
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
