//! `Spread`: what some durations were, told in a few of them. For samples that are few enough to be kept and sorted.

use std::time::Duration;

use serde_json::{Value, json};

/// p50, p99 and the largest of some durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Half are at most this.
    pub(crate) p50: Duration,
    /// 99 of 100 are at most this.
    pub(crate) p99: Duration,
    /// The largest.
    pub(crate) max: Duration,
    /// How many there are.
    pub(crate) count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        // The smallest that at least so many of a hundred do not exceed.
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        let max = *sorted.last()?;
        Some(Self { p50: at(50), p99: at(99), max, count: sorted.len() })
    }
}

impl Spread {
    /// In milliseconds with one digit after the point, as JSON.
    pub(crate) fn json(spread: Option<Self>, with_p99: bool) -> Value {
        let (p50, p99, max) = match spread {
            Some(spread) => (json!(ms(spread.p50)), json!(ms(spread.p99)), json!(ms(spread.max))),
            None => (Value::Null, Value::Null, Value::Null),
        };
        let count = spread.map_or(0, |spread| spread.count);
        if with_p99 {
            json!({ "p50": p50, "p99": p99, "max": max, "count": count })
        } else {
            json!({ "p50": p50, "max": max, "count": count })
        }
    }
}

/// Milliseconds with one digit after the point.
pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        assert_eq!(Spread::of([]), None);
        let spread = |from: u64, to: u64| Spread::of((from..=to).map(millis)).expect("some");
        assert_eq!(spread(1, 100), Spread { p50: millis(50), p99: millis(99), max: millis(100), count: 100 });
        assert_eq!(spread(7, 7), Spread { p50: millis(7), p99: millis(7), max: millis(7), count: 1 });
        assert_eq!(spread(1, 3).p50, millis(2));
    }
}
