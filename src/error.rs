//! `Error`: the honest answer to a call that did not come back with a reply (guarantee G4).
//!
//! Its kind says three things that a caller must know: whether the session changed, whether the same request may be sent
//! again, and what to do. `Done` is no error: it is `Ok`. It carries no source: most errors were born on another node, so
//! what they knew travels as text.
//!
//! Invariant: `Changed::No` is only said when nothing of the command can ever take effect.

use std::{convert::Infallible, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::NodeId,
    session::{InvalidSessionId, Refused},
    wire::codec::cut,
};

/// The longest explanation, in bytes; a longer one is cut.
const DETAIL_MAX: usize = 512;

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    kind: ErrorKind,
    detail: String,
}

/// What happened, and with it what to do.
///
/// "Same id" below means: with the request id of the first attempt, under which a command is applied once however often
/// it is sent.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The node asked could not take it: it does not own the session, is starting or draining. Nothing changed. Retry
    /// after the time given, at the node given if there is one.
    NotDone {
        /// When it makes sense to try again.
        retry_after: Duration,
        /// Who should know better.
        at: Option<NodeId>,
    },
    /// It was on its way to the copies when the answer was lost. It may have changed the session or may still do so. Retry
    /// with the same id, or read and see; never with a new id.
    OutcomeUnknown,
    /// It is older than what the session remembers of its client. It may have changed the session once, and will not do so
    /// now. A retry gets the same answer: read and see, then decide under a new id.
    TooOld,
    /// A bound is reached. Nothing changed. The bound says what helps; where waiting does, retry later, and less.
    Busy {
        /// Which.
        bound: Bound,
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// Every copy of the session's arc was lost, and perhaps the session with it. Nothing changed. A retry will not help;
    /// an explicit create begins anew, or the operator recovers or clears the arc.
    Lost,
    /// The session's copies are being sought or promoted. Nothing changed. Retry later.
    Recovering {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// The command was running each time its primary died, and is not tried again. Nothing of it was kept. Do not retry;
    /// look at the command.
    Poisoned,
    /// The command, the state it would have made, or the reply is larger than the limit. Nothing changed. Do not retry;
    /// send less, or raise the limit.
    TooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// The session type's own no. Nothing changed. Retrying is for the application to judge.
    Refused(Refused),
    /// No session type of that name is registered on the node. Nothing changed. Register it there, or retry elsewhere.
    NoSuchKind {
        /// The name.
        kind: String,
    },
    /// The session type is known, but not this command of it. Nothing changed. Register it there.
    NoSuchCommand {
        /// The command's name.
        command: String,
    },
    /// There is no session under that id, and a command does not make one of this type. Nothing changed. Create it first.
    NoSuchSession,
    /// There already is a session under that id. Nothing changed. Use it, or another id.
    AlreadyExists,
    /// The session's version is not the one expected. Nothing changed. Read again, then decide anew.
    Conflict {
        /// The version it has; 0: there is no session.
        current: u64,
    },
    /// Time ran out before anything of the command had been passed on. Nothing changed and nothing will. Retry at will.
    Deadline,
    /// The node was stopped before it took the command. Nothing changed. Retry at another node.
    Stopped,
    /// The session type's code panicked; the session is as it was before. A retry will likely panic again. The panic's own
    /// words, at most 512 bytes of them, are the error's [`Error::detail`].
    Panicked,
    /// The stored state cannot be read by this node. It is kept, and was not changed. Do not retry here; a node with the
    /// right version of the type can read it. Deleting the session is still possible.
    Undecodable {
        /// The version that wrote it.
        theirs: u32,
        /// The version this node knows.
        ours: u32,
    },
    /// The command, the new state, an event or the reply cannot be encoded, or not be read back, or nests too deep.
    /// Nothing changed. Do not retry; mend the type's serde code.
    Unencodable,
    /// The command's bytes are not what the session's node expects under that name. Nothing changed. Do not retry; the two
    /// programs differ.
    Malformed,
    /// It was done, but the reply cannot be read here. The session may have changed. Do not retry; the two programs differ.
    UnreadableReply,
    /// The id is no session id. Nothing was sent.
    InvalidSessionId,
    /// Two session types, or two commands of one, share a name, or a name is out of bounds. None of them was registered.
    Registration,
}

/// What is full when something is [`ErrorKind::Busy`]. A limit is of `[cluster.limits]`, on the node that refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// The calls that wait in one queue of a node. Call less.
    Calls {
        /// `limits.calls`.
        limit: usize,
    },
    /// What waits for the link to the session's node. Call less.
    Link,
    /// What the session's arc has on the way to its backups: `limits.uncommitted`, `limits.waiting`,
    /// `limits.window_bytes`. Call less.
    Arc,
    /// The replies that one client may still ask a session for. Tell by `first_unanswered` which of them were answered.
    RepliesPerClient {
        /// `limits.replies_per_client`.
        limit: usize,
    },
    /// The clients, or opaque idempotency keys, whose replies a session remembers. Number requests as one client does,
    /// which tells what may be forgotten, or wait until one was idle for `reply_keep`.
    ClientsPerSession {
        /// `limits.clients_per_session`.
        limit: usize,
    },
    /// The calls that wait while their session, which has an actor of its own, computes. Call it less.
    Session {
        /// `limits.queue`.
        limit: usize,
    },
    /// The sessions with an actor of their own that are in use on a part of the node. Wait until some were not used for
    /// `limits.idle_after`, or spread them over more nodes.
    Dedicated {
        /// How many.
        limit: usize,
    },
    /// The work that commands left behind by `Context::spawn` and that is not done yet. Wait until some of it is.
    Tasks {
        /// `limits.tasks`.
        limit: usize,
    },
}

