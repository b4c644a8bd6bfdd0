//! A connection that sends what it is told and nothing else: no retries, no metadata, and if need be
//! bytes that no client would send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ringspool_wire::{
    ANY_SHARD, Acks, ApiError, BatchBuilder, Compression, CreateTopicRequest, DecodedBatch,
    DescribeTopicRequest, DescribeTopicResponse, ErrorResponse, FRAME_BYTES_MAX, FetchPart,
    FetchRequest, FetchResponse, Frame, FrameHeader, HEADER_BYTES, HelloRequest, HelloResponse,
    ProduceAck, ProducePart, ProduceRequest, ProduceResponse, ProducerStamp, Record, RecordRef,
    Request, Response, Setting, split,
};

use super::DEADLINE;

/// Bytes asked for by fetches that do not care.
pub const FETCH_BYTES: u32 = 4 << 20;

pub struct RawConnection {
    stream: TcpStream,
    correlation: u32,
}

impl RawConnection {
    /// A connection on which nothing was said yet.
    pub fn open(address: SocketAddr) -> RawConnection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        RawConnection { stream, correlation: 100 }
    }

    /// A connection that has said Hello, to whichever shard.
    pub fn connect(address: SocketAddr) -> RawConnection {
        RawConnection::connect_to(address, ANY_SHARD).0
    }

    /// A connection that has said Hello to a shard.
    pub fn connect_to(address: SocketAddr, shard: u16) -> (RawConnection, HelloResponse) {
        let mut connection = RawConnection::open(address);
        match connection.call(&Request::Hello(HelloRequest::new("raw", shard))) {
            Ok(Response::Hello(hello)) => (connection, hello),
            other => panic!("a Hello was answered with {other:?}"),
        }
    }

    /// Sends bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes; whether they all went, since the node may close meanwhile.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request; gives its correlation id.
    pub fn send(&mut self, request: &Request) -> u32 {
        self.correlation += 1;
        self.write(&whole(&request.encode(self.correlation)));
        self.correlation
    }

    /// Says that nothing more is sent.
    pub fn close_writing(&self) {
        // A connection that the node has closed already is as good.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame, or `None` when the node has closed the connection.
    pub fn read_frame(&mut self) -> Option<(FrameHeader, Bytes)> {
        let mut header = [0; HEADER_BYTES];
        if !self.read_exactly(&mut header) {
            return None;
        }
        let header = FrameHeader::decode(&header, FRAME_BYTES_MAX).unwrap();
        let mut body = BytesMut::zeroed(header.body_bytes());
        assert!(self.read_exactly(&mut body), "closed inside a frame");
        Some((header, body.freeze()))
    }

    /// False when the connection ends or is reset first.
    fn read_exactly(&mut self, bytes: &mut [u8]) -> bool {
        match self.stream.read_exact(bytes) {
            Ok(()) => true,
            Err(error) => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => false,
                _ => panic!("no answer: {error}"),
            },
        }
    }

    /// The next response and its correlation id.
    pub fn receive(&mut self) -> (u32, Result<Response, ErrorResponse>) {
        let (header, body) = self.read_frame().expect("the node closed the connection");
        assert!(header.is_response(), "{header:?}");
        match Response::decode(&header, body).unwrap() {
            Response::Error(error) => (header.correlation, Err(error)),
            response => (header.correlation, Ok(response)),
        }
    }

    /// Sends a request and waits for its response, the only one outstanding.
    pub fn call(&mut self, request: &Request) -> Result<Response, ErrorResponse> {
        let correlation = self.send(request);
        let (answered, response) = self.receive();
        assert_eq!(answered, correlation, "{response:?}");
        response
    }

    /// The node closes without another frame.
    pub fn assert_closed(&mut self) {
        let more = self.read_frame().map(|(header, _)| header);
        assert_eq!(more, None, "closed after that");
    }

    pub fn create(&mut self, name: &str, partitions: u32, settings: &[(&str, &str)]) -> u64 {
        let request = create_request(name, partitions, 1, settings);
        match self.call(&request).unwrap() {
            Response::CreateTopic(created) => created.topic_id,
            other => panic!("{other:?}"),
        }
    }

    pub fn describe(&mut self, name: &str) -> DescribeTopicResponse {
        let request = Request::DescribeTopic(DescribeTopicRequest { name: name.to_owned() });
        match self.call(&request).unwrap() {
            Response::DescribeTopic(described) => described,
            other => panic!("{other:?}"),
        }
    }

    /// Produces batches in one request.
    pub fn produce_parts(&mut self, parts: Vec<ProducePart>) -> Vec<Result<ProduceAck, ApiError>> {
        match self.call(&produce_request(parts)).unwrap() {
            Response::Produce(ProduceResponse { results }) => {
                results.into_iter().map(|result| result.outcome).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn produce(&mut self, topic_id: u64, partition: u32, batch: Bytes) -> Produced {
        self.produce_parts(vec![ProducePart { topic_id, partition, batch }]).remove(0)
    }

    pub fn fetch_parts(&mut self, request: FetchRequest) -> FetchResponse {
        match self.call(&Request::Fetch(request)).unwrap() {
            Response::Fetch(fetched) => fetched,
            other => panic!("{other:?}"),
        }
    }

    /// What one fetch gives from an offset on, without waiting.
    pub fn fetch(&mut self, topic: u64, partition: u32, offset: u64) -> Fetched {
        let parts = vec![fetch_part(topic, partition, offset)];
        let request = FetchRequest { wait_ms_max: 0, bytes_min: 0, bytes_max: FETCH_BYTES, parts };
        let outcome = self.fetch_parts(request).results.remove(0).outcome;
        outcome.map(|slices| records(&slices, offset))
    }

    /// All values of a partition from an offset up to the first offset without a record.
    pub fn values_from(&mut self, topic: u64, partition: u32, offset: u64) -> Vec<Bytes> {
        let mut values = Vec::new();
        loop {
            let next = offset + values.len() as u64;
            let fetched = self.fetch(topic, partition, next).unwrap();
            if fetched.is_empty() {
                return values;
            }
            for record in fetched {
                assert_eq!(record.offset, offset + values.len() as u64);
                values.push(record.value);
            }
        }
    }
}

pub type Produced = Result<ProduceAck, ApiError>;
pub type Fetched = Result<Vec<Record>, ApiError>;

/// A frame's bytes, in one piece.
pub fn whole(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.head.to_vec();
    frame.attachment.iter().for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

/// A batch of uncompressed values, each a millisecond later than the one before.
pub fn batch(values: &[&[u8]], first_ms: i64, stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for (value, timestamp_ms) in values.iter().zip(first_ms..) {
        builder.push(&RecordRef { value, timestamp_ms, ..RecordRef::default() }).unwrap();
    }
    builder.finish(stamp).unwrap()
}

/// A batch of one value.
pub fn batch_of(value: impl AsRef<[u8]>) -> Bytes {
    batch(&[value.as_ref()], 1, ProducerStamp::NONE)
}

/// The records from an offset on of what a fetch gave.
pub fn records(slices: &[Bytes], offset: u64) -> Vec<Record> {
    let batches = slices.iter().flat_map(|slice| split(slice.clone()));
    let opened = batches.map(|batch| DecodedBatch::open(batch.unwrap()).unwrap());
    let all = opened.flat_map(|batch| batch.records().collect::<Vec<_>>());
    all.filter(|record| record.offset >= offset).collect()
}

pub fn produce_request(parts: Vec<ProducePart>) -> Request {
    Request::Produce(ProduceRequest { acks: Acks::Quorum, timeout_ms: 0, parts })
}

pub fn fetch_part(topic_id: u64, partition: u32, offset: u64) -> FetchPart {
    FetchPart { topic_id, partition, offset, bytes_max: FETCH_BYTES }
}

pub fn create_request(
    name: &str,
    partitions: u32,
    replicas: u16,
    settings: &[(&str, &str)],
) -> Request {
    let settings = settings.iter().map(|(key, value)| setting(key, value)).collect();
    Request::CreateTopic(CreateTopicRequest {
        name: name.to_owned(),
        partitions,
        replicas,
        settings,
    })
}

pub fn setting(key: &str, value: &str) -> Setting {
    Setting { key: key.to_owned(), value: value.to_owned(), is_default: false }
}

/// Looks again and again until it is so. The pause is only there to leave the CPU to the node.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < give_up, "not {what} by the deadline");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The node still does its work: a record goes in and comes out on every shard.
pub fn assert_serves(address: SocketAddr) {
    let mut connection = RawConnection::connect(address);
    let name = format!("serves-{}", connection.stream.local_addr().unwrap().port());
    let topic = connection.create(&name, 4, &[]);
    for partition in 0..4 {
        let value = format!("{name} {partition}");
        let ack = connection.produce(topic, partition, batch_of(&value)).unwrap();
        let fetched = connection.fetch(topic, partition, ack.base_offset).unwrap();
        assert_eq!(fetched.len(), 1);
        assert_eq!(fetched[0].value, value);
    }
}
