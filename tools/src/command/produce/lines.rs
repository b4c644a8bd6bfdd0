//! Cuts a file or a pipe into lines, a block of whole lines at a time.
//!
//! A thread of its own reads, so that a slow pipe never holds up deliveries. The bytes are any
//! bytes; a line ends at `\n`, which is not part of it; a last line without `\n` counts; an empty
//! line is an empty record. Memory: a few blocks of [`READ_BYTES`], or one line of the largest
//! record allowed. A block is handed on as soon as one read has completed it, so a pipe that
//! trickles is followed line by line.

use std::io::{self, Read};
use std::thread;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

/// Bytes asked for in one read.
const READ_BYTES: usize = 1 << 20;

/// Blocks read ahead of the sender.
const BLOCKS_AHEAD: usize = 4;

/// Why reading stopped before the end of the input.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    /// The operating system could not read.
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    /// A line is longer than a record may be.
    #[error(
        "line {line} of {name} is longer than a record may be ({bytes_max} bytes); \
         allow more with --record-bytes-max and the topic's setting record_bytes_max, or send the \
         file as one record with --whole-file"
    )]
    LineTooLong { name: String, line: u64, bytes_max: usize },
    /// The whole file is longer than a record may be.
    #[error(
        "{name} is longer than a record may be ({bytes_max} bytes); \
         allow more with --record-bytes-max and the topic's setting record_bytes_max"
    )]
    FileTooLong { name: String, bytes_max: usize },
}

/// Whole lines, back to back.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    /// Where each line ends in `bytes`, exclusive, newline not included.
    ends: Vec<usize>,
}

impl Block {
    /// All of `bytes` as one record.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let ends = vec![bytes.len()];
        Block { bytes, ends }
    }

    /// Cuts `bytes` at its newlines. Bytes after the last one are a line, too.
    fn cut(bytes: Vec<u8>) -> Self {
        let mut ends = Vec::with_capacity(bytes.len() / 64 + 1);
        ends.extend(memchr::memchr_iter(b'\n', &bytes));
        if bytes.last().is_some_and(|&last| last != b'\n') {
            ends.push(bytes.len());
        }
        Block { bytes: Bytes::from(bytes), ends }
    }

    /// The lines, sharing the block's memory.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let line = self.bytes.slice(start..end);
            start = end + 1;
            line
        })
    }

    /// Bytes of input in this block.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn longest(&self) -> Option<(usize, usize)> {
        let mut start = 0;
        let lengths = self.ends.iter().map(move |&end| {
            let length = end - start;
            start = end + 1;
            length
        });
        lengths.enumerate().max_by_key(|&(_, length)| length)
    }
}

/// Starts the reading thread. The channel ends with the input or after the first error.
pub(crate) fn spawn(
    input: impl Read + Send + 'static,
    name: String,
    line_bytes_max: usize,
) -> io::Result<mpsc::Receiver<Result<Block, InputError>>> {
    let (sender, receiver) = mpsc::channel(BLOCKS_AHEAD);
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut cutter = Cutter::new(input, name, line_bytes_max);
        loop {
            let next = match cutter.next_block() {
                Ok(Some(block)) => Ok(block),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let last = next.is_err();
            // A receiver that has gone wants no more.
            if sender.blocking_send(next).is_err() || last {
                return;
            }
        }
    })?;
    Ok(receiver)
}

struct Cutter<R> {
    input: R,
    name: String,
    line_bytes_max: usize,
    scratch: Vec<u8>,
    /// The start of a line whose end has not been read yet.
    carry: Vec<u8>,
    lines_before: u64,
    ended: bool,
}

impl<R: Read> Cutter<R> {
    fn new(input: R, name: String, line_bytes_max: usize) -> Self {
        Cutter {
            input,
            name,
            line_bytes_max,
            scratch: vec![0; READ_BYTES],
            carry: Vec::new(),
            lines_before: 0,
            ended: false,
        }
    }

