//! `Arguments`: what follows a command's name, taken one after the other, and what can be wrong with it.

use std::{borrow::Cow, vec};

use bytes::Bytes;

use super::super::{
    frames::Reply,
    keys::{self, Span},
    wall_clock,
};

/// What was asked cannot be: nothing was done, and asking again the same way is of no use.
pub(crate) type Wrong = Cow<'static, str>;

pub(super) const SYNTAX: Wrong = Cow::Borrowed("ERR syntax error");
pub(super) const NO_NUMBER: Wrong = Cow::Borrowed("ERR value is not an integer or out of range");

impl From<Wrong> for Reply {
    fn from(wrong: Wrong) -> Self {
        Self::Error(wrong)
    }
}

/// The strings behind a command's name.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The command's name, in lower case.
    pub(super) of: &'static str,
    rest: vec::IntoIter<Bytes>,
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl Arguments {
    /// Of a command of that name.
    pub(crate) fn new(of: &'static str, rest: vec::IntoIter<Bytes>) -> Self {
        Self { of, rest }
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next one. Whoever calls it knows by the command's arity that there is one, or that it belongs to the one before.
    pub(super) fn string(&mut self) -> Result<Bytes, Wrong> {
        self.rest.next().ok_or(SYNTAX)
    }

    /// The next one, if there is one.
    pub(super) fn maybe(&mut self) -> Option<Bytes> {
        self.rest.next()
    }

    /// The next one as a word in lower case, if there is one; a long one is cut, which no word of ours is.
    pub(super) fn word(&mut self) -> Option<String> {
        self.rest.next().map(|word| lower(&word))
    }

    /// The next one as a whole number.
    pub(super) fn number(&mut self) -> Result<i64, Wrong> {
        number(&self.string()?)
    }

    /// All that are left.
    pub(super) fn all(&mut self) -> Vec<Bytes> {
        self.rest.by_ref().collect()
    }

    /// All that are left, two by two.
    pub(super) fn pairs(&mut self) -> Result<Vec<(Bytes, Bytes)>, Wrong> {
        if !self.len().is_multiple_of(2) {
            return Err(wrong_number(self.of));
        }
        let mut pairs = Vec::with_capacity(self.len() / 2);
        while let Some(one) = self.maybe() {
            pairs.push((one, self.string()?));
        }
        Ok(pairs)
    }

    /// Nothing more may follow.
    pub(super) fn end(&self) -> Result<(), Wrong> {
        if self.len() == 0 { Ok(()) } else { Err(SYNTAX) }
    }

    /// The next one as a time from now, as `SET` takes it: it must lie ahead, be it by a moment; of dates, any after 1970.
    pub(super) fn span(&mut self, unit: Unit) -> Result<Span, Wrong> {
        let number = self.number()?;
        if number <= 0 {
            return Err(self.invalid_time());
        }
        self.any_span(number, unit)
    }

    /// A time from now that may lie behind.
    pub(super) fn any_span(&self, number: i64, unit: Unit) -> Result<Span, Wrong> {
        unit.span(number).ok_or_else(|| self.invalid_time())
    }

    fn invalid_time(&self) -> Wrong {
        format!("ERR invalid expire time in '{}' command", self.of).into()
    }
}

impl Unit {
    /// So many of them from now; dates lie where they lie. `None`: beyond all that Redis takes.
    pub(crate) fn span(self, number: i64) -> Option<Span> {
        let millis = match self {
            Self::Seconds | Self::UnixSeconds => number.checked_mul(1_000)?,
            Self::Millis | Self::UnixMillis => number,
        };
        let now = wall_clock::unix_millis();
        let left = match self {
            Self::Seconds | Self::Millis => {
                // Redis keeps ends as dates: one that is none of 64 bits it refuses.
                millis.checked_add(now)?;
                i128::from(millis)
            }
            Self::UnixSeconds | Self::UnixMillis => i128::from(millis) - i128::from(now),
        };
        Some(Span::of_millis(left))
    }
}

/// A whole number of 64 bits, as it is read where it lies in a key.
pub(crate) fn number(bytes: &[u8]) -> Result<i64, Wrong> {
    keys::number::read(bytes).ok_or(NO_NUMBER)
}

/// A word in lower case.
pub(super) fn lower(word: &[u8]) -> String {
    const WORD_MAX: usize = 64;
    String::from_utf8_lossy(&word[..word.len().min(WORD_MAX)]).to_ascii_lowercase()
}

/// What a client wrote, as far as it is worth repeating.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 128;
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned()
}

/// The command got more or fewer strings than it takes.
pub(super) fn wrong_number(command: &str) -> Wrong {
    format!("ERR wrong number of arguments for '{command}' command").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for right in [0, 5, -5, 10, i64::MAX, i64::MIN] {
            assert_eq!(number(right.to_string().as_bytes()), Ok(right));
        }
        let wrong: [&[u8]; 15] = [
            b"",
            b"-",
            b"+5",
            b"-+5",
            b"--5",
            b"05",
            b"-05",
            b"00",
            b"-0",
            b" 5",
            b"5 ",
            b"5x",
            b"1.5",
            b"9223372036854775808",
            "1\u{0661}".as_bytes(),
        ];
        for wrong in wrong {
            assert_eq!(number(wrong), Err(NO_NUMBER), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn a_time_whose_end_is_no_date_of_64_bits_is_refused() {
        for beyond in [Unit::Seconds, Unit::Millis, Unit::UnixSeconds] {
            assert_eq!(beyond.span(i64::MAX), None, "{beyond:?}");
        }
        assert_eq!(Unit::Seconds.span(i64::MAX / 1_000), None);
        assert!(matches!(Unit::UnixMillis.span(i64::MAX), Some(Span::Millis(_))), "a date that there is");
        assert_eq!(Unit::Millis.span(5), Some(Span::Millis(5)));
        assert_eq!(Unit::Millis.span(i64::MIN), Some(Span::Over));
        let mut arguments = Arguments::new("set", vec![Bytes::from_static(b"9223372036854775807")].into_iter());
        assert_eq!(arguments.span(Unit::Millis), Err("ERR invalid expire time in 'set' command".into()));
    }
}
