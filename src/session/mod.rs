//! The door for users' session types: what a session is, and what it does with commands.
//!
//! A type says how its state is kept by the trait it implements per command. `Handle`: the whole state travels to the
//! copies. `Decide`: only events travel. `Answer`: nothing changes. No trait here shows how sessions are hosted, copied
//! or addressed, and none shows an actor.
//!
//! The smallest session that survives its server:
//!
//! ```
//! use ringheir::{Command, Context, Handle, Refused, Session, SessionId, Types};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter(i64);
//! impl Session for Counter {
//!     const KIND: &'static str = "counter";
//!     fn absent(_: &SessionId) -> Option<Self> {
//!         Some(Self::default()) // the first command under a new id finds a zero
//!     }
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Add(i64);
//! impl Command for Add {
//!     const NAME: &'static str = "add";
//!     type Reply = i64;
//! }
//! impl Handle<Add> for Counter {
//!     fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<i64, Refused> {
//!         self.0 = self.0.checked_add(n).ok_or("out of range")?;
//!         Ok(self.0)
//!     }
//! }
//!
//! let mut types = Types::new();
//! types.add::<Counter>().handles::<Add>();
//! assert_eq!(types.clashes(), &[]);
//! ```

mod context;
mod ended;
mod id;
mod old;
mod refused;
mod task;

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::task::Task;
pub use self::{
    context::Context,
    ended::{End, Ended},
    id::{InvalidSessionId, SessionId},
    old::{Old, Undecodable},
    refused::Refused,
};
use crate::{
    blob::Blob,
    error::{Error, ErrorKind},
    replication::Lifespan,
    wire::codec::{self, CodecFault},
};

/// The state of one session. What serde skips is not copied; say so in `UNREPLICATED`, and rebuild it in `loaded`.
///
/// The state must nest no deeper than 64 levels of struct, list and enum: deeper ones fail the command that made them.
pub trait Session: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The kind's name on the wire, 1 to 64 bytes. It never changes.
    const KIND: &'static str;
    /// Raised when an older state needs `migrate` to be read. Added and removed fields do not: fields travel by name, and
    /// `#[serde(default)]` fills in what is new.
    const VERSION: u32 = 1;
    /// The fields that serde skips, by name: each lives on the primary alone and is rebuilt by `loaded`. A node lists them when
    /// the type is registered, so that nobody takes them for replicated. One that is named here and encoded all the same
    /// fails the command that makes the session, as `Unencodable`.
    const UNREPLICATED: &'static [&'static str] = &[];

    /// What a command finds under an id that never existed, or was deleted. `None`: only an explicit create makes one.
    ///
    /// Looking at it makes nothing: the session exists from its first successful `Handle`, or its first event.
    #[must_use]
    fn absent(_id: &SessionId) -> Option<Self> {
        None
    }

    /// Reads a state that a lower `VERSION` wrote.
    ///
    /// # Errors
    /// If it cannot: the stored state is then kept as it is, and commands answer `Undecodable`.
    fn migrate(old: Old<'_>) -> Result<Self, Undecodable> {
        Err(Undecodable::because(format!("no migration from version {}", old.version())))
    }

    /// Called each time the object was made from its stored bytes: after a promotion, an idle time, a failed command.
    /// It rebuilds what serde skips and must leave the rest alone: what it changed would not be copied. On the primary it may
    /// plan work ([`Context::spawn`]).
    fn loaded(&mut self, _cx: &mut Context<Self>) {}
}

/// Something asked of a session, and the type of what it answers.
pub trait Command: Serialize + DeserializeOwned + Send + 'static {
    /// Its name on the wire within a session kind, 1 to 64 bytes. It never changes.
    const NAME: &'static str;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// A command that changes the whole state; the state then travels to the copies.
pub trait Handle<C: Command>: Session {
    /// Changes the state and replies. An error or a panic, even half-way, leaves the session as it was before.
    ///
    /// # Errors
    /// The session's own refusal.
    fn handle(&mut self, command: C, cx: &mut Context<Self>) -> Result<C::Reply, Refused>;
}

/// A question: it changes nothing and may be asked of a copy.
pub trait Answer<Q: Command>: Session {
    /// Replies.
    fn answer(&self, question: Q) -> Q::Reply;

    /// Replies where the answer shows how long the session still lives. Asked of the primary it is told that; asked of a copy
    /// ([`crate::SessionRef::read_stale`]) it is told [`Lifespan::FOR_EVER`], since only the primary says when a session ends.
    fn answer_with_lifespan(&self, question: Q, lifespan: Lifespan) -> Q::Reply {
        let _ = lifespan;
        self.answer(question)
    }
}

/// A session whose changes are events: only they travel, however large the state.
pub trait EventSourced: Session {
    /// One change, as it travels and as it is stored until the next image of the whole state.
    type Event: Serialize + DeserializeOwned + Send + 'static;

    /// Makes the change. It must depend on nothing but `self` and the event, for every copy repeats it.
    fn apply(&mut self, event: &Self::Event);

    /// Reads an event that a lower `VERSION` wrote; by default as if it were a present one.
    ///
    /// # Errors
    /// If it cannot: the stored session is then kept as it is, and commands answer `Undecodable`.
    fn migrate_event(old: Old<'_>) -> Result<Self::Event, Undecodable> {
        old.decode()
    }
}

/// A command that is decided upon without changing anything; its events then change the session.
pub trait Decide<C: Command>: EventSourced {
    /// Says what happens and what to reply. The reply must not rest on the events having been applied. No events: nothing
    /// changes, and a session that was absent stays so.
    ///
    /// # Errors
    /// The session's own refusal.
    fn decide(&self, command: C, cx: &mut Context<Self>) -> Result<(Vec<Self::Event>, C::Reply), Refused>;
}

/// Tells a `Handle` from a `Decide` where both would do; inferred, never written.
#[derive(Debug)]
pub enum ByHandle {}
/// Tells a `Decide` from a `Handle` where both would do; inferred, never written.
#[derive(Debug)]
pub enum ByDecide {}

/// Implemented for every session and command that `Handle` or `Decide` joins: what `call` asks for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` neither handles nor decides `{C}`",
    label = "implement `Handle<{C}>` or `Decide<{C}>` for `{Self}`"
)]
pub trait Runs<C: Command, Way>: Session {}
impl<S: Handle<C>, C: Command> Runs<C, ByHandle> for S {}
impl<S: Decide<C>, C: Command> Runs<C, ByDecide> for S {}

/// What a command or a question looks like on its way to its session.
#[allow(dead_code, reason = "the runtime calls it")]
pub(crate) fn encode_command<C: Command>(command: &C, max: usize) -> Result<Blob, Error> {
    codec::encode_named(command, max).map_err(|fault| match fault {
        CodecFault::TooLarge { limit } => ErrorKind::TooLarge { limit }.into(),
        fault => Error::new(ErrorKind::Unencodable).because(format!("command {}: {fault}", C::NAME)),
    })
}

/// What came back. A reply that cannot be read leaves the outcome known to its session only.
#[allow(dead_code, reason = "the runtime calls it")]
pub(crate) fn decode_reply<C: Command>(reply: &[u8]) -> Result<C::Reply, Error> {
    codec::decode(reply, usize::MAX)
        .map_err(|fault| Error::new(ErrorKind::UnreadableReply).because(format!("command {}: {fault}", C::NAME)))
}
