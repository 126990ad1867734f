//! Times and numbers of bytes as a scenario writes them, and what exactly is wrong with one that cannot be read.
//!
//! Whoever writes `2.5s` or `64KB` knows very well what a time is: so it is said which part of it is not taken, and what to write.

use std::time::Duration;

use super::LASTS_MAX;
use crate::config::{byte_count, millis};

/// No time is longer: far more than any run lasts, and far less than what clocks can count.
const TIME_MAX: Duration = Duration::from_secs(10_000 * 3_600);
const BYTES: Kind = Kind {
    of: "number of bytes",
    example: "64KiB",
    units: &[("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0), ("B", 1.0)],
};

/// What kind of amount is read, and in which units, the largest first.
#[derive(Clone, Copy)]
struct Kind {
    of: &'static str,
    example: &'static str,
    units: &'static [(&'static str, f64)],
}

/// What is wrong with an amount, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongAmount {
    pub(super) what: String,
    pub(super) help: String,
}

impl WrongAmount {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// Which times may be written at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Moments and spans of the run, which is no longer than [`LASTS_MAX`].
    OfTheRun,
    /// Any, in whole milliseconds.
    Any,
    /// Also microseconds: of messages.
    Short,
}

impl Times {
    const fn most(self) -> Duration {
        match self {
            Self::OfTheRun => LASTS_MAX,
            Self::Any | Self::Short => TIME_MAX,
        }
    }

    /// With the microseconds of each unit.
    const fn kind(self) -> Kind {
        let units: &[(&str, f64)] = match self {
            Self::OfTheRun | Self::Any => &[("h", 3.6e9), ("m", 6e7), ("s", 1e6), ("ms", 1e3)],
            Self::Short => &[("h", 3.6e9), ("m", 6e7), ("s", 1e6), ("ms", 1e3), ("us", 1.0)],
        };
        Kind { of: "time", example: "250ms", units }
    }
}

/// Reads `"250ms"`, `"3s"`, `"1m"`; where messages are meant also `"400us"`.
pub(super) fn time(text: &str, times: Times) -> Result<Duration, WrongAmount> {
    let micros = (times == Times::Short).then(|| text.strip_suffix("us")).flatten();
    let micros = micros.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok());
    let told = micros.map(Duration::from_micros).or_else(|| millis(text).map(Duration::from_millis));
    let most = times.most();
    let too_long = || WrongAmount::new("this time is too long", format!("at most {}", spelt(most)));
    match told {
        Some(time) if time <= most => Ok(time),
        Some(_) => Err(too_long()),
        None => Err(wrong_part(text, times.kind()).unwrap_or_else(too_long)),
    }
}

/// Reads `"64KiB"`, `"1MiB"`: more than nothing.
pub(super) fn bytes(text: &str) -> Result<u64, WrongAmount> {
    match byte_count(text) {
        Some(0) => Err(WrongAmount::new("this must be more than nothing", "write `one_way` where nothing is to pass")),
        Some(bytes) => Ok(bytes),
        None => Err(wrong_part(text, BYTES)
            .unwrap_or_else(|| WrongAmount::new("this number is too large", "leave it out where any number may pass"))),
    }
}

/// What is wrong with the writing of an amount; `None`: nothing, so its number must be too large.
fn wrong_part(text: &str, Kind { of, example, units }: Kind) -> Option<WrongAmount> {
    let names = units.iter().rev().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let digits = text.find(|c: char| !c.is_ascii_digit() && !".,-+_".contains(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, scale)| *scale);
    if number.is_empty() {
        let help = format!("write a whole number and a unit, as \"{example}\"; the units are {names}");
        return Some(WrongAmount::new(format!("this is no {of}"), help));
    }
    if number.starts_with('-') {
        return Some(WrongAmount::new(
            "this is less than nothing",
            format!("write it without a sign, as \"{example}\""),
        ));
    }
    let Some(scale) = scale else {
        let what = match unit.trim() {
            "" => format!("this {of} has no unit"),
            unit => format!("`{unit}` is no unit here"),
        };
        return Some(WrongAmount::new(what, format!("the units are {names}: \"{example}\"")));
    };
    if number.bytes().all(|b| b.is_ascii_digit()) {
        let apart = unit != unit.trim();
        return apart.then(|| {
            let help = format!("write \"{number}{}\"", unit.trim());
            WrongAmount::new("nothing stands between a number and its unit", help)
        });
    }
    let whole = number.replace(',', ".").parse::<f64>().ok().and_then(|number| whole(number * scale, units));
    let help = match whole {
        Some(whole) => format!("write \"{whole}\""),
        None => format!("write a whole number and a unit, as \"{example}\""),
    };
    Some(WrongAmount::new("only whole numbers are taken", help))
}

