//! `Context`: what a command may know besides its session and itself.

use std::{fmt, marker::PhantomData, time::Duration};

use super::{Command, Runs, Session, SessionId, Task};
use crate::{id::RequestId, moment::Moment, replication::Lifespan};

/// Handed to a command by the node that runs it.
///
/// It reads no wall clock, and neither should a session: what a command needs to know of the world is part of the command.
pub struct Context<S> {
    id: SessionId,
    request: Option<RequestId>,
    now: Moment,
    version: u64,
    lifespan: Lifespan,
    /// Whether the command said how long the session is to live.
    is_lifespan_set: bool,
    /// Whether the command ends its session.
    ends: bool,
    /// What is to be started once the command is committed.
    tasks: Vec<Task>,
    session: PhantomData<fn(S)>,
}

impl<S: Session> Context<S> {
    pub(crate) const fn new(
        id: SessionId,
        request: Option<RequestId>,
        now: Moment,
        version: u64,
        lifespan: Lifespan,
    ) -> Self {
        Self {
            id,
            request,
            now,
            version,
            lifespan,
            is_lifespan_set: false,
            ends: false,
            tasks: Vec::new(),
            session: PhantomData,
        }
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

    /// How long the session has left, used or not; `None`: no end is set. What this command has set is in it.
    #[must_use]
    pub const fn expires_in(&self) -> Option<Duration> {
        self.lifespan.ends_in
    }

    /// How long the session may lie unused; `None`: for ever. What this command has set is in it.
    #[must_use]
    pub const fn expires_when_idle_for(&self) -> Option<Duration> {
        self.lifespan.idle
    }

    /// Sets the session's end: so long after this command, used or not. Never sooner; later by what a failover takes, if one
    /// comes between this command and the copies' knowing that it is committed.
    pub const fn expire_in(&mut self, left: Duration) {
        self.lifespan.ends_in = Some(left);
        self.is_lifespan_set = true;
    }

    /// The session ends when no command and no question came to it for so long, or at most a sixteenth longer. What failed or
    /// was refused does not count.
    pub const fn expire_when_idle_for(&mut self, idle: Duration) {
        self.lifespan.idle = Some(idle);
        self.is_lifespan_set = true;
    }

    /// Only a deletion ends the session from now on.
    pub const fn never_expire(&mut self) {
        self.lifespan = Lifespan::FOR_EVER;
        self.is_lifespan_set = true;
    }

    /// Ends the session with this command: its reply is given as ever, and what comes next finds no session. Of several commands of one
    /// call the last one decides. What this one changed goes with it, so `when_ended` is told of the session as the command found it.
    pub const fn end(&mut self) {
        self.ends = true;
    }

    /// Does work outside the session and brings its result back as a command of the same session: asking another service,
    /// waiting for a time. It begins when this command is committed and answered, on the node that ran it, and not at all if
    /// the command fails; meanwhile the session serves others. Its command is then applied once, wherever the session is by
    /// then, and as any other: it may be refused, which is told to the log only.
    ///
    /// The work lives in this node's memory, so it is lost with the node: keep in the session what is under way, and plan it
    /// again in [`Session::loaded`], which may plan work as well. That runs on the primary whenever the session is decoded,
    /// after a failover and after a time without use, so work planned there may be under way already.
    ///
    /// Where more is under way on the node than `limits.tasks`, the command is not done and answers
    /// [`crate::ErrorKind::Busy`].
    pub fn spawn<C: Command, W>(&mut self, work: impl Future<Output = C> + Send + 'static)
    where
        S: Runs<C, W>,
    {
        self.tasks.push(Task::new(work));
    }

    /// What is to be started.
    pub(crate) fn take_tasks(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    /// A further command of the same call begins: whether the session ends is for the last to say.
    pub(crate) const fn begin(&mut self) {
        self.ends = false;
    }

    /// Whether it was ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ends
    }

    /// What the command set, if it set anything.
    pub(crate) fn set_lifespan(&self) -> Option<Lifespan> {
        self.is_lifespan_set.then_some(self.lifespan)
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, request, now, version, lifespan, is_lifespan_set: _, ends, tasks, session: _ } = self;
        f.debug_struct("Context")
            .field("id", id)
            .field("request", request)
            .field("now", now)
            .field("version", version)
            .field("lifespan", lifespan)
            .field("ends", ends)
            .field("tasks", &tasks.len())
            .finish()
    }
}
