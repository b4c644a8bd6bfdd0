//! What the crate's own tests share: an executor to run on, and frozen bytes to compare with.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::future::Future;

/// Runs a test on an executor like a shard's, in a thread of its own.
pub(crate) fn on_executor<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    drop(crate::io::raise_memlock_limit());
    let executor = crate::io::spawn_pinned("test", 0, test).unwrap();
    assert!(executor.join().is_some(), "the test panicked, see above");
}

/// Bytes as text: 16 a line with their position, lines of zeros left out, the length at the end.
pub(crate) fn to_golden(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            write!(text, "{:08x}:", line * 16).unwrap();
            chunk.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
            text.push('\n');
        }
    }
    writeln!(text, "{:08x}: end", bytes.len()).unwrap();
    text
}

/// The bytes of such a text.
pub(crate) fn from_golden(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let (position, content) = line.split_once(':').unwrap();
        bytes.resize(usize::from_str_radix(position, 16).unwrap(), 0);
        for byte in content.split_whitespace().filter(|word| *word != "end") {
            bytes.push(u8::from_str_radix(byte, 16).unwrap());
        }
    }
    bytes
}

/// Compares bytes with frozen ones.
#[track_caller]
pub(crate) fn assert_golden(bytes: &[u8], golden: &str) {
    let text = to_golden(bytes);
    assert!(text == golden, "these bytes are frozen; now they are\n{text}");
    assert!(from_golden(golden) == bytes, "text and bytes are the same");
}
