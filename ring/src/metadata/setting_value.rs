//! Numbers with units, as people write them: `256MiB`, `7d`, `-1`.

use super::setting_key::{DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, SettingKey, TIB, Unit};

/// A value as written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Number(u64),
    Unlimited,
    Default,
}

/// Reads a value; `None` when it is none.
pub(super) fn parse(text: &str, unit: Unit) -> Option<Value> {
    let text = text.trim();
    match text {
        "-1" => return Some(Value::Unlimited),
        _ if text.eq_ignore_ascii_case("unlimited") => return Some(Value::Unlimited),
        _ if text.eq_ignore_ascii_case("default") => return Some(Value::Default),
        _ => {}
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = factor(suffix.trim_start(), unit)?;
    Some(Value::Number(number.parse::<u64>().ok()?.checked_mul(factor)?))
}

fn factor(suffix: &str, unit: Unit) -> Option<u64> {
    let suffix = suffix.to_ascii_lowercase();
    Some(match (unit, &*suffix) {
        (Unit::Bytes, "" | "b") | (Unit::Millis, "" | "ms") => 1,
        (Unit::Bytes, "k" | "kib") => KIB,
        (Unit::Bytes, "m" | "mib") => MIB,
        (Unit::Bytes, "g" | "gib") => GIB,
        (Unit::Bytes, "t" | "tib") => TIB,
        (Unit::Millis, "s") => SECOND,
        (Unit::Millis, "m") => MINUTE,
        (Unit::Millis, "h") => HOUR,
        (Unit::Millis, "d") => DAY,
        _ => return None,
    })
}

/// What values a setting takes, for people.
pub(super) fn allowed(key: SettingKey) -> String {
    let (lowest, highest) = key.bounds();
    let units = match key.unit() {
        Unit::Bytes => "bytes, or a number with KiB, MiB or GiB",
        Unit::Millis => "milliseconds, or a number with s, m, h or d",
    };
    let unlimited = if key.may_be_unlimited() { ", or unlimited" } else { "" };
    let (lowest, highest) = (format(lowest, key.unit()), format(highest, key.unit()));
    format!("{lowest} to {highest}{unlimited} ({units})")
}

/// A number in the largest unit that keeps it whole.
fn format(number: u64, unit: Unit) -> String {
    let units: &[(u64, &str)] = match unit {
        Unit::Bytes => &[(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "B")],
        Unit::Millis => &[(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")],
    };
    units
        .iter()
        .find(|(size, _)| number > 0 && number.is_multiple_of(*size))
        .map_or_else(|| number.to_string(), |(size, name)| format!("{}{name}", number / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read() {
        for (text, unit, value) in [
            ("1048576", Unit::Bytes, 1 << 20),
            ("64k", Unit::Bytes, 64 << 10),
            ("64KiB", Unit::Bytes, 64 << 10),
            (" 256 MiB ", Unit::Bytes, 256 << 20),
            ("1gib", Unit::Bytes, 1 << 30),
            ("250", Unit::Millis, 250),
            ("250ms", Unit::Millis, 250),
            ("90s", Unit::Millis, 90_000),
            ("5m", Unit::Millis, 300_000),
            ("2h", Unit::Millis, 7_200_000),
            ("7d", Unit::Millis, 604_800_000),
        ] {
            assert_eq!(parse(text, unit), Some(Value::Number(value)), "{text}");
        }
    }

    #[test]
    fn words_stand_for_values() {
        for text in ["-1", "unlimited", "Unlimited"] {
            assert_eq!(parse(text, Unit::Bytes), Some(Value::Unlimited), "{text}");
        }
        assert_eq!(parse("default", Unit::Millis), Some(Value::Default));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "x", "-2", "+1", "1.5", "1_000", "0x10", "7d", "MiB", "1MB", "1 2", "١"] {
            assert_eq!(parse(text, Unit::Bytes), None, "{text}");
        }
        assert_eq!(parse("1MiB", Unit::Millis), None);
        assert_eq!(parse("18446744073709551616", Unit::Bytes), None, "2^64");
        assert_eq!(parse("18446744073709551615k", Unit::Bytes), None, "overflows");
    }

    #[test]
    fn what_is_allowed_is_said_in_round_numbers() {
        assert_eq!(
            allowed(SettingKey::SegmentBytes),
            "1MiB to 1GiB (bytes, or a number with KiB, MiB or GiB)"
        );
        assert_eq!(
            allowed(SettingKey::RetentionMs),
            "1ms to 36500d, or unlimited (milliseconds, or a number with s, m, h or d)"
        );
    }
}
