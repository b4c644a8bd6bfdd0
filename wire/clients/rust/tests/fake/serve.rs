//! Connections and requests. Requests of a connection are carried out in the order they come;
//! answers go out as they are ready.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringspool_wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::fault::{self, Fault};
use super::{Seen, Shared, State};

pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        connections.spawn(async move {
            // An error is a client that went away.
            let _ = serve(socket, shared).await;
        });
    }
}

struct Session {
    shared: Arc<Shared>,
    connection: u64,
    shard: u16,
    answers: mpsc::UnboundedSender<Option<Frame>>,
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let connection = {
        let mut state = shared.state.lock().unwrap();
        state.next_connection += 1;
        state.next_connection
    };
    let (mut reading, mut writing) = socket.into_split();
    let (answers, mut outbox) = mpsc::unbounded_channel::<Option<Frame>>();
    let mut session = Session { shared, connection, shard: ANY_SHARD, answers };
    let mut tasks = JoinSet::new();
    let write = async move {
        while let Some(Some(frame)) = outbox.recv().await {
            writing.write_all(&frame.head).await?;
            for slice in &frame.attachment {
                writing.write_all(slice).await?;
            }
        }
        // `None`: drop the connection.
        io::Result::Ok(())
    };
    let read = async {
        loop {
            let mut header = [0; HEADER_BYTES];
            reading.read_exact(&mut header).await?;
            let header = FrameHeader::decode(&header, FRAME_BYTES_MAX).unwrap();
            let mut body = BytesMut::zeroed(header.body_bytes());
            reading.read_exact(&mut body).await?;
            session.take(&header, body.freeze(), &mut tasks);
        }
    };
    tokio::select! {
        ended = write => ended,
        ended = read => ended,
    }
}

impl Session {
    fn take(&mut self, header: &FrameHeader, body: Bytes, tasks: &mut JoinSet<()>) {
        let request = Request::decode(header, body).unwrap();
        let api = request.api();
        let correlation = header.correlation;
        let shared = self.shared.clone();
        let mut state = shared.state.lock().unwrap();
        state.seen.push(Seen {
            api,
            connection: self.connection,
            shard: self.shard,
            parts: parts_of(&request),
        });
        let fault = fault::next(&mut state.script, api);
        shared.changed.notify_waiters();
        let answers = self.answers.clone();
        let send = move |response: Response, correlation: u32| {
            let _ = answers.send(Some(response.encode(api, correlation)));
        };
        let refuse = |code: ErrorCode| Response::Error(ErrorResponse::new(code, "scripted"));
        let silent = matches!(&request, Request::Produce(produce) if produce.acks == Acks::None);
        match fault {
            Some(Fault::DropBefore) => {
                let _ = self.answers.send(None);
                return;
            }
            Some(Fault::Ignore) => return,
            Some(Fault::Refuse(code)) => return send(refuse(code), correlation),
            Some(Fault::RefuseVersion { version_min, version_max }) => {
                let mut error = ErrorResponse::new(ErrorCode::UnsupportedVersion, "scripted");
                (error.version_min, error.version_max) = (version_min, version_max);
                return send(Response::Error(error), correlation);
            }
            Some(Fault::RefuseParts(code)) => {
                return send(refuse_parts(&request, code), correlation);
            }
            Some(Fault::Delay(gate)) => {
                let (shared, shard) = (self.shared.clone(), self.shard);
                tasks.spawn(async move {
                    gate.passed().await;
                    let response = shared.state.lock().unwrap().carry_out(&request, shard, None);
                    shared.changed.notify_waiters();
                    send(response, correlation);
                });
                return;
            }
            _ => {}
        }
        if let Request::Hello(hello) = &request {
            self.shard = hello.shard;
        }
        if let Request::Fetch(fetch) = request {
            drop(state);
            let (shared, shard) = (self.shared.clone(), self.shard);
            let refused = match fault {
                Some(Fault::RefusePartition(partition, code)) => Some((partition, code)),
                Some(Fault::DropAfter) => {
                    let _ = self.answers.send(None);
                    return;
                }
                _ => None,
            };
            let gate = if let Some(Fault::Hold(gate)) = fault { Some(gate) } else { None };
            tasks.spawn(async move {
                let response = fetch_when_there(&shared, &fetch, shard, refused).await;
                let Some(gate) = gate else { return send(response, correlation) };
                gate.passed().await;
                send(response, correlation);
                shared.state.lock().unwrap().released += 1;
                shared.changed.notify_waiters();
            });
            return;
        }
        if api == Api::Produce {
            state.in_flight += 1;
            state.in_flight_most = state.in_flight_most.max(state.in_flight);
        }
        let refused = match fault {
            Some(Fault::RefusePartition(partition, code)) => Some((partition, code)),
            _ => None,
        };
        let response = state.carry_out(&request, self.shard, refused);
        shared.changed.notify_waiters();
        match fault {
            Some(Fault::DropAfter) => {
                state.in_flight -= usize::from(api == Api::Produce);
                let _ = self.answers.send(None);
            }
            Some(Fault::WrongCorrelation) => send(response, correlation ^ 0x4000),
            Some(Fault::Hold(gate)) => {
                let shared = self.shared.clone();
                tasks.spawn(async move {
                    gate.passed().await;
                    shared.state.lock().unwrap().in_flight -= usize::from(api == Api::Produce);
                    send(response, correlation);
                });
            }
            _ => {
                state.in_flight -= usize::from(api == Api::Produce);
                if !silent {
                    send(response, correlation);
                }
            }
        }
    }
}

