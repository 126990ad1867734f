//! One registered command of one session type, with the command's own type forgotten: bytes in, bytes out.
//!
//! The functions here are made for each pair of session and command when it is registered, and are all that remembers the
//! command's type. They run user code and catch nothing: that is for the caller, who also owns the object.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::Failure;
use crate::{
    blob::Blob,
    replication::{Events, Lifespan},
    session::{Answer, Command, Context, Decide, EventSourced, Handle, Old, Session},
    wire::codec,
};

/// A reply may carry a whole state and needs a few bytes of its own.
pub(super) const REPLY_SLACK: usize = 4096;

/// A failure, and whether user code may have changed the object before it.
pub(super) struct Fault {
    pub failure: Failure,
    pub touched: bool,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, touched: false }
    }
}

/// The object may have been changed before it failed.
pub(super) fn touched(failure: Failure) -> Fault {
    Fault { failure, touched: true }
}

/// What a decision came to; its events are already applied to the object.
pub(super) struct Decided {
    pub events: Events,
    pub reply: Blob,
}

pub(super) type HandleFn<S> = fn(&mut S, &[u8], &mut Context<S>, usize) -> Result<Blob, Fault>;
pub(super) type DecideFn<S> = fn(&mut S, &[u8], &mut Context<S>, usize) -> Result<Decided, Fault>;
pub(super) type AnswerFn<S> = fn(&S, &[u8], Lifespan, usize) -> Result<Blob, Fault>;
/// Applies one stored event, written by the version given.
pub(super) type ReplayFn<S> = fn(&mut S, &[u8], u32) -> Result<(), Failure>;

/// What a command of `S` does.
pub(super) enum Does<S> {
    Handle(HandleFn<S>),
    Decide(DecideFn<S>),
    Answer(AnswerFn<S>),
}

pub(super) fn handle<S: Handle<C>, C: Command>(
    session: &mut S,
    payload: &[u8],
    cx: &mut Context<S>,
    value_max: usize,
) -> Result<Blob, Fault> {
    let command: C = codec::decode(payload, value_max).map_err(Failure::of_input)?;
    let reply = session.handle(command, cx).map_err(|refused| touched(Failure::Refused(refused)))?;
    encode_reply::<C>(&reply, value_max).map_err(touched)
}

pub(super) fn decide<S: Decide<C>, C: Command>(
    session: &mut S,
    payload: &[u8],
    cx: &mut Context<S>,
    value_max: usize,
) -> Result<Decided, Fault> {
    let command: C = codec::decode(payload, value_max).map_err(Failure::of_input)?;
    let (events, reply) = session.decide(command, cx).map_err(Failure::Refused)?;
    let reply = encode_reply::<C>(&reply, value_max)?;
    let mut left = value_max;
    let mut encoded = Events::with_capacity(events.len());
    for event in &events {
        let bytes = codec::encode_named(event, left).map_err(|fault| match Failure::of_output("event", fault) {
            Failure::TooLarge { .. } => Failure::TooLarge { limit: value_max },
            failure => failure,
        })?;
        left -= bytes.len();
        encoded.push(bytes);
    }
    // What is applied here is what the copies will read, not what was decided: where serde drops or bends something, the
    // primary must not be the only one that knows it; and what cannot be read back must fail now, not at a promotion.
    for bytes in &encoded {
        let event: S::Event =
            codec::decode(bytes, usize::MAX).map_err(|fault| touched(Failure::of_output("event, read back", fault)))?;
        session.apply(&event);
    }
    Ok(Decided { events: encoded, reply })
}

pub(super) fn answer<S: Answer<Q>, Q: Command>(
    session: &S,
    payload: &[u8],
    lifespan: Lifespan,
    value_max: usize,
) -> Result<Blob, Fault> {
    let question: Q = codec::decode(payload, value_max).map_err(Failure::of_input)?;
    Ok(encode_reply::<Q>(&session.answer_with_lifespan(question, lifespan), value_max)?)
}

pub(super) fn replay<S: EventSourced>(session: &mut S, event: &[u8], written_by: u32) -> Result<(), Failure> {
    let unreadable = |reason: String| Failure::Undecodable { theirs: written_by, ours: S::VERSION, reason };
    let event = if written_by < S::VERSION {
        S::migrate_event(Old::new(written_by, event)).map_err(|old| unreadable(old.reason().to_owned()))?
    } else {
        codec::decode(event, usize::MAX).map_err(|fault| unreadable(format!("event: {fault}")))?
    };
    session.apply(&event);
    Ok(())
}

/// The first image of a session, and the one that follows a migration, are read back before they are kept: a type that
/// cannot read what it writes must fail at once, not when the copy is all that is left.
pub(super) fn encode_image<S: Session>(session: &S, value_max: usize, read_back: bool) -> Result<Blob, Failure> {
    let image = codec::encode_named(session, value_max).map_err(|fault| Failure::of_output("state", fault))?;
    if read_back {
        check_unreplicated::<S>(&image)?;
        codec::decode::<S>(&image, usize::MAX).map_err(|fault| Failure::of_output("state, read back", fault))?;
    }
    Ok(image)
}

/// A field that is said not to be replicated must not be in what is.
fn check_unreplicated<S: Session>(image: &[u8]) -> Result<(), Failure> {
    if S::UNREPLICATED.is_empty() {
        return Ok(());
    }
    // A state that is no map of names has no field that could be named.
    let fields = codec::decode::<BTreeMap<String, IgnoredAny>>(image, usize::MAX).unwrap_or_default();
    let Some(field) = S::UNREPLICATED.iter().find(|field| fields.contains_key(**field)) else { return Ok(()) };
    let reason = format!("its type says that the field {field} is not replicated, and encodes it");
    Err(Failure::of_output("state", codec::CodecFault::Mismatch { reason }))
}

fn encode_reply<C: Command>(reply: &C::Reply, value_max: usize) -> Result<Blob, Failure> {
    codec::encode_named(reply, value_max.saturating_add(REPLY_SLACK))
        .map_err(|fault| Failure::of_output("reply", fault))
}
