//! What a topic may be called: a name becomes part of addresses, labels and command lines.

use crate::limits::TOPIC_NAME_BYTES_MAX;

/// Why this cannot be a topic's name, or `None` if it can.
pub(super) fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > TOPIC_NAME_BYTES_MAX {
        return Some(format!("it has {} bytes", name.len()));
    }
    if name == "." || name == ".." {
        return Some("\".\" and \"..\" are reserved".into());
    }
    let strange = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c)))?;
    Some(format!("it holds {strange:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "orders", "Orders.v2_eu-west", "...", "-", &"x".repeat(249)] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn a_bad_name_is_told_what_is_wrong_with_it() {
        for (name, why) in [
            ("", "it is empty"),
            (".", "reserved"),
            ("..", "reserved"),
            ("a/b", "it holds '/'"),
            ("a b", "it holds ' '"),
            ("caf\u{e9}", "it holds 'é'"),
            ("a\0", "it holds '\\0'"),
            (&"x".repeat(250), "it has 250 bytes"),
        ] {
            let fault = fault(name).unwrap_or_default();
            assert!(fault.contains(why), "{name:?}: {fault}");
        }
    }
}
