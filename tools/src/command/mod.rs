//! The subcommands, one file or folder each.

pub(crate) mod bench;
pub(crate) mod consume;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod produce;
pub(crate) mod quickstart;
pub(crate) mod serve;
pub(crate) mod topic;

use std::future::Future;
use std::time::Duration;

use ringspool_client::Client;

use crate::cli::{Cli, Command, Global};
use crate::error::CommandError;

/// Threads for a command that talks to a server: one encodes and compresses while one moves bytes.
const WORKER_THREADS_MAX: usize = 4;

/// How long a command waits for the first server to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the chosen subcommand to its end.
pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    let Cli { mut global, command } = cli;
    global.json = global.json_to.is_some();
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Quickstart(args) => quickstart::run(&global, &args),
        Command::Topic(command) => on_runtime(topic::run(&global, command)),
        Command::Produce(args) => produce::run(&global, &args),
        Command::Consume(args) => on_runtime(consume::run(&global, &args)),
        Command::Dump(args) => dump::run(&global, &args),
        Command::Doctor(args) => doctor::run(&global, &args),
        Command::Bench(command) => bench::run(&global, &command),
    }
}

/// Drives `work` on a runtime of its own, which is not waited for afterwards: a thread that hangs
/// in a blocking read must not keep a finished command alive.
fn on_runtime<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(WORKER_THREADS_MAX))
        .enable_all()
        .build()
        .map_err(|source| CommandError::System { action: "start the runtime", source })?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Connects to the servers of the command line.
async fn connect(global: &Global) -> Result<Client, CommandError> {
    let client = Client::builder()
        .servers(global.server.iter())
        .client_name(concat!("ringspool-cli/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .await?;
    Ok(client)
}
