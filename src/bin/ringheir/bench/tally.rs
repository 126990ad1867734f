//! Waits counted by many callers at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Waits are counted in so many places: one for each caller would fill the processor's caches, one for all would be waited
/// for.
const PLACES: usize = 8;

/// Counts of waits, up to a minute, to three digits.
pub(super) struct Tally(Vec<Mutex<Histogram<u64>>>);

impl Tally {
    /// Nothing counted.
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self((0..PLACES).map(|_| empty().map(Mutex::new)).collect::<Result<_, _>>()?))
    }

    /// Counts one wait of a caller.
    pub(super) fn count(&self, caller: usize, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX).max(1);
        let mut place = self.0[caller % PLACES].lock().unwrap_or_else(PoisonError::into_inner);
        place.saturating_record(micros);
    }

    /// All of them, in microseconds.
    pub(super) fn sum(&self) -> Result<Histogram<u64>, String> {
        let mut all = empty()?;
        for some in &self.0 {
            all.add(&*some.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|why| why.to_string())?;
        }
        Ok(all)
    }
}

fn empty() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|why| why.to_string())
}
