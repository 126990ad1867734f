//! The binary's clock: where its subcommands read the time that its plain code takes as a parameter.

use std::time::Instant;

use ringheir::moment::Moment;

/// Counts from the moment it was made.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts counting.
    #[expect(clippy::disallowed_methods, reason = "this is where the binary reads its clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The reading now.
    #[expect(clippy::disallowed_methods, reason = "this is where the binary reads its clock")]
    pub(crate) fn now(&self) -> Moment {
        Moment::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
