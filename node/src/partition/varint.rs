//! Integers of as many bytes as they need (LEB128), and a reader that refuses longer forms.

/// Appends an unsigned integer.
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer: zigzag, so that small ones of either sign are short.
pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Takes values off the front of some bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.rest.split_first().ok_or("it is cut short")?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn uint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err("an integer is too long");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("an integer is too long")
    }

    pub(super) fn uint32(&mut self) -> Result<u32, &'static str> {
        u32::try_from(self.uint()?).map_err(|_| "an integer is too large")
    }

    pub(super) fn int(&mut self) -> Result<i64, &'static str> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A value stored as the difference to `before`.
    pub(super) fn rise(&mut self, before: u64) -> Result<u64, &'static str> {
        before.checked_add(self.uint()?).ok_or("an integer is too large")
    }

    /// How many things follow. Each takes a byte at least, so that a wrong number is found before
    /// memory is asked for it.
    pub(super) fn count(&mut self) -> Result<usize, &'static str> {
        let count = self.uint()?;
        if count > self.rest.len() as u64 {
            return Err("it is cut short");
        }
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_round_trip(unsigned in any::<u64>(), shift in 0u32..64, signed in any::<i64>()) {
            let mut out = Vec::new();
            put_uint(&mut out, unsigned >> shift);
            put_int(&mut out, signed >> shift);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint().unwrap(), unsigned >> shift);
            prop_assert_eq!(reader.int().unwrap(), signed >> shift);
            prop_assert!(reader.rest().is_empty());
        }
    }

    #[test]
    fn extremes_round_trip() {
        for value in [0, 1, 127, 128, u64::MAX] {
            let mut out = Vec::new();
            put_uint(&mut out, value);
            assert_eq!(Reader::new(&out).uint(), Ok(value));
        }
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            let mut out = Vec::new();
            put_int(&mut out, value);
            assert_eq!(Reader::new(&out).int(), Ok(value));
        }
    }

    #[test]
    fn only_the_shortest_form_is_taken() {
        for bytes in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0xff; 11], &[0x80; 9], &[]] {
            assert!(Reader::new(bytes).uint().is_err(), "{bytes:?}");
        }
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert!(Reader::new(&beyond).uint().is_err());
        assert!(Reader::new(&[5, 0]).count().is_err(), "five things in one byte");
    }
}
