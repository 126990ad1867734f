//! The node's one clock: CLOCK_BOOTTIME, which goes on while the machine is suspended, as Rust's `Instant` does not.

use rustix::time::{ClockId, clock_gettime};

use crate::moment::Moment;

/// Now, by this node's clock.
pub(crate) fn now() -> Moment {
    let read = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(read.tv_sec).unwrap_or(0);
    Moment::from_nanos(seconds * 1_000_000_000 + u64::try_from(read.tv_nsec).unwrap_or(0))
}
