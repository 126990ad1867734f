//! `TypedKind<S>`: everything a node can do with sessions of type `S`, behind `Kind`, which has forgotten the type.
//!
//! It runs one operation at a time on one session: decode what is not decoded, run the user's code, encode what changed.
//! It stores nothing, sends nothing and waits for nothing: the worker appends the change and lets the reply go.
//!
//! Invariants. A failure, a refusal and a panic change no stored byte, and the next operation finds the session as it was.
//! User code runs only inside `guarded`, which lets no panic out. A state that cannot be read is never overwritten.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Change, Failure, LiveSession, Occasion, Op, Run, Stored,
    command::{self, Does, Fault, ReplayFn, touched},
};
use crate::{
    blob::Blob,
    moment::Moment,
    replication::{Durability, Lifespan},
    session::{Context, End, Ended, Old, Session, SessionId},
    wire::codec::{self, cut},
};

/// The longest words of a panic that travel, in bytes.
const PANIC_MAX: usize = 512;

/// A session kind with its type forgotten: what a worker calls.
pub(crate) trait Kind: Any + Send + Sync {
    /// `Session::KIND`.
    fn name(&self) -> &'static str;
    /// `Session::VERSION`.
    fn version(&self) -> u32;
    /// When its commands count as done, unless a call says otherwise.
    fn durability(&self) -> Durability;
    /// Whether its sessions are copied to the backups.
    fn is_copied(&self) -> bool;
    /// Which fields of a session are not.
    fn unreplicated(&self) -> &'static [&'static str];
    /// How long its sessions live, unless a command or a call says otherwise.
    fn lifespan(&self) -> Lifespan;
    /// Whether the program wants to hear of ended sessions.
    fn hears_ends(&self) -> bool;
    /// Tells the program that a session has ended, and what it was.
    fn tell_end(&self, stored: Stored<'_>, id: &SessionId, why: End);
    /// Whether each live session gets an actor of its own.
    fn is_dedicated(&self) -> bool;
    /// Whether its decoded objects are kept between two operations.
    fn keeps_objects(&self) -> bool;
    /// Whether its commands and questions are known to be short, whatever is in them: not where a user's code runs.
    fn is_quick(&self) -> bool {
        false
    }
    /// Runs an operation on the primary.
    fn run(&self, live: &mut LiveSession, stored: Stored<'_>, op: Op<'_>, occasion: &Occasion<'_>) -> Run;
    /// The whole state as it is stored, encoded, and the version of the type that encoded it.
    fn state(&self, stored: Stored<'_>, occasion: &Occasion<'_>) -> Result<(u32, Blob), Failure>;
    /// The whole state encoded as this version of the type would, whichever wrote it.
    fn present_state(&self, stored: Stored<'_>, occasion: &Occasion<'_>) -> Result<Blob, Failure>;
    /// Answers a question from stored bytes alone: on a backup, or beside the primary's own object.
    fn answer_stored(
        &self,
        stored: Stored<'_>,
        question: &str,
        payload: &[u8],
        occasion: &Occasion<'_>,
    ) -> Result<Blob, Failure>;
    /// For the registration that is still adding commands to it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// The commands of `S`, and how its sessions are hosted.
pub(super) struct TypedKind<S> {
    pub(super) does: BTreeMap<&'static str, Does<S>>,
    /// Known once a `Decide` was registered.
    pub(super) replay: Option<ReplayFn<S>>,
    pub(super) dedicated: bool,
    pub(super) durability: Durability,
    pub(super) copied: bool,
    pub(super) lifespan: Lifespan,
    pub(super) when_ended: Option<Hook<S>>,
}

/// What a program does when a session has ended.
pub(super) type Hook<S> = Box<dyn Fn(Ended<S>) + Send + Sync>;

/// What an operation came to that did not fail: what changed, what to reply, how long to live.
pub(super) type Done = (Change, Blob, Option<Lifespan>);

impl<S: Session> TypedKind<S> {
    pub(super) const fn new() -> Self {
        Self {
            does: BTreeMap::new(),
            replay: None,
            dedicated: false,
            durability: Durability::Sync,
            copied: true,
            lifespan: Lifespan::FOR_EVER,
            when_ended: None,
        }
    }

    pub(super) fn context(stored: &Stored<'_>, occasion: &Occasion<'_>) -> Context<S> {
        let version = if stored.image.is_some() { occasion.version } else { 0 };
        Context::new(occasion.id.clone(), occasion.request, occasion.now, version, occasion.lifespan)
    }

    /// The object these bytes stand for: the one in use, or else a new one made from them.
    pub(super) fn recall<'l>(
        &self,
        live: &'l mut LiveSession,
        stored: &Stored<'_>,
        cx: &mut Context<S>,
    ) -> Result<&'l mut S, Failure> {
        if !live.reflects(stored) || live.object::<S>().is_none() {
            let image = stored.image.ok_or(Failure::NoSuchSession)?;
            live.hold(Box::new(decode_image::<S>(image, stored.state_version)?));
            let session = live.object::<S>().expect("it was just put there");
            for event in stored.events {
                let replay = self.replay.ok_or_else(|| Failure::Undecodable {
                    theirs: stored.state_version,
                    ours: S::VERSION,
                    reason: "it has events, but no command that decides is registered".to_owned(),
                })?;
                replay(session, event, stored.state_version)?;
            }
            session.loaded(cx);
            live.is_decoded_from(stored);
            live.plan(cx.take_tasks());
        }
        Ok(live.object::<S>().expect("it was there, or was just put there"))
    }

    /// The object that a command finds where nothing is stored.
    pub(super) fn imagine<'l>(live: &'l mut LiveSession, occasion: &Occasion<'_>) -> Result<&'l mut S, Failure> {
        live.hold(Box::new(S::absent(occasion.id).ok_or(Failure::NoSuchSession)?));
        Ok(live.object::<S>().expect("it was just put there"))
    }

    fn create(
        live: &mut LiveSession,
        stored: &Stored<'_>,
        initial: Option<&[u8]>,
        occasion: &Occasion<'_>,
    ) -> Result<Change, Fault> {
        let session = match initial {
            None => Self::imagine(live, occasion)?,
            Some(bytes) => {
                live.hold(Box::new(codec::decode::<S>(bytes, occasion.value_max).map_err(Failure::of_input)?));
                let mut cx = Self::context(stored, occasion);
                live.object::<S>().expect("it was just put there").loaded(&mut cx);
                live.plan(cx.take_tasks());
                live.object::<S>().expect("it was put there before")
            }
        };
        let image = new_image(session, stored, occasion)?;
        live.is_image(&image, S::VERSION);
        Ok(Change::Image { bytes: image, state_version: S::VERSION })
    }

    fn answer(
        &self,
        live: &mut LiveSession,
        stored: &Stored<'_>,
        (question, payload): (&str, &[u8]),
        occasion: &Occasion<'_>,
    ) -> Result<Blob, Fault> {
        let Some(Does::Answer(answer)) = self.does.get(question) else {
            return Err(Failure::NoSuchCommand { command: question.to_owned() }.into());
        };
        match stored.image {
            Some(_) => {
                let session = self.recall(live, stored, &mut Self::context(stored, occasion)).map_err(touched)?;
                answer(session, payload, occasion.lifespan, occasion.value_max)
            }
            None => answer(Self::imagine(live, occasion)?, payload, Lifespan::FOR_EVER, occasion.value_max),
        }
    }

    /// The state as a new image, events and migrations in it.
    fn encoded_anew(&self, stored: Stored<'_>, occasion: &Occasion<'_>) -> Result<Blob, Failure> {
        let mut once = LiveSession::new();
        let encoded = guarded(S::KIND, "(state)", || {
            let session = self.recall(&mut once, &stored, &mut Self::context(&stored, occasion)).map_err(touched)?;
            Ok(command::encode_image(session, occasion.value_max, false)?)
        });
        encoded.map_err(|fault| fault.failure)
    }

    fn attempt(
        &self,
        live: &mut LiveSession,
        stored: &Stored<'_>,
        op: Op<'_>,
        occasion: &Occasion<'_>,
    ) -> Result<Done, Fault> {
        let current = if stored.image.is_some() { occasion.version } else { 0 };
        if occasion.expected.is_some_and(|expected| expected != current) {
            return Err(Failure::Conflict { current }.into());
        }
        let exists = stored.image.is_some();
        match op {
            Op::Call { command, payload, may_create } => {
                self.call(live, stored, (command, payload, may_create), occasion)
            }
            Op::Create { .. } if exists => Err(Failure::AlreadyExists.into()),
            Op::Create { initial } => Ok((Self::create(live, stored, initial, occasion)?, own_reply(&()), None)),
            Op::GetOrCreate { .. } if exists => Ok((Change::None, own_reply(&false), None)),
            Op::GetOrCreate { initial } => Ok((Self::create(live, stored, initial, occasion)?, own_reply(&true), None)),
            Op::Delete => Ok((if exists { Change::Deleted } else { Change::None }, own_reply(&exists), None)),
            Op::Answer { question, payload } => {
                Ok((Change::None, self.answer(live, stored, (question, payload), occasion)?, None))
            }
        }
    }
}

