//! The settings a topic has: their names, units, bounds and defaults, in one table.

use super::settings::TopicSettings;

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;
pub(super) const TIB: u64 = 1024 * GIB;
pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// What a setting's number counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    Bytes,
    Millis,
}

/// A setting of a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SettingKey {
    /// Bytes after which a segment is closed and the next one begun.
    SegmentBytes,
    /// Age at which a segment is closed, even if it is small.
    SegmentMs,
    /// Age at which records go.
    RetentionMs,
    /// Bytes a partition keeps; the oldest segments go first.
    RetentionBytes,
    /// Bytes of the largest batch.
    BatchBytesMax,
    /// Bytes of the largest record, in however many batches.
    RecordBytesMax,
}

impl SettingKey {
    /// Every setting, in the order they are shown.
    pub const ALL: [SettingKey; 6] = [
        SettingKey::SegmentBytes,
        SettingKey::SegmentMs,
        SettingKey::RetentionMs,
        SettingKey::RetentionBytes,
        SettingKey::BatchBytesMax,
        SettingKey::RecordBytesMax,
    ];

    /// The key as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SettingKey::SegmentBytes => "segment_bytes",
            SettingKey::SegmentMs => "segment_ms",
            SettingKey::RetentionMs => "retention_ms",
            SettingKey::RetentionBytes => "retention_bytes",
            SettingKey::BatchBytesMax => "batch_bytes_max",
            SettingKey::RecordBytesMax => "record_bytes_max",
        }
    }

    /// The default; `None` is unlimited.
    pub(super) fn default_value(self) -> Option<u64> {
        match self {
            SettingKey::SegmentBytes => Some(256 * MIB),
            SettingKey::SegmentMs => Some(7 * DAY),
            SettingKey::RetentionMs | SettingKey::RetentionBytes => None,
            SettingKey::BatchBytesMax => Some(8 * MIB),
            SettingKey::RecordBytesMax => Some(64 * MIB),
        }
    }

    /// The lowest and the highest value.
    pub(super) fn bounds(self) -> (u64, u64) {
        match self {
            SettingKey::SegmentBytes => (MIB, GIB),
            SettingKey::SegmentMs => (SECOND, 3650 * DAY),
            SettingKey::RetentionMs => (1, 36_500 * DAY),
            SettingKey::RetentionBytes => (1, 1024 * TIB),
            SettingKey::BatchBytesMax => (64 * KIB, 8 * MIB),
            SettingKey::RecordBytesMax => (KIB, GIB),
        }
    }

    /// Whether it may be unlimited.
    pub(super) fn may_be_unlimited(self) -> bool {
        matches!(self, SettingKey::RetentionMs | SettingKey::RetentionBytes)
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            SettingKey::SegmentMs | SettingKey::RetentionMs => Unit::Millis,
            SettingKey::SegmentBytes
            | SettingKey::RetentionBytes
            | SettingKey::BatchBytesMax
            | SettingKey::RecordBytesMax => Unit::Bytes,
        }
    }

    /// The key of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        SettingKey::ALL.into_iter().find(|key| key.name() == name)
    }

    pub(super) fn get(self, settings: &TopicSettings) -> Option<u64> {
        match self {
            SettingKey::SegmentBytes => Some(settings.segment_bytes),
            SettingKey::SegmentMs => Some(settings.segment_ms),
            SettingKey::RetentionMs => settings.retention_ms,
            SettingKey::RetentionBytes => settings.retention_bytes,
            SettingKey::BatchBytesMax => Some(u64::from(settings.batch_bytes_max)),
            SettingKey::RecordBytesMax => Some(settings.record_bytes_max),
        }
    }

    /// Sets a value that is within bounds; `None` (unlimited) only where that is allowed.
    pub(super) fn set(self, settings: &mut TopicSettings, value: Option<u64>) {
        let limited = value.unwrap_or(self.bounds().1);
        match self {
            SettingKey::SegmentBytes => settings.segment_bytes = limited,
            SettingKey::SegmentMs => settings.segment_ms = limited,
            SettingKey::RetentionMs => settings.retention_ms = value,
            SettingKey::RetentionBytes => settings.retention_bytes = value,
            SettingKey::BatchBytesMax => {
                settings.batch_bytes_max = u32::try_from(limited).unwrap_or(u32::MAX);
            }
            SettingKey::RecordBytesMax => settings.record_bytes_max = limited,
        }
    }
}