    /// The next whole lines; `None` at the end.
    fn next_block(&mut self) -> Result<Option<Block>, InputError> {
        while !self.ended {
            let count = match self.input.read(&mut self.scratch) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(InputError::Read { name: self.name.clone(), source });
                }
            };
            if count == 0 {
                self.ended = true;
                break;
            }
            let fresh = &self.scratch[..count];
            let Some(last_newline) = memchr::memrchr(b'\n', fresh) else {
                self.carry.extend_from_slice(fresh);
                if self.carry.len() > self.line_bytes_max {
                    return Err(self.too_long(self.lines_before));
                }
                continue;
            };
            let mut bytes = std::mem::take(&mut self.carry);
            bytes.extend_from_slice(&fresh[..=last_newline]);
            self.carry.extend_from_slice(&fresh[last_newline + 1..]);
            return self.checked(Block::cut(bytes)).map(Some);
        }
        if self.carry.is_empty() {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.carry);
        self.checked(Block::cut(bytes)).map(Some)
    }

    fn checked(&mut self, block: Block) -> Result<Block, InputError> {
        // Only a block that is longer than a record may be can hold a line that is.
        if block.bytes.len() > self.line_bytes_max
            && let Some((index, length)) = block.longest()
            && length > self.line_bytes_max
        {
            return Err(self.too_long(self.lines_before + index as u64));
        }
        self.lines_before += block.ends.len() as u64;
        Ok(block)
    }

    fn too_long(&self, lines_before: u64) -> InputError {
        InputError::LineTooLong {
            name: self.name.clone(),
            line: lines_before + 1,
            bytes_max: self.line_bytes_max,
        }
    }
}

/// Starts a thread that reads all of the input as one record.
pub(crate) fn spawn_whole(
    input: impl Read + Send + 'static,
    name: String,
    bytes_expected: Option<u64>,
    bytes_max: usize,
) -> io::Result<mpsc::Receiver<Result<Block, InputError>>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        // A receiver that has gone wants nothing.
        let _ = sender.blocking_send(whole_file(input, &name, bytes_expected, bytes_max));
    })?;
    Ok(receiver)
}

/// Reads all of `input` as one record.
fn whole_file(
    input: impl Read,
    name: &str,
    bytes_expected: Option<u64>,
    bytes_max: usize,
) -> Result<Block, InputError> {
    let too_long = || InputError::FileTooLong { name: name.to_owned(), bytes_max };
    // Refused before reading where the length is known.
    if bytes_expected.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(bytes_expected.unwrap_or(0) as usize);
    input
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Read { name: name.to_owned(), source })?;
    if bytes.len() > bytes_max {
        return Err(too_long());
    }
    Ok(Block::whole(Bytes::from(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Gives at most `step` bytes a read, as a pipe does.
    struct Trickle<'a> {
        rest: &'a [u8],
        step: usize,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(self.rest.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.rest[..count]);
            self.rest = &self.rest[count..];
            Ok(count)
        }
    }

    fn lines_of(input: &[u8], step: usize, max: usize) -> Result<Vec<Vec<u8>>, InputError> {
        let mut cutter = Cutter::new(Trickle { rest: input, step }, "input".to_owned(), max);
        let mut lines = Vec::new();
        while let Some(block) = cutter.next_block()? {
            lines.extend(block.lines().map(|line| line.to_vec()));
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_the_same_however_the_input_arrives() {
        let input = b"one\n\ntwo \xff\xfe\r\n\n\nlast without newline";
        let expected: Vec<&[u8]> =
            vec![b"one", b"", b"two \xff\xfe\r", b"", b"", b"last without newline"];
        for step in 1..=input.len() + 1 {
            assert_eq!(lines_of(input, step, 1000).unwrap(), expected, "step {step}");
        }
    }

    #[test]
    fn a_final_newline_starts_no_record_and_nothing_is_no_record() {
        assert_eq!(lines_of(b"a\n", 1, 10).unwrap(), [b"a"]);
        assert_eq!(lines_of(b"\n", 1, 10).unwrap(), [b""]);
        assert!(lines_of(b"", 1, 10).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_named_by_its_number() {
        for step in [1, 3, 100] {
            assert_eq!(lines_of(b"aaaa\nbbbb\n", step, 4).unwrap().len(), 2, "step {step}");
            let error = lines_of(b"a\nb\naaaaa\n", step, 4).unwrap_err();
            assert!(matches!(error, InputError::LineTooLong { line: 3, .. }), "{step} {error}");
            let error = lines_of(b"a\naaaaa", step, 4).unwrap_err();
            assert!(matches!(error, InputError::LineTooLong { line: 2, .. }), "{step} {error}");
        }
    }

    #[test]
    fn a_whole_file_keeps_its_newlines_and_has_a_limit() {
        let block = whole_file(&b"a\nb\n"[..], "f", None, 4).unwrap();
        assert_eq!(block.lines().collect::<Vec<_>>(), [&b"a\nb\n"[..]]);
        for known in [None, Some(5)] {
            let error = whole_file(&b"a\nb\n."[..], "f", known, 4).unwrap_err();
            assert!(matches!(error, InputError::FileTooLong { bytes_max: 4, .. }), "{error}");
        }
    }
}
