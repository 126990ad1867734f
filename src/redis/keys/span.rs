//! `Span`: what a command does to how long its key lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Key;
use crate::Context;

/// The longest time, in milliseconds: beyond it is for as long as anybody will ask, some 292 million years in nanoseconds would
/// not fit where moments are kept.
const LEFT_MAX: u64 = 100 * 365 * 86_400_000;

/// How long the key lives from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Span {
    /// As before.
    #[serde(rename = "k")]
    Kept,
    /// Until it is deleted.
    #[serde(rename = "f")]
    ForEver,
    /// So many milliseconds, used or not.
    #[serde(rename = "m")]
    Millis(u64),
    /// It is over: the time that was asked for lies behind.
    #[serde(rename = "o")]
    Over,
}

/// Under which condition a new end is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Only {
    /// Under none.
    #[serde(rename = "a")]
    Always,
    /// If there is none yet.
    #[serde(rename = "n")]
    Without,
    /// If there is one.
    #[serde(rename = "x")]
    With,
    /// If it is later.
    #[serde(rename = "g")]
    Later,
    /// If it is sooner; no end is later than every other.
    #[serde(rename = "l")]
    Sooner,
    /// If there is one and it is sooner.
    #[serde(rename = "lx")]
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

    /// Makes it so.
    pub(super) fn set(self, cx: &mut Context<Key>) {
        match self {
            Self::Kept => {}
            Self::ForEver => cx.never_expire(),
            Self::Millis(left) => cx.expire_in(Duration::from_millis(left)),
            Self::Over => cx.end(),
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
