//! The node as a child process, so that it can really be killed.
//!
//! Its standard input is a pipe whose other end we hold: when this process goes, however that
//! happens, the node sees the end of it and stops. On top of that it is killed when dropped.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::error::CommandError;

/// The node's log, in the directory of the run.
pub(crate) const LOG_FILE: &str = "node.log";

/// The node's data, in the directory of the run.
pub(crate) const DATA_DIRECTORY: &str = "data";

/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an orderly stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running node.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Child,
    _stdin: ChildStdin,
    listen: SocketAddr,
    log: PathBuf,
}

impl NodeProcess {
    /// Starts a node in `directory` and waits until it is ready. On a restart, `listen` is where it
    /// was before; else it takes a free port.
    pub(crate) async fn start(
        directory: &Path,
        listen: Option<SocketAddr>,
    ) -> Result<Self, CommandError> {
        let program = std::env::current_exe()
            .map_err(|source| CommandError::System { action: "find this program", source })?;
        let log = directory.join(LOG_FILE);
        let log_file = open_log(&log)?;
        let listen = listen.map_or_else(|| "127.0.0.1:0".to_owned(), |at| at.to_string());
        let mut child = Command::new(&program)
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.join(DATA_DIRECTORY))
            .args(["--listen", &listen, "--admin", "127.0.0.1:0", "--stop-at-stdin-end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // Ctrl-C on the terminal is for us; we end the node.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CommandError::File { action: "start", path: program, source })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(CommandError::Failed("the node's pipes are missing".to_owned()));
        };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let ready = match timeout(START_TIMEOUT, stdout.read_line(&mut line)).await {
            Ok(Ok(_)) => listen_address(&line),
            Ok(Err(_)) | Err(_) => None,
        };
        match ready {
            Some(listen) => Ok(NodeProcess { child, _stdin: stdin, listen, log }),
            None => Err(not_ready(&log, line.trim())),
        }
    }

    /// Where it accepts requests.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// SIGKILL, and wait until the process is gone.
    pub(crate) async fn kill(mut self) -> Result<(), CommandError> {
        self.child
            .kill()
            .await
            .map_err(|source| CommandError::System { action: "kill the node", source })
    }

    /// SIGTERM, and wait until it has stopped; it must do so with exit code 0.
    pub(crate) async fn stop(mut self) -> Result<(), CommandError> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(|error| CommandError::System {
                action: "stop the node",
                source: error.into(),
            })?;
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CommandError::Failed(format!(
                "the node ended with {status} instead of stopping in good order:\n{}",
                log_tail(&self.log)
            ))),
            Ok(Err(source)) => Err(CommandError::System { action: "wait for the node", source }),
            Err(_) => Err(CommandError::Failed(format!(
                "the node did not stop within {} s; see {}",
                STOP_TIMEOUT.as_secs(),
                self.log.display()
            ))),
        }
    }
}

/// The address in `ready node=1 listen=ADDRESS admin=… shards=…`.
fn listen_address(line: &str) -> Option<SocketAddr> {
    let rest = line.trim().strip_prefix("ready ")?;
    let address = rest.split(' ').find_map(|word| word.strip_prefix("listen="))?;
    address.parse().ok()
}

fn open_log(path: &Path) -> Result<File, CommandError> {
    let wrong = |source| CommandError::File { action: "open", path: path.to_owned(), source };
    OpenOptions::new().create(true).append(true).open(path).map_err(wrong)
}

fn not_ready(log: &Path, line: &str) -> CommandError {
    let said = if line.is_empty() { String::new() } else { format!(" (it said {line:?})") };
    CommandError::Failed(format!(
        "the node did not become ready{said}; `ringspool doctor` tells whether this machine is \
         fit. The end of its log:\n{}",
        log_tail(log)
    ))
}

/// The last lines of the log, indented.
fn log_tail(log: &Path) -> String {
    const LINES: usize = 15;
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    tail.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_gives_the_address() {
        let line = "ready node=1 listen=127.0.0.1:4242 admin=127.0.0.1:7480 shards=2\n";
        assert_eq!(listen_address(line), Some(SocketAddr::from(([127, 0, 0, 1], 4242))));
        assert_eq!(listen_address("listening on 127.0.0.1:4242"), None);
        assert_eq!(listen_address(""), None);
    }
}
