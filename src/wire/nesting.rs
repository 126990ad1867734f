//! How deep MessagePack bytes nest, found out without recursion and before anything is decoded.
//!
//! rmp-serde counts the depth of sequences and maps but not of enums, so a megabyte of nested enum variants overflows the
//! stack and aborts the process. This counts every open array and map instead, byte by byte, in constant memory. It works
//! in both directions: over whole bytes that came from outside, and as the filter through which an encoder writes, where
//! it stops a state that could never be read again, and stops it before the encoder's own recursion goes too deep.
//!
//! Invariant: bytes that passed are exactly one MessagePack value, and nothing in it nests deeper than `DEPTH_MAX`.

/// Arrays and maps within each other, at most. A named struct is one level, an enum variant with content another.
pub(crate) const DEPTH_MAX: usize = 64;

/// Why bytes did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// More than `DEPTH_MAX` arrays and maps within each other.
    TooDeep,
    /// Not exactly one MessagePack value.
    Malformed,
}

/// What the length bytes that are being gathered will be the length of.
#[derive(Clone, Copy)]
enum Sized {
    /// That many bytes, and one more for an extension's type.
    Bytes { extra: u64 },
    /// That many values.
    Array,
    /// That many pairs of values.
    Map,
}

/// The state between two bytes.
pub(crate) struct Nesting {
    /// How many values each open array or map still lacks; the first `depth` count.
    lacking: [u64; DEPTH_MAX],
    depth: usize,
    /// Bytes of the present value that are still to come and say nothing about nesting.
    skip: u64,
    /// Length bytes still to come, what they are a length of, and their value so far.
    length: Option<(u8, Sized, u64)>,
    complete: bool,
}

impl Nesting {
    pub(crate) const fn new() -> Self {
        Self { lacking: [0; DEPTH_MAX], depth: 0, skip: 0, length: None, complete: false }
    }

