//! The clocks: how cheap it is to ask, and whether the wall clock is set.

use std::fs;

use jiff::Timestamp;

use super::check::Check;

/// Where the kernel says what it reads the time from.
const SOURCE_FILE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Sources that are read from a register or shared memory, without entering the kernel.
const FAST_SOURCES: &[&str] =
    &["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

/// This program did not exist before.
const YEAR_MINIMUM: i16 = 2024;

/// What the kernel reads the time from.
pub(crate) fn source() -> Check {
    const NAME: &str = "clock source";
    match fs::read_to_string(SOURCE_FILE) {
        Ok(text) if FAST_SOURCES.contains(&text.trim()) => Check::ok(NAME, text.trim()),
        Ok(text) => Check::warn(
            NAME,
            text.trim(),
            format!(
                "reading the time is slow; choose a faster one of \
                 {}: echo tsc > {SOURCE_FILE}",
                SOURCE_FILE.replace("current_clocksource", "available_clocksource")
            ),
        ),
        Err(error) => {
            Check::warn(NAME, format!("{SOURCE_FILE}: {error}"), "make sure /sys is mounted")
        }
    }
}

/// Whether the wall clock, which gives records their time and ends their retention, is set.
pub(crate) fn wall() -> Check {
    judge_wall(Timestamp::now())
}

fn judge_wall(now: Timestamp) -> Check {
    const NAME: &str = "wall clock";
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    let found = format!("{now:.0}");
    if year >= YEAR_MINIMUM {
        return Check::ok(NAME, found);
    }
    Check::fail(
        NAME,
        found,
        "set the clock and keep it set (systemd-timesyncd or chrony): retention by time depends on it",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::check::Status;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_fails() {
        let at = |text: &str| judge_wall(text.parse().unwrap()).status;
        assert_eq!(at("1970-01-01T00:01:00Z"), Status::Fail);
        assert_eq!(at("2023-12-31T23:59:59Z"), Status::Fail);
        assert_eq!(at("2024-01-01T00:00:00Z"), Status::Ok);
    }
}
