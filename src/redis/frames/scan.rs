//! `Scan`: finds where the next request ends, before anything of it is decoded.
//!
//! A request is an array of strings, or one line of words. It goes on where it stopped when more has arrived, so a request in
//! many pieces is looked over once. It holds nothing of what it reads.

use std::fmt;

/// The longest line: a request in one line, or the head of an array or a string.
const LINE_MAX: usize = 64 << 10;
/// Digits of the longest length, and its sign.
const DIGITS_MAX: usize = 20;

/// What one request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Strings in it.
    pub(crate) strings: usize,
    /// Bytes of one string.
    pub(crate) string: usize,
    /// Bytes of all of it.
    pub(crate) bytes: usize,
}

/// What has arrived is no request. Nothing after it can be read either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolFault {
    /// The number of strings is no number, or too large.
    Strings,
    /// The length of a string is no number, or it does not end there.
    Length,
    /// A string is too long.
    TooLong { limit: usize },
    /// Something else than a string.
    NoString(u8),
    /// A line without an end.
    Line,
    /// A quote that is not closed.
    Quotes,
    /// More in all than a request may have.
    Bytes { limit: usize },
    /// The codec could make nothing of it.
    Undecodable,
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::Strings => f.write_str("invalid multibulk length"),
            Self::Length => f.write_str("invalid bulk length"),
            Self::TooLong { limit } => {
                write!(f, "invalid bulk length: a string has at most {limit} bytes here")
            }
            Self::NoString(byte) => write!(f, "expected '$', got '{}'", byte.escape_ascii()),
            Self::Line => f.write_str("too big inline request"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::Bytes { limit } => write!(f, "a request of more than {limit} bytes"),
            Self::Undecodable => f.write_str("this is no request"),
        }
    }
}

/// The next request, by the bytes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// An array of strings.
    Array(usize),
    /// An array without any; it is no request, and passed over.
    Empty(usize),
    /// A line, its end included.
    Line(usize),
}

/// How far it has come in the request that the buffer begins with.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    at: usize,
    /// Strings still to come; `None` before the head of the array.
    left: Option<usize>,
}

impl Scan {
    /// The request that these bytes begin with; `None`: more must arrive. After a request, begin with the bytes behind it.
    ///
    /// # Errors
    /// They begin with none.
    pub(crate) fn next(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<Extent>, ProtocolFault> {
        let Some(first) = bytes.first() else { return Ok(None) };
        if *first != b'*' {
            let Some(end) = bytes[self.at..].iter().position(|byte| *byte == b'\n') else {
                self.at = bytes.len();
                return if bytes.len() > LINE_MAX { Err(ProtocolFault::Line) } else { Ok(None) };
            };
            let taken = self.at + end + 1;
            *self = Self::default();
            return if taken > LINE_MAX { Err(ProtocolFault::Line) } else { Ok(Some(Extent::Line(taken))) };
        }
        if self.left.is_none() {
            let Some((count, end)) = head(bytes, 1).map_err(|()| ProtocolFault::Strings)? else { return Ok(None) };
            let Some(count) = count else { return Ok(Some(Extent::Empty(end))) };
            if count > bounds.strings {
                return Err(ProtocolFault::Strings);
            }
            if count == 0 {
                return Ok(Some(Extent::Empty(end)));
            }
            (self.at, self.left) = (end, Some(count));
        }
        while let Some(left @ 1..) = self.left {
            match bytes.get(self.at) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(other) => return Err(ProtocolFault::NoString(*other)),
            }
            let found = head(bytes, self.at + 1).map_err(|()| ProtocolFault::Length)?;
            let Some((length, begin)) = found else { return Ok(None) };
            let length = length.ok_or(ProtocolFault::Length)?;
            if length > bounds.string {
                return Err(ProtocolFault::TooLong { limit: bounds.string });
            }
            let end = begin + length + 2;
            if end > bounds.bytes {
                return Err(ProtocolFault::Bytes { limit: bounds.bytes });
            }
            if bytes.len() < end {
                return Ok(None);
            }
            if bytes[end - 2..end] != *b"\r\n" {
                return Err(ProtocolFault::Length);
            }
            (self.at, self.left) = (end, Some(left - 1));
        }
        let taken = self.at;
        *self = Self::default();
        Ok(Some(Extent::Array(taken)))
    }
}

