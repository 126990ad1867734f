//! `Context`: what a command may know besides its session and itself.

use std::{fmt, marker::PhantomData};

use super::{Session, SessionId};
use crate::{id::RequestId, moment::Moment};

/// Handed to a command by the node that runs it.
///
/// It reads no wall clock, and neither should a session: what a command needs to know of the world is part of the command.
pub struct Context<S> {
    id: SessionId,
    request: Option<RequestId>,
    now: Moment,
    version: u64,
    /// Timers and sends will be typed by the session that gets them.
    session: PhantomData<fn(S)>,
}

impl<S: Session> Context<S> {
    pub(crate) const fn new(id: SessionId, request: Option<RequestId>, now: Moment, version: u64) -> Self {
        Self { id, request, now, version, session: PhantomData }
    }

    /// The session's id.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The id under which the caller may retry this very command, if it gave one.
    #[must_use]
    pub const fn request(&self) -> Option<RequestId> {
        self.request
    }

    /// This node's steady clock. Never keep it in a session: on another node it means nothing.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// The version of the session's state as the command found it; 0 if there was none. It grows with each change, not
    /// necessarily by one, and is what `If-Match` and `expected` are compared with.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, request, now, version, session: _ } = self;
        f.debug_struct("Context")
            .field("id", id)
            .field("request", request)
            .field("now", now)
            .field("version", version)
            .finish()
    }
}
