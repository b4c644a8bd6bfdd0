//! TCP on the loopback interface, between two threads with blocking sockets: what any server on
//! this machine has at best.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Loopback;
use crate::latency::Latency;

/// Bytes of the message that goes there and back.
pub(super) const MESSAGE_BYTES: usize = 64;

/// How long each of both is measured.
const TIME: Duration = Duration::from_secs(1);

/// Bytes of each write and read for bandwidth.
const PIECE_BYTES: usize = 1 << 20;

/// Measures both.
pub(super) fn measure() -> io::Result<Loopback> {
    Ok(Loopback { round_trip_us: round_trip(TIME)?.percentiles(), mb_per_s: bandwidth(TIME)? })
}

fn round_trip(time: Duration) -> io::Result<Latency> {
    with_peer(
        |mut peer| {
            let mut message = [0; MESSAGE_BYTES];
            while read_message(&mut peer, &mut message)? {
                peer.write_all(&message)?;
            }
            Ok(())
        },
        |stream| {
            let mut latency = Latency::default();
            let mut message = [7; MESSAGE_BYTES];
            let started = Instant::now();
            while started.elapsed() < time {
                let begun = Instant::now();
                stream.write_all(&message)?;
                stream.read_exact(&mut message)?;
                latency.record(begun.elapsed());
            }
            Ok(latency)
        },
    )
}

fn bandwidth(time: Duration) -> io::Result<f64> {
    with_peer(
        |mut peer| {
            let mut piece = vec![0; PIECE_BYTES];
            let mut total = 0u64;
            loop {
                match peer.read(&mut piece)? {
                    0 => break,
                    bytes => total += bytes as u64,
                }
            }
            peer.write_all(&total.to_le_bytes())
        },
        |stream| {
            let piece = vec![7; PIECE_BYTES];
            let mut sent = 0u64;
            let started = Instant::now();
            while started.elapsed() < time {
                stream.write_all(&piece)?;
                sent += PIECE_BYTES as u64;
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut total = [0; 8];
            stream.read_exact(&mut total)?;
            let elapsed = started.elapsed();
            if u64::from_le_bytes(total) != sent {
                return Err(io::Error::other("not all that was sent has arrived"));
            }
            Ok(sent as f64 / 1e6 / elapsed.as_secs_f64())
        },
    )
}

/// Runs `peer` on another thread, and `work` here, at both ends of a connection.
fn with_peer<T>(
    peer: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static,
    work: impl FnOnce(&mut TcpStream) -> io::Result<T>,
) -> io::Result<T> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    accepted.set_nodelay(true)?;
    let peer = thread::Builder::new().name("loopback".to_owned()).spawn(move || peer(accepted))?;
    let result = work(&mut stream);
    // The peer ends when its connection does.
    drop(stream);
    let ended = peer.join().map_err(|_| io::Error::other("the peer's thread panicked"))?;
    let result = result?;
    ended.map(|()| result)
}

/// Whether there was another message.
fn read_message(peer: &mut TcpStream, message: &mut [u8]) -> io::Result<bool> {
    match peer.read_exact(message) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_come_back_and_all_bytes_arrive() {
        assert!(round_trip(Duration::from_millis(1)).unwrap().count() > 0);
        assert!(bandwidth(Duration::from_millis(1)).unwrap() > 0.0);
    }
}
