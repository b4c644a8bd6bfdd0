//! `ringspool serve`: the node in the foreground, until a signal.
//!
//! Contract: exactly one line on stdout, when requests are accepted; logs on stderr; the first
//! SIGTERM or SIGINT ends it in good order with exit code 0, a second one at once with 1.

use std::io::{self, IsTerminal, Read};
use std::thread;

use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::embedded::{self, RunningNode};
use crate::error::CommandError;
use crate::output;
use crate::signals::StopSignal;

/// What is logged unless RUST_LOG says otherwise.
const LOG_FILTER_DEFAULT: &str = "info,openraft=warn,glommio=warn";

/// Runs the node until it is told to stop.
pub(crate) fn run(args: &ServeArgs) -> Result<(), CommandError> {
    start_logging()?;
    // Before the start: a signal that arrives during recovery must stop in good order, too.
    let stop = StopSignal::install(|| eprintln!("second signal: ended at once"))
        .map_err(|source| CommandError::System { action: "handle signals", source })?;
    if args.stop_at_stdin_end {
        stop_at_stdin_end(stop.clone())?;
    }
    let config = embedded::config(args)?;
    let node = embedded::start(config)?;
    let ready = node.ready_line();
    // Standard output may be closed; that is no reason to stop serving.
    match output::line(&ready) {
        Ok(()) | Err(CommandError::BrokenPipe) => {}
        Err(error) => tracing::warn!(%error, "the ready line could not be printed"),
    }
    tracing::info!("{ready}");
    let failure = wait(&stop, &node)?;
    tracing::info!("stopping");
    let stopped = node.stop();
    if let Some(reason) = failure {
        return Err(CommandError::Failed(format!("the node could not go on: {reason}")));
    }
    stopped?;
    tracing::info!("stopped");
    Ok(())
}

fn start_logging() -> Result<(), CommandError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text)
            .map_err(|error| CommandError::WrongUse(format!("RUST_LOG={text}: {error}")))?,
        _ => EnvFilter::new(LOG_FILTER_DEFAULT),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

/// Blocks the main thread, while the node works on threads of its own, until the stop signal, or
/// until the node cannot go on: then it gives the reason.
fn wait(stop: &StopSignal, node: &RunningNode) -> Result<Option<String>, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|source| CommandError::System { action: "wait for signals", source })?;
    Ok(runtime.block_on(async {
        tokio::select! {
            () = stop.stopped() => None,
            reason = node.failed() => Some(reason),
        }
    }))
}

fn stop_at_stdin_end(stop: StopSignal) -> Result<(), CommandError> {
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut scratch = [0u8; 256];
            let mut stdin = io::stdin().lock();
            loop {
                match stdin.read(&mut scratch) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            stop.stop();
        })
        .map(drop)
        .map_err(|source| CommandError::System { action: "watch standard input", source })
}
