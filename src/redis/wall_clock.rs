//! The date, for clients that write and read ends of keys as dates.
//!
//! It decides nothing: a date becomes a time from now where it is read, and is made from one where it is told. Nodes whose
//! clocks differ tell dates that differ as much.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "clients speak of dates; see above")]
pub(super) fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
