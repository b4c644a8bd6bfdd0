//! The network seam: listeners shared by all shards, and streams that can move between shards.

use bytes::BytesMut;
use futures_lite::{AsyncRead, AsyncWriteExt};
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Connections the kernel keeps waiting per listener.
const LISTEN_BACKLOG: i32 = 1024;
/// How long the sockets of a killed predecessor may hold the address: the kernel takes down its
/// rings, and what they hold, after the process is gone (10 to 20 ms were seen).
const PREDECESSOR_WAIT: Duration = Duration::from_secs(1);
/// Between two tries for the address.
const BIND_RETRY: Duration = Duration::from_millis(5);

/// A bound, listening socket that can be sent to a shard.
#[derive(Debug)]
pub struct BoundListener {
    socket: OwnedFd,
    address: SocketAddr,
}

/// Binds one listener per shard on the same address; the kernel spreads connections over them.
///
/// # Errors
/// When the address is not available, also when only another process's shared listener holds it.
pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<BoundListener>> {
    // A shared (SO_REUSEPORT) bind next to another node of the same user would succeed and split
    // its clients; an exclusive bind first finds that out.
    if address.port() != 0 {
        bind_alone(address)?;
    }
    let first = bind_one(address, true)?;
    let bound = first.address;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(bind_one(bound, true)?);
    }
    Ok(listeners)
}

/// Makes sure that nobody else holds the address, and waits for a killed predecessor to let it go.
fn bind_alone(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + PREDECESSOR_WAIT;
    loop {
        match bind_one(address, false) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(BIND_RETRY),
        }
    }
}

fn bind_one(address: SocketAddr, shared: bool) -> io::Result<BoundListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG)?;
    let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(BoundListener { socket, address })
}

impl BoundListener {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts accepting on this shard's executor.
    #[must_use]
    pub fn attach(self) -> Listener {
        // SAFETY: the descriptor is a listening socket that we own and give away here.
        Listener(unsafe { glommio::net::TcpListener::from_raw_fd(self.socket.into_raw_fd()) })
    }
}

/// A listener on a shard's executor.
#[derive(Debug)]
pub struct Listener(glommio::net::TcpListener);

impl Listener {
    /// The next connection.
    ///
    /// # Errors
    /// Such as having too many open files; the listener stays usable.
    pub async fn accept(&self) -> io::Result<Stream> {
        let stream = self.0.accept().await.map_err(io::Error::from)?;
        stream.set_nodelay(true).map_err(io::Error::from)?;
        Ok(Stream(stream))
    }
}

/// A connection on a shard's executor.
#[derive(Debug)]
pub struct Stream(glommio::net::TcpStream);

impl Stream {
    /// Takes over a connection that another shard detached.
    #[must_use]
    pub fn attach(socket: OwnedFd) -> Self {
        // SAFETY: the descriptor is a connected TCP socket that we own and give away here.
        Self(unsafe { glommio::net::TcpStream::from_raw_fd(socket.into_raw_fd()) })
    }

    /// A second handle that can end the connection while a task is using it.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn closer(&self) -> io::Result<StreamCloser> {
        // SAFETY: the stream outlives the borrow, which ends with this function.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        Ok(StreamCloser(borrowed.try_clone_to_owned()?))
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map_err(io::Error::from)
    }

    /// Two halves for one reading and one writing task.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn split(self) -> io::Result<(StreamReader, StreamWriter)> {
        // SAFETY: as in `closer`.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        let writer = Self::attach(borrowed.try_clone_to_owned()?);
        Ok((StreamReader(self.0), StreamWriter(writer.0)))
    }
}

/// Ends a connection from outside the tasks that use it.
#[derive(Debug)]
pub struct StreamCloser(OwnedFd);

impl StreamCloser {
    /// Ends the reading direction: pending reads see the end of the stream.
    pub fn close_reading(&self) {
        // As in `close`.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Read);
    }

    /// Shuts both directions down; pending reads and writes return.
    pub fn close(&self) {
        // The peer may have closed it already: then there is nothing left to do.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// The reading half.
#[derive(Debug)]
pub struct StreamReader(glommio::net::TcpStream);

impl StreamReader {
    /// Gives the connection up so that another shard can take it over, once the writing half is
    /// dropped too. Bytes already read are the caller's to pass on.
    ///
    /// # Errors
    /// When no descriptor is left to duplicate it.
    pub fn detach(self) -> io::Result<OwnedFd> {
        // SAFETY: as in `closer`.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        borrowed.as_fd().try_clone_to_owned()
    }

    /// Appends what is there, up to `buffer`'s spare capacity (at least one byte must be spare).
    /// Returns how much; 0 at the end of the stream.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let capacity = buffer.capacity();
        self.read_up_to(buffer, capacity).await
    }

    /// Like [`StreamReader::read`], but fills `buffer` to at most `bytes_max` bytes, which its
    /// capacity must hold.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn read_up_to(
        &mut self,
        buffer: &mut BytesMut,
        bytes_max: usize,
    ) -> io::Result<usize> {
        let filled = buffer.len();
        assert!(filled < bytes_max && bytes_max <= buffer.capacity(), "a read needs room");
        // SAFETY: `bytes_max` bytes are allocated; the bytes from `filled` on are only handed to
        // recv(2), which writes and never reads them, and the length goes back below to what it
        // filled. `Restore` does so also when this future is dropped half-way.
        unsafe { buffer.set_len(bytes_max) };
        let mut restore = Restore { buffer, filled };
        let stream = &mut self.0;
        let read = poll_fn(|cx| {
            let spare = &mut restore.buffer[filled..];
            Pin::new(&mut *stream).poll_read(cx, spare)
        })
        .await?;
        restore.filled = filled + read;
        Ok(read)
    }
}

/// Sets a buffer's length back to what is initialised.
struct Restore<'a> {
    buffer: &'a mut BytesMut,
    filled: usize,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.filled);
    }
}

/// The writing half.
#[derive(Debug)]
pub struct StreamWriter(glommio::net::TcpStream);

impl StreamWriter {
    /// Writes all of it.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write).await.map_err(io::Error::from)
    }
}
