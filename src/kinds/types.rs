//! `Types`: which session types a program brings, and which commands of each; handed to a node, at its start or later.
//!
//! Nothing here fails at once, so that a registration reads as one sentence: clashes are kept, and refused by the node
//! together with everything else in the same `Types`.

use std::{collections::btree_map::Entry, fmt, marker::PhantomData, time::Duration};

#[cfg(feature = "redis")]
use super::plain::{Plain, PlainKind};
use super::{
    command::{self, Does},
    typed::{Kind, TypedKind},
};
use crate::{
    error::{Error, ErrorKind},
    id::KIND_MAX,
    replication::Durability,
    session::{Answer, Command, Decide, Ended, Handle, Session},
};

/// The longest name of a command, in bytes.
const COMMAND_MAX: usize = 64;

/// Session types that are to be registered.
#[derive(Default)]
pub struct Types {
    pub(super) kinds: Vec<Box<dyn Kind>>,
    clashes: Vec<Clash>,
}

/// Why session types cannot be registered. None of those named together is then registered.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Two session types have this `KIND`.
    Kind {
        /// The name.
        kind: &'static str,
    },
    /// Two commands or questions of one session type have this `NAME`; one of them may be registered twice.
    Command {
        /// The session type.
        kind: &'static str,
        /// The name.
        command: &'static str,
    },
    /// A `KIND` is empty or too long.
    KindName {
        /// The name.
        kind: &'static str,
    },
    /// A `NAME` is empty or too long.
    CommandName {
        /// The session type.
        kind: &'static str,
        /// The name.
        command: &'static str,
    },
}

impl Types {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session type; what follows says what it does.
    pub fn add<S: Session>(&mut self) -> Registration<'_, S> {
        if S::KIND.is_empty() || S::KIND.len() > KIND_MAX {
            self.clashes.push(Clash::KindName { kind: S::KIND });
        }
        if self.kinds.iter().any(|kind| kind.name() == S::KIND) {
            self.clashes.push(Clash::Kind { kind: S::KIND });
        }
        self.kinds.push(Box::new(TypedKind::<S>::new()));
        Registration { types: self, session: PhantomData }
    }

    /// Adds a type whose sessions are bytes to everybody else.
    #[cfg(feature = "redis")]
    pub(crate) fn add_plain<P: Plain>(&mut self) {
        if self.kinds.iter().any(|kind| kind.name() == P::KIND) {
            self.clashes.push(Clash::Kind { kind: P::KIND });
        }
        self.kinds.push(Box::new(PlainKind::<P>::new()));
    }

    /// What stands against registering them; empty if nothing does, as far as can be known without the node.
    #[must_use]
    pub fn clashes(&self) -> &[Clash] {
        &self.clashes
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        f.debug_struct("Types").field("kinds", &names).field("clashes", &self.clashes).finish()
    }
}

/// What one session type does; made by `Types::add`.
pub struct Registration<'t, S> {
    types: &'t mut Types,
    session: PhantomData<fn(S)>,
}

impl<S: Session> Registration<'_, S> {
    fn kind(&mut self) -> &mut TypedKind<S> {
        let newest = self.types.kinds.last_mut().expect("`Types::add` put it there");
        newest.as_any_mut().downcast_mut().expect("`Types::add` put it there, and nothing was added since")
    }

    fn does<C: Command>(mut self, does: Does<S>) -> Self {
        if C::NAME.is_empty() || C::NAME.len() > COMMAND_MAX {
            self.types.clashes.push(Clash::CommandName { kind: S::KIND, command: C::NAME });
        }
        match self.kind().does.entry(C::NAME) {
            Entry::Vacant(entry) => {
                entry.insert(does);
            }
            Entry::Occupied(_) => self.types.clashes.push(Clash::Command { kind: S::KIND, command: C::NAME }),
        }
        self
    }

    /// It runs this command on the whole state.
    pub fn handles<C: Command>(self) -> Self
    where
        S: Handle<C>,
    {
        self.does::<C>(Does::Handle(command::handle::<S, C>))
    }

    /// It decides upon this command, and changes by events.
    pub fn decides<C: Command>(mut self) -> Self
    where
        S: Decide<C>,
    {
        self.kind().replay = Some(command::replay::<S>);
        self.does::<C>(Does::Decide(command::decide::<S, C>))
    }

    /// It answers this question.
    pub fn answers<Q: Command>(self) -> Self
    where
        S: Answer<Q>,
    {
        self.does::<Q>(Does::Answer(command::answer::<S, Q>))
    }

    /// When its commands count as done, unless a call says otherwise; `Sync` if this is never said. The node that serves the
    /// session decides, so say the same on every node.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.kind().durability = durability;
        self
    }

    /// Its sessions live on their primary alone: nothing of them is copied, so they are lost with its node, and when their arc
    /// moves to another. For what is worth nothing without the process it is in. Say the same on every node.
    pub fn not_copied(mut self) -> Self {
        self.kind().copied = false;
        self
    }

    /// Its sessions end so long after they were made, unless a command or a call says otherwise. Say the same on every node.
    pub fn expires_after(mut self, lasts: Duration) -> Self {
        self.kind().lifespan.ends_in = Some(lasts);
        self
    }

    /// Its sessions end when nothing was asked of them for so long, or at most a sixteenth longer, unless a command or a call
    /// says otherwise. Say the same on every node.
    pub fn expires_when_idle_for(mut self, idle: Duration) -> Self {
        self.kind().lifespan.idle = Some(idle);
        self
    }

    /// Calls this when one of its sessions has ended, with its last state and the reason: on the node that was its primary, once
    /// the end is held by every in-sync backup. At most once; not at all if that node dies in between, or if the session is
    /// lost with its copies. It holds up the sessions beside it, so it should hand on what takes time.
    pub fn when_ended(mut self, hook: impl Fn(Ended<S>) + Send + Sync + 'static) -> Self {
        self.kind().when_ended = Some(Box::new(hook));
        self
    }

    /// Each of its live sessions gets an actor of its own: for commands that compute for long, up to seconds, or block. They then
    /// hold up neither other sessions nor the node's heartbeat. Each costs some eleven kilobytes and tens of microseconds
    /// more a command. `limits.dedicated` of them compute at once on a node; a command whose arc moves meanwhile is computed again
    /// there, and done once.
    pub fn dedicated(mut self) -> Self {
        self.kind().dedicated = true;
        self
    }
}

impl<S: Session> fmt::Debug for Registration<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration of {}", S::KIND)
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind } => write!(f, "two session types are named {kind:?}"),
            Self::Command { kind, command } => write!(f, "two commands of {kind:?} are named {command:?}"),
            Self::KindName { kind } => write!(f, "the name of session type {kind:?} must have 1 to {KIND_MAX} bytes"),
            Self::CommandName { kind, command } => {
                write!(f, "the name of command {command:?} of {kind:?} must have 1 to {COMMAND_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for Clash {}

impl From<Clash> for Error {
    fn from(clash: Clash) -> Self {
        Self::new(ErrorKind::Registration).because(clash.to_string())
    }
}
