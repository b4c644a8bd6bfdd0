//! Settings as users give them and see them.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use ringspool_ring::{SettingError, TopicSettings};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn set(key: &str, value: &str) -> Result<TopicSettings, SettingError> {
    TopicSettings::from_pairs(&pairs(&[(key, value)]))
}

#[test]
fn defaults_are_what_is_documented() {
    assert_eq!(
        TopicSettings::from_pairs(&[]).unwrap(),
        TopicSettings {
            segment_bytes: 256 << 20,
            segment_ms: 604_800_000,
            retention_ms: None,
            retention_bytes: None,
            batch_bytes_max: 8 << 20,
            record_bytes_max: 64 << 20,
        }
    );
    assert!(TopicSettings::default().to_pairs().iter().all(|pair| pair.is_default));
}

#[test]
fn every_setting_can_be_set() {
    let settings = TopicSettings::from_pairs(&pairs(&[
        ("segment_bytes", "1MiB"),
        ("segment_ms", "1h"),
        ("retention_ms", "7d"),
        ("retention_bytes", "10GiB"),
        ("batch_bytes_max", "64k"),
        ("record_bytes_max", "1GiB"),
    ]))
    .unwrap();
    assert_eq!(
        settings,
        TopicSettings {
            segment_bytes: 1 << 20,
            segment_ms: 3_600_000,
            retention_ms: Some(604_800_000),
            retention_bytes: Some(10 << 30),
            batch_bytes_max: 64 << 10,
            record_bytes_max: 1 << 30,
        }
    );
    assert!(settings.to_pairs().iter().all(|pair| !pair.is_default));
}

#[test]
fn bounds_are_inclusive() {
    for (key, lowest, highest) in [
        ("segment_bytes", 1u64 << 20, 1u64 << 30),
        ("segment_ms", 1000, 315_360_000_000),
        ("retention_ms", 1, 3_153_600_000_000),
        ("retention_bytes", 1, 1 << 50),
        ("batch_bytes_max", 64 << 10, 8 << 20),
        ("record_bytes_max", 1 << 10, 1 << 30),
    ] {
        for value in [lowest, highest] {
            assert!(set(key, &value.to_string()).is_ok(), "{key}={value}");
        }
        for value in [lowest - 1, highest + 1] {
            let error = set(key, &value.to_string()).unwrap_err();
            assert!(matches!(error, SettingError::OutOfBounds { .. }), "{error}");
        }
    }
}

#[test]
fn unlimited_is_for_retention_only() {
    for key in ["retention_ms", "retention_bytes"] {
        assert_eq!(set(key, "-1").unwrap(), TopicSettings::default());
        assert_eq!(set(key, "unlimited").unwrap(), TopicSettings::default());
    }
    for key in ["segment_bytes", "segment_ms", "batch_bytes_max", "record_bytes_max"] {
        assert!(matches!(set(key, "-1"), Err(SettingError::OutOfBounds { .. })), "{key}");
    }
}

#[test]
fn errors_name_the_key_the_value_and_what_is_allowed() {
    for (key, value, message) in [
        (
            "segment_bytes",
            "12q",
            "setting segment_bytes=12q is not understood; allowed is 1MiB to 1GiB (bytes, or a \
             number with KiB, MiB or GiB)",
        ),
        (
            "segment_bytes",
            "2GiB",
            "setting segment_bytes=2GiB is out of bounds; allowed is 1MiB to 1GiB (bytes, or a \
             number with KiB, MiB or GiB)",
        ),
        (
            "retention_ms",
            "0",
            "setting retention_ms=0 is out of bounds; allowed is 1ms to 36500d, or unlimited \
             (milliseconds, or a number with s, m, h or d)",
        ),
        (
            "retention.ms",
            "1",
            "there is no setting \"retention.ms\" (did you mean retention_ms?); there are: \
             segment_bytes, segment_ms, retention_ms, retention_bytes, batch_bytes_max, \
             record_bytes_max",
        ),
        (
            "compression",
            "zstd",
            "there is no setting \"compression\"; there are: segment_bytes, segment_ms, \
             retention_ms, retention_bytes, batch_bytes_max, record_bytes_max",
        ),
    ] {
        assert_eq!(set(key, value).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_key_is_given_once() {
    let twice = pairs(&[("retention_ms", "1d"), ("retention_ms", "2d")]);
    assert_eq!(
        TopicSettings::from_pairs(&twice),
        Err(SettingError::Repeated { key: "retention_ms" })
    );
}

#[test]
fn an_error_does_not_grow_with_its_input() {
    let long = "x".repeat(1 << 20);
    assert!(set(&long, "1").unwrap_err().to_string().len() < 400);
    assert!(set("segment_ms", &long).unwrap_err().to_string().len() < 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_shown_can_be_given_back(
        segment_bytes in 1u64 << 20..=1 << 30, segment_ms in 1000u64..100_000_000,
        retention_ms in proptest::option::of(1u64..1 << 40),
        retention_bytes in proptest::option::of(1u64..1 << 50),
        batch_bytes_max in 64u32 << 10..=8 << 20, record_bytes_max in 1u64 << 10..=1 << 30,
    ) {
        let settings = TopicSettings {
            segment_bytes, segment_ms, retention_ms, retention_bytes, batch_bytes_max,
            record_bytes_max,
        };
        let shown: Vec<(String, String)> =
            settings.to_pairs().into_iter().map(|p| (p.key.to_owned(), p.value)).collect();
        prop_assert_eq!(TopicSettings::from_pairs(&shown), Ok(settings));
    }

    #[test]
    fn any_text_is_answered(key in ".{0,20}", value in ".{0,20}") {
        prop_assert!(set(&key, &value).is_err());
        let _ = set("segment_bytes", &value);
        let _ = set("retention_ms", &value);
    }
}
