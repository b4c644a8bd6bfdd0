//! The kernel: its version, io_uring and the operations of it that are needed, and the CPUs.

use std::thread;

use io_uring::{IoUring, Probe, opcode};

use super::check::Check;

/// Below this, io_uring lacks operations that the executors need.
const KERNEL_MINIMUM: (u32, u32) = (5, 8);

/// From here on, everything a node uses is there and has had its teething troubles.
const KERNEL_RECOMMENDED: (u32, u32) = (5, 19);

/// What the executors submit; they refuse to start when one is missing.
const OPERATIONS: &[(&str, u8)] = &[
    ("nop", opcode::Nop::CODE),
    ("readv", opcode::Readv::CODE),
    ("writev", opcode::Writev::CODE),
    ("fsync", opcode::Fsync::CODE),
    ("read_fixed", opcode::ReadFixed::CODE),
    ("write_fixed", opcode::WriteFixed::CODE),
    ("poll_add", opcode::PollAdd::CODE),
    ("poll_remove", opcode::PollRemove::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("recvmsg", opcode::RecvMsg::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("timeout_remove", opcode::TimeoutRemove::CODE),
    ("accept", opcode::Accept::CODE),
    ("link_timeout", opcode::LinkTimeout::CODE),
    ("connect", opcode::Connect::CODE),
    ("fallocate", opcode::Fallocate::CODE),
    ("openat", opcode::OpenAt::CODE),
    ("close", opcode::Close::CODE),
    ("statx", opcode::Statx::CODE),
    ("read", opcode::Read::CODE),
    ("write", opcode::Write::CODE),
    ("send", opcode::Send::CODE),
    ("recv", opcode::Recv::CODE),
];

/// The kernel's version.
pub(crate) fn release() -> Check {
    let system = rustix::system::uname();
    judge_release(&system.release().to_string_lossy())
}

fn judge_release(release: &str) -> Check {
    const NAME: &str = "kernel";
    let Some(version) = parse_version(release) else {
        let mend = "expected a version such as 6.1.0; make sure it is Linux 5.19 or newer";
        return Check::warn(NAME, release, mend);
    };
    if version < KERNEL_MINIMUM {
        return Check::fail(NAME, release, "upgrade to Linux 5.19 or newer (5.8 at the least)");
    }
    if version < KERNEL_RECOMMENDED {
        return Check::warn(NAME, release, "works; Linux 5.19 or newer is recommended");
    }
    Check::ok(NAME, release)
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// io_uring, and every operation that is needed.
pub(crate) fn io_uring() -> Check {
    const NAME: &str = "io_uring";
    let ring = match IoUring::new(8) {
        Ok(ring) => ring,
        Err(error) => return Check::fail(NAME, error.to_string(), mend_unavailable()),
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        let found = format!("available, but cannot be asked for its operations: {error}");
        return Check::fail(NAME, found, "upgrade to Linux 5.19 or newer");
    }
    let missing: Vec<&str> = OPERATIONS
        .iter()
        .filter(|(_, code)| !probe.is_supported(*code))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Check::ok(NAME, format!("available, all {} operations", OPERATIONS.len()));
    }
    let found = format!("operations missing: {}", missing.join(", "));
    Check::fail(NAME, found, "upgrade to Linux 5.19 or newer")
}

fn mend_unavailable() -> String {
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    match setting.as_deref().map(str::trim) {
        Ok("1") => "run as a member of the group in sysctl kernel.io_uring_group, or set it free: \
                    sysctl -w kernel.io_uring_disabled=0"
            .to_owned(),
        Ok("2") => "set it free: sysctl -w kernel.io_uring_disabled=0".to_owned(),
        _ => "in a container, allow io_uring_setup, io_uring_enter and io_uring_register in its \
              seccomp profile; else upgrade to Linux 5.19 or newer"
            .to_owned(),
    }
}

/// How many CPUs this process may use.
pub(crate) fn cpus() -> Check {
    const NAME: &str = "cpus";
    match thread::available_parallelism() {
        Ok(count) if count.get() == 1 => Check::warn(
            NAME,
            "1",
            "works; with two or more, clients and background work do not compete with the shard",
        ),
        Ok(count) => Check::ok(NAME, count.to_string()),
        Err(error) => Check::warn(NAME, error.to_string(), "give --shards to serve"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn kernels_are_judged_by_their_numbers() {
        let status = |release| judge_release(release).status;
        assert_eq!(status("6.18.44-fc-v769"), Status::Ok);
        assert_eq!(status("5.19.0"), Status::Ok);
        assert_eq!(status("5.18.9-generic"), Status::Warn);
        assert_eq!(status("5.8"), Status::Warn);
        assert_eq!(status("5.7.0"), Status::Fail);
        assert_eq!(status("4.19.0-21-amd64"), Status::Fail);
        assert_eq!(status("unknown"), Status::Warn);
    }
}
