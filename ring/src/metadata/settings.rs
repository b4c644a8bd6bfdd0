//! A topic's settings: read from and shown as keys and values.
//!
//! Invariant: the settings of a topic in the metadata are within the bounds of [`SettingKey`].

use super::setting_key::SettingKey;
use super::setting_value::{Value, allowed, parse};
use crate::limits::SETTING_PAIRS_MAX;

/// Settings of a topic; see [`SettingKey`] for their meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicSettings {
    /// Bytes after which a segment is closed: 1 MiB to 1 GiB, 256 MiB unless set.
    pub segment_bytes: u64,
    /// Age in milliseconds at which a segment is closed: 7 days unless set.
    pub segment_ms: u64,
    /// Age in milliseconds at which records go; `None`, never, unless set.
    pub retention_ms: Option<u64>,
    /// Bytes a partition keeps; `None`, all, unless set.
    pub retention_bytes: Option<u64>,
    /// Bytes of the largest batch: 64 KiB to 8 MiB, 8 MiB unless set.
    pub batch_bytes_max: u32,
    /// Bytes of the largest record: up to 1 GiB, 64 MiB unless set.
    pub record_bytes_max: u64,
}

/// A setting as it is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingPair {
    /// Its key.
    pub key: &'static str,
    /// Its value: a plain number, or `-1` for unlimited. Can be given back as it is.
    pub value: String,
    /// Whether this is the value it has without being set.
    pub is_default: bool,
}

/// Why settings were refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// There is no such key.
    #[error(
        "there is no setting {key:?}{}; there are: {}",
        nearest.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default(), key_names()
    )]
    Unknown {
        /// The key, cut short if it is long.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The value is not one.
    #[error("setting {key}={value} is not understood; allowed is {allowed}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// The value, cut short if it is long.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The value is too low or too high.
    #[error("setting {key}={value} is out of bounds; allowed is {allowed}")]
    OutOfBounds {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The key came twice.
    #[error("setting {key} is given twice; give it once")]
    Repeated {
        /// The key.
        key: &'static str,
    },
    /// There are more pairs than anybody needs.
    #[error("{pairs} settings are refused; give at most {SETTING_PAIRS_MAX} at a time")]
    TooMany {
        /// How many there were.
        pairs: usize,
    },
}

impl TopicSettings {
    /// Settings from keys and values as users write them; what is not named has its default.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, SettingError> {
        TopicSettings::default().merged(pairs)
    }

    /// These settings with some of them changed. The value `default` takes a setting back.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn merged(&self, pairs: &[(String, String)]) -> Result<Self, SettingError> {
        if pairs.len() > SETTING_PAIRS_MAX {
            return Err(SettingError::TooMany { pairs: pairs.len() });
        }
        let mut merged = self.clone();
        let mut seen = Vec::new();
        for (name, text) in pairs {
            let key = SettingKey::find(name).ok_or_else(|| unknown(name))?;
            if seen.contains(&key) {
                return Err(SettingError::Repeated { key: key.name() });
            }
            seen.push(key);
            key.set(&mut merged, read(key, text)?);
        }
        Ok(merged)
    }

    /// Every setting as key and value.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<SettingPair> {
        SettingKey::ALL
            .into_iter()
            .map(|key| {
                let value = key.get(self);
                SettingPair {
                    key: key.name(),
                    value: value.map_or_else(|| "-1".to_owned(), |value| value.to_string()),
                    is_default: value == key.default_value(),
                }
            })
            .collect()
    }

    /// Whether every setting is within its bounds; settings that were not read from pairs may not
    /// be.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        SettingKey::ALL.into_iter().try_for_each(|key| match key.get(self) {
            Some(value) => check_bounds(key, value, &value.to_string()),
            None => Ok(()),
        })
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        let mut settings = TopicSettings {
            segment_bytes: 0,
            segment_ms: 0,
            retention_ms: None,
            retention_bytes: None,
            batch_bytes_max: 0,
            record_bytes_max: 0,
        };
        for key in SettingKey::ALL {
            key.set(&mut settings, key.default_value());
        }
        settings
    }
}

fn read(key: SettingKey, text: &str) -> Result<Option<u64>, SettingError> {
    match parse(text, key.unit()) {
        Some(Value::Number(number)) => check_bounds(key, number, text).map(|()| Some(number)),
        Some(Value::Unlimited) if key.may_be_unlimited() => Ok(None),
        Some(Value::Unlimited) => Err(out_of_bounds(key, text)),
        Some(Value::Default) => Ok(key.default_value()),
        None => Err(SettingError::Malformed {
            key: key.name(),
            value: shortened(text),
            allowed: allowed(key),
        }),
    }
}

fn check_bounds(key: SettingKey, value: u64, text: &str) -> Result<(), SettingError> {
    let (lowest, highest) = key.bounds();
    if (lowest..=highest).contains(&value) { Ok(()) } else { Err(out_of_bounds(key, text)) }
}

fn out_of_bounds(key: SettingKey, text: &str) -> SettingError {
    SettingError::OutOfBounds { key: key.name(), value: shortened(text), allowed: allowed(key) }
}

fn unknown(name: &str) -> SettingError {
    let key = shortened(name);
    let nearest = SettingKey::ALL
        .into_iter()
        .map(|known| (edits(&key, known.name()), known.name()))
        .min()
        .filter(|&(edits, known)| edits <= known.len() / 2)
        .map(|(_, known)| known);
    SettingError::Unknown { key, nearest }
}

fn key_names() -> String {
    SettingKey::ALL.map(SettingKey::name).join(", ")
}

/// A text for an error message, which must not grow with what was sent.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Letters to insert, remove or change to get from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}
