//! `Ended`: what a program is told when one of its sessions has come to an end.

use super::SessionId;

/// A session that is no more, as it was last. Given to the function that [`crate::Registration::when_ended`] names.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<S> {
    /// Which.
    pub id: SessionId,
    /// What it was.
    pub session: S,
    /// Why it ended.
    pub why: End,
}

/// Why a session ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Somebody deleted it.
    Deleted,
    /// The end that was set for it came.
    Expired,
    /// It was not used for its idle time.
    Idle,
}

impl<S> Ended<S> {
    pub(crate) const fn new(id: SessionId, session: S, why: End) -> Self {
        Self { id, session, why }
    }
}
