//! What a run does. Every setting is in its report, because a number means nothing without them.

use std::time::Duration;

use ringspool_wire::{Acks, BATCH_BYTES_DEFAULT, BATCH_BYTES_MAX};
use serde::{Serialize, Serializer};

use crate::error::BenchError;
use crate::payload::{Filler, STAMP_BYTES};
use crate::template::Template;

/// Records that are read when neither their number nor a duration is said, and none are there.
pub const COUNT_DEFAULT: u64 = 1_000_000;

/// Load comes from one thread each; more of them measure the scheduler.
const THREADS_MAX: u32 = 1_024;

/// Requests in flight of one producer: as many as the client takes at once on a connection.
const IN_FLIGHT_MAX: u32 = 256;

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// After this time, warm-up not included. In seconds.
    #[serde(rename = "duration_s", serialize_with = "seconds")]
    Duration(Duration),
    /// After this many records. There is no warm-up then: all of them count.
    Count(u64),
}

/// A run of `bench produce` or `bench consume`.
#[derive(Clone, Debug, Serialize)]
pub struct LoadSettings {
    /// Servers to ask first, each `HOST:PORT`.
    pub servers: Vec<String>,
    /// The topic; made when it does not exist.
    pub topic: String,
    /// Partitions it must have; unset: those it has, or one when it is made.
    pub partitions: Option<u32>,
    /// Threads that write, each with a client and connections of its own.
    pub producers: u32,
    /// Threads that read, each with a client and partitions of its own.
    pub consumers: u32,
    /// Bytes of each record's value.
    pub record_bytes: u32,
    /// Records of each request.
    pub batch: u32,
    /// Requests that each producer has in flight, all the time.
    pub in_flight: u32,
    /// When a request counts as acknowledged.
    #[serde(serialize_with = "acks_name")]
    pub acks: Acks,
    /// When the run ends; unset, for reading only: at the end of what is there.
    #[serde(flatten)]
    pub limit: Option<Limit>,
    /// How long a produce run with a duration goes on before it counts. In seconds.
    #[serde(rename = "warm_up_s", serialize_with = "seconds")]
    pub warm_up: Duration,
}

impl LoadSettings {
    /// Checks what can be checked without a server.
    ///
    /// # Errors
    ///
    /// [`BenchError::Setting`] with the option that cannot be.
    pub fn check(&self) -> Result<(), BenchError> {
        within("--producers", self.producers, 1, THREADS_MAX)?;
        within("--consumers", self.consumers, 1, THREADS_MAX)?;
        within("--in-flight", self.in_flight, 1, IN_FLIGHT_MAX)?;
        within("--batch", self.batch, 1, u32::MAX)?;
        within("--record-bytes", self.record_bytes, STAMP_BYTES as u32, BATCH_BYTES_MAX)?;
        if self.limit == Some(Limit::Count(0)) {
            return Err(setting("--count", 0, "at least one record".to_owned()));
        }
        let payload = u64::from(self.batch) * u64::from(self.record_bytes);
        let too_much = || {
            let allowed = format!(
                "with --record-bytes {} that is {payload} bytes, and a batch has at most \
                 {BATCH_BYTES_MAX} with its framing",
                self.record_bytes
            );
            setting("--batch", self.batch, allowed)
        };
        if payload > u64::from(BATCH_BYTES_MAX) || self.template(&Filler::new()).is_err() {
            return Err(too_much());
        }
        Ok(())
    }

    /// What the topic's setting `batch_bytes_max` must be for these batches; `None`: its default
    /// will do.
    pub(crate) fn batch_bytes_max(&self, template: &Template) -> Option<u32> {
        (template.batch_bytes() > BATCH_BYTES_DEFAULT as usize).then_some(BATCH_BYTES_MAX)
    }

    pub(crate) fn template(&self, filler: &Filler) -> Result<Template, BenchError> {
        Ok(Template::new(filler, self.batch, self.record_bytes as usize)?)
    }
}

fn within(option: &'static str, value: u32, min: u32, max: u32) -> Result<(), BenchError> {
    if value < min || value > max {
        return Err(setting(option, value, format!("it goes from {min} to {max}")));
    }
    Ok(())
}

fn setting(option: &'static str, value: u32, allowed: String) -> BenchError {
    BenchError::Setting { option, value: value.to_string(), allowed }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn acks_name<S: Serializer>(acks: &Acks, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name_of(*acks))
}

/// As it is typed.
pub(crate) fn name_of(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "none",
        Acks::Leader => "leader",
        Acks::Quorum => "quorum",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings() -> LoadSettings {
        LoadSettings {
            servers: vec!["127.0.0.1:7400".to_owned()],
            topic: "t".to_owned(),
            partitions: None,
            producers: 1,
            consumers: 1,
            record_bytes: 1000,
            batch: 100,
            in_flight: 1,
            acks: Acks::Quorum,
            limit: Some(Limit::Duration(Duration::from_millis(1500))),
            warm_up: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_options_name() {
        settings().check().unwrap();
        LoadSettings { batch: 8000, ..settings() }.check().unwrap();
        let cases = [
            ("--producers", LoadSettings { producers: 0, ..settings() }),
            ("--consumers", LoadSettings { consumers: 5000, ..settings() }),
            ("--in-flight", LoadSettings { in_flight: 0, ..settings() }),
            ("--record-bytes", LoadSettings { record_bytes: 23, ..settings() }),
            ("--batch", LoadSettings { batch: 0, ..settings() }),
            ("--batch", LoadSettings { batch: 9000, ..settings() }),
            ("--batch", LoadSettings { record_bytes: BATCH_BYTES_MAX, batch: 1, ..settings() }),
            ("--count", LoadSettings { limit: Some(Limit::Count(0)), ..settings() }),
        ];
        for (option, settings) in cases {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(option), "{option}: {error}");
        }
    }

    #[test]
    fn json_names_every_unit() {
        let value = serde_json::to_value(settings()).unwrap();
        assert_eq!(value["duration_s"], 1.5);
        assert_eq!(value["warm_up_s"], 1.0);
        assert_eq!(value["acks"], "quorum");
        let counted = LoadSettings { limit: Some(Limit::Count(7)), ..settings() };
        assert_eq!(serde_json::to_value(counted).unwrap()["count"], 7);
    }
}
