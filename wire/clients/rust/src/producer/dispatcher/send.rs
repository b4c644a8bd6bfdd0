//! From a link's line to requests: opens the connection, takes a batch of each partition in the
//! line, encodes them, and puts the request on the connection.

use std::time::Duration;

use futures::FutureExt;
use ringspool_wire::{
    Acks, Api, Compression, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, PARTS_PER_REQUEST_MAX, ProducePart,
    ProduceRequest, Request, Response,
};
use tokio::time::Instant;

use super::link::{Encoding, Part};
use super::settle::Failure;
use super::{Dispatcher, Encoded, Event};
use crate::connection::{Connection, ConnectionError, RequestError};

/// About the size of a request: large enough for bandwidth, small enough that several are in
/// flight. A single batch may be more.
const REQUEST_BYTES: usize = 4 << 20;

/// Below this, compressing costs less than going to another thread for it.
const INLINE_BYTES_MAX: usize = 16 << 10;

impl Dispatcher {
    /// Sends what can be sent on a link.
    pub(super) fn pump(&mut self, link_index: usize, now: Instant) {
        loop {
            let link = &mut self.links[link_index];
            if link.line.is_empty() || link.in_flight >= self.shared.options.in_flight_max {
                return;
            }
            let Some(connection) = link.open() else {
                if !link.opening {
                    link.opening = true;
                    let (cluster, endpoint) = (self.shared.cluster.clone(), link.endpoint.clone());
                    self.events.push(
                        async move {
                            let result = cluster.connection(&endpoint).await;
                            Event::Opened { link: link_index, result }
                        }
                        .boxed(),
                    );
                }
                return;
            };
            let parts = self.take_parts(link_index, &connection, now);
            if parts.is_empty() {
                continue;
            }
            let taken: Vec<usize> = parts.iter().map(|(index, _)| *index).collect();
            self.links[link_index].in_flight += 1;
            self.encode(link_index, parts, now);
            for index in taken {
                self.evaluate(index, now);
            }
        }
    }

    /// One batch of each partition in the line, as many as go into a request.
    fn take_parts(
        &mut self,
        link_index: usize,
        connection: &Connection,
        now: Instant,
    ) -> Vec<Part> {
        let options = &self.shared.options;
        let node_max = connection.hello().frame_bytes_max.min(FRAME_BYTES_MAX) as usize;
        let bytes_max = REQUEST_BYTES.min(node_max.saturating_sub(MESSAGE_BYTES_MAX as usize));
        let mut parts = Vec::new();
        let mut bytes = 0;
        let mut moved = Vec::new();
        while parts.len() < PARTS_PER_REQUEST_MAX
            && (parts.is_empty() || bytes + options.batch_bytes <= bytes_max)
        {
            let Some(index) = self.links[link_index].line.pop_front() else { break };
            let partition = &mut self.partitions[index];
            partition.in_line = false;
            partition.expire(now, options);
            let (topic, number) = (&partition.queue.topic, partition.queue.partition);
            let place = self.view.place(&topic.name, topic.id, number);
            if place != Some(&self.links[link_index].endpoint) {
                moved.push(index);
                continue;
            }
            if let Some(batch) = partition.take() {
                bytes += batch.bytes_estimate(options);
                parts.push((index, batch));
            }
        }
        for index in moved {
            self.evaluate(index, now);
        }
        parts
    }

