//! The way in: every line, acknowledged, with a kill -9 half-way; then single writes to time them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringspool_client::{Acks, Client, DeliveryFuture, ProduceRecord, Producer};
use tokio::sync::{mpsc, oneshot};

use super::input::Input;
use super::ledger::Ledger;
use super::node::NodeProcess;
use super::{DELIVERY_TIMEOUT, PARTITIONS, TOPIC};
use crate::error::CommandError;
use crate::progress;

/// Deliveries handed to the ledger at a time.
const GROUP_RECORDS: usize = 1024;

/// Groups of deliveries that may be waited for.
const GROUPS_IN_FLIGHT: usize = 256;

/// Small against the input, so that what is acknowledged is never far behind what is sent.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// Lines of one timed write.
const TIMED_WRITE_RECORDS: u64 = 100;

/// Timed writes at most, and for how long at most.
const TIMED_WRITES_MAX: u64 = 2000;
const TIMED_WRITES_DURATION_MAX: Duration = Duration::from_secs(2);

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where each line ended up.
    pub(crate) ledger: Ledger,
    /// Lines sent so far, timed ones included: the number of the next.
    pub(crate) records: u64,
    /// Bytes of the streamed lines.
    pub(crate) bytes: u64,
    /// From the first line to the last acknowledgement, without the outage.
    pub(crate) elapsed: Duration,
    /// Acknowledged when the node was killed.
    pub(crate) acked_at_kill: u64,
    /// Acknowledged a second time, after a retry, at their first offset.
    pub(crate) duplicates: u64,
    /// From the kill to ready again.
    pub(crate) outage: Duration,
    /// From the start of the second process to ready.
    pub(crate) restart: Duration,
}

/// Sends every line of the input; kills and restarts the node when half of them are sent.
pub(crate) async fn stream(
    client: &Client,
    input: &Input,
    node: NodeProcess,
    directory: &Path,
) -> Result<(NodeProcess, Written), CommandError> {
    let producer = client
        .producer()
        .acks(Acks::Quorum)
        .delivery_timeout(DELIVERY_TIMEOUT)
        .buffer_bytes_max(BUFFER_BYTES_MAX)
        .build()
        .await?;
    let acked = Arc::new(AtomicU64::new(0));
    let (half_sent, at_half) = oneshot::channel();
    let (groups, to_collect) = mpsc::channel(GROUPS_IN_FLIGHT);

    let started = Instant::now();
    let sending = send(&producer, input, groups, half_sent);
    let collecting = collect(to_collect, acked.clone());
    let killing = kill_and_restart(node, directory, at_half, acked);
    let (bytes, (ledger, duplicates), (node, kill)) =
        tokio::try_join!(sending, collecting, killing)?;
    let elapsed = started.elapsed().saturating_sub(kill.outage);
    producer.close().await?;

    let written = Written {
        ledger,
        records: input.records(),
        bytes,
        elapsed,
        acked_at_kill: kill.acked,
        duplicates,
        outage: kill.outage,
        restart: kill.restart,
    };
    Ok((node, written))
}

/// Hands every line to the producer; gives their bytes.
async fn send(
    producer: &Producer,
    input: &Input,
    groups: mpsc::Sender<Vec<DeliveryFuture>>,
    half_sent: oneshot::Sender<()>,
) -> Result<u64, CommandError> {
    let bar = progress::bytes(Some(input.bytes_total()), "writing");
    let topic: Arc<str> = TOPIC.into();
    let mut half_sent = Some(half_sent);
    let mut bytes = 0u64;
    let mut group = Vec::with_capacity(GROUP_RECORDS);
    for line in 0..input.records() {
        let record = record(&topic, input, line);
        bytes += record.value.len() as u64;
        group.push(producer.send(record).await?);
        let last = line + 1 == input.records();
        if group.len() == GROUP_RECORDS || last {
            bar.set_position(bytes);
            let full = std::mem::replace(&mut group, Vec::with_capacity(GROUP_RECORDS));
            if groups.send(full).await.is_err() {
                // The collector has failed, and its error is the one to tell.
                return Ok(bytes);
            }
        }
        if line >= input.records() / 2
            && let Some(half_sent) = half_sent.take()
        {
            // Whoever waits for this has failed if it is gone, and tells so itself.
            let _ = half_sent.send(());
        }
    }
    drop(groups);
    producer.flush().await?;
    bar.finish_and_clear();
    Ok(bytes)
}

