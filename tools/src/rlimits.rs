//! The process's resource limits: reading them, and raising the soft ones as far as allowed.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit the node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Open files: a segment's two files for each partition in use, and a socket per connection.
    OpenFiles,
    /// Memory that may be locked: the rings of each executor.
    LockedMemory,
}

impl Limit {
    /// The name `ulimit`, systemd and `limits.conf` documentation know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Limit::OpenFiles => "RLIMIT_NOFILE",
            Limit::LockedMemory => "RLIMIT_MEMLOCK",
        }
    }

    fn resource(self) -> Resource {
        match self {
            Limit::OpenFiles => Resource::Nofile,
            Limit::LockedMemory => Resource::Memlock,
        }
    }

    /// Soft and hard value now; `None` is unlimited.
    pub(crate) fn read(self) -> (Option<u64>, Option<u64>) {
        let now = getrlimit(self.resource());
        (now.current, now.maximum)
    }

    /// Raises the soft value to the hard one; locked memory to no limit, where the user may. Failing
    /// is no reason to stop: the node itself says what it lacks when it really lacks it.
    fn raise(self) {
        let now = getrlimit(self.resource());
        let unlimited = Rlimit { current: None, maximum: None };
        if now.current == now.maximum && (now == unlimited || self == Limit::OpenFiles) {
            return;
        }
        if self == Limit::LockedMemory && setrlimit(self.resource(), unlimited).is_ok() {
            return;
        }
        let wanted = Rlimit { current: now.maximum, maximum: now.maximum };
        match setrlimit(self.resource(), wanted) {
            Ok(()) => tracing::debug!(limit = self.name(), from = ?now.current, to = ?now.maximum,
                "soft limit raised to the hard one"),
            Err(error) => tracing::warn!(limit = self.name(), soft = ?now.current,
                hard = ?now.maximum, %error, "the soft limit could not be raised"),
        }
    }
}

/// Raises the soft limits the node depends on to their hard values.
pub(crate) fn raise_soft_limits() {
    Limit::OpenFiles.raise();
    Limit::LockedMemory.raise();
}
