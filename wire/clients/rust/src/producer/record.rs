//! What goes into a producer, and what comes back.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// A record to send.
///
/// ```
/// use ringspool_client::ProduceRecord;
///
/// let record = ProduceRecord::new("orders")
///     .key("customer-17")
///     .value(r#"{"item":"lamp"}"#)
///     .header("trace", "6f1c");
/// ```
///
/// Topics are given as `Arc<str>` inside: clone one, rather than pass a `&str`, where every
/// allocation counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; `None`: the producer's fixed one, or else by the key.
    pub partition: Option<u32>,
    /// Records with the same key go to the same partition. Empty: no key.
    pub key: Bytes,
    /// What the record says.
    pub value: Bytes,
    /// Names (not unique) and values.
    pub headers: Vec<(String, Bytes)>,
    /// Milliseconds since 1970; `None`: now.
    pub timestamp_ms: Option<i64>,
}

impl ProduceRecord {
    /// An empty record.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        ProduceRecord {
            topic: topic.into(),
            partition: None,
            key: Bytes::new(),
            value: Bytes::new(),
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// Sets the partition.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = key.into();
        self
    }

    /// Sets the value.
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = value.into();
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Bytes of key, value and headers.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + self.value.len() + headers.sum::<usize>()
    }
}

/// Where a record is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The partition.
    pub partition: u32,
    /// The offset; `None` with `acks=none`, where nobody says. Of a record in chunks: that of the
    /// last chunk.
    pub offset: Option<u64>,
    /// The record's timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// It was sent more than once, and an earlier try had put it into the log.
    pub duplicate: bool,
}

/// Milliseconds since 1970, by this machine's clock.
pub(super) fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}