/// Runs the code of a type. What it works on must outlive this call, so that a panic does not drop it while it unwinds.
pub(super) fn guarded<T>(
    kind: &'static str,
    command: &str,
    run: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no text)");
        tracing::error!(kind, command, message = words, "a session type's code panicked");
        let words = cut(words.to_owned(), PANIC_MAX);
        Err(touched(Failure::Panicked { words }))
    })
}

/// An object from its encoded state, which that version of the type wrote.
pub(crate) fn decode_image<S: Session>(image: &Blob, written_by: u32) -> Result<S, Failure> {
    let unreadable = |reason: String| Failure::Undecodable { theirs: written_by, ours: S::VERSION, reason };
    if written_by > S::VERSION {
        return Err(unreadable("a newer version of the type wrote it".to_owned()));
    }
    if written_by < S::VERSION {
        return S::migrate(Old::new(written_by, image)).map_err(|old| unreadable(old.reason().to_owned()));
    }
    codec::decode(image, usize::MAX).map_err(|fault| unreadable(format!("state: {fault}")))
}

pub(super) fn new_image<S: Session>(
    session: &S,
    stored: &Stored<'_>,
    occasion: &Occasion<'_>,
) -> Result<Blob, Failure> {
    let first = stored.image.is_none() || stored.state_version != S::VERSION;
    command::encode_image(session, occasion.value_max, first)
}

