//! The session that simulated nodes host: a register that keeps every value ever written to it, so that a finished run can
//! be judged by what is in the stores. A deletion is written as zero.

use std::time::Duration;

use smallvec::smallvec;

use super::{
    check::{Register, Reply},
    hosting::{Kept, ReplyNumber},
};
use crate::{
    blob::Blob,
    id::SessionKey,
    replication::{Body, Lifespan, Record},
};

/// The key of a simulated session.
#[must_use]
pub(crate) fn session_key(session: u32) -> SessionKey {
    SessionKey::new("register", session.to_string().as_bytes()).expect("short")
}

/// The number of a simulated session.
#[must_use]
pub(crate) fn session_of(key: &SessionKey) -> u32 {
    str::from_utf8(key.id()).ok().and_then(|id| id.parse().ok()).expect("a key that `session_key` gave")
}

/// How long a session lives after a write: in three of them one for ever, one until a set end, one for as long as it is used.
#[must_use]
pub(crate) fn span_of(session: u32, lifetimes: Option<Duration>) -> Option<Lifespan> {
    let lasts = lifetimes?;
    match session % 3 {
        0 => None,
        1 => Some(Lifespan { ends_in: Some(lasts), idle: None }),
        _ => Some(Lifespan { ends_in: None, idle: Some(lasts) }),
    }
}

/// Every value ever written to a session, in order.
#[must_use]
pub(crate) fn values_of(record: &Record) -> Vec<u64> {
    let kept = Kept::of(Some(record));
    if !kept.log.is_empty() {
        return kept.values();
    }
    let bytes = record.image.iter().chain(&record.events).flat_map(|b| b.chunks_exact(8));
    bytes.map(|b| u64::from_be_bytes(b.try_into().expect("chunks of eight"))).collect()
}

/// What a session with these values shows.
#[must_use]
pub(crate) fn register_of(values: &[u64]) -> Register {
    Register { value: values.last().copied().filter(|v| *v != 0), version: values.len() as u64 }
}

/// Events most of the time, and an image now and then, so that both ways of keeping state are exercised.
pub(crate) fn body_for(values: &[u64], value: Option<u64>) -> Body {
    let event = Blob::from(&value.unwrap_or(0).to_be_bytes());
    let whole = || values.iter().flat_map(|v| v.to_be_bytes()).chain(event.iter().copied()).collect::<Blob>();
    match values.len() % 5 {
        0 => Body::Image { bytes: whole(), state_version: 1 },
        3 => Body::Events { events: smallvec![event.clone()], image: Some(whole()), state_version: 1 },
        _ => Body::Events { events: smallvec![event], image: None, state_version: 1 },
    }
}

/// A reply, and what a user's type said, as the bytes that a reply table keeps.
pub(crate) fn encode_reply(reply: Reply, said: Option<ReplyNumber>) -> Blob {
    let said = said.map_or(u64::MAX, |number| u64::from(number.0));
    Blob::from(&[reply.value.unwrap_or(0), reply.version, said].map(u64::to_be_bytes).concat())
}

/// What `encode_reply` gave.
pub(crate) fn decode_reply(bytes: &Blob) -> (Reply, Option<ReplyNumber>) {
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("twenty-four bytes"));
    let reply = Reply { value: Some(number(0)).filter(|v| *v != 0), version: number(8) };
    (reply, u32::try_from(number(16)).ok().map(ReplyNumber))
}
