//! The write cache of the device under the data.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check::Check;

const NAME: &str = "write cache";

/// What the kernel believes of the cache of the device that holds `place`.
pub(crate) fn check(place: &Path) -> Check {
    match read(place) {
        Ok((device, mode)) => judge(&device, &mode),
        Err(error) => Check::warn(
            NAME,
            format!("unknown: {error}"),
            "make sure that the device keeps what was flushed when the power fails",
        ),
    }
}

fn judge(device: &str, mode: &str) -> Check {
    match mode {
        "write through" => Check::ok(NAME, format!("{device}: none that can lose data")),
        "write back" => {
            Check::ok(NAME, format!("{device}: volatile, flushed before a write is acknowledged"))
        }
        other => Check::warn(
            NAME,
            format!("{device}: {other}"),
            "make sure that the device keeps what was flushed when the power fails",
        ),
    }
}

/// The device's name and its cache's mode.
fn read(place: &Path) -> io::Result<(String, String)> {
    let device = fs::metadata(place)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    if major == 0 {
        return Err(io::Error::other("no single block device is behind this file system"));
    }
    let directory = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A partition has no queue of its own; its disk, the directory above, has.
    let own = directory.join("queue/write_cache");
    let mode = match fs::read_to_string(&own) {
        Ok(mode) => mode,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::read_to_string(directory.join("../queue/write_cache"))?
        }
        Err(error) => return Err(error),
    };
    Ok((name, mode.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn both_honest_modes_are_well_and_anything_else_is_not() {
        assert_eq!(judge("vda", "write through").status, Status::Ok);
        assert_eq!(judge("vda", "write back").status, Status::Ok);
        assert_eq!(judge("vda", "something new").status, Status::Warn);
    }
}
