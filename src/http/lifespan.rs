//! `Ringheir-Ttl` and `Ringheir-Idle`: how long a session is to live after a write, in whole seconds.

use std::time::Duration;

use axum::http::HeaderMap;

use super::problem::Problem;
use crate::Lifespan;

const TTL: &str = "ringheir-ttl";
const IDLE: &str = "ringheir-idle";
const NEVER: &[u8] = b"never";
/// A hundred years.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// What the headers say: `None` leaves the session's time as it is. Each that is given replaces both.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Lifespan>, Problem> {
    let (ttl, idle) = (only(headers, TTL)?, only(headers, IDLE)?);
    if ttl == Some(NEVER) {
        return match idle {
            None => Ok(Some(Lifespan::FOR_EVER)),
            Some(_) => Err(Problem::bad_request("Ringheir-Ttl: never leaves no room for Ringheir-Idle")),
        };
    }
    let span = Lifespan { ends_in: ttl.map(seconds).transpose()?, idle: idle.map(seconds).transpose()? };
    Ok((span != Lifespan::FOR_EVER).then_some(span))
}

/// Refuses them where nothing is left to live.
pub(super) fn none_for_a_deletion(headers: &HeaderMap) -> Result<(), Problem> {
    match of(headers)? {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request("what is deleted has no time left: send no Ringheir-Ttl or Ringheir-Idle")),
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Problem> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next().map(|line| line.as_bytes());
    if lines.next().is_some() {
        return Err(Problem::bad_request(format!("more than one {name}")));
    }
    Ok(first)
}

fn seconds(text: &[u8]) -> Result<Duration, Problem> {
    let digits = str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let seconds = digits.and_then(|text| text.parse().ok()).filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Problem::bad_request(format!("Ringheir-Ttl and Ringheir-Idle are whole seconds, 1 to {SECONDS_MAX}"))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(lines: &[(&'static str, &'static str)]) -> Result<Option<Lifespan>, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        of(&headers)
    }

    #[test]
    fn a_time_is_whole_seconds_or_never() {
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(read(&[]).expect("nothing said"), None);
        let both = Lifespan { ends_in: secs(60), idle: secs(5) };
        assert_eq!(read(&[(TTL, "60"), (IDLE, "5")]).expect("right"), Some(both));
        assert_eq!(read(&[(TTL, "never")]).expect("right"), Some(Lifespan::FOR_EVER));
        for wrong in ["0", "-1", "1.5", "1h", "", "99999999999999999999", "Never"] {
            assert!(read(&[(TTL, wrong)]).is_err(), "{wrong}");
            assert!(read(&[(IDLE, wrong)]).is_err(), "{wrong}");
        }
        assert!(read(&[(TTL, "never"), (IDLE, "5")]).is_err());
        assert!(read(&[(TTL, "5"), (TTL, "6")]).is_err());
    }
}
