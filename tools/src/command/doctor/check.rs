//! The outcome of one check.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// A node works, but slower or with less safety than it could.
    Warn,
    /// A node would not work.
    Fail,
}

impl Status {
    /// The word in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

/// What was looked at, what was found, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// The verdict.
    pub(crate) status: Status,
    /// What is there.
    pub(crate) found: String,
    /// What to do; absent when all is well.
    pub(crate) mend: Option<String>,
}

impl Check {
    /// All is well.
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Check { name, status: Status::Ok, found: found.into(), mend: None }
    }

    /// Could be better.
    pub(crate) fn warn(
        name: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Check { name, status: Status::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    /// A node would not work.
    pub(crate) fn fail(
        name: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Check { name, status: Status::Fail, found: found.into(), mend: Some(mend.into()) }
    }
}
