//! `ringspool doctor`: is this machine fit for a node, and if not, how to mend it.
//!
//! Each check gives one line: what was looked at, the verdict, what was found, and, unless all is
//! well, what to do. Nothing is changed on the machine; one temporary file is written in the data
//! directory (or the nearest directory above it that exists) and removed.

mod check;
mod clock;
mod kernel;
mod limits;
mod storage;
mod write_cache;

use serde::Serialize;

use self::check::{Check, Status};
use crate::cli::{DoctorArgs, Global};
use crate::error::CommandError;
use crate::output;

#[derive(Serialize)]
struct Diagnosis {
    fit: bool,
    checks: Vec<Check>,
}

/// Runs every check and prints them; fails when one does.
pub(crate) fn run(global: &Global, args: &DoctorArgs) -> Result<(), CommandError> {
    let mut checks = vec![kernel::release(), kernel::io_uring(), kernel::cpus()];
    checks.extend(limits::all());
    checks.extend(storage::all(&args.data_dir));
    checks.extend([clock::source(), clock::wall()]);

    let fit = checks.iter().all(|check| check.status != Status::Fail);
    if global.json {
        output::json(&Diagnosis { fit, checks })?;
    } else {
        print(&checks, fit)?;
    }
    if fit { Ok(()) } else { Err(CommandError::Reported) }
}

fn print(checks: &[Check], fit: bool) -> Result<(), CommandError> {
    let rows = checks
        .iter()
        .map(|check| {
            vec![check.name.to_owned(), check.status.name().to_owned(), check.found.clone()]
        })
        .collect();
    output::line(&output::table(&["CHECK", "STATUS", "FOUND"], &[], rows))?;
    let to_mend = checks.iter().filter_map(|check| check.mend.as_ref().map(|mend| (check, mend)));
    for (index, (check, mend)) in to_mend.enumerate() {
        if index == 0 {
            output::line("\nHow to mend:")?;
        }
        output::line(&format!("  {} ({}): {mend}", check.name, check.status.name()))?;
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    output::line(&format!(
        "\n{}: {} ok, {} warn, {} fail",
        if fit { "fit for a node" } else { "not fit for a node" },
        count(Status::Ok),
        count(Status::Warn),
        count(Status::Fail),
    ))
}
