//! A request in one line, as somebody types it into a terminal: words between blanks, quotes around what has blanks in it.

use bytes::Bytes;

use super::ProtocolFault;

/// The words of a line. Within double quotes `\n`, `\r`, `\t`, `\a`, `\b` and `\xHH` are bytes and any other `\c` is `c`; within
/// single quotes only `\'` is.
///
/// # Errors
/// A quote is not closed, or something follows the closing one at once.
pub(super) fn words(line: &[u8]) -> Result<Vec<Bytes>, ProtocolFault> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let mut word = Vec::new();
        while let [first, after @ ..] = rest {
            if first.is_ascii_whitespace() {
                break;
            }
            rest = match first {
                b'"' | b'\'' => {
                    let after = quoted(after, *first, &mut word)?;
                    if after.first().is_some_and(|next| !next.is_ascii_whitespace()) {
                        return Err(ProtocolFault::Quotes);
                    }
                    after
                }
                _ => {
                    word.push(*first);
                    after
                }
            };
        }
        words.push(word.into());
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

/// What is within a quote, and what comes behind it.
fn quoted<'l>(mut rest: &'l [u8], quote: u8, word: &mut Vec<u8>) -> Result<&'l [u8], ProtocolFault> {
    loop {
        let (byte, after) = match rest {
            [first, after @ ..] if *first == quote => return Ok(after),
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [b'\\', b'x', high, low, after @ ..] if quote == b'"' && is_hex(*high) && is_hex(*low) => {
                (value(*high) << 4 | value(*low), after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => *other,
                };
                (byte, after)
            }
            [first, after @ ..] => (*first, after),
            [] => return Err(ProtocolFault::Quotes),
        };
        word.push(byte);
        rest = after;
    }
}

const fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

const fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_between_blanks_or_quotes() {
        for (line, wanted) in [
            ("PING\r\n", &["PING"][..]),
            ("  set  k   v \r\n", &["set", "k", "v"]),
            ("set k \"a b\"\n", &["set", "k", "a b"]),
            (r#"set k "\x41\n\"\q" 'it\'s \n'"#, &["set", "k", "A\n\"q", "it's \\n"]),
            ("set k \"\"", &["set", "k", ""]),
            ("\r\n", &[]),
        ] {
            assert_eq!(words(line.as_bytes()).expect("whole"), wanted, "{line:?}");
        }
        for line in ["get \"k", "get 'k", "get \"k\"x", r#"get "k\"#] {
            assert_eq!(words(line.as_bytes()), Err(ProtocolFault::Quotes), "{line:?}");
        }
    }
}