impl Bound {
    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calls { .. } => "calls",
            Self::Link => "link",
            Self::Arc => "arc",
            Self::RepliesPerClient { .. } => "replies_per_client",
            Self::ClientsPerSession { .. } => "clients_per_session",
            Self::Session { .. } => "session",
            Self::Dedicated { .. } => "dedicated",
            Self::Tasks { .. } => "tasks",
        }
    }

    /// How much it lets in, where that is one number.
    #[must_use]
    pub const fn limit(self) -> Option<usize> {
        match self {
            Self::Calls { limit }
            | Self::RepliesPerClient { limit }
            | Self::ClientsPerSession { limit }
            | Self::Session { limit }
            | Self::Dedicated { limit }
            | Self::Tasks { limit } => Some(limit),
            Self::Link | Self::Arc => None,
        }
    }
}

/// Whether the session changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It did not, and will not by this attempt.
    No,
    /// It may have, or may yet.
    Unknown,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Under any id.
    Safe,
    /// Only under the id of the first attempt.
    SameId,
    /// It would fare no better.
    Useless,
}

impl Error {
    /// An error with no more to say than its kind.
    #[must_use]
    pub const fn new(kind: ErrorKind) -> Self {
        Self { kind, detail: String::new() }
    }

    /// Adds an explanation for people.
    #[must_use]
    pub(crate) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = cut(detail.into(), DETAIL_MAX);
        self
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The explanation for people; may be empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the session changed.
    #[must_use]
    pub const fn changed(&self) -> Changed {
        match self.kind {
            ErrorKind::OutcomeUnknown | ErrorKind::TooOld | ErrorKind::UnreadableReply => Changed::Unknown,
            _ => Changed::No,
        }
    }

