//! The `ringspool` command.
//!
//! `cli` is what may be typed, `command/` has one file or folder per subcommand, `embedded` is the
//! only place that touches the node's crate, `output` and `progress` are what is printed.
//!
//! Exit codes are a contract: 0 done, 1 failed, 2 wrong use. Results go to stdout, everything about
//! the work (logs, progress, errors) to stderr.
#![forbid(unsafe_code)]

mod cli;
mod command;
mod embedded;
mod error;
mod output;
mod parse;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::error::CommandError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // clap prints wrong use to stderr and exits with 2 by itself.
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(()) | Err(CommandError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.report() {
                eprintln!("error: {text}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
