//! `ringspool consume`: records to stdout, as bytes or as JSON.
//!
//! Follows for ever unless `--max` or `--until-end` say otherwise. A reader that closes the pipe
//! (`| head`) is a quiet, successful end, and so are SIGINT and SIGTERM: following has no other.

mod end;
mod format;

use std::io::{BufWriter, Write};
use std::time::Duration;

use ringspool_client::{Consumer, DescribeTopicResponse, ErrorCode, Position};
use ringspool_wire::RECORD_BYTES_MAX;

use self::end::Ends;
use self::format::Writer;
use crate::cli::{ConsumeArgs, FormatArg, Global};
use crate::command::connect;
use crate::error::CommandError;
use crate::progress;
use crate::signals::StopSignal;

/// Buffer before stdout; a pipe takes 64 KiB at a time, a file much more.
const OUTPUT_BUFFER_BYTES: usize = 1 << 20;

/// How long one poll waits for records. Only bounds how long the end of a partition that lost its
/// last records to retention goes unnoticed; records and signals wake it at once.
const POLL_WAIT: Duration = Duration::from_secs(1);

/// Prints records until the end that was asked for.
pub(crate) async fn run(global: &Global, args: &ConsumeArgs) -> Result<(), CommandError> {
    let stop = StopSignal::install(|| {})
        .map_err(|source| CommandError::System { action: "handle signals", source })?;
    tokio::select! {
        biased;
        () = stop.stopped() => Ok(()),
        result = consume(global, args) => result,
    }
}

async fn consume(global: &Global, args: &ConsumeArgs) -> Result<(), CommandError> {
    let client = connect(global).await?;
    let topic = client.admin().describe_topic(&args.topic).await?;
    let partitions = partitions(&topic, args)?;
    let mut ends = args.until_end.then(|| Ends::of(&topic, &partitions));
    let mut consumer = client
        .consumer()
        .topic(args.topic.as_str())
        .partitions(partitions.iter().copied())
        .from(args.from)
        .record_bytes_max(RECORD_BYTES_MAX)
        .build()
        .await?;
    let format = match args.format {
        Some(format) => format,
        None if global.json => FormatArg::Json,
        None => FormatArg::Value,
    };
    let output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, std::io::stdout());
    let mut writer = Writer::new(output, format, &args.topic);
    let result = copy(&mut consumer, &mut writer, ends.as_mut(), args.max).await;
    // Also after an error: what was read before it is good.
    let flushed = writer.flush().map_err(CommandError::stdout);
    result.and(flushed)
}

/// The partitions of the command line, or all of them. An offset to start from must be there in
/// each: said before anything is read.
fn partitions(topic: &DescribeTopicResponse, args: &ConsumeArgs) -> Result<Vec<u32>, CommandError> {
    let count = topic.states.len();
    let mut wanted = args.partition.clone();
    if wanted.is_empty() {
        wanted.extend((0u32..).take(count));
    }
    wanted.sort_unstable();
    wanted.dedup();
    for &partition in &wanted {
        let Some(state) = topic.states.get(partition as usize) else {
            return Err(CommandError::Failed(format!(
                "topic {} has no partition {partition}; it has {count}, counted from 0",
                args.topic
            )));
        };
        let there = state.log_start_offset..=state.high_watermark;
        if let Position::Offset(offset) = args.from
            && state.error == ErrorCode::None
            && !there.contains(&offset)
        {
            return Err(CommandError::Failed(format!(
                "partition {partition} of topic {} has offsets {} to {}, there is no {offset}; \
                 choose one it has, or earliest, or latest",
                args.topic, state.log_start_offset, state.high_watermark
            )));
        }
    }
    Ok(wanted)
}

async fn copy<W: Write>(
    consumer: &mut Consumer,
    writer: &mut Writer<'_, W>,
    mut ends: Option<&mut Ends>,
    max: Option<u64>,
) -> Result<(), CommandError> {
    let bar = progress::records(max, "reading");
    let mut left = max.unwrap_or(u64::MAX);
    let result = loop {
        if left == 0 || reached(ends.as_deref_mut(), consumer) {
            break Ok(());
        }
        let records = match consumer.poll(POLL_WAIT).await {
            Ok(records) => records,
            Err(error) => break Err(error.into()),
        };
        let mut written = 0u64;
        let mut outcome = Ok(());
        for record in &records {
            if written == left {
                break;
            }
            // Records that came after the start do not belong to what was asked for.
            if ends.as_ref().is_some_and(|ends| !ends.includes(record)) {
                continue;
            }
            outcome = writer.record(record);
            if outcome.is_err() {
                break;
            }
            written += 1;
        }
        left -= written;
        bar.inc(written);
        // A poll that gave nothing more means the reader of our output waits for what there is.
        let outcome = outcome.and_then(|()| writer.flush());
        if let Err(error) = outcome {
            break Err(CommandError::stdout(error));
        }
    };
    bar.finish_and_clear();
    result
}

/// Also when the consumer says so: behind its position, there may be chunks of a record that its
/// producer never finished.
fn reached(ends: Option<&mut Ends>, consumer: &Consumer) -> bool {
    ends.is_some_and(|ends| {
        ends.reached(|partition| consumer.position(partition).ok()) || consumer.at_end()
    })
}