    /// Whether the same request may be sent again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::NotDone { .. }
            | ErrorKind::Busy { .. }
            | ErrorKind::Recovering { .. }
            | ErrorKind::Deadline
            | ErrorKind::Stopped => Retry::Safe,
            ErrorKind::OutcomeUnknown => Retry::SameId,
            ErrorKind::Lost
            | ErrorKind::TooOld
            | ErrorKind::Poisoned
            | ErrorKind::TooLarge { .. }
            | ErrorKind::Refused(_)
            | ErrorKind::NoSuchKind { .. }
            | ErrorKind::NoSuchCommand { .. }
            | ErrorKind::NoSuchSession
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict { .. }
            | ErrorKind::Panicked
            | ErrorKind::Undecodable { .. }
            | ErrorKind::Unencodable
            | ErrorKind::Malformed
            | ErrorKind::UnreadableReply
            | ErrorKind::InvalidSessionId
            | ErrorKind::Registration => Retry::Useless,
        }
    }

    /// How long to wait before a retry, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::NotDone { retry_after, .. }
            | ErrorKind::Busy { retry_after, .. }
            | ErrorKind::Recovering { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<InvalidSessionId> for Error {
    fn from(invalid: InvalidSessionId) -> Self {
        Self::new(ErrorKind::InvalidSessionId).because(invalid.to_string())
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { limit } => write!(f, "more calls wait than a node takes (limits.calls = {limit})"),
            Self::Link => f.write_str("too much waits for the link to the session's node"),
            Self::Arc => f.write_str(
                "too much waits for the session's backups (limits.uncommitted, limits.waiting or limits.window_bytes)",
            ),
            Self::RepliesPerClient { limit } => write!(
                f,
                "the client may still ask for as many replies as are kept for it (limits.replies_per_client = {limit}); \
                 tell by `first unanswered` which requests were answered"
            ),
            Self::ClientsPerSession { limit } => write!(
                f,
                "the session remembers as many clients or opaque idempotency keys as it may (limits.clients_per_session = \
                 {limit}), each until it was idle for reply_keep; number the requests of one client instead \
                 (<client, 32 hex digits>/<sequence>/<first unanswered>), which tells what may be forgotten, or wait"
            ),
            Self::Session { limit } => {
                write!(f, "more calls wait for the session, which computes, than it takes (limits.queue = {limit})")
            }
            Self::Dedicated { limit } => {
                write!(f, "{limit} sessions with an actor of their own are in use on this part of the node")
            }
            Self::Tasks { limit } => {
                write!(f, "as much spawned work is under way on the node as it takes (limits.tasks = {limit})")
            }
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDone { retry_after, at: Some(node) } => {
                write!(f, "not done: retry at {node} in {retry_after:?}")
            }
            Self::NotDone { retry_after, at: None } => write!(f, "not done: retry in {retry_after:?}"),
            Self::OutcomeUnknown => f.write_str("outcome unknown: retry with the same request id, or read and see"),
            Self::TooOld => f.write_str("too old to be remembered: read and see, then decide under a new request id"),
            Self::Busy { bound, retry_after } => write!(f, "busy: {bound}; retry in {retry_after:?}"),
            Self::Lost => f.write_str("lost: no copy of the session's arc is left"),
            Self::Recovering { retry_after } => write!(f, "recovering: retry in {retry_after:?}"),
            Self::Poisoned => f.write_str("poisoned: the node died each time it ran this command"),
            Self::TooLarge { limit } => write!(f, "too large: the limit is {limit} bytes"),
            Self::Refused(refused) => write!(f, "refused: {refused}"),
            Self::NoSuchKind { kind } => write!(f, "no session type named {kind:?} is registered"),
            Self::NoSuchCommand { command } => write!(f, "the session type has no command named {command:?}"),
            Self::NoSuchSession => f.write_str("no such session"),
            Self::AlreadyExists => f.write_str("the session already exists"),
            Self::Conflict { current } => write!(f, "conflict: the session's version is {current}"),
            Self::Deadline => f.write_str("not done in time"),
            Self::Stopped => f.write_str("not done: the node is stopped"),
            Self::Panicked => f.write_str("the session type's code panicked; the session is as it was"),
            Self::Undecodable { theirs, ours } => {
                write!(f, "the stored state (version {theirs}) cannot be read (version {ours} here); it is kept")
            }
            Self::Unencodable => f.write_str("cannot be encoded"),
            Self::Malformed => f.write_str("the command's bytes are not what is expected under its name"),
            Self::UnreadableReply => f.write_str("done, but the reply cannot be read"),
            Self::InvalidSessionId => f.write_str("not a session id"),
            Self::Registration => f.write_str("session types not registered"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { self.kind.fmt(f) } else { write!(f, "{} ({})", self.kind, self.detail) }
    }
}

impl std::error::Error for Error {}
