//! Reading: everything in a topic, from the first record on, by several consumers with partitions
//! of their own. Every record is checked: its offset follows the one before, it is what a producer
//! of `bench produce` wrote, and it is the next one of that producer.
//!
//! [`reader`] is one thread's work; [`check`] is what is checked.

mod check;
mod reader;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use ringspool_client::Client;

use crate::error::BenchError;
use crate::latency::Latency;
use crate::payload::Filler;
use crate::produce::{self, look};
use crate::progress::Progress;
use crate::report::LoadReport;
use crate::server_cost::ServerCost;
use crate::settings::{COUNT_DEFAULT, Limit, LoadSettings};
use crate::stop::Stop;
use crate::topic;
use crate::workers::{self, Workers};
use reader::{Part, Reader};

/// What one consumer did.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    errors: u64,
    first_error: Option<String>,
    latency: Latency,
    last_read: Option<Instant>,
}

impl Tally {
    fn fail(&mut self, text: String) {
        self.errors += 1;
        self.first_error.get_or_insert(text);
    }
}

/// Makes sure that there is enough to read: writes what is missing, by the settings for writing.
/// Gives how many records it wrote.
///
/// Enough are as many as the settings count; without a count, any records that are there, or
/// [`COUNT_DEFAULT`].
///
/// # Errors
///
/// When the topic cannot be used, or not everything was acknowledged.
pub fn fill(
    settings: &LoadSettings,
    progress: &Arc<Progress>,
    stop: &Stop,
) -> Result<u64, BenchError> {
    settings.check()?;
    let batch_bytes_max = settings.batch_bytes_max(&settings.template(&Filler::new())?);
    let there = workers::runtime()?.block_on(async {
        let client = topic::connect(settings).await?;
        topic::ensure(&client, settings, batch_bytes_max).await?;
        let ranges = topic::ranges(&client, &settings.topic).await?;
        Ok::<u64, BenchError>(ranges.iter().map(|(start, end)| end - start).sum())
    })?;
    let wanted = match settings.limit {
        Some(Limit::Count(count)) => count,
        _ if there > 0 => there,
        _ => COUNT_DEFAULT,
    };
    if there >= wanted {
        return Ok(0);
    }
    let missing = Some(Limit::Count(wanted - there));
    let report =
        produce::run(&LoadSettings { limit: missing, ..settings.clone() }, progress, stop, None)?;
    match report.first_error {
        Some(error) => Err(BenchError::Fill(error)),
        None => Ok(report.records),
    }
}

/// Reads what is there, as the settings say. `server_pid` is the server's process, if it runs on
/// this machine.
///
/// # Errors
///
/// When the run cannot begin. Records that are missing or wrong are in the report.
pub fn run(
    settings: &LoadSettings,
    progress: &Arc<Progress>,
    stop: &Stop,
    server_pid: Option<u32>,
) -> Result<LoadReport, BenchError> {
    settings.check()?;
    let ranges = workers::runtime()?.block_on(async {
        let client = topic::connect(settings).await?;
        topic::ensure(&client, settings, None).await?;
        topic::ranges(&client, &settings.topic).await
    })?;
    let partitions = ranges.len() as u32;
    if settings.consumers > partitions {
        return Err(BenchError::Setting {
            option: "--consumers",
            value: settings.consumers.to_string(),
            allowed: format!("each reads a partition or more, and there are {partitions}"),
        });
    }
    let there: u64 = ranges.iter().map(|(start, end)| end - start).sum();
    let settings = LoadSettings {
        partitions: Some(partitions),
        // All of reading counts, from the first record on.
        warm_up: Duration::ZERO,
        ..settings.clone()
    };
    let wanted = match settings.limit {
        Some(Limit::Count(count)) => count,
        _ => there,
    };
    let mut workers = prepare(&settings, &ranges, wanted, progress.clone(), stop.clone())?;
    let before = look(server_pid)?;
    let count_from = Instant::now();
    workers.start(count_from);
    let tallies = workers.join()?;
    let after = look(server_pid)?;

    let mut report = LoadReport::new("consume", settings);
    let mut latency = Latency::default();
    let mut last_read = count_from;
    for tally in tallies {
        report.records += tally.records;
        report.bytes += tally.bytes;
        report.errors += tally.errors;
        report.first_error = report.first_error.or(tally.first_error);
        latency.merge(&tally.latency);
        last_read = last_read.max(tally.last_read.unwrap_or(count_from));
    }
    report.finish(last_read - count_from, &latency, stop.is_set());
    report.server = before.zip(after).map(|(before, after)| ServerCost::between(&before, &after));
    let timed = matches!(report.settings.limit, Some(Limit::Duration(_)));
    if report.errors == 0 && !report.interrupted && !timed && report.records != wanted {
        report.errors = 1;
        let text = format!("{} records were read, and there should be {wanted}", report.records);
        report.first_error = Some(text);
    }
    Ok(report)
}

fn prepare(
    settings: &LoadSettings,
    ranges: &[(u64, u64)],
    wanted: u64,
    progress: Arc<Progress>,
    stop: Stop,
) -> Result<Workers<Tally>, BenchError> {
    let consumers = settings.consumers;
    let parts: Vec<Part> = ranges
        .iter()
        .enumerate()
        .map(|(partition, (start, end))| Part::new(partition as u32, *start, *end))
        .collect();
    let (settings, parts) = (Arc::new(settings.clone()), Arc::new(parts));
    let (filler, wanted) = (Arc::new(Filler::new()), Arc::new(AtomicU64::new(wanted)));
    Workers::prepare(consumers, move |index, ready| {
        let own = parts.iter().filter(|part| part.partition() % consumers == index).cloned();
        let own: Vec<Part> = own.collect();
        let (settings, filler, wanted) = (settings.clone(), filler.clone(), wanted.clone());
        let (progress, stop) = (progress.clone(), stop.clone());
        async move {
            let connected = topic::connect(&settings).await;
            let (client, failure): (Option<Client>, _) = match connected {
                Ok(client) => (Some(client), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let (count_from, client) = (ready.wait(failure).await?, client?);
            let reader = Reader::new(settings, filler, wanted, own);
            Some(reader.run(client, count_from, &progress, stop).await)
        }
    })
}