/// The number from there to the end of the line, and where the next line begins. No number for a negative one. `None`: the line
/// is not all there yet.
fn head(bytes: &[u8], from: usize) -> Result<Option<(Option<usize>, usize)>, ()> {
    let rest = &bytes[from..];
    let seen = &rest[..rest.len().min(DIGITS_MAX + 2)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return if seen.len() == DIGITS_MAX + 2 { Err(()) } else { Ok(None) };
    };
    let digits = &seen[..end];
    let next = from + end + 2;
    if let Some(negative) = digits.strip_prefix(b"-") {
        let is_number = !negative.is_empty() && negative.iter().all(u8::is_ascii_digit);
        return if is_number { Ok(Some((None, next))) } else { Err(()) };
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(())?;
    Ok(Some((Some(number), next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { strings: 4, string: 8, bytes: 64 };

    fn whole(bytes: &[u8]) -> Result<Option<Extent>, ProtocolFault> {
        Scan::default().next(bytes, &BOUNDS)
    }

    #[test]
    fn a_request_ends_where_its_last_string_does_however_it_arrives() {
        let request = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n";
        assert_eq!(whole(request), Ok(Some(Extent::Array(20))));
        let mut scan = Scan::default();
        for arrived in 0..20 {
            assert_eq!(scan.next(&request[..arrived], &BOUNDS), Ok(None), "{arrived} bytes");
        }
        assert_eq!(scan.next(&request[..20], &BOUNDS), Ok(Some(Extent::Array(20))));
        assert_eq!(scan.next(&request[20..], &BOUNDS), Ok(Some(Extent::Array(14))));
        assert_eq!(whole(b"*0\r\nPING\r\n"), Ok(Some(Extent::Empty(4))));
        assert_eq!(whole(b"*-1\r\n"), Ok(Some(Extent::Empty(5))));
        assert_eq!(whole(b"PING\nPING\n"), Ok(Some(Extent::Line(5))));
    }

    #[test]
    fn lengths_that_nobody_can_hold_nesting_and_noise_are_refused_at_their_first_bytes() {
        for (bytes, fault) in [
            (&b"*9223372036854775807\r\n"[..], ProtocolFault::Strings),
            (b"*5\r\n", ProtocolFault::Strings),
            (b"*99999999999999999999999", ProtocolFault::Strings),
            (b"*1x\r\n", ProtocolFault::Strings),
            (b"*+1\r\n", ProtocolFault::Strings),
            (b"*1\r\n*1\r\n$1\r\na\r\n", ProtocolFault::NoString(b'*')),
            (b"*1\r\n:1\r\n", ProtocolFault::NoString(b':')),
            (b"*1\r\n$9223372036854775808\r\n", ProtocolFault::TooLong { limit: 8 }),
            (b"*1\r\n$9\r\n", ProtocolFault::TooLong { limit: 8 }),
            (b"*1\r\n$-1\r\n", ProtocolFault::Length),
            (b"*1\r\n$1\r\nabc", ProtocolFault::Length),
        ] {
            assert_eq!(whole(bytes), Err(fault), "{}", bytes.escape_ascii());
        }
        let many = Bounds { bytes: 20, ..BOUNDS };
        assert_eq!(
            Scan::default().next(b"*2\r\n$8\r\n12345678\r\n$8\r\n", &many),
            Err(ProtocolFault::Bytes { limit: 20 })
        );
        assert_eq!(whole(&[b'a'; LINE_MAX + 1]), Err(ProtocolFault::Line));
    }
}
