//! How a record is printed: its value's bytes, or one JSON object a line.
//!
//! ```text
//! {"topic":"events","partition":0,"offset":12,"timestamp":1769860800000,
//!  "key":null,"value":"text","headers":[{"name":"n","value":{"base64":"/w=="}}]}
//! ```
//! Bytes that are UTF-8 are a string, others `{"base64":…}`. No key and an empty key are the same
//! to the protocol: null. Header names may repeat and have an order, hence the list.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringspool_client::ConsumedRecord;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::cli::FormatArg;

/// Prints records of one topic.
pub(crate) struct Writer<'a, W> {
    output: W,
    format: FormatArg,
    topic: &'a str,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Prints to `output`, which should be buffered.
    pub(crate) fn new(output: W, format: FormatArg, topic: &'a str) -> Self {
        Writer { output, format, topic }
    }

    /// Prints one record.
    pub(crate) fn record(&mut self, consumed: &ConsumedRecord) -> io::Result<()> {
        let record = &consumed.record;
        match self.format {
            FormatArg::Value => self.output.write_all(&record.value)?,
            FormatArg::Json => {
                let headers = record
                    .headers
                    .iter()
                    .map(|(name, value)| JsonHeader { name, value: JsonBytes(value) })
                    .collect();
                let line = JsonRecord {
                    topic: self.topic,
                    partition: consumed.partition,
                    offset: record.offset,
                    timestamp: record.timestamp_ms,
                    key: (!record.key.is_empty()).then_some(JsonBytes(&record.key)),
                    value: JsonBytes(&record.value),
                    headers,
                };
                serde_json::to_writer(&mut self.output, &line)?;
            }
        }
        self.output.write_all(b"\n")
    }

    /// Hands everything on.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<JsonBytes<'a>>,
    value: JsonBytes<'a>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: JsonBytes<'a>,
}

/// Text where it is text.
struct JsonBytes<'a>(&'a [u8]);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use ringspool_wire::batch::Record;

    use super::*;

    fn printed(format: FormatArg, key: &'static [u8], value: &'static [u8]) -> Vec<u8> {
        let record = Record {
            offset: 7,
            timestamp_ms: 1000,
            key: Bytes::from_static(key),
            value: Bytes::from_static(value),
            headers: vec![("n".to_owned(), Bytes::from_static(b"\xff"))],
        };
        let consumed = ConsumedRecord { topic: "t".into(), partition: 2, record };
        let mut output = Vec::new();
        Writer::new(&mut output, format, "t").record(&consumed).unwrap();
        output
    }

    #[test]
    fn a_value_is_its_bytes_and_a_newline() {
        assert_eq!(printed(FormatArg::Value, b"k", b"\xff\x00"), b"\xff\x00\n");
        assert_eq!(printed(FormatArg::Value, b"", b""), b"\n");
    }

    #[test]
    fn json_is_one_line_with_text_where_it_is_text() {
        let text = String::from_utf8(printed(FormatArg::Json, b"k", b"a\n\"b\"")).unwrap();
        let expected = concat!(
            r#"{"topic":"t","partition":2,"offset":7,"timestamp":1000,"key":"k","#,
            r#""value":"a\n\"b\"","headers":[{"name":"n","value":{"base64":"/w=="}}]}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn json_has_null_for_no_key_and_base64_for_other_bytes() {
        let text = String::from_utf8(printed(FormatArg::Json, b"", b"\xff\xfe")).unwrap();
        assert!(text.contains(r#""key":null,"value":{"base64":"//4="}"#), "{text}");
    }
}
