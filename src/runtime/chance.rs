//! The node's randomness: ids, and jitter that parts those who collide. Pure rooms are handed what is drawn here.

use std::time::Duration;

use uuid::Uuid;

/// A fresh random number that no other process draws.
#[expect(clippy::disallowed_methods, reason = "the one place that draws")]
pub(crate) fn draw() -> u128 {
    Uuid::new_v4().as_u128()
}

/// A random duration below `max`.
pub(crate) fn jitter(max: Duration) -> Duration {
    let drawn = u32::try_from(draw() >> 64 & 0xffff).expect("sixteen bits");
    max * drawn / 65_536
}