fn parts_of(request: &Request) -> Vec<(u32, u64)> {
    match request {
        Request::Produce(produce) => {
            produce.parts.iter().map(|part| (part.partition, part.batch.len() as u64)).collect()
        }
        Request::Fetch(fetch) => {
            fetch.parts.iter().map(|part| (part.partition, part.offset)).collect()
        }
        _ => Vec::new(),
    }
}

fn refuse_parts(request: &Request, code: ErrorCode) -> Response {
    match request {
        Request::Produce(produce) => {
            let result = |_| ProduceResult { outcome: Err(ApiError::new(code, "scripted")) };
            Response::Produce(ProduceResponse {
                results: produce.parts.iter().map(result).collect(),
            })
        }
        Request::ListOffsets(list) => {
            let answer = |query: &OffsetQuery| OffsetAnswer {
                partition: query.partition,
                outcome: Err(ApiError::new(code, "scripted")),
            };
            Response::ListOffsets(ListOffsetsResponse {
                answers: list.queries.iter().map(answer).collect(),
            })
        }
        other => panic!("{} has no parts", other.api()),
    }
}

async fn fetch_when_there(
    shared: &Shared,
    fetch: &FetchRequest,
    shard: u16,
    refused: Option<(u32, ErrorCode)>,
) -> Response {
    let deadline = Instant::now() + Duration::from_millis(fetch.wait_ms_max.into());
    loop {
        let mut changed = std::pin::pin!(shared.changed.notified());
        changed.as_mut().enable();
        let (response, found) = shared.state.lock().unwrap().fetch(fetch, shard, refused);
        if found || timeout_at(deadline, changed).await.is_err() {
            return Response::Fetch(response);
        }
    }
}

impl State {
    fn carry_out(
        &mut self,
        request: &Request,
        shard: u16,
        refused: Option<(u32, ErrorCode)>,
    ) -> Response {
        match request {
            Request::Hello(hello) => Response::Hello(HelloResponse {
                version: VERSION_MAX,
                node_id: 1,
                cluster_id: "fake".to_owned(),
                shard: hello.shard.min(self.shards - 1),
                shards: self.shards,
                apis: Api::numbers(),
                frame_bytes_max: self.frame_bytes_max,
                batch_bytes_max: BATCH_BYTES_MAX,
                in_flight_bytes_max: 64 << 20,
            }),
            Request::InitProducer => {
                self.next_producer_id += 1;
                Response::InitProducer(InitProducerResponse {
                    producer_id: self.next_producer_id,
                    producer_epoch: 0,
                })
            }
            Request::Produce(produce) => {
                let mut results = Vec::new();
                for part in &produce.parts {
                    let outcome = match refused {
                        Some((partition, code)) if partition == part.partition => {
                            Err(ApiError::new(code, "scripted"))
                        }
                        _ => self
                            .log_by_id(part.topic_id, part.partition, shard)
                            .and_then(|log| log.append(&part.batch)),
                    };
                    results.push(ProduceResult { outcome });
                }
                Response::Produce(ProduceResponse { results })
            }
            Request::ListOffsets(list) => {
                let answer = |query: &OffsetQuery| OffsetAnswer {
                    partition: query.partition,
                    outcome: self
                        .log_by_id(query.topic_id, query.partition, shard)
                        .map(|log| offset_at(log, query.timestamp)),
                };
                Response::ListOffsets(ListOffsetsResponse {
                    answers: list.queries.iter().map(answer).collect(),
                })
            }
            Request::Fetch(fetch) => Response::Fetch(self.fetch(fetch, shard, refused).0),
            other => super::admin::answer(self, other),
        }
    }

    fn fetch(
        &mut self,
        fetch: &FetchRequest,
        shard: u16,
        refused: Option<(u32, ErrorCode)>,
    ) -> (FetchResponse, bool) {
        let mut found = false;
        let mut left = fetch.bytes_max as usize;
        let mut results = Vec::new();
        for part in &fetch.parts {
            let mut result = FetchResult {
                topic_id: part.topic_id,
                partition: part.partition,
                high_watermark: 0,
                log_start_offset: 0,
                outcome: Ok(Vec::new()),
            };
            match self.log_by_id(part.topic_id, part.partition, shard) {
                Ok(log) => {
                    result.high_watermark = log.end;
                    result.log_start_offset = log.start;
                    if left > 0 {
                        result.outcome = log.read(part.offset, left.min(part.bytes_max as usize));
                    }
                }
                Err(error) => result.outcome = Err(error),
            }
            if let Some((_, code)) = refused.filter(|(partition, _)| *partition == part.partition) {
                result.outcome = Err(ApiError::new(code, "scripted"));
            }
            found |= !matches!(&result.outcome, Ok(slices) if slices.is_empty());
            if let Ok(slices) = &result.outcome {
                left = left.saturating_sub(slices.iter().map(Bytes::len).sum());
            }
            results.push(result);
        }
        (FetchResponse { results }, found)
    }
}

fn offset_at(log: &super::log::Log, timestamp: i64) -> OffsetFound {
    let none = OffsetFound { offset: log.end, timestamp: -1 };
    match timestamp {
        EARLIEST => OffsetFound { offset: log.start, timestamp: -1 },
        LATEST => none,
        timestamp => {
            let batches = log.entries.iter().map(|e| DecodedBatch::open(e.batch.clone()).unwrap());
            let records = batches.flat_map(|batch| batch.records().collect::<Vec<_>>());
            let mut records = records.filter(|record| record.timestamp_ms >= timestamp);
            records.next().map_or(none, |record| OffsetFound {
                offset: record.offset,
                timestamp: record.timestamp_ms,
            })
        }
    }
}
