//! `ringspool quickstart`: the main job from end to end, on real text, without configuration.
//!
//! 1. a node starts in a fresh directory, on free ports, as a process of its own ([`node`]);
//! 2. text that is really there ([`input`]) goes in line by line; half-way the node is killed with
//!    SIGKILL and started again, and the same producer goes on ([`write`]);
//! 3. everything is read back and compared with what was acknowledged ([`read`]);
//! 4. the node stops in good order, and the [`report`] says how it went.
//!
//! Whatever happens, no node is left running. When something fails, its directory stays.

mod input;
mod ledger;
pub(crate) mod node;
mod read;
mod report;
mod write;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ringspool_client::{Client, NewTopic};

use self::input::Input;
use self::node::NodeProcess;
use self::report::Report;
use crate::cli::{Global, QuickstartArgs};
use crate::command::on_runtime;
use crate::error::CommandError;
use crate::output;
use crate::signals::StopSignal;

/// The topic everything goes through.
const TOPIC: &str = "quickstart";

/// Its partitions.
const PARTITIONS: u32 = 4;

/// What the lines amount to at least; shorter texts are repeated.
const INPUT_BYTES_MIN: u64 = 64_000_000;

/// How long the client goes on trying to deliver a record: far longer than a restart takes.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the whole thing and prints the report.
pub(crate) fn run(global: &Global, args: &QuickstartArgs) -> Result<(), CommandError> {
    let stop = StopSignal::install(|| {})
        .map_err(|source| CommandError::System { action: "handle signals", source })?;
    let input = Input::load(args.input.as_deref(), INPUT_BYTES_MIN)?;
    let directory = fresh_directory()?;
    let outcome = on_runtime(async {
        tokio::select! {
            biased;
            () = stop.stopped() => {
                Err(CommandError::Failed("stopped by a signal".to_owned()))
            }
            outcome = perform(&input, &directory) => outcome,
        }
    });
    match outcome {
        Ok(mut report) => {
            report.kept = args.keep;
            if !args.keep {
                remove(&directory)?;
            }
            report.print(global.json)
        }
        Err(error) if stop.is_stopped() && !args.keep => {
            remove(&directory)?;
            Err(error)
        }
        Err(error) => {
            eprintln!(
                "the node's data and its log, {}, are kept in {}",
                node::LOG_FILE,
                directory.display()
            );
            Err(error)
        }
    }
}

async fn perform(input: &Input, directory: &Path) -> Result<Report, CommandError> {
    say(&format!("text: {}", input.origin()));
    let started = Instant::now();
    let node = NodeProcess::start(directory, None).await?;
    let first_start = started.elapsed();
    say(&format!("a node is up in {}", directory.display()));

    let client = Client::builder()
        .servers([node.listen().to_string()])
        .client_name("ringspool-quickstart")
        .build()
        .await?;
    client.admin().create_topic(NewTopic::new(TOPIC).partitions(PARTITIONS)).await?;

    let (node, written) = write::stream(&client, input, node, directory).await?;
    say(&format!(
        "killed with SIGKILL after {} acknowledged records; ready again {} later",
        output::count(written.acked_at_kill),
        output::duration(written.outage)
    ));
    let (latency, written) = write::measure_latency(&client, input, written).await?;
    let ledger = written.ledger.check()?;
    let read = read::compare(&client, input, &ledger).await?;
    let stopping = Instant::now();
    node.stop().await?;

    Ok(Report {
        origin: input.origin().to_owned(),
        partitions: PARTITIONS,
        records: read.records,
        bytes: read.bytes,
        streamed_bytes: written.bytes,
        write_elapsed: written.elapsed,
        outage: written.outage,
        restart: written.restart,
        acked_at_kill: written.acked_at_kill,
        duplicates: written.duplicates,
        read_elapsed: read.elapsed,
        latency,
        first_start,
        stop_elapsed: stopping.elapsed(),
        directory: directory.to_owned(),
        kept: false,
    })
}

/// What is going on, for people; stdout is for the report.
fn say(text: &str) {
    eprintln!("{text}");
}

/// Makes a directory that did not exist before.
fn fresh_directory() -> Result<PathBuf, CommandError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = format!("ringspool-quickstart-{}-{}", now.as_secs(), std::process::id());
    let path = std::env::temp_dir().join(name);
    match std::fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(CommandError::File { action: "make the directory", path, source }),
    }
}

fn remove(directory: &Path) -> Result<(), CommandError> {
    std::fs::remove_dir_all(directory).map_err(|source| CommandError::File {
        action: "remove",
        path: directory.to_owned(),
        source,
    })
}
