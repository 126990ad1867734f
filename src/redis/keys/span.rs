//! `Span`: what a command does to how long its key lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kinds::Life;

/// The longest time, in milliseconds: beyond it is for as long as anybody will ask, some 292 million years in nanoseconds would
/// not fit where moments are kept.
const LEFT_MAX: u64 = 100 * 365 * 86_400_000;

/// How long the key lives from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Span {
    /// As before.
    Kept,
    /// Until it is deleted.
    ForEver,
    /// So many milliseconds, used or not.
    Millis(u64),
    /// It is over: the time that was asked for lies behind.
    Over,
}

/// Under which condition a new end is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Only {
    /// Under none.
    Always,
    /// If there is none yet.
    Without,
    /// If there is one.
    With,
    /// If it is later.
    Later,
    /// If it is sooner; no end is later than every other.
    Sooner,
    /// If there is one and it is sooner.
    SoonerWith,
}

impl Span {
    /// So many milliseconds from now; none are left of what lies behind.
    pub(crate) fn of_millis(left: i128) -> Self {
        match u64::try_from(left) {
            Ok(0) | Err(_) if left <= 0 => Self::Over,
            Ok(left) => Self::Millis(left.min(LEFT_MAX)),
            Err(_) => Self::Millis(LEFT_MAX),
        }
    }

    /// Makes it so; of what is over, the value goes, and its time with it.
    pub(super) const fn set(self, life: &mut Life) {
        match self {
            Self::Kept | Self::Over => {}
            Self::ForEver => life.never_expire(),
            Self::Millis(left) => life.expire_in(Duration::from_millis(left)),
        }
    }
}

impl Only {
    /// Whether it is taken where so much is left now.
    pub(super) fn holds(self, span: Span, left: Option<u64>) -> bool {
        let new = match span {
            Span::Millis(new) => new,
            _ => 0,
        };
        match (self, left) {
            (Self::Always, _) | (Self::Without, None) | (Self::With, Some(_)) | (Self::Sooner, None) => true,
            (Self::Without, Some(_)) | (Self::With | Self::Later | Self::SoonerWith, None) => false,
            (Self::Later, Some(left)) => new > left,
            (Self::Sooner | Self::SoonerWith, Some(left)) => new < left,
        }
    }
}

/// Whole milliseconds of what is left, rounded up: a key that still exists has some left.
pub(super) fn millis(left: Duration) -> u64 {
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
