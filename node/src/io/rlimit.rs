//! The process limits that io_uring and many files need.

/// A limit that is lower than the node needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is limited to {seen} and {needed} are needed; raise it with `ulimit {flag} {suggestion}` \
     or, for systemd, `{systemd}`"
)]
pub struct LimitTooLow {
    /// The limit's name.
    pub name: &'static str,
    /// What the process may use.
    pub seen: u64,
    /// What it needs.
    pub needed: u64,
    flag: &'static str,
    suggestion: &'static str,
    systemd: &'static str,
}

/// Locked memory one executor needs, in bytes.
pub const MEMLOCK_BYTES_PER_SHARD: u64 = 512 << 10;

/// Raises the soft limit of locked memory to the hard one, or to no limit when privileged.
///
/// # Errors
/// When the system refuses; the limits stay as they were.
pub fn raise_memlock_limit() -> std::io::Result<()> {
    raise(rustix::process::Resource::Memlock)
}

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
/// When the system refuses; the limit stays as it was.
pub fn raise_nofile_limit() -> std::io::Result<()> {
    raise(rustix::process::Resource::Nofile)
}

fn raise(resource: rustix::process::Resource) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let seen = getrlimit(resource);
    if resource == Resource::Memlock
        && setrlimit(resource, Rlimit { current: None, maximum: None }).is_ok()
    {
        return Ok(());
    }
    Ok(setrlimit(resource, Rlimit { current: seen.maximum, maximum: seen.maximum })?)
}

/// Checks that `shards` executors may lock the memory they need.
///
/// # Errors
/// [`LimitTooLow`], which says how to raise it.
pub fn check_memlock(shards: u64) -> Result<(), LimitTooLow> {
    let needed = shards * MEMLOCK_BYTES_PER_SHARD;
    let seen = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    match seen {
        Some(seen) if seen < needed => Err(LimitTooLow {
            name: "locked memory (RLIMIT_MEMLOCK), in bytes,",
            seen,
            needed,
            flag: "-l",
            suggestion: "unlimited",
            systemd: "LimitMEMLOCK=infinity",
        }),
        _ => Ok(()),
    }
}

/// Checks that the process may open `needed` files.
///
/// # Errors
/// [`LimitTooLow`], which says how to raise it.
pub fn check_nofile(needed: u64) -> Result<(), LimitTooLow> {
    let seen = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match seen {
        Some(seen) if seen < needed => Err(LimitTooLow {
            name: "the number of open files (RLIMIT_NOFILE)",
            seen,
            needed,
            flag: "-n",
            suggestion: "1048576",
            systemd: "LimitNOFILE=1048576",
        }),
        _ => Ok(()),
    }
}
