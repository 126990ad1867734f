//! `PlainKind<P>`: sessions whose state, commands and replies are bytes in a form of their own.
//!
//! Where the code of a type reads and writes its bytes itself, nothing has to be decoded before a command or encoded after it, and
//! no object is kept. It is for types of this crate: what is said of users' types, that their states outlive added and removed
//! fields and nest no deeper than is safe, such a type has to see to by itself.
//!
//! Invariants as for `TypedKind`: a failure and a panic change no stored byte; the type's code runs only inside `guarded`.

use std::{any::Any, marker::PhantomData, time::Duration};

use serde::Serialize;

use super::{
    Change, Failure, Kind, LiveSession, Occasion, Op, Payload, Run, Stored,
    command::{Fault, REPLY_SLACK},
    typed::{Done, guarded, own_reply},
};
use crate::{
    blob::Blob,
    replication::{Durability, Lifespan},
    session::{End, SessionId},
    wire::codec,
};

/// A type of this form.
pub(crate) trait Plain: Send + Sync + 'static {
    /// As `Session::KIND`.
    const KIND: &'static str;
    /// As `Session::VERSION`. There is no way to read an older one.
    const VERSION: u32 = 1;
    /// The name of its commands.
    const COMMAND: &'static str;
    /// The name of its questions.
    const QUESTION: &'static str;

    /// A session while commands of one call are run on it: what they need of it is read once, and written once, however many they are.
    type Open<'s>;

    /// Opens what is stored.
    fn open(stored: Option<&Blob>) -> Self::Open<'_>;

    /// Runs a command, and gives its reply.
    ///
    /// # Errors
    /// If the command, or what is stored, cannot be read; `TooLarge`. Nothing of the call is done then.
    fn command(open: &mut Self::Open<'_>, body: &Blob, life: &mut Life, limits: &PlainLimits) -> Result<Blob, Failure>;

    /// What is to be stored after the last command.
    ///
    /// # Errors
    /// `TooLarge`.
    fn close(open: Self::Open<'_>, limits: &PlainLimits) -> Result<Becomes, Failure>;

    /// Answers a question where this is stored and so much is left of its time.
    ///
    /// # Errors
    /// If the question, or what is stored, cannot be read; `TooLarge`.
    fn question(stored: Option<&Blob>, body: &[u8], left: Lifespan, limits: &PlainLimits) -> Result<Blob, Failure>;
}

/// How large what such a type encodes may be, in bytes. Who encodes stops there: what a few bytes ask for may be without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainLimits {
    /// What is stored.
    pub(crate) state: usize,
    /// A reply.
    pub(crate) reply: usize,
}

impl PlainLimits {
    /// Where a value has at most so many.
    pub(crate) const fn of(value_max: usize) -> Self {
        Self { state: value_max, reply: value_max.saturating_add(REPLY_SLACK) }
    }
}

/// What such a type stores, asks or says, in at most `max` bytes.
///
/// # Errors
/// `TooLarge`.
pub(crate) fn plain_bytes(value: &impl Serialize, max: usize) -> Result<Blob, Failure> {
    codec::encode_plain(value, max).map_err(|fault| Failure::of_output("bytes", fault))
}

/// What commands make of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// It is as it was.
    Same,
    /// It is this, and counts as changed, though it be what it was.
    State(Blob),
    /// There is none any more.
    Gone,
}

/// How long the session lives, as a command finds it and leaves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    span: Lifespan,
    is_set: bool,
}

impl Life {
    /// As a command finds it.
    pub(crate) const fn of(span: Lifespan) -> Self {
        Self { span, is_set: false }
    }

    /// How long it has left; `None`: no end is set. What was set is in it.
    pub(crate) const fn expires_in(&self) -> Option<Duration> {
        self.span.ends_in
    }

    /// Sets its end.
    pub(crate) const fn expire_in(&mut self, left: Duration) {
        self.span.ends_in = Some(left);
        self.is_set = true;
    }

    /// Only a deletion ends it from now on.
    pub(crate) const fn never_expire(&mut self) {
        self.span = Lifespan::FOR_EVER;
        self.is_set = true;
    }
}

/// See the module.
pub(super) struct PlainKind<P>(PhantomData<fn(P)>);