fn record(topic: &Arc<str>, input: &Input, line: u64) -> ProduceRecord {
    ProduceRecord {
        topic: topic.clone(),
        partition: None,
        key: bytes::Bytes::new(),
        value: input.line(line),
        headers: Vec::new(),
        timestamp_ms: None,
    }
}

/// Enters every acknowledgement into the ledger, in the order the lines were sent.
async fn collect(
    mut groups: mpsc::Receiver<Vec<DeliveryFuture>>,
    acked: Arc<AtomicU64>,
) -> Result<(Ledger, u64), CommandError> {
    let mut ledger = Ledger::new(PARTITIONS);
    let mut line = 0;
    let mut duplicates = 0;
    while let Some(group) = groups.recv().await {
        for delivery in group {
            let delivery = delivery.await?;
            ledger.acknowledged(line, &delivery)?;
            duplicates += u64::from(delivery.duplicate);
            line += 1;
            acked.store(line, Relaxed);
        }
    }
    Ok((ledger, duplicates))
}

struct Kill {
    acked: u64,
    outage: Duration,
    restart: Duration,
}

async fn kill_and_restart(
    node: NodeProcess,
    directory: &Path,
    at_half: oneshot::Receiver<()>,
    acked: Arc<AtomicU64>,
) -> Result<(NodeProcess, Kill), CommandError> {
    if at_half.await.is_err() {
        return Err(CommandError::Failed("writing ended before half was sent".to_owned()));
    }
    let listen = node.listen();
    let killed = Instant::now();
    node.kill().await?;
    let acked = acked.load(Relaxed);
    let starting = Instant::now();
    let node = NodeProcess::start(directory, Some(listen)).await?;
    let (outage, restart) = (killed.elapsed(), starting.elapsed());
    Ok((node, Kill { acked, outage, restart }))
}

/// Writes lines in small groups, each waited for before the next: how long an acknowledged write
/// takes when nothing else goes on.
pub(crate) async fn measure_latency(
    client: &Client,
    input: &Input,
    mut written: Written,
) -> Result<(Histogram<u64>, Written), CommandError> {
    let producer = client
        .producer()
        .acks(Acks::Quorum)
        // A batch leaves when it is flushed, so that one write is one batch.
        .linger(DELIVERY_TIMEOUT)
        .delivery_timeout(DELIVERY_TIMEOUT)
        .build()
        .await?;
    let topic: Arc<str> = TOPIC.into();
    // Microseconds, with three digits; grows as needed.
    let mut latency = Histogram::new(3)
        .map_err(|error| CommandError::Failed(format!("cannot make a histogram: {error}")))?;
    let started = Instant::now();
    for turn in 0..TIMED_WRITES_MAX {
        if started.elapsed() > TIMED_WRITES_DURATION_MAX {
            break;
        }
        let partition = (turn % u64::from(PARTITIONS)) as u32;
        let first = written.records;
        let begun = Instant::now();
        let mut deliveries = Vec::with_capacity(TIMED_WRITE_RECORDS as usize);
        for line in first..first + TIMED_WRITE_RECORDS {
            let record =
                ProduceRecord { partition: Some(partition), ..record(&topic, input, line) };
            deliveries.push(producer.send(record).await?);
        }
        producer.flush().await?;
        latency.saturating_record(begun.elapsed().as_micros() as u64);
        for (line, delivery) in (first..).zip(deliveries) {
            let delivery = delivery.await?;
            written.ledger.acknowledged(line, &delivery)?;
        }
        written.records += TIMED_WRITE_RECORDS;
    }
    producer.close().await?;
    Ok((latency, written))
}
