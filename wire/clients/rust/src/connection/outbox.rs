//! The bytes of one connection that wait to be written, and the task that writes them.
//!
//! Everything that waits leaves together: one vectored write per wake-up of the writer. A request
//! that is alone on its connection is written by the caller at once, if the socket takes it, which
//! saves the latency of a task switch; requests that come while others wait for answers go through
//! the writer, which saves system calls.
//!
//! Invariant: bytes enter the socket in the order of `push`. Whoever writes holds `writing`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use ringspool_wire::Frame;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

/// Most slices in one vectored write; the kernel takes up to 1024.
const SLICES_MAX: usize = 128;

/// Larger frames are always left to the writer: copying them would hold up other callers.
const DIRECT_BYTES_MAX: usize = 64 << 10;

struct Queue {
    slices: VecDeque<Bytes>,
    /// Bytes ever pushed, and ever written.
    pushed_bytes: u64,
    written_bytes: u64,
    /// Who wants to know when `written_bytes` has reached a mark, in rising order.
    marks: VecDeque<(u64, oneshot::Sender<()>)>,
    /// The writer task holds slices that it has not written yet.
    writing: bool,
    /// Nothing will be written any more.
    closed: bool,
}

/// What waits to be written.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

impl Outbox {
    pub(super) fn new() -> Self {
        let queue = Queue {
            slices: VecDeque::new(),
            pushed_bytes: 0,
            written_bytes: 0,
            marks: VecDeque::new(),
            writing: false,
            closed: false,
        };
        Outbox { queue: Mutex::new(queue), filled: Notify::new() }
    }

    /// Puts a frame in line. With `direct` it is written right here when nothing is in front of
    /// it and the socket takes it; errors are left for the writer to meet.
    pub(super) fn push(&self, frame: Frame, direct: Option<&TcpStream>) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.push(frame);
        if let Some(socket) = direct {
            let idle = !queue.writing;
            let bytes = queue.pushed_bytes - queue.written_bytes;
            if idle && bytes <= DIRECT_BYTES_MAX as u64 {
                let mut slices = std::mem::take(&mut queue.slices);
                if let Ok(written) = write_once(socket, &slices) {
                    advance(&mut slices, written);
                    queue.note_written(written);
                }
                queue.slices = slices;
                if queue.slices.is_empty() {
                    return;
                }
            }
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// As `push`, and the receiver learns when the last byte went into the socket.
    pub(super) fn push_marked(&self, frame: Frame) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.lock();
        if !queue.closed {
            queue.push(frame);
            let mark = queue.pushed_bytes;
            queue.marks.push_back((mark, sender));
        }
        drop(queue);
        self.filled.notify_one();
        receiver
    }

    /// Forgets what waits; who waits for a mark learns that it will not be reached.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.slices.clear();
        queue.marks.clear();
    }

    /// Writes what comes until the socket fails. Never returns otherwise.
    pub(super) async fn write_loop(&self, socket: &TcpStream) -> io::Error {
        loop {
            self.filled.notified().await;
            let mut slices = {
                let mut queue = self.lock();
                queue.writing = true;
                std::mem::take(&mut queue.slices)
            };
            loop {
                while !slices.is_empty() {
                    match write_once(socket, &slices) {
                        Ok(0) => return io::ErrorKind::WriteZero.into(),
                        Ok(written) => {
                            advance(&mut slices, written);
                            self.lock().note_written(written);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if let Err(error) = socket.writable().await {
                                return error;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return error,
                    }
                }
                let mut queue = self.lock();
                if queue.slices.is_empty() {
                    queue.writing = false;
                    break;
                }
                std::mem::swap(&mut queue.slices, &mut slices);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, frame: Frame) {
        self.pushed_bytes += frame.bytes_total() as u64;
        self.slices.push_back(frame.head);
        self.slices.extend(frame.attachment.into_iter().filter(|slice| !slice.is_empty()));
    }

    fn note_written(&mut self, bytes: usize) {
        self.written_bytes += bytes as u64;
        while self.marks.front().is_some_and(|(mark, _)| *mark <= self.written_bytes) {
            if let Some((_, sender)) = self.marks.pop_front() {
                // Nobody waits any more when the receiver is gone.
                let _ = sender.send(());
            }
        }
    }
}

fn write_once(socket: &TcpStream, slices: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut vectored = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slot, slice) in vectored.iter_mut().zip(slices) {
        *slot = IoSlice::new(slice);
        count += 1;
    }
    socket.try_write_vectored(&vectored[..count])
}

fn advance(slices: &mut VecDeque<Bytes>, mut written: usize) {
    while written > 0 {
        let Some(front) = slices.front_mut() else { return };
        if front.len() > written {
            front.advance(written);
            return;
        }
        written -= front.len();
        slices.pop_front();
    }
}