impl<P: Plain> PlainKind<P> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }

    /// What is stored, if this version can read it.
    fn readable<'s>(stored: &Stored<'s>) -> Result<Option<&'s Blob>, Failure> {
        if stored.image.is_some() && (stored.state_version != P::VERSION || !stored.events.is_empty()) {
            let reason = "another version of the type wrote it".to_owned();
            return Err(Failure::Undecodable { theirs: stored.state_version, ours: P::VERSION, reason });
        }
        Ok(stored.image)
    }

    fn call(stored: &Stored<'_>, command: &str, payload: Payload<'_>, occasion: &Occasion<'_>) -> Result<Done, Fault> {
        if command != P::COMMAND {
            return Err(Failure::NoSuchCommand { command: command.to_owned() }.into());
        }
        let before = Self::readable(stored)?;
        let mut open = P::open(before);
        let mut life = Life::of(occasion.lifespan);
        let limit = occasion.value_max;
        let limits = PlainLimits::of(limit);
        let reply = payload.each(limit, |body| {
            if body.len() > limit {
                return Err(Failure::TooLarge { limit }.into());
            }
            Ok(P::command(&mut open, body, &mut life, &limits)?)
        })?;
        let change = match P::close(open, &limits)? {
            Becomes::Gone if before.is_some() => Change::Deleted,
            Becomes::Same | Becomes::Gone => Change::None,
            Becomes::State(bytes) => Change::Image { bytes, state_version: P::VERSION },
        };
        let life = (life.is_set && !matches!(change, Change::Deleted)).then_some(life.span);
        Ok((change, reply, life))
    }

    fn answer(
        stored: &Stored<'_>,
        (question, body): (&str, &[u8]),
        left: Lifespan,
        value_max: usize,
    ) -> Result<Blob, Failure> {
        if question != P::QUESTION {
            return Err(Failure::NoSuchCommand { command: question.to_owned() });
        }
        P::question(Self::readable(stored)?, body, left, &PlainLimits::of(value_max))
    }

    fn attempt(stored: &Stored<'_>, op: Op<'_>, occasion: &Occasion<'_>) -> Result<Done, Fault> {
        let exists = stored.image.is_some();
        let current = if exists { occasion.version } else { 0 };
        if occasion.expected.is_some_and(|expected| expected != current) {
            return Err(Failure::Conflict { current }.into());
        }
        match op {
            Op::Call { command, payload, may_create } if exists || may_create => {
                Self::call(stored, command, payload, occasion)
            }
            Op::Call { .. } => Err(Failure::NoSuchSession.into()),
            Op::Create { .. } if exists => Err(Failure::AlreadyExists.into()),
            Op::GetOrCreate { .. } if exists => Ok((Change::None, own_reply(&false), None)),
            Op::Create { initial: Some(state) } | Op::GetOrCreate { initial: Some(state) } => {
                let reply = if matches!(op, Op::Create { .. }) { own_reply(&()) } else { own_reply(&true) };
                Ok((Change::Image { bytes: state.into(), state_version: P::VERSION }, reply, None))
            }
            // It has no first state of its own: a command makes one.
            Op::Create { initial: None } | Op::GetOrCreate { initial: None } => Err(Failure::NoSuchSession.into()),
            Op::Delete => Ok((if exists { Change::Deleted } else { Change::None }, own_reply(&exists), None)),
            Op::Answer { question, payload } => {
                let left = if exists { occasion.lifespan } else { Lifespan::FOR_EVER };
                Ok((Change::None, Self::answer(stored, (question, payload), left, occasion.value_max)?, None))
            }
        }
    }
}

impl<P: Plain> Kind for PlainKind<P> {
    fn name(&self) -> &'static str {
        P::KIND
    }

    fn version(&self) -> u32 {
        P::VERSION
    }

    fn durability(&self) -> Durability {
        Durability::Sync
    }

    fn is_copied(&self) -> bool {
        true
    }

    fn unreplicated(&self) -> &'static [&'static str] {
        &[]
    }

    fn lifespan(&self) -> Lifespan {
        Lifespan::FOR_EVER
    }

    fn hears_ends(&self) -> bool {
        false
    }

    fn tell_end(&self, _: Stored<'_>, _: &SessionId, _: End) {}

    fn is_dedicated(&self) -> bool {
        false
    }

    fn keeps_objects(&self) -> bool {
        false
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn run(&self, _: &mut LiveSession, stored: Stored<'_>, op: Op<'_>, occasion: &Occasion<'_>) -> Run {
        match guarded(P::KIND, op.name(), || Self::attempt(&stored, op, occasion)) {
            Ok((change, reply, life)) => Run { change, tasks: Vec::new(), life, outcome: Ok(reply) },
            Err(Fault { failure, .. }) => {
                Run { change: Change::None, tasks: Vec::new(), life: None, outcome: Err(failure) }
            }
        }
    }

    fn state(&self, stored: Stored<'_>, _: &Occasion<'_>) -> Result<(u32, Blob), Failure> {
        let image = stored.image.ok_or(Failure::NoSuchSession)?;
        Ok((stored.state_version, image.clone()))
    }

    fn present_state(&self, stored: Stored<'_>, _: &Occasion<'_>) -> Result<Blob, Failure> {
        Self::readable(&stored)?.cloned().ok_or(Failure::NoSuchSession)
    }

    fn answer_stored(
        &self,
        stored: Stored<'_>,
        question: &str,
        payload: &[u8],
        occasion: &Occasion<'_>,
    ) -> Result<Blob, Failure> {
        let answered = guarded(P::KIND, question, || {
            Ok(Self::answer(&stored, (question, payload), Lifespan::FOR_EVER, occasion.value_max)?)
        });
        answered.map_err(|fault| fault.failure)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