/// The same amount, in the largest unit of which it is a whole number.
fn whole(amount: f64, units: &[(&str, f64)]) -> Option<String> {
    // Up to here every whole number has a float of its own.
    let amount = Some(amount).filter(|amount| amount.is_finite() && *amount > 0.0 && *amount < 9e15)?;
    let (name, scale) = units.iter().find(|(_, scale)| (amount / scale).fract() == 0.0)?;
    Some(format!("{:.0}{name}", amount / scale))
}

/// A limit, as a file would say it.
pub(super) fn spelt(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_amount_that_cannot_be_read_it_is_said_which_part_is_wrong_and_what_to_write() {
        for (text, times, words) in [
            ("99999999999999999s", Times::OfTheRun, "too long: at most 600s"),
            ("99999999999999999999999s", Times::OfTheRun, "too long: at most 600s"),
            ("11m", Times::OfTheRun, "too long: at most 600s"),
            ("20000h", Times::Any, "too long: at most 10000h"),
            ("1ns", Times::Any, "`ns` is no unit here: the units are ms, s, m, h"),
            ("1us", Times::Any, "`us` is no unit here: the units are ms, s, m, h"),
            ("1ns", Times::Short, "the units are us, ms, s, m, h"),
            ("2.5s", Times::OfTheRun, "only whole numbers are taken: write \"2500ms\""),
            ("0,5s", Times::OfTheRun, "write \"500ms\""),
            ("2.5us", Times::Short, "write a whole number"),
            ("1.5m", Times::OfTheRun, "write \"90s\""),
            ("5 s", Times::OfTheRun, "write \"5s\""),
            ("5", Times::OfTheRun, "has no unit"),
            ("-5s", Times::OfTheRun, "less than nothing"),
            ("+5us", Times::Short, "only whole numbers are taken: write \"5us\""),
            ("soon", Times::OfTheRun, "this is no time"),
            ("", Times::OfTheRun, "this is no time"),
        ] {
            let wrong = time(text, times).expect_err(text);
            let told = format!("{}: {}", wrong.what, wrong.help);
            assert!(told.contains(words), "of {text:?} it is said: {told}");
        }
        for (text, words) in [
            ("0B", "more than nothing"),
            ("64KB", "`KB` is no unit here: the units are B, KiB, MiB, GiB"),
            ("1.5MiB", "write \"1536KiB\""),
            ("99999999999999999999GiB", "too large"),
            ("fast", "this is no number of bytes"),
        ] {
            let wrong = bytes(text).expect_err(text);
            let told = format!("{}: {}", wrong.what, wrong.help);
            assert!(told.contains(words), "of {text:?} it is said: {told}");
        }
    }

    #[test]
    fn every_unit_that_is_named_can_be_written() {
        for times in [Times::OfTheRun, Times::Any, Times::Short] {
            for (unit, micros) in times.kind().units.iter().filter(|(unit, _)| times != Times::OfTheRun || *unit != "h")
            {
                let read = time(&format!("1{unit}"), times).expect("a time");
                assert_eq!(read, Duration::from_secs_f64(micros / 1e6), "{unit}");
            }
        }
        assert!(BYTES.units.iter().all(|(unit, _)| bytes(&format!("1{unit}")).is_ok()));
    }
}
