//! Connecting and greeting: from an address to a session with the shard that was asked for.
//!
//! Everything up to the answer to Hello has to happen within the connect timeout. What answers
//! may be anything that listens on a port, so this is where "not a Ringspool node" and "another
//! version" are told apart from a network fault.

use std::io;
use std::sync::Arc;

use ringspool_wire::{
    Api, ErrorCode, Frame, HelloRequest, HelloResponse, Request, Response, VERSION_MAX, VERSION_MIN,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ConnectOptions;
use super::error::ConnectionError;
use super::reader::FrameReader;

/// The correlation id of Hello; it is alone on the connection.
const HELLO_CORRELATION: u32 = 0;

/// Opens a connection and greets. The reader may hold bytes that came after the greeting.
pub(super) async fn open(
    address: &Arc<str>,
    shard: u16,
    options: &ConnectOptions,
) -> Result<(TcpStream, FrameReader, HelloResponse), ConnectionError> {
    timeout(options.connect_timeout, connect_and_greet(address, shard, options)).await.unwrap_or(
        Err(ConnectionError::ConnectTimeout {
            address: address.clone(),
            timeout: options.connect_timeout,
        }),
    )
}

async fn connect_and_greet(
    address: &Arc<str>,
    shard: u16,
    options: &ConnectOptions,
) -> Result<(TcpStream, FrameReader, HelloResponse), ConnectionError> {
    let connect = |error: io::Error| ConnectionError::Connect {
        address: address.clone(),
        source: Arc::new(error),
    };
    let socket = TcpStream::connect(&**address).await.map_err(connect)?;
    socket.set_nodelay(true).map_err(connect)?;

    let hello = Request::Hello(HelloRequest::new(&*options.client_name, shard));
    write_all(&socket, &hello.encode(HELLO_CORRELATION)).await.map_err(|error| {
        ConnectionError::Broken { address: address.clone(), source: Arc::new(error) }
    })?;

    let mut frames = FrameReader::new(address.clone());
    let (header, body) = match frames.next(&socket).await {
        Err(ConnectionError::ClosedByPeer { .. }) => {
            let detail = "it closed the connection instead of answering the greeting".into();
            return Err(ConnectionError::NotRingspool { address: address.clone(), detail });
        }
        other => other?,
    };
    let malformed = |detail: String| ConnectionError::Malformed {
        address: address.clone(),
        detail: detail.into(),
    };
    if !header.is_response() || header.correlation != HELLO_CORRELATION {
        return Err(malformed("a frame that does not answer the greeting".to_owned()));
    }
    match Response::decode(&header, body).map_err(|error| malformed(error.to_string()))? {
        Response::Hello(hello) if (VERSION_MIN..=VERSION_MAX).contains(&hello.version) => {
            Ok((socket, frames, hello))
        }
        Response::Hello(hello) => Err(ConnectionError::UnsupportedVersion {
            address: address.clone(),
            client_min: VERSION_MIN,
            client_max: VERSION_MAX,
            server_min: hello.version,
            server_max: hello.version,
        }),
        Response::Error(error) if error.code == ErrorCode::UnsupportedVersion => {
            Err(ConnectionError::UnsupportedVersion {
                address: address.clone(),
                client_min: VERSION_MIN,
                client_max: VERSION_MAX,
                server_min: error.version_min,
                server_max: error.version_max,
            })
        }
        Response::Error(error) => {
            Err(ConnectionError::HelloRefused { address: address.clone(), source: error.into() })
        }
        _ => Err(malformed(format!("an answer that does not belong to {}", Api::Hello))),
    }
}

async fn write_all(socket: &TcpStream, frame: &Frame) -> io::Result<()> {
    let mut rest = &frame.head[..];
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
