//! `ringspool produce`: one record a line, from a file or standard input.
//!
//! ```text
//!   input thread ──blocks of lines──> send ──deliveries──> collect
//!   (lines)                           (here)               (tally)
//! ```
//!
//! Memory is bounded by a few blocks and the producer's own buffer. The first record that fails
//! stops the reading; what was handed over before is waited for. However it ends, the tally is
//! printed exactly once.

mod lines;
mod tally;

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem::Finder;
use ringspool_client::{Acks, Client, Compression, DeliveryFuture, ProduceRecord, Producer};
use ringspool_wire::RECORD_BYTES_DEFAULT_MAX;
use tokio::sync::mpsc;

use self::lines::{Block, InputError};
use self::tally::Tally;
use crate::cli::{AcksArg, CompressionArg, Global, ProduceArgs};
use crate::command::{connect, on_runtime};
use crate::error::CommandError;
use crate::progress;
use crate::signals::StopSignal;

/// zstd's level: the fastest; what is gained above it costs more than it saves.
const ZSTD_LEVEL: i32 = 1;

/// Deliveries handed to the collector at a time.
const GROUP_RECORDS: usize = 4096;

/// Groups that may be waited for: a million records. Reached only with very short ones, for the
/// producer's buffer is full before.
const GROUPS_IN_FLIGHT: usize = 256;

/// What is given to the end on top of the delivery timeout, so that the timeout itself is reported.
const GRACE: Duration = Duration::from_secs(3);

/// Sends the input, prints what became of it.
pub(crate) fn run(global: &Global, args: &ProduceArgs) -> Result<(), CommandError> {
    let tally = Arc::new(Tally::new(args.acks != AcksArg::None, global.json));
    let at_second_signal = tally.clone();
    let stop = StopSignal::install(move || {
        // The process ends here and now; there is nobody to tell of a failed write.
        let _ = at_second_signal.print();
    })
    .map_err(|source| CommandError::System { action: "handle signals", source })?;

    let result = on_runtime(produce(global, args, &stop, &tally));
    tally.print()?;
    result?;
    if let Some(reason) = tally.first_failure() {
        return Err(CommandError::Failed(reason));
    }
    if tally.outcome().failed > 0 {
        return Err(CommandError::Failed(
            "not every record was acknowledged before the time ran out".to_owned(),
        ));
    }
    Ok(())
}

async fn produce(
    global: &Global,
    args: &ProduceArgs,
    stop: &StopSignal,
    tally: &Arc<Tally>,
) -> Result<(), CommandError> {
    let source = Source::open(args.file.as_deref())?;
    let (producer, record_bytes_max) = tokio::select! {
        biased;
        () = stop.stopped() => return Err(interrupted()),
        ready = prepare(global, args) => ready?,
    };
    let bar = progress::bytes(source.bytes, "sending");
    let blocks = source.blocks(args.whole_file, record_bytes_max)?;

    let (groups, to_collect) = mpsc::channel(GROUPS_IN_FLIGHT);
    let collector = tokio::spawn(collect(to_collect, tally.clone(), stop.clone()));
    let sender = Sender {
        producer: &producer,
        topic: args.topic.as_str().into(),
        partition: args.partition,
        separator: args.key_separator.as_ref().map(|text| Finder::new(text.as_bytes())),
        tally,
        groups,
    };
    let end = sender.send_all(blocks, stop, &bar).await;

    // What was handed over is waited for, also after a failure or a signal; a second signal ends
    // even that.
    let patience = Duration::from_secs_f64(args.timeout_s) + GRACE;
    let finish = async {
        let flushed = producer.flush().await;
        let _ = collector.await;
        flushed
    };
    let finished = tokio::time::timeout(patience, finish).await;
    bar.finish_and_clear();
    match end {
        End::Input => {}
        End::Failure => return Ok(()),
        End::Signal => return Err(interrupted()),
        End::BadInput(error) => return Err(CommandError::Failed(error.to_string())),
    }
    if let Ok(Err(error)) = finished {
        tally.failed(error.to_string());
    }
    Ok(())
}

fn interrupted() -> CommandError {
    CommandError::Failed("stopped by a signal before the end of the input".to_owned())
}

/// Connects, looks at the topic, and makes the producer. Also gives the longest record allowed.
async fn prepare(global: &Global, args: &ProduceArgs) -> Result<(Producer, usize), CommandError> {
    let client = connect(global).await?;
    let topic = client.admin().describe_topic(&args.topic).await?;
    let partitions = topic.states.len();
    if let Some(partition) = args.partition
        && partition as usize >= partitions
    {
        return Err(CommandError::Failed(format!(
            "topic {} has no partition {partition}; it has {partitions}, counted from 0",
            args.topic
        )));
    }
    let topic_maximum = topic
        .settings
        .iter()
        .find(|setting| setting.key == "record_bytes_max")
        .and_then(|setting| setting.value.parse().ok());
    let record_bytes_max =
        args.record_bytes_max.or(topic_maximum).unwrap_or(RECORD_BYTES_DEFAULT_MAX);
    let producer = build(&client, args, record_bytes_max).await?;
    Ok((producer, usize::try_from(record_bytes_max).unwrap_or(usize::MAX)))
}

async fn build(
    client: &Client,
    args: &ProduceArgs,
    record_bytes_max: u64,
) -> Result<Producer, CommandError> {
    let acks = match args.acks {
        AcksArg::None => Acks::None,
        AcksArg::Leader => Acks::Leader,
        AcksArg::Quorum => Acks::Quorum,
    };
    let compression = match args.compression {
        CompressionArg::None => Compression::None,
        CompressionArg::Zstd => Compression::Zstd { level: ZSTD_LEVEL },
    };
    let mut builder = client
        .producer()
        .acks(acks)
        .compression(compression)
        .linger(Duration::from_millis(args.linger_ms))
        .record_bytes_max(record_bytes_max)
        .delivery_timeout(Duration::from_secs_f64(args.timeout_s));
    if let Some(bytes) = args.batch_bytes {
        builder = builder.batch_bytes(bytes as usize);
    }
    Ok(builder.build().await?)
}

