//! The session that simulated nodes host: a register that keeps every value ever written to it, so that a finished run can
//! be judged by what is in the stores. A deletion is written as zero.

use smallvec::smallvec;

use super::{
    check::{Register, Reply},
    hosting::{Kept, ReplyNumber},
    packet::Told,
    several::SeveralReplies,
};
use crate::{
    blob::Blob,
    id::SessionKey,
    replication::{Body, Record},
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

/// What a caller is told, as the bytes that a reply table keeps.
pub(crate) fn encode_told(told: Told) -> Blob {
    let numbers = |reply: Reply| [reply.value.unwrap_or(0), reply.version];
    let said = told.said.map_or(u64::MAX, |number| u64::from(number.0));
    let first = numbers(told.reply).into_iter().chain([said]);
    // Where nobody is taken along the bytes say nothing of it.
    let count = told.along.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let along = told.along[..count].iter().flat_map(|reply| reply.map_or([u64::MAX; 2], numbers));
    first.chain(along).flat_map(u64::to_be_bytes).collect()
}

/// What `encode_told` gave.
pub(crate) fn decode_told(bytes: &Blob) -> Told {
    let numbers: Vec<u64> =
        bytes.chunks_exact(8).map(|b| u64::from_be_bytes(b.try_into().expect("chunks of eight"))).collect();
    let reply = |value: u64, version: u64| Reply { value: Some(value).filter(|v| *v != 0), version };
    let mut along = SeveralReplies::default();
    for (place, told) in along.iter_mut().zip(numbers[3..].chunks_exact(2)) {
        *place = (told[0] != u64::MAX).then(|| reply(told[0], told[1]));
    }
    Told { reply: reply(numbers[0], numbers[1]), said: u32::try_from(numbers[2]).ok().map(ReplyNumber), along }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_is_told_comes_back_from_a_reply_table_as_it_was() {
        let reply = |value, version| Reply { value, version };
        for along in [[None, None], [Some(reply(None, 3)), None], [None, Some(reply(Some(9), 4))]] {
            let told = Told { reply: reply(Some(7), 1), said: Some(ReplyNumber(5)), along };
            assert_eq!(decode_told(&encode_told(told)), told);
        }
    }
}
