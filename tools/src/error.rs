//! Why a command ended without having done its work, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use ringspool_client::{AdminError, ClientError, ConsumeError, FlushError, ProduceError};
use thiserror::Error;

/// Exit code of work that could not be done.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Exit code of a command line that makes no sense; clap uses the same.
pub(crate) const EXIT_WRONG_USE: u8 = 2;

/// The end of a command that did not succeed.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    /// The command line parses but asks for something that cannot be.
    #[error("{0}")]
    WrongUse(String),
    /// Nobody reads our output any more (`| head`): a quiet, successful end.
    #[error("the reader of standard output has gone")]
    BrokenPipe,
    /// The command has already printed what failed; only the exit code is left to give.
    #[error("failed")]
    Reported,
    /// A file, or standard input or output, could not be used.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// The operating system refused something that is not about one file.
    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused what was asked about topics.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A record was not accepted.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// Records that were handed over were not delivered.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// Records could not be read.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// Anything else; the text says what happened, to what, and how to mend it.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CommandError::BrokenPipe => 0,
            CommandError::WrongUse(_)
            | CommandError::Produce(ProduceError::InvalidOption { .. }) => EXIT_WRONG_USE,
            _ => EXIT_FAILED,
        }
    }

    /// What to tell the user, unless it was said already. The causes an error carries but does not
    /// mention itself are appended.
    pub(crate) fn report(&self) -> Option<String> {
        if matches!(self, CommandError::BrokenPipe | CommandError::Reported) {
            return None;
        }
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            cause = inner.source();
        }
        Some(text)
    }

    /// For errors of standard output: a reader that left is not a failure.
    pub(crate) fn stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return CommandError::BrokenPipe;
        }
        CommandError::File { action: "write", path: PathBuf::from("standard output"), source }
    }
}
