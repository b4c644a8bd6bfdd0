//! What a run cost the server, from /proc: only for a node on this machine whose process is known.

use std::fs;
use std::io;

use serde::Serialize;

/// What a process has spent since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    cpu_s: f64,
    rss_max_bytes: u64,
    device_bytes_written: u64,
}

/// What a run cost the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerCost {
    /// CPU time, user and system of all threads, in seconds.
    pub cpu_s: f64,
    /// The most memory the process had, from its start to the run's end, in bytes.
    pub rss_max_bytes: u64,
    /// Bytes the process gave to block devices during the run. Its write-ahead log is in it; what
    /// was still to be written to segments when the run ended is not.
    pub device_bytes_written: u64,
}

impl ServerCost {
    pub(crate) fn between(before: &Spent, after: &Spent) -> Self {
        let written = after.device_bytes_written.saturating_sub(before.device_bytes_written);
        ServerCost {
            cpu_s: after.cpu_s - before.cpu_s,
            rss_max_bytes: after.rss_max_bytes,
            device_bytes_written: written,
        }
    }
}

/// Looks at a process.
///
/// # Errors
///
/// When it is gone, or its figures may not be read.
pub(crate) fn spent(pid: u32) -> io::Result<Spent> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let unclear = |name: &str| {
        let text = format!("/proc/{pid}/{name} does not have what it should");
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| unclear("stat"))?;
    let rss_kib = labelled(&read("status")?, "VmHWM:").ok_or_else(|| unclear("status"))?;
    let written = labelled(&read("io")?, "write_bytes:").ok_or_else(|| unclear("io"))?;
    Ok(Spent {
        cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        rss_max_bytes: rss_kib * 1024,
        device_bytes_written: written,
    })
}

/// utime and stime: the 14th and 15th field. The second is the program's name in brackets, which
/// may hold anything, brackets too.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn labelled(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(label))?;
    line[label.len()..].split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        let stat = "42 (a (b) 1 2) S 1 42 42 0 -1 4194304 100 0 0 0 17 5 0 0 20 0 3 0 9 9 9";
        assert_eq!(cpu_ticks(stat), Some(22));
        assert_eq!(cpu_ticks("42 (cut off"), None);
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t   128 kB\n";
        assert_eq!(labelled(status, "VmHWM:"), Some(128));
        assert_eq!(labelled(status, "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_spent_something_and_a_dead_one_cannot_be_asked() {
        let spent = spent(std::process::id()).unwrap();
        assert!(spent.rss_max_bytes > 100_000, "{spent:?}");
        assert!(super::spent(u32::MAX).is_err());
    }
}
