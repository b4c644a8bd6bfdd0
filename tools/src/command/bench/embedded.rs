//! A run against a node of its own: started in a fresh directory, on free ports, as a process of
//! its own, and stopped at the end.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ringspool_bench::{DeviceMark, LoadReport, LoadSettings, device};

use super::{Workload, drive, fill, measure};
use crate::command::quickstart::node::{LOG_FILE, NodeProcess};
use crate::error::CommandError;
use crate::progress;
use crate::signals::StopSignal;

/// Runs, and removes the directory. It stays, with the node's log, when the run fails.
pub(super) async fn run(
    settings: LoadSettings,
    workload: Workload,
    stop: &StopSignal,
) -> Result<LoadReport, CommandError> {
    let directory = fresh_directory()?;
    let outcome = run_in(&directory, settings, workload, stop).await;
    match &outcome {
        Ok(_) => std::fs::remove_dir_all(&directory).map_err(|source| CommandError::File {
            action: "remove",
            path: directory,
            source,
        })?,
        Err(_) => eprintln!(
            "the node's data and its log, {LOG_FILE}, are kept in {}",
            directory.display()
        ),
    }
    outcome
}

async fn run_in(
    directory: &Path,
    mut settings: LoadSettings,
    workload: Workload,
    stop: &StopSignal,
) -> Result<LoadReport, CommandError> {
    let device = match workload {
        Workload::Produce => Some(mark(directory, &settings, stop).await?),
        Workload::Consume { .. } => None,
    };
    let mut node = NodeProcess::start(directory, None).await?;
    settings.servers = vec![node.listen().to_string()];
    if let Workload::Consume { cold } = workload {
        fill(&settings, stop).await?;
        if cold {
            let listen = node.listen();
            node.stop().await?;
            node = NodeProcess::start(directory, Some(listen)).await?;
        }
    }
    let report = measure(&settings, workload, stop, node.pid()).await;
    node.stop().await?;
    let mut report = report?;
    report.device = device;
    Ok(report)
}

/// What the device does with requests of this size, without a node.
async fn mark(
    directory: &Path,
    settings: &LoadSettings,
    stop: &StopSignal,
) -> Result<DeviceMark, CommandError> {
    let bar = progress::records(None, "measuring the device");
    let directory = directory.to_owned();
    let bytes = settings.batch as usize * settings.record_bytes as usize;
    drive(stop, bar, move |_, _| device::mark(&directory, bytes)).await
}

/// Makes a directory that did not exist before.
fn fresh_directory() -> Result<PathBuf, CommandError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = format!("ringspool-bench-{}-{}", now.as_millis(), std::process::id());
    let path = std::env::temp_dir().join(name);
    match std::fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(CommandError::File { action: "make the directory", path, source }),
    }
}
