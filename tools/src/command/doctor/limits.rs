//! The process's limits, as `serve` would have them: soft limits raised to the hard ones.

use std::thread;

use ringspool_node::io::{MEMLOCK_BYTES_PER_SHARD, raise_memlock_limit, raise_nofile_limit};
use rustix::process::{Resource, getrlimit};

use super::check::Check;
use crate::output;

/// A node that cannot open this many files is of no use.
const OPEN_FILES_MINIMUM: u64 = 1024;

/// Room for ten thousand partitions with two files each, and as many connections.
const OPEN_FILES_RECOMMENDED: u64 = 65_536;

/// Locked memory and open files.
pub(crate) fn all() -> [Check; 2] {
    let shards = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    // What cannot be raised shows in the limits that are there then.
    let _ = raise_memlock_limit();
    let _ = raise_nofile_limit();
    let current = |resource| getrlimit(resource).current;
    [locked_memory(current(Resource::Memlock), shards), open_files(current(Resource::Nofile))]
}

/// `limit`: what may be had; none is unlimited.
fn locked_memory(limit: Option<u64>, shards: u64) -> Check {
    let name = "locked memory";
    let needed = shards * MEMLOCK_BYTES_PER_SHARD;
    let Some(limit) = limit else { return Check::ok(name, "unlimited") };
    let found = format!(
        "{} may be locked, {} are needed for {shards} shards",
        output::bytes(limit),
        output::bytes(needed)
    );
    if limit >= needed {
        return Check::ok(name, found);
    }
    let mend = "raise RLIMIT_MEMLOCK: `ulimit -l unlimited`, a line `* - memlock unlimited` in \
                /etc/security/limits.conf, LimitMEMLOCK=infinity for systemd, --ulimit memlock=-1 \
                for a container; or run fewer shards (serve --shards)";
    Check::fail(name, found, mend)
}

/// `limit`: what may be had; none is unlimited.
fn open_files(limit: Option<u64>) -> Check {
    let name = "open files";
    let Some(limit) = limit else { return Check::ok(name, "unlimited") };
    let found = output::count(limit);
    let mend = format!(
        "raise RLIMIT_NOFILE to {OPEN_FILES_RECOMMENDED} or more: `ulimit -n`, \
         /etc/security/limits.conf, LimitNOFILE=1048576 for systemd, --ulimit nofile=1048576 for a container"
    );
    match limit {
        OPEN_FILES_RECOMMENDED.. => Check::ok(name, found),
        OPEN_FILES_MINIMUM.. => Check::warn(name, found, mend),
        _ => Check::fail(name, found, mend),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn locked_memory_must_suffice_for_every_shard() {
        assert_eq!(locked_memory(None, 64).status, Status::Ok);
        assert_eq!(locked_memory(Some(8 << 20), 16).status, Status::Ok);
        assert_eq!(locked_memory(Some(8 << 20), 17).status, Status::Fail);
    }

    #[test]
    fn open_files_have_a_minimum_and_a_recommendation() {
        assert_eq!(open_files(None).status, Status::Ok);
        assert_eq!(open_files(Some(1 << 20)).status, Status::Ok);
        assert_eq!(open_files(Some(1024)).status, Status::Warn);
        assert_eq!(open_files(Some(1023)).status, Status::Fail);
    }
}
