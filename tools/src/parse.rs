//! Values on the command line that are more than a number or a name.
//!
//! Each function is a clap value parser: what it refuses ends the program with exit code 2 and the
//! text it returns.

use ringspool_client::Position;

/// `HOST:PORT`; an IPv6 address stands in brackets.
pub(crate) fn server(text: &str) -> Result<String, String> {
    let text = text.trim();
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("expected HOST:PORT, such as 127.0.0.1:7400".to_owned());
    };
    if host.is_empty() {
        return Err("the host before the colon is missing; expected HOST:PORT".to_owned());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("an IPv6 address goes in brackets: [::1]:7400".to_owned());
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(text.to_owned()),
        _ => Err(format!("{port:?} is no port; expected a number from 1 to 65535")),
    }
}

/// A number of bytes: plain, or with KiB, MiB or GiB behind it.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        _ => return Err("expected a number of bytes, such as 1048576, 1MiB or 64KiB".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number of bytes, such as 1048576, 1MiB or 64KiB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "more bytes than 64 bits can count".to_owned())
}

/// `KEY=VALUE` of a topic's setting.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE, such as retention_ms=86400000".to_owned()),
    }
}

/// A separator of key and value: at least one byte; `\t` and `\\` are understood, because a shell
/// makes a tab hard to type.
pub(crate) fn separator(text: &str) -> Result<String, String> {
    let text = text.replace("\\\\", "\u{0}").replace("\\t", "\t").replace('\u{0}', "\\");
    if text.is_empty() {
        return Err("the separator must be at least one byte".to_owned());
    }
    Ok(text)
}

/// Seconds above zero.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0 and up to 86400".to_owned()),
    }
}

/// Where to start: `earliest`, `latest`, an offset, `@MILLISECONDS` since 1970, or an RFC 3339 time.
pub(crate) fn position(text: &str) -> Result<Position, String> {
    match text {
        "earliest" => return Ok(Position::Earliest),
        "latest" => return Ok(Position::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<u64>() {
        return Ok(Position::Offset(offset));
    }
    if let Some(milliseconds) = text.strip_prefix('@') {
        return match milliseconds.parse::<i64>() {
            Ok(milliseconds) if milliseconds >= 0 => Ok(Position::Timestamp(milliseconds)),
            _ => Err("after @ goes the number of milliseconds since 1970, 0 or more".to_owned()),
        };
    }
    let expected = "expected earliest, latest, an offset, an RFC 3339 time such as \
                    2026-01-31T12:00:00Z, or @MILLISECONDS since 1970";
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_millisecond() >= 0 => Ok(Position::Timestamp(time.as_millisecond())),
        Ok(_) => Err("a time before 1970 cannot be a record's".to_owned()),
        Err(_) => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn server_needs_host_and_port() {
        assert_eq!(server("localhost:7400").unwrap(), "localhost:7400");
        assert_eq!(server(" [::1]:7400").unwrap(), "[::1]:7400");
        for bad in ["", "localhost", ":7400", "a:0", "a:65536", "a:x", "::1:7400"] {
            assert!(server(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn bytes_knows_binary_units_and_refuses_the_rest() {
        assert_eq!(bytes("0").unwrap(), 0);
        assert_eq!(bytes("1048576").unwrap(), 1 << 20);
        assert_eq!(bytes("64KiB").unwrap(), 64 << 10);
        assert_eq!(bytes("2 gib").unwrap(), 2 << 30);
        for bad in ["", "x", "1.5MiB", "-1", "1TB", "99999999999999999999", "18446744073709551615k"]
        {
            assert!(bytes(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn settings_split_at_the_first_equals_sign() {
        assert_eq!(setting("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(setting("a").is_err());
        assert!(setting("=b").is_err());
    }

    #[test]
    fn separator_understands_tab() {
        assert_eq!(separator("\\t").unwrap(), "\t");
        assert_eq!(separator("\\\\t").unwrap(), "\\t");
        assert_eq!(separator("::").unwrap(), "::");
        assert!(separator("").is_err());
    }

    #[test]
    fn a_plain_number_is_an_offset_and_times_are_times() {
        assert!(matches!(position("earliest"), Ok(Position::Earliest)));
        assert!(matches!(position("latest"), Ok(Position::Latest)));
        assert!(matches!(position("17"), Ok(Position::Offset(17))));
        assert!(matches!(position("@17"), Ok(Position::Timestamp(17))));
        let noon = position("2026-01-31T12:00:00Z");
        assert!(matches!(noon, Ok(Position::Timestamp(1_769_860_800_000))), "{noon:?}");
        let same = position("2026-01-31T13:00:00.000+01:00");
        assert!(matches!(same, Ok(Position::Timestamp(1_769_860_800_000))), "{same:?}");
        for bad in ["", "-1", "@-1", "@x", "now", "2026-01-31", "1960-01-01T00:00:00Z"] {
            assert!(position(bad).is_err(), "{bad:?} was taken");
        }
    }
}
