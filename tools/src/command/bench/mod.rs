//! `ringspool bench`: the load harness from the command line. What is measured, and how, is in the
//! crate `ringspool_bench`; here are its settings, a node to measure ([`embedded`]), progress, and
//! where the report goes ([`output`]).

mod embedded;
mod output;

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use ringspool_bench::{
    BenchError, COUNT_DEFAULT, Limit, LoadReport, LoadSettings, Progress, Stop, consume, device,
    produce,
};
use ringspool_client::Acks;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use self::output::JsonTarget;
use crate::cli::{AcksArg, BenchCommand, BenchDeviceArgs, BenchLoadArgs, Global};
use crate::command::on_runtime;
use crate::error::CommandError;
use crate::progress;
use crate::signals::StopSignal;

/// How long a run with a duration goes on before it counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// A produce run for which neither a duration nor a count is said.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// How often the bar learns how far the run is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    Produce,
    /// `cold`: from disk, on a node that was started after everything was written.
    Consume {
        cold: bool,
    },
}

/// Runs the chosen measurement.
pub(crate) fn run(global: &Global, command: &BenchCommand) -> Result<(), CommandError> {
    let stop = StopSignal::install(|| {})
        .map_err(|source| CommandError::System { action: "handle signals", source })?;
    match command {
        BenchCommand::Produce(args) => load(global, args, Workload::Produce, &stop),
        BenchCommand::Consume { load: args, cold } => {
            load(global, args, Workload::Consume { cold: *cold }, &stop)
        }
        BenchCommand::Device(args) => measure_device(args, &stop),
    }
}

fn load(
    global: &Global,
    args: &BenchLoadArgs,
    workload: Workload,
    stop: &StopSignal,
) -> Result<(), CommandError> {
    let settings = settings(global, args, workload);
    settings.check().map_err(failed)?;
    let target = JsonTarget::open(args.json.as_deref())?;
    let report = on_runtime(async {
        if args.embedded {
            embedded::run(settings, workload, stop).await
        } else {
            if matches!(workload, Workload::Consume { .. }) {
                fill(&settings, stop).await?;
            }
            measure(&settings, workload, stop, None).await
        }
    })?;
    target.write(&report, report.rows())?;
    if report.errors > 0 || report.interrupted { Err(CommandError::Reported) } else { Ok(()) }
}

fn measure_device(args: &BenchDeviceArgs, stop: &StopSignal) -> Result<(), CommandError> {
    let target = JsonTarget::open(args.json.as_deref())?;
    let directory = args.data_dir.clone();
    let bar = progress::records(None, "measuring");
    let shown = bar.clone();
    let report = on_runtime(drive(stop, bar, move |_, stop| {
        device::run(&directory, stop, |what| shown.set_message(what.to_owned()))
    }))?;
    target.write(&report, report.rows())?;
    if report.interrupted { Err(CommandError::Reported) } else { Ok(()) }
}

fn settings(global: &Global, args: &BenchLoadArgs, workload: Workload) -> LoadSettings {
    let limit = match (args.count, args.duration) {
        (Some(count), _) => Some(Limit::Count(count)),
        (None, Some(seconds)) => Some(Limit::Duration(Duration::from_secs_f64(seconds))),
        (None, None) if workload == Workload::Produce => Some(Limit::Duration(DURATION_DEFAULT)),
        (None, None) => None,
    };
    let warms_up = workload == Workload::Produce && !matches!(limit, Some(Limit::Count(_)));
    LoadSettings {
        servers: global.server.clone(),
        topic: args.topic.clone(),
        partitions: args.partitions,
        producers: args.producers,
        consumers: args.consumers,
        record_bytes: u32::try_from(args.record_bytes).unwrap_or(u32::MAX),
        batch: args.batch,
        in_flight: args.in_flight,
        acks: acks(args.acks),
        limit,
        warm_up: if warms_up { WARM_UP } else { Duration::ZERO },
    }
}

fn acks(arg: AcksArg) -> Acks {
    match arg {
        AcksArg::None => Acks::None,
        AcksArg::Leader => Acks::Leader,
        AcksArg::Quorum => Acks::Quorum,
    }
}

/// Makes sure that there is something to read.
async fn fill(settings: &LoadSettings, stop: &StopSignal) -> Result<(), CommandError> {
    let total = match settings.limit {
        Some(Limit::Count(count)) => count,
        _ => COUNT_DEFAULT,
    };
    let bar = progress::records(Some(total), "writing what is to be read");
    let settings = settings.clone();
    drive(stop, bar, move |progress, stop| consume::fill(&settings, progress, stop)).await?;
    Ok(())
}

/// The run itself.
async fn measure(
    settings: &LoadSettings,
    workload: Workload,
    stop: &StopSignal,
    server_pid: Option<u32>,
) -> Result<LoadReport, CommandError> {
    let total = match settings.limit {
        Some(Limit::Count(count)) => Some(count),
        _ => None,
    };
    let settings = settings.clone();
    match workload {
        Workload::Produce => {
            let bar = progress::records(total, "producing");
            drive(stop, bar, move |progress, stop| {
                produce::run(&settings, progress, stop, server_pid)
            })
            .await
        }
        Workload::Consume { .. } => {
            let bar = progress::records(total, "consuming");
            drive(stop, bar, move |progress, stop| {
                consume::run(&settings, progress, stop, server_pid)
            })
            .await
        }
    }
}

/// Runs `work` on a thread of its own, shows its progress, and passes on the wish to stop.
async fn drive<T: Send + 'static>(
    stop: &StopSignal,
    bar: ProgressBar,
    work: impl FnOnce(&Arc<Progress>, &Stop) -> Result<T, BenchError> + Send + 'static,
) -> Result<T, CommandError> {
    let (stopping, stopped) = watch::channel(false);
    let progress = Arc::new(Progress::default());
    let of_work = progress.clone();
    let mut running = spawn_blocking(move || work(&of_work, &Stop::new(stopped)));
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = stop.stopped(), if !*stopping.borrow() => {
                stopping.send_replace(true);
            }
            _ = ticks.tick() => bar.set_position(progress.records()),
        }
    };
    bar.finish_and_clear();
    match ended {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(failed(BenchError::WorkerPanicked)),
    }
}

fn failed(error: BenchError) -> CommandError {
    match error {
        BenchError::Setting { .. } => CommandError::WrongUse(error.to_string()),
        error => CommandError::Failed(error.to_string()),
    }
}
