//! The node as a child process, so that it can really be killed.
//!
//! Its standard input is a pipe whose other end we hold: when this process goes, however that
//! happens, the node sees the end of it and stops.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

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

/// How long a killed process may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A running node. When dropped, it is killed and waited for: its directory may be removed then.
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
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut child = Command::new(&program)
            .arg("serve")
            .arg("--data-dir")
            .arg(directory.join(DATA_DIRECTORY))
            .args([
                "--listen",
                &listen.to_string(),
                "--admin",
                "127.0.0.1:0",
                "--stop-at-stdin-end",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // Ctrl-C on the terminal is for us; we end the node.
            .process_group(0)
            .spawn()
            .map_err(|source| CommandError::File { action: "start", path: program, source })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(CommandError::Failed("the node's pipes are missing".to_owned()));
        };
        // From here on, whatever happens, the process is ended with this.
        let mut node = NodeProcess { child, _stdin: stdin, listen, log };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
        match listen_address(&line).filter(|_| matches!(read, Ok(Ok(_)))) {
            Some(listen) => {
                node.listen = listen;
                Ok(node)
            }
            None => Err(not_ready(&node.log, line.trim())),
        }
    }

    /// Where it accepts requests.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its process, unless it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
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

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Refused when it has ended already, which is as well.
        let _ = self.child.start_kill();
        let deadline = Instant::now() + KILL_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() >= deadline {
                eprintln!("the node was killed and is not gone yet");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
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
