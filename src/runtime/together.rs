//! Commands to several sessions of one arc as one commit: all of them, or none.
//!
//! They are run one after the other, each on what is stored, so none sees what another of them changed: each session stands
//! in it once. The reply is remembered by the first session alone; a retry comes to the same one.

use std::collections::BTreeSet;

use super::{
    execute::{not_served, occasion_of, stored_of, wait},
    inbox::Call,
    message::{CallOutcome, CallRequest, Operation, Part},
    watchers,
    worker::{Waiting, WorkerState},
};
use crate::{
    blob::Blob,
    id::{ArcId, CommitNumber, SessionKey},
    kinds::{Change, Failure, Kinds, Occasion, Op, Payload, Run},
    moment::Moment,
    replication::{Body, Changes, Durability, Host, Lifespan, Record, ReplyEntry, SessionChange, Use},
    session::SessionId,
    wire::codec,
};

/// Runs the parts of a call that was let through, on the primary of their arc.
pub(super) fn run(state: &mut WorkerState, host: &mut Host, kinds: &Kinds, arc: ArcId, call: Call, now: Moment) {
    let Call { request, reply_to, .. } = call;
    let Operation::Together(parts) = &request.operation else { unreachable!("the caller looked") };
    if let Err(lapsed) = end_lapsed(state, host, arc, parts, now) {
        reply_to.give(lapsed);
        return;
    }
    // What is answered shows what all of them were.
    let mut shown = CommitNumber::default();
    let mut changes = Changes::new();
    let mut replies: Vec<Blob> = Vec::with_capacity(parts.len());
    let ran = check(host, arc, parts).and_then(|()| {
        parts.iter().try_for_each(|part| {
            let primary = host.serve(arc, now).map_err(not_served)?;
            let record = primary.store().get(&part.key);
            shown = shown.max(record.map(|r| r.version).unwrap_or_default());
            let lost = primary.open_loss().is_some() && record.is_none_or(|r| !r.exists());
            if lost && !request.creating {
                return Err(CallOutcome::Lost);
            }
            let exists = record.is_some_and(Record::exists);
            let (change, reply) = one(state, kinds, arc, part, &request, record, now)?;
            // A question among commands is a use as any other.
            let change = change.or_else(|| {
                let must_tell = exists && host.used(arc, &part.key, now) == Use::ToTell;
                must_tell.then(|| untouched(&part.key))
            });
            changes.extend(change);
            replies.push(reply);
            Ok(())
        })
    });
    if let Err(outcome) = ran {
        // What those before it changed is not stored.
        parts.iter().for_each(|part| state.live.forget(arc, &part.key));
        wait(state, host, arc, shown, reply_to, outcome, now);
        return;
    }
    let reply = codec::encode_named(&replies, usize::MAX).expect("a list of bytes can be encoded");
    remember(&mut changes, &parts[0].key, &request, &reply);
    let changed: Vec<SessionKey> =
        changes.iter().filter(|change| change.body != Body::Unchanged).map(|change| change.key.clone()).collect();
    let token = state.draw_token();
    let asker = reply_to.asker().filter(|_| request.request.is_some());
    let number = host.append_for((token, asker), arc, changes, Durability::Sync, now, &mut state.effects);
    state.waiting.insert(token, Waiting { reply_to, outcome: CallOutcome::Done(reply, number.0), after: None });
    changed.iter().for_each(|key| watchers::wake(state, host, key, now));
}

/// Ends those that are over first, so that nobody finds a session past its end.
fn end_lapsed(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    parts: &[Part],
    now: Moment,
) -> Result<(), CallOutcome> {
    for part in parts {
        let primary = host.serve(arc, now).map_err(not_served)?;
        if let Some(lapse) = primary.store().get(&part.key).and_then(|record| record.lapse(now)) {
            super::ending::end(state, host, arc, &part.key, lapse, now);
        }
    }
    // An end is a commit, and may have filled what the arc has room for.
    host.serve(arc, now).map(drop).map_err(not_served)
}

/// Whether the parts can be one commit.
fn check(host: &Host, arc: ArcId, parts: &[Part]) -> Result<(), CallOutcome> {
    let arcs = host.surroundings().view.shape.arcs;
    let malformed = |reason: &str| CallOutcome::Failed(Failure::Malformed { reason: reason.to_owned() });
    if parts.iter().any(|part| part.key.arc(arcs) != arc) {
        return Err(malformed("sessions of one commit lie in one arc"));
    }
    if parts.iter().map(|part| &part.key).collect::<BTreeSet<_>>().len() != parts.len() {
        return Err(malformed("a session stands in one commit once"));
    }
    Ok(())
}

/// Runs one part; what it changes, unless that is nothing, and its reply.
fn one(
    state: &mut WorkerState,
    kinds: &Kinds,
    arc: ArcId,
    part: &Part,
    request: &CallRequest,
    record: Option<&Record>,
    now: Moment,
) -> Result<(Option<SessionChange>, Blob), CallOutcome> {
    let kind = kinds.get(part.key.kind()).ok_or(CallOutcome::NoSuchKind)?;
    if kind.is_dedicated() || kind.hears_ends() || !kind.is_copied() {
        let reason = "sessions of this type do not take part in a commit of several".to_owned();
        return Err(CallOutcome::Failed(Failure::Malformed { reason }));
    }
    let id = SessionId::of(&part.key);
    let occasion =
        Occasion { expected: part.expected, ..occasion_of(&state.shared, &**kind, &id, request, record, now) };
    let op = Op::Call { command: &part.command, payload: Payload::Many(&part.bodies), may_create: true };
    let Run { change, tasks, life, outcome } =
        state.live.lend(&**kind, (arc, &part.key), now, |live| kind.run(live, stored_of(record), op, &occasion));
    let reply = outcome.map_err(CallOutcome::Failed)?;
    if !tasks.is_empty() {
        let reason = "a command of several sessions leaves no work behind".to_owned();
        return Err(CallOutcome::Failed(Failure::Malformed { reason }));
    }
    let exists = record.is_some_and(Record::exists);
    let body = match change {
        Change::None if life.is_none() || !exists => return Ok((None, reply)),
        Change::None => Body::Unchanged,
        Change::Image { bytes, state_version } => Body::Image { bytes, state_version },
        Change::Events { bytes, image, state_version } => {
            let events = if image.is_some() { crate::replication::Events::new() } else { bytes };
            Body::Events { events, image, state_version }
        }
        Change::Deleted => Body::Deleted,
    };
    let life = life.or_else(|| Some(kind.lifespan()).filter(|span| !exists && *span != Lifespan::FOR_EVER));
    Ok((Some(SessionChange { key: part.key.clone(), body, reply: None, life, copied: true }), reply))
}

/// Has the first session remember the reply, whether it changes or not.
fn remember(changes: &mut Changes, first: &SessionKey, request: &CallRequest, reply: &Blob) {
    let entry = request.request.map(|request| ReplyEntry { request, reply: reply.clone() });
    if let Some(change) = changes.iter_mut().find(|change| change.key == *first) {
        change.reply = entry;
        return;
    }
    changes.insert(0, SessionChange { reply: entry, ..untouched(first) });
}

/// A session's part in a commit that leaves it as it is.
fn untouched(key: &SessionKey) -> SessionChange {
    SessionChange { key: key.clone(), body: Body::Unchanged, reply: None, life: None, copied: true }
}
