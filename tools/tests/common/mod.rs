//! Real processes for the black-box tests: a node in a directory of its own, and the commands that
//! talk to it. Nothing here sleeps: everything waits for a line, an end of a process, or a deadline.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

pub mod raw;
pub mod text;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a slow, busy machine; only ever reached when something is broken.
pub const DEADLINE: Duration = Duration::from_secs(120);

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringspool");

/// A directory with a node's data, and the node's log beside it.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { directory: TempDir::new().unwrap() }
    }

    /// One below a directory, which may be on another file system.
    pub fn new_in(directory: &Path) -> Place {
        Place { directory: TempDir::new_in(directory).unwrap() }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a node on a free port.
    pub fn serve(&self, shards: u16) -> Server {
        self.serve_at("127.0.0.1:0", &["--shards", &shards.to_string()])
    }

    /// Starts a node where it was before.
    pub fn serve_again(&self, listen: SocketAddr, shards: u16) -> Server {
        self.serve_at(&listen.to_string(), &["--shards", &shards.to_string()])
    }

    pub fn serve_at(&self, listen: &str, more: &[&str]) -> Server {
        let log = self.file("node.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = Command::new(PROGRAM)
            .arg("serve")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen", listen, "--admin", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let line = first_line(&mut child);
        let Some(listen) = line.as_deref().and_then(|line| word(line, "listen=")) else {
            let _ = child.kill();
            let status = child.wait();
            panic!("no ready line but {line:?} ({status:?}); its log:\n{}", tail(&log));
        };
        let listen = listen.parse().unwrap();
        Server { child: Some(child), listen, ready: line.unwrap(), log }
    }
}

/// The first line of a child's stdout, waited for until the deadline. What comes after it is read
/// and forgotten.
fn first_line(child: &mut Child) -> Option<String> {
    let stdout = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        if let Some(Ok(line)) = lines.next() {
            let _ = sender.send(line);
        }
        lines.for_each(drop);
    });
    receiver.recv_timeout(DEADLINE).ok()
}

fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix("ready ")?.split(' ').find_map(|word| word.strip_prefix(name))
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// A running node. Killed when dropped; its log is shown when a test fails.
pub struct Server {
    child: Option<Child>,
    pub listen: SocketAddr,
    pub ready: String,
    log: PathBuf,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `kill -9`, and wait until it is gone.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// SIGTERM; gives how it ended.
    pub fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end, which somebody else causes.
    pub fn wait(mut self) -> ExitStatus {
        let child = self.child.take().unwrap();
        let output = wait_for(child, "ringspool serve");
        if !output.status.success() {
            eprintln!("the node's log:\n{}", tail(&self.log));
        }
        output.status
    }

    pub fn log(&self) -> String {
        tail(&self.log)
    }

    /// A command that talks to this node.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--server").arg(self.listen.to_string()).args(args);
        command
    }

    /// Runs a command that must succeed; gives its stdout.
    pub fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = run(self.command(args), None);
        assert!(output.status.success(), "{args:?}: {}", describe(&output));
        output.stdout
    }

    /// Like [`Server::ok`], with `input` on stdin.
    pub fn ok_with(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = run(self.command(args), Some(input));
        assert!(output.status.success(), "{args:?}: {}", describe(&output));
        output.stdout
    }

    /// Runs a command that must fail; gives its exit code, stdout and stderr.
    pub fn fails(&self, args: &[&str]) -> (i32, String, String) {
        let output = run(self.command(args), None);
        assert!(!output.status.success(), "{args:?} succeeded: {}", describe(&output));
        (output.status.code().unwrap(), lossy(&output.stdout), lossy(&output.stderr))
    }

    /// Creates a topic.
    pub fn create(&self, topic: &str, partitions: u32, settings: &[&str]) {
        let partitions = partitions.to_string();
        let mut args = vec!["topic", "create", topic, "--partitions", &partitions];
        for setting in settings {
            args.extend(["--set", setting]);
        }
        self.ok(&args);
    }

    /// All values of a partition, each with a newline behind it.
    pub fn consume(&self, topic: &str, partition: u32) -> Vec<u8> {
        let partition = partition.to_string();
        self.ok(&["consume", topic, "--partition", &partition, "--until-end"])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        if thread::panicking() {
            eprintln!("the node's log:\n{}", tail(&self.log));
        }
    }
}

/// The program, without a server.
pub fn ringspool(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: Option<&[u8]>) -> Output {
    let what = format!("{command:?}");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Some(input) = input {
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that ends early closes the pipe: its exit code tells more than that error.
        thread::spawn(move || stdin.write_all(&input));
    }
    wait_for(child, &what)
}

/// Waits for a child with a deadline.
pub fn wait_for(child: Child, what: &str) -> Output {
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(DEADLINE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("{what} did not end within {} s", DEADLINE.as_secs());
        }
    }
}

pub fn describe(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        lossy(&output.stdout).chars().take(2000).collect::<String>(),
        lossy(&output.stderr)
    )
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The object `produce --json` ends with: the only line on stdout.
pub fn produced(stdout: &[u8]) -> serde_json::Value {
    let text = lossy(stdout);
    assert_eq!(text.lines().count(), 1, "exactly one object: {text:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