/// The file or standard input, opened.
struct Source {
    input: Box<dyn Read + Send>,
    name: String,
    /// The length, where it is known.
    bytes: Option<u64>,
}

impl Source {
    fn open(file: Option<&Path>) -> Result<Self, CommandError> {
        let Some(path) = file.filter(|path| *path != Path::new("-")) else {
            let name = "standard input".to_owned();
            return Ok(Source { input: Box::new(std::io::stdin()), name, bytes: None });
        };
        let wrong =
            |action, source| CommandError::File { action, path: PathBuf::from(path), source };
        let file = File::open(path).map_err(|error| wrong("open", error))?;
        let about = file.metadata().map_err(|error| wrong("look at", error))?;
        if about.is_dir() {
            let text = format!("{} is a directory; name a file", path.display());
            return Err(CommandError::Failed(text));
        }
        let bytes = about.is_file().then_some(about.len());
        Ok(Source { input: Box::new(file), name: path.display().to_string(), bytes })
    }

    /// Starts reading.
    fn blocks(
        self,
        whole: bool,
        record_bytes_max: usize,
    ) -> Result<mpsc::Receiver<Result<Block, InputError>>, CommandError> {
        let started = if whole {
            lines::spawn_whole(self.input, self.name, self.bytes, record_bytes_max)
        } else {
            lines::spawn(self.input, self.name, record_bytes_max)
        };
        started
            .map_err(|source| CommandError::System { action: "start the reading thread", source })
    }
}

/// Why sending ended.
enum End {
    /// Everything was handed over.
    Input,
    /// A record failed; the tally knows why.
    Failure,
    /// The user wants to stop.
    Signal,
    /// The input could not be read, or has a line that is too long.
    BadInput(InputError),
}

struct Sender<'a> {
    producer: &'a Producer,
    topic: Arc<str>,
    partition: Option<u32>,
    separator: Option<Finder<'a>>,
    tally: &'a Tally,
    /// To the collector, which ends when this does.
    groups: mpsc::Sender<Vec<DeliveryFuture>>,
}

impl Sender<'_> {
    async fn send_all(
        self,
        mut blocks: mpsc::Receiver<Result<Block, InputError>>,
        stop: &StopSignal,
        bar: &indicatif::ProgressBar,
    ) -> End {
        let mut stopped = std::pin::pin!(stop.stopped());
        loop {
            let block = tokio::select! {
                biased;
                () = &mut stopped => return self.stopped_end(),
                next = blocks.recv() => match next {
                    None => return End::Input,
                    Some(Err(error)) => return End::BadInput(error),
                    Some(Ok(block)) => block,
                },
            };
            let mut group = Vec::new();
            let outcome = self.send_block(&block, &mut group, stopped.as_mut()).await;
            bar.inc(block.bytes_total());
            // Also when a record failed: the ones before it are still on their way.
            self.hand_over(&mut group).await;
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    async fn send_block(
        &self,
        block: &Block,
        group: &mut Vec<DeliveryFuture>,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), End> {
        // One look at the clock for a block: its lines were read at the same moment.
        let timestamp_ms = Some(jiff::Timestamp::now().as_millisecond());
        for line in block.lines() {
            let (key, value) = self.split(line);
            self.tally.taken(key.len() + value.len());
            let record = ProduceRecord {
                topic: self.topic.clone(),
                partition: self.partition,
                key,
                value,
                headers: Vec::new(),
                timestamp_ms,
            };
            let mut sending = std::pin::pin!(self.producer.send(record));
            // Nearly always there is room; only who has to wait also waits for the signal, which
            // is looked at once a block anyway.
            let sent = match futures::poll!(sending.as_mut()) {
                Poll::Ready(sent) => sent,
                Poll::Pending => tokio::select! {
                    biased;
                    sent = sending => sent,
                    () = stopped.as_mut() => return Err(self.stopped_end()),
                },
            };
            match sent {
                Ok(delivery) => group.push(delivery),
                Err(error) => {
                    self.tally.failed(error.to_string());
                    return Err(End::Failure);
                }
            }
            if group.len() == GROUP_RECORDS {
                self.hand_over(group).await;
            }
        }
        Ok(())
    }

    async fn hand_over(&self, group: &mut Vec<DeliveryFuture>) {
        // The collector goes only when this end of the channel does.
        let _ = self.groups.send(std::mem::take(group)).await;
    }

    /// The collector raises the same signal when a delivery fails.
    fn stopped_end(&self) -> End {
        if self.tally.first_failure().is_some() { End::Failure } else { End::Signal }
    }

    fn split(&self, line: Bytes) -> (Bytes, Bytes) {
        let Some(separator) = &self.separator else {
            return (Bytes::new(), line);
        };
        match separator.find(&line) {
            Some(at) => (line.slice(..at), line.slice(at + separator.needle().len()..)),
            None => (Bytes::new(), line),
        }
    }
}

/// Waits for the deliveries in the order they were handed over, and counts them.
async fn collect(
    mut groups: mpsc::Receiver<Vec<DeliveryFuture>>,
    tally: Arc<Tally>,
    stop: StopSignal,
) {
    while let Some(group) = groups.recv().await {
        for delivery in group {
            match delivery.await {
                Ok(_) => tally.delivered(),
                Err(error) => {
                    tally.failed(error.to_string());
                    stop.stop();
                }
            }
        }
    }
}
