//! Durations and sizes as people write them: `"100ms"`, `"10m"`, `"256KiB"`.
//!
//! A whole number and one unit, nothing else: no fractions, no sums, no spaces. What `spell_*` gives, the parser reads back
//! as the same quantity.

use std::time::Duration;

/// Milliseconds in each unit, the largest first so that spelling picks the shortest form.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Bytes in each unit.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `"100ms"`, `"30s"`, `"10m"`, `"2h"`, as milliseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    in_units(text, &TIME_UNITS)
}

/// Reads `"64B"`, `"256KiB"`, `"1MiB"`, `"1GiB"`, as bytes.
pub(crate) fn byte_count(text: &str) -> Option<u64> {
    in_units(text, &SIZE_UNITS)
}

fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// Writes a duration in the largest unit that divides it; what is below a millisecond is written in microseconds.
pub(super) fn spell_time(time: Duration) -> String {
    match u64::try_from(time.as_millis()) {
        Ok(millis) if time.subsec_nanos().is_multiple_of(1_000_000) => spell(millis, "0ms", &TIME_UNITS),
        _ => format!("{}µs", time.as_micros()),
    }
}

/// Writes milliseconds in the largest unit that divides them.
pub(super) fn spell_millis(millis: u64) -> String {
    spell(millis, "0ms", &TIME_UNITS)
}

/// Writes bytes in the largest unit that divides them.
pub(super) fn spell_bytes(bytes: u64) -> String {
    spell(bytes, "0B", &SIZE_UNITS)
}

fn spell(number: u64, zero: &str, units: &[(&str, u64)]) -> String {
    if number == 0 {
        return zero.to_owned();
    }
    match units.iter().find(|(_, scale)| number.is_multiple_of(*scale)) {
        Some((name, scale)) => format!("{}{name}", number / scale),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_a_whole_number_and_one_unit() {
        assert_eq!(
            ["100ms", "30s", "10m", "2h"].map(millis),
            [Some(100), Some(30_000), Some(600_000), Some(7_200_000)]
        );
        assert_eq!(
            ["7B", "256KiB", "1MiB", "2GiB"].map(byte_count),
            [Some(7), Some(262_144), Some(1_048_576), Some(2 << 30)]
        );
        for wrong in
            ["", "ms", "100", "1.5s", " 1s", "1 s", "1s ", "-1s", "+1s", "1d", "1MS", "1m30s", "99999999999999999h"]
        {
            assert_eq!(millis(wrong), None, "{wrong:?}");
        }
        assert_eq!(["1MB", "1mib", "MiB", "18446744073709551615KiB"].map(byte_count), [None; 4]);
    }

    #[test]
    fn what_is_spelled_is_read_back_the_same() {
        for number in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 1 << 20, (1 << 20) + 1, u64::MAX] {
            assert_eq!(millis(&spell_millis(number)), Some(number));
            assert_eq!(byte_count(&spell_bytes(number)), Some(number));
        }
        assert_eq!((spell_millis(600_000), spell_bytes(1 << 20)), ("10m".to_owned(), "1MiB".to_owned()));
        assert_eq!(spell_time(Duration::from_micros(1_500)), "1500µs");
    }
}
