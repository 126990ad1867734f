//! Whole numbers in strings, as Redis reads them: decimal, 64 bits, no sign but `-`, no zero before another digit, no blanks.

use bytes::Bytes;

/// The number that these bytes spell, if they do.
pub(crate) fn read(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = matches!(digits, [b'1'..=b'9', ..]) || bytes == b"0";
    if !plain || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The bytes that spell it.
pub(crate) fn spell(number: i64) -> Bytes {
    number.to_string().into()
}
