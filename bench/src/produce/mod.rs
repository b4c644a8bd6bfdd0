//! Writing: a closed loop. Each producer has its requests in flight all the time, and sends another
//! one when one is acknowledged; a server that stalls is therefore asked less, and the latencies are
//! those of the requests that were made, not of those that should have been.
//!
//! [`producer`] is one thread's work; [`quota`] says when there is no more to send.

mod producer;
mod quota;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::latency::Latency;
use crate::payload::Filler;
use crate::progress::Progress;
use crate::report::LoadReport;
use crate::server_cost::{self, ServerCost, Spent};
use crate::settings::{Limit, LoadSettings};
use crate::stop::Stop;
use crate::topic;
use crate::workers::{self, Workers};
use producer::Producer;
use quota::Quota;

/// What one producer did while it counted.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    errors: u64,
    first_error: Option<String>,
    latency: Latency,
    last_ack: Option<Instant>,
}

impl Tally {
    fn fail(&mut self, errors: u64, text: String) {
        self.errors += errors;
        self.first_error.get_or_insert(text);
    }
}

/// Writes as the settings say. `server_pid` is the server's process, if it runs on this machine.
///
/// # Errors
///
/// When the run cannot begin. Failures of requests are in the report.
pub fn run(
    settings: &LoadSettings,
    progress: &Arc<Progress>,
    stop: &Stop,
    server_pid: Option<u32>,
) -> Result<LoadReport, BenchError> {
    settings.check()?;
    let filler = Arc::new(Filler::new());
    let batch_bytes_max = settings.batch_bytes_max(&settings.template(&filler)?);
    let partitions = workers::runtime()?.block_on(async {
        let client = topic::connect(settings).await?;
        topic::ensure(&client, settings, batch_bytes_max).await
    })?;
    let settings = LoadSettings { partitions: Some(partitions), ..settings.clone() };
    let (quota, warm_up) = match settings.limit {
        Some(Limit::Count(count)) => (Quota::records(count), Duration::ZERO),
        Some(Limit::Duration(duration)) => (Quota::time(duration), settings.warm_up),
        None => return Err(no_limit()),
    };
    let mut workers = prepare(&settings, filler, Arc::new(quota), progress.clone(), stop.clone())?;
    let count_from = Instant::now() + warm_up;
    workers.start(count_from);
    wait_until(count_from, stop)?;
    let before = look(server_pid)?;
    let tallies = workers.join()?;
    let after = look(server_pid)?;

    let mut report = LoadReport::new("produce", settings);
    let mut latency = Latency::default();
    let mut last_ack = count_from;
    for tally in tallies {
        report.records += tally.records;
        report.bytes += tally.bytes;
        report.errors += tally.errors;
        report.first_error = report.first_error.or(tally.first_error);
        latency.merge(&tally.latency);
        last_ack = last_ack.max(tally.last_ack.unwrap_or(count_from));
    }
    report.finish(last_ack - count_from, &latency, stop.is_set());
    report.server = before.zip(after).map(|(before, after)| ServerCost::between(&before, &after));
    Ok(report)
}

fn prepare(
    settings: &LoadSettings,
    filler: Arc<Filler>,
    quota: Arc<Quota>,
    progress: Arc<Progress>,
    stop: Stop,
) -> Result<Workers<Tally>, BenchError> {
    let run = run_number();
    let settings = Arc::new(settings.clone());
    Workers::prepare(settings.producers, move |index, ready| {
        let (settings, filler) = (settings.clone(), filler.clone());
        let (quota, progress, stop) = (quota.clone(), progress.clone(), stop.clone());
        async move {
            let prepared = topic::connect(&settings).await;
            let (client, failure) = match prepared {
                Ok(client) => (Some(client), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let (count_from, client) = (ready.wait(failure).await?, client?);
            match Producer::new(run, index, settings, filler, quota, client).await {
                Ok(producer) => Some(producer.run(count_from, &progress, stop).await),
                Err(error) => {
                    let mut tally = Tally::default();
                    tally.fail(1, error.to_string());
                    Some(tally)
                }
            }
        }
    })
}

/// Sleeps, unless the run is to end.
pub(crate) fn wait_until(instant: Instant, stop: &Stop) -> Result<(), BenchError> {
    workers::runtime()?.block_on(async {
        tokio::select! {
            () = tokio::time::sleep_until(instant.into()) => {}
            () = stop.clone().wait() => {}
        }
    });
    Ok(())
}

/// What the server has spent until now.
pub(crate) fn look(server_pid: Option<u32>) -> Result<Option<Spent>, BenchError> {
    let spent = server_pid.map(server_cost::spent).transpose();
    spent.map_err(|source| BenchError::System { action: "see what the server has spent", source })
}

/// A number that other runs on the same topic do not have, most likely.
fn run_number() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = now.unwrap_or_default().as_nanos() as u64;
    (nanoseconds ^ (nanoseconds >> 32)) as u32 ^ std::process::id().rotate_left(16)
}

fn no_limit() -> BenchError {
    BenchError::Setting {
        option: "--duration",
        value: "left out".to_owned(),
        allowed: "writing needs a duration or a count".to_owned(),
    }
}
