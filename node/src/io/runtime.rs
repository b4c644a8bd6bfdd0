//! The runtime seam: tasks, timers and clocks on a glommio executor, and openraft's
//! [`AsyncRuntime`] on top of them. Nothing else in the crate names glommio's executor.

use openraft_rt::{AsyncRuntime, OptionalSend};
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod channels;

/// Runs a task on this shard until it ends. It is not cancelled when the handle is dropped.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> TaskHandle<T> {
    TaskHandle(glommio::spawn_local(future).detach())
}

/// Waits.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Lets other tasks of the shard run.
pub async fn yield_now() {
    glommio::executor().yield_task_queue_now().await;
}

/// `future`, or `None` when it took longer than `limit`.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    futures::pin_mut!(future);
    let timer = glommio::timer::Timer::new(limit);
    futures::pin_mut!(timer);
    match futures::future::select(future, timer).await {
        futures::future::Either::Left((value, _)) => Some(value),
        futures::future::Either::Right(_) => None,
    }
}

/// A moment of the monotonic clock.
#[must_use]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Milliseconds since 1970, from the wall clock.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Time this shard's executor spent running tasks since it started: neither asleep nor spinning.
#[must_use]
pub fn busy() -> Duration {
    glommio::executor().executor_stats().executor_runtime()
}

/// A running task.
#[derive(Debug)]
pub struct TaskHandle<T>(glommio::task::JoinHandle<T>);

/// A task that ended without a result.
#[derive(Debug, thiserror::Error)]
#[error("the task was cancelled")]
pub struct TaskCancelled;

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskCancelled>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|output| output.ok_or(TaskCancelled))
    }
}

impl<T> Unpin for TaskHandle<T> {}

/// openraft's runtime on a shard's executor.
#[derive(Debug)]
pub struct ShardRuntime;

/// A wait that took too long.
#[derive(Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait took too long")
    }
}

/// openraft's instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Instant(std::time::Instant);

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0 + rhs)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        self.0 += rhs;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0 - rhs)
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.0 - rhs.0
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, rhs: Duration) {
        self.0 -= rhs;
    }
}

impl openraft_rt::Instant for Instant {
    fn now() -> Self {
        Self(now())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A timer as a named future.
pub struct Sleep(Pin<Box<dyn Future<Output = ()>>>);

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// A future with a deadline, as a named future.
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    timer: glommio::timer::Timer,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.timer).poll(cx).map(|_| Err(Elapsed))
    }
}

impl AsyncRuntime for ShardRuntime {
    type JoinError = TaskCancelled;
    type JoinHandle<T: OptionalSend + 'static> = TaskHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = rand::rngs::ThreadRng;
    type Mpsc = channels::Mpsc;
    type Watch = channels::Watch;
    type Oneshot = channels::Oneshot;
    type Mutex<T: OptionalSend + 'static> = channels::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep(Box::pin(sleep(duration)))
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Self::sleep(deadline.0.saturating_duration_since(now()))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Timeout<F> {
        Timeout { future: Box::pin(future), timer: glommio::timer::Timer::new(duration) }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Instant,
        future: F,
    ) -> Timeout<F> {
        Self::timeout(deadline.0.saturating_duration_since(now()), future)
    }

    fn is_panic(_: &TaskCancelled) -> bool {
        false
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        rand::rng()
    }

    fn new(_threads: usize) -> Self {
        Self
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
        T: OptionalSend,
    {
        glommio::LocalExecutor::default().run(future)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn passes_openrafts_conformance_suite() {
        super::super::raise_memlock_limit().ok();
        openraft_rt::testing::Suite::<super::ShardRuntime>::test_all();
    }
}