    /// Looks at whole bytes.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), Flaw> {
        let mut nesting = Self::new();
        nesting.push(bytes)?;
        nesting.finish()
    }

    /// Looks at the next bytes, wherever they were cut.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let here = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
                rest = &rest[here..];
                self.skip -= here as u64;
                if self.skip == 0 {
                    self.value_ended();
                }
                continue;
            }
            let byte = rest[0];
            rest = &rest[1..];
            if self.complete {
                return Err(Flaw::Malformed);
            }
            match self.length.take() {
                None => self.marker(byte)?,
                Some((1, of, value)) => self.sized(of, value << 8 | u64::from(byte))?,
                Some((left, of, value)) => self.length = Some((left - 1, of, value << 8 | u64::from(byte))),
            }
        }
        Ok(())
    }

    /// Says whether what was pushed is one whole value.
    pub(crate) fn finish(&self) -> Result<(), Flaw> {
        if self.complete { Ok(()) } else { Err(Flaw::Malformed) }
    }

    fn marker(&mut self, byte: u8) -> Result<(), Flaw> {
        match byte {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => self.value_ended(),
            0x80..=0x8f => self.sized(Sized::Map, u64::from(byte & 0x0f))?,
            0x90..=0x9f => self.sized(Sized::Array, u64::from(byte & 0x0f))?,
            0xa0..=0xbf => self.sized(Sized::Bytes { extra: 0 }, u64::from(byte & 0x1f))?,
            0xc1 => return Err(Flaw::Malformed),
            0xc4 | 0xd9 => self.length = Some((1, Sized::Bytes { extra: 0 }, 0)),
            0xc5 | 0xda => self.length = Some((2, Sized::Bytes { extra: 0 }, 0)),
            0xc6 | 0xdb => self.length = Some((4, Sized::Bytes { extra: 0 }, 0)),
            0xc7 => self.length = Some((1, Sized::Bytes { extra: 1 }, 0)),
            0xc8 => self.length = Some((2, Sized::Bytes { extra: 1 }, 0)),
            0xc9 => self.length = Some((4, Sized::Bytes { extra: 1 }, 0)),
            0xcc | 0xd0 => self.skip = 1,
            0xcd | 0xd1 | 0xd4 => self.skip = 2,
            0xd5 => self.skip = 3,
            0xca | 0xce | 0xd2 => self.skip = 4,
            0xd6 => self.skip = 5,
            0xcb | 0xcf | 0xd3 => self.skip = 8,
            0xd7 => self.skip = 9,
            0xd8 => self.skip = 17,
            0xdc => self.length = Some((2, Sized::Array, 0)),
            0xdd => self.length = Some((4, Sized::Array, 0)),
            0xde => self.length = Some((2, Sized::Map, 0)),
            0xdf => self.length = Some((4, Sized::Map, 0)),
        }
        Ok(())
    }

    fn sized(&mut self, of: Sized, length: u64) -> Result<(), Flaw> {
        let values = match of {
            Sized::Bytes { extra } => {
                self.skip = length + extra;
                if self.skip == 0 {
                    self.value_ended();
                }
                return Ok(());
            }
            Sized::Array => length,
            Sized::Map => 2 * length,
        };
        if self.depth == DEPTH_MAX {
            return Err(Flaw::TooDeep);
        }
        if values == 0 {
            self.value_ended();
        } else {
            self.lacking[self.depth] = values;
            self.depth += 1;
        }
        Ok(())
    }

    fn value_ended(&mut self) {
        while self.depth > 0 {
            self.lacking[self.depth - 1] -= 1;
            if self.lacking[self.depth - 1] > 0 {
                return;
            }
            self.depth -= 1;
        }
        self.complete = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x91; depth];
        bytes.push(0xc0);
        bytes
    }

    #[test]
    fn sixty_four_levels_pass_and_sixty_five_do_not() {
        assert_eq!(Nesting::check(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(Nesting::check(&nested(DEPTH_MAX + 1)), Err(Flaw::TooDeep));
        let mut empty_below = vec![0x91; DEPTH_MAX];
        empty_below.push(0x90);
        assert_eq!(Nesting::check(&empty_below), Err(Flaw::TooDeep));
    }

    #[test]
    fn siblings_do_not_add_up() {
        let mut bytes = vec![0xdc, 0x03, 0xe8];
        for _ in 0..1000 {
            bytes.extend([0x81, 0xa1, b'k', 0x90]);
        }
        assert_eq!(Nesting::check(&bytes), Ok(()));
    }

    #[test]
    fn what_is_not_exactly_one_value_is_malformed() {
        for bad in [&[][..], &[0xc1], &[0x92, 0x01], &[0xa5, b'a'], &[0xdc, 0x00], &[0x01, 0x02], &[0xc7, 0x00]] {
            assert_eq!(Nesting::check(bad), Err(Flaw::Malformed), "{bad:x?}");
        }
    }

    #[test]
    fn every_marker_is_measured_as_long_as_it_is() {
        let with = |head: &[u8], body: usize| [head, &vec![0; body]].concat();
        let values = [
            with(&[0xca], 4),
            with(&[0xcb], 8),
            with(&[0xcc], 1),
            with(&[0xcd], 2),
            with(&[0xce], 4),
            with(&[0xcf], 8),
            with(&[0xd0], 1),
            with(&[0xd1], 2),
            with(&[0xd2], 4),
            with(&[0xd3], 8),
            with(&[0xd4], 2),
            with(&[0xd5], 3),
            with(&[0xd6], 5),
            with(&[0xd7], 9),
            with(&[0xd8], 17),
            with(&[0xc4, 3], 3),
            with(&[0xc5, 1, 0], 256),
            with(&[0xc6, 0, 0, 1, 0], 256),
            with(&[0xc7, 3], 4),
            with(&[0xc8, 0, 3], 4),
            with(&[0xc9, 0, 0, 0, 3], 4),
            with(&[0xd9, 3], 3),
            with(&[0xda, 0, 3], 3),
            with(&[0xdb, 0, 0, 0, 3], 3),
            with(&[0xde, 0, 2], 4),
            with(&[0xdf, 0, 0, 0, 2], 4),
            with(&[0xdd, 0, 0, 0, 2], 2),
            with(&[0x83], 6),
        ];
        for value in values {
            assert_eq!(Nesting::check(&value), Ok(()), "{value:x?}");
            assert_eq!(Nesting::check(&value[..value.len() - 1]), Err(Flaw::Malformed), "{value:x?}");
            let mut in_pieces = Nesting::new();
            for byte in &value {
                in_pieces.push(std::slice::from_ref(byte)).expect("the same bytes");
            }
            assert_eq!(in_pieces.finish(), Ok(()));
        }
    }
}
