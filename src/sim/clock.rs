//! The clock of one simulated process: hours apart from the others', a little fast or slow, and never going back.

use crate::moment::Moment;

/// Such a clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What it showed at that time of the world, both in nanoseconds.
    showed: u64,
    at: u64,
    /// So many parts of a million fast.
    fast: i64,
}

impl Clock {
    /// One that is so far ahead, and goes so fast.
    pub(crate) const fn new(ahead: u64, fast: i64) -> Self {
        Self { showed: ahead, at: 0, fast }
    }

    /// What it shows.
    pub(crate) fn shows(&self, now: u64) -> Moment {
        Moment::from_nanos(self.nanos(now))
    }

    fn nanos(&self, now: u64) -> u64 {
        let passed = i128::from(now) - i128::from(self.at);
        let shown = i128::from(self.showed) + passed + passed * i128::from(self.fast) / 1_000_000;
        u64::try_from(shown).expect("ahead of its origin")
    }

    /// Goes so fast from now on.
    pub(crate) fn go(&mut self, fast: i64, now: u64) {
        (self.showed, self.at, self.fast) = (self.nanos(now), now, fast);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_from_what_it_showed_when_its_rate_changes() {
        let mut clock = Clock::new(1_000, 500);
        assert_eq!(clock.shows(2_000_000).as_nanos(), 2_002_000);
        clock.go(-500, 2_000_000);
        assert_eq!(clock.shows(2_000_000).as_nanos(), 2_002_000);
        assert_eq!(clock.shows(4_000_000).as_nanos(), 4_001_000);
    }
}