/// The reply of an operation that every kind has.
pub(super) fn own_reply<T: serde::Serialize>(reply: &T) -> Blob {
    codec::encode_named(reply, usize::MAX).expect("nothing and a bool can be encoded")
}

impl<S: Session> Kind for TypedKind<S> {
    fn name(&self) -> &'static str {
        S::KIND
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn is_copied(&self) -> bool {
        self.copied
    }

    fn unreplicated(&self) -> &'static [&'static str] {
        S::UNREPLICATED
    }

    fn lifespan(&self) -> Lifespan {
        self.lifespan
    }

    fn hears_ends(&self) -> bool {
        self.when_ended.is_some()
    }

    fn tell_end(&self, stored: Stored<'_>, id: &SessionId, why: End) {
        let Some(hook) = &self.when_ended else { return };
        let told = guarded(S::KIND, "(when ended)", || {
            let mut once = LiveSession::new();
            let lifespan = Lifespan::FOR_EVER;
            let mut cx = Context::new(id.clone(), None, Moment::START, 0, lifespan);
            self.recall(&mut once, &stored, &mut cx)?;
            if let Some(session) = once.take::<S>() {
                hook(Ended::new(id.clone(), session, why));
            }
            Ok(())
        });
        if let Err(Fault { failure, .. }) = told {
            tracing::warn!(kind = S::KIND, %id, ?failure, "a session has ended, and its program could not be told of it");
        }
    }

    fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    fn keeps_objects(&self) -> bool {
        true
    }

    fn run(&self, live: &mut LiveSession, stored: Stored<'_>, op: Op<'_>, occasion: &Occasion<'_>) -> Run {
        let done = guarded(S::KIND, op.name(), || self.attempt(live, &stored, op, occasion));
        let gone = matches!(done, Ok((Change::Deleted, ..)));
        let imagined =
            stored.image.is_none() && !matches!(done, Ok((Change::Image { .. } | Change::Events { .. }, ..)));
        if gone || imagined || done.as_ref().is_err_and(|fault| fault.touched) {
            live.forget();
        }
        match done {
            Ok((change, reply, life)) => Run { change, tasks: live.take_plans(), life, outcome: Ok(reply) },
            Err(Fault { failure, .. }) => {
                Run { change: Change::None, tasks: Vec::new(), life: None, outcome: Err(failure) }
            }
        }
    }

    fn state(&self, stored: Stored<'_>, occasion: &Occasion<'_>) -> Result<(u32, Blob), Failure> {
        let image = stored.image.ok_or(Failure::NoSuchSession)?;
        if stored.events.is_empty() {
            return Ok((stored.state_version, image.clone()));
        }
        self.encoded_anew(stored, occasion).map(|image| (S::VERSION, image))
    }

    fn present_state(&self, stored: Stored<'_>, occasion: &Occasion<'_>) -> Result<Blob, Failure> {
        match stored.image {
            Some(image) if stored.events.is_empty() && stored.state_version == S::VERSION => Ok(image.clone()),
            _ => self.encoded_anew(stored, occasion),
        }
    }

    fn answer_stored(
        &self,
        stored: Stored<'_>,
        question: &str,
        payload: &[u8],
        occasion: &Occasion<'_>,
    ) -> Result<Blob, Failure> {
        let mut once = LiveSession::new();
        guarded(S::KIND, question, || self.answer(&mut once, &stored, (question, payload), occasion))
            .map_err(|fault| fault.failure)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<S: Session> fmt::Debug for TypedKind<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} {:?}", S::KIND, S::VERSION, self.does.keys())
    }
}