    /// Makes the bytes: here when that is a copy, on another thread when it is compression.
    fn encode(&mut self, link_index: usize, mut parts: Vec<Part>, now: Instant) {
        let shared = &self.shared;
        let bytes: usize = parts
            .iter()
            .filter(|(_, batch)| !batch.is_encoded())
            .map(|(_, batch)| batch.bytes_estimate(&shared.options))
            .sum();
        let link = &mut self.links[link_index];
        let cheap = shared.options.compression == Compression::None || bytes <= INLINE_BYTES_MAX;
        if cheap && link.encoding.is_empty() {
            let encode = |(index, mut batch): Part| {
                let result = batch.encode(&shared.options, &shared.builders);
                ((index, batch), result)
            };
            let parts = parts.into_iter().map(encode).collect();
            self.launch(link_index, parts, now);
            return;
        }
        let number = link.next_encoding;
        link.next_encoding += 1;
        link.encoding.push_back(Encoding { number, done: None });
        let shared = shared.clone();
        let work = tokio::task::spawn_blocking(move || {
            let encode = |(index, mut batch): Part| {
                let result = batch.encode(&shared.options, &shared.builders);
                ((index, batch), result)
            };
            parts.drain(..).map(encode).collect()
        });
        self.events.push(
            async move {
                match work.await {
                    Ok(parts) => Event::Encoded { link: link_index, number, parts },
                    // The runtime is going away, and this task with it; the batches are
                    // already failed as abandoned.
                    Err(_) => std::future::pending().await,
                }
            }
            .boxed(),
        );
    }

    /// A request is encoded: it leaves when all before it have left.
    pub(super) fn encoded(
        &mut self,
        link_index: usize,
        number: u64,
        parts: Vec<Encoded>,
        now: Instant,
    ) {
        let encoding = &mut self.links[link_index].encoding;
        if let Some(slot) = encoding.iter_mut().find(|slot| slot.number == number) {
            slot.done = Some(parts);
        }
        while let Some(slot) =
            self.links[link_index].encoding.pop_front_if(|slot| slot.done.is_some())
        {
            self.launch(link_index, slot.done.unwrap_or_default(), now);
        }
        self.active.insert(link_index);
    }

    /// Puts a request on the connection.
    fn launch(&mut self, link_index: usize, encoded: Vec<Encoded>, now: Instant) {
        let mut parts = Vec::with_capacity(encoded.len());
        for ((index, batch), result) in encoded {
            match result {
                Ok(()) => parts.push((index, batch)),
                Err(error) => {
                    self.settle(index, batch, Err(Failure::Encode(error)), now);
                    self.evaluate(index, now);
                }
            }
        }
        let link = &mut self.links[link_index];
        if parts.is_empty() {
            link.in_flight -= 1;
            self.active.insert(link_index);
            return;
        }
        let Some(connection) = link.open() else {
            let address = link.endpoint.address.clone();
            let error = RequestError::NotSent(ConnectionError::ClosedByPeer { address });
            self.answered(link_index, parts, Err(error), now);
            return;
        };
        let options = &self.shared.options;
        let patience = parts.iter().map(|(_, batch)| batch.begun + options.delivery_timeout).max();
        let patience = patience.map_or(options.request_timeout, |until| until - now);
        let timeout = options.request_timeout.min(patience).max(Duration::from_millis(10));
        let part = |(index, batch): &Part| {
            let queue = &self.partitions[*index].queue;
            ProducePart {
                topic_id: queue.topic.id,
                partition: queue.partition,
                batch: batch.bytes(),
            }
        };
        let request = Request::Produce(ProduceRequest {
            acks: options.acks,
            timeout_ms: timeout.as_millis().try_into().unwrap_or(u32::MAX),
            parts: parts.iter().map(part).collect(),
        });
        let link = link_index;
        let event = if options.acks == Acks::None {
            let written = connection.start_unanswered(&request, timeout);
            async move { Event::Answered { link, parts, result: written.await.map(|()| None) } }
                .boxed()
        } else {
            let answer = connection.start(&request, timeout);
            async move {
                let result = match answer.await {
                    Ok(Response::Produce(response)) if response.results.len() == parts.len() => {
                        Ok(Some(response))
                    }
                    Ok(_) => Err(connection.unexpected(Api::Produce)),
                    Err(error) => Err(error),
                };
                Event::Answered { link, parts, result }
            }
            .boxed()
        };
        self.events.push(event);
    }
}
