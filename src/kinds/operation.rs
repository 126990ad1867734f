//! What goes into running one operation on one session, and what comes out: bytes only, no user type.

use super::Failure;
use crate::{
    blob::Blob,
    id::RequestId,
    moment::Moment,
    replication::{Events, Lifespan},
    session::{SessionId, Task},
};

/// What the replica of the arc holds of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    /// The encoded state; none: the session never existed, or was deleted.
    pub image: Option<&'a Blob>,
    /// The events since the image, oldest first; empty for kinds that are not event-sourced.
    pub events: &'a [Blob],
    /// The `Session::VERSION` that wrote the image and the events.
    pub state_version: u32,
}

impl Stored<'_> {
    /// No session under that id.
    pub(crate) const ABSENT: Self = Self { image: None, events: &[], state_version: 0 };
}

/// The circumstances of one operation, all of them known to the worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub id: &'a SessionId,
    pub request: Option<RequestId>,
    pub now: Moment,
    /// The version of the stored state; not looked at where there is none.
    pub version: u64,
    /// What is left of the session's time; of one that does not exist, what its type says.
    pub lifespan: Lifespan,
    /// The caller goes on only if the version is this one; 0: only if there is no session.
    pub expected: Option<u64>,
    /// The limit `value`: bytes of a command, of an image, and of the events of one command.
    pub value_max: usize,
}

/// What is asked of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    /// Run a command. `may_create`: where there is no session, what `Session::absent` gives may become one; without it
    /// `NoSuchSession` (a worker whose arc was lost says no for all but an explicit create).
    Call { command: &'a str, payload: Payload<'a>, may_create: bool },
    /// Make the session, from the state given (encoded as it is stored) or else from `Session::absent`. Replies `()`.
    Create { initial: Option<&'a [u8]> },
    /// The same unless it exists. Replies a `bool`: whether it was made.
    GetOrCreate { initial: Option<&'a [u8]> },
    /// Delete it, even if its state cannot be read. Replies a `bool`: whether it existed.
    Delete,
    /// Ask a question. Where there is no session it is asked of what `Session::absent` gives, which is then forgotten.
    Answer { question: &'a str, payload: &'a [u8] },
}

impl Op<'_> {
    /// What it is called where people read.
    pub(super) const fn name(&self) -> &str {
        match self {
            Self::Call { command, .. } => command,
            Self::Answer { question, .. } => question,
            Self::Create { .. } | Self::GetOrCreate { .. } => "(create)",
            Self::Delete => "(delete)",
        }
    }
}

/// The body of a command, or of several of one name that are run one after the other, all or none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    /// One; its reply is the reply.
    One(&'a Blob),
    /// Several; the reply is the list of their encoded replies.
    Many(&'a [Blob]),
}

/// What the operation changed in the stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The image is now this one, and there are no events.
    Image { bytes: Blob, state_version: u32 },
    /// These events happened. With an image, the image has them in it: it alone is stored and the events before it are
    /// forgotten (`bytes` is then for subscribers). Without one they are appended to those stored.
    Events { bytes: Events, image: Option<Blob>, state_version: u32 },
    /// There is no session any more.
    Deleted,
}

/// What running an operation came to. A failure comes with `Change::None` and no tasks, always.
#[derive(Debug)]
pub(crate) struct Run {
    pub change: Change,
    /// What is to be started once the change is committed.
    pub tasks: Vec<Task>,
    /// How long the session is to live from now on, if the command said so.
    pub life: Option<Lifespan>,
    /// The encoded reply.
    pub outcome: Result<Blob, Failure>,
}
