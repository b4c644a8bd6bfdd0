//! Little-endian reading and writing. Reading checks every length before it allocates.

use super::DecodeError;

/// Writes values at the end of a buffer.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// A count of what is limited to far fewer than 2^32.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(super) fn option_u64(&mut self, value: Option<u64>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.u64(value);
        }
    }

    /// A text with its length. One that is too long for the length's two bytes is cut, and then
    /// refused by whoever checks the command; it was not acceptable before.
    pub(super) fn text(&mut self, text: &str) {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.u16(end as u16);
        self.put(&text.as_bytes()[..end]);
    }

    pub(super) fn option_text(&mut self, text: Option<&str>) {
        self.u8(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads values from the front of a slice.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(DecodeError::Truncated {
            at: self.at,
            needed: count,
            left: rest.len(),
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of at most `limit` elements, each of at least `element_bytes` bytes.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        element_bytes: usize,
    ) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        if count > limit {
            return Err(DecodeError::TooMany { what, count, limit });
        }
        let (needed, left) = (count * element_bytes, self.bytes.len() - self.at);
        if needed > left {
            return Err(DecodeError::Truncated { at: self.at, needed, left });
        }
        Ok(count)
    }

    /// Whether what follows is there: 0 or 1.
    pub(super) fn is_there(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            number => Err(DecodeError::Invalid { what, why: format!("flag is {number}") }),
        }
    }

    pub(super) fn option_u64(&mut self, what: &'static str) -> Result<Option<u64>, DecodeError> {
        self.is_there(what)?.then(|| self.u64()).transpose()
    }

    /// A text of at most `limit` bytes.
    pub(super) fn text(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<&'a str, DecodeError> {
        let count = usize::from(self.u16()?);
        if count > limit {
            return Err(DecodeError::TooMany { what, count, limit });
        }
        std::str::from_utf8(self.take(count)?)
            .map_err(|error| DecodeError::Invalid { what, why: error.to_string() })
    }

    pub(super) fn option_text(
        &mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Option<&'a str>, DecodeError> {
        self.is_there(what)?.then(|| self.text(what, limit)).transpose()
    }

    /// Everything must have been read.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(DecodeError::LeftOver { at: self.at, left }),
        }
    }
}
