//! One command on the primary: look up what its session is, whether it was answered before, run it, append what it changed.
//!
//! The order is what makes it safe: nothing runs before a bound is checked, nothing is appended that could not be encoded, and
//! every answer, refusals included, leaves only through the host, when the copies or a lease vouch for it.

use std::{sync::Arc, time::Duration};

use smallvec::smallvec;

use super::{
    dedicated,
    ending::{self, Farewell},
    inbox::Call,
    listing,
    router::BUSY_FOR,
    shared::Shared,
    tasks::{After, Place},
    together, watchers,
    worker::{ReplyTo, StaleFailure, StaleRead, Waiting, WorkerState},
};
use crate::{
    error::Bound,
    id::{ArcId, CommitNumber, SessionKey, ViewNumber},
    kinds::{Change, Kind, Kinds, LiveSession, Occasion, Op, Payload, Run, Stored},
    moment::Moment,
    replication::{
        Body, Durability, Events, Host, Known, Lifespan, NotHere, Primary, Record, Replica, ReplyEntry, SessionChange,
        Use,
    },
    runtime::message::{CallOutcome, CallRequest, Operation},
    session::{End, SessionId},
};

/// A command that was lost with two primaries is not given a third.
const ATTEMPTS_MAX: u8 = 2;

/// What a session was when an operation on it was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    since: ViewNumber,
    exists: bool,
    version: CommitNumber,
}

/// An operation that was run elsewhere, and on what.
pub(super) struct Ran {
    pub(super) run: Run,
    pub(super) standing: Standing,
    pub(super) began: Moment,
}

/// What stands between a request and its session's code.
enum Gate<'k> {
    /// Nothing.
    Open(&'k Arc<dyn Kind>),
    /// It is answered without running anything.
    Shut(CallOutcome),
    /// The same, once what the answer shows is committed.
    Known(CommitNumber, CallOutcome),
}

/// Runs one command or question on the arc's primary, if that is here.
pub(super) fn run(state: &mut WorkerState, host: &mut Host, kinds: &Kinds, call: Call, now: Moment) {
    go(state, host, kinds, call, None, now);
}

/// Goes on with one that a session's own actor has run.
pub(super) fn resume(state: &mut WorkerState, host: &mut Host, kinds: &Kinds, call: Call, ran: Ran, now: Moment) {
    go(state, host, kinds, call, Some(ran), now);
}

fn go(state: &mut WorkerState, host: &mut Host, kinds: &Kinds, call: Call, ran: Option<Ran>, now: Moment) {
    let request = &call.request;
    let arc = call.arc;
    let primary = match host.serve(arc, now) {
        Ok(primary) => primary,
        Err(not_here) => {
            call.reply_to.give(not_served(not_here));
            return;
        }
    };
    if let Operation::List(prefix, from, max) = &request.operation {
        // Of the whole arc: what becomes of any one session is no matter.
        let (prefix, from, max) = (prefix.clone(), *from, *max);
        listing::run(state, host, arc, call, (&prefix, from, max), now);
        return;
    }
    let record = primary.store().get(&request.key);
    // One that came in time is not late because it took its time.
    let came = ran.as_ref().map_or(now, |ran| ran.began);
    if let Some(lapse) = record.and_then(|record| record.lapse(came)) {
        // Whoever asks for a session that is over finds it ended, however soon they ask. It is over once only.
        ending::end(state, host, arc, &request.key, lapse, now);
        go(state, host, kinds, call, None, now);
        return;
    }
    let kind = match gate(&state.shared, kinds, primary, record, request, now) {
        Gate::Open(kind) => kind,
        Gate::Shut(outcome) => {
            call.reply_to.give(outcome);
            return;
        }
        Gate::Known(depends_on, outcome) => {
            wait(state, host, arc, depends_on, call.reply_to, outcome, now);
            return;
        }
    };
    match request.operation {
        Operation::Watch(..) => return watchers::look(state, host, arc, call, now),
        Operation::Together(_) => return together::run(state, host, kinds, arc, call, now),
        _ => {}
    }
    let standing = Standing {
        since: primary.since(),
        exists: record.is_some_and(Record::exists),
        version: record.map(|r| r.version).unwrap_or_default(),
    };
    let run = match ran.filter(|ran| ran.standing == standing) {
        Some(ran) => ran.run,
        None if kind.is_dedicated() => {
            dedicated::begin(state, kind, arc, call, (record, standing), now);
            return;
        }
        None => {
            let id = SessionId::of(&request.key);
            let occasion = occasion_of(&state.shared, &**kind, &id, request, record, now);
            let stored = stored_of(record);
            state
                .live
                .lend(&**kind, (arc, &request.key), now, |live| perform(&**kind, live, stored, request, &occasion))
        }
    };
    conclude(state, host, arc, kind, call, (run, standing), now);
}

/// Whether the session's code is to be run, or what is answered instead.
fn gate<'k>(
    shared: &Shared,
    kinds: &'k Kinds,
    primary: &Primary,
    record: Option<&Record>,
    request: &CallRequest,
    now: Moment,
) -> Gate<'k> {
    let limits = shared.settings.replication.replies;
    let Some(kind) = kinds.get(request.key.kind()) else { return Gate::Shut(CallOutcome::NoSuchKind) };
    let known = match (&request.request, record.and_then(|r| r.replies.as_ref())) {
        (Some(id), Some(table)) if !request.operation.is_question() => table.look_up(id, &limits, now),
        _ => Known::New,
    };
    match known {
        Known::Answered(number, reply) => {
            // A command that changed nothing left the version as it was.
            let version = record.map_or(number, |r| r.version.min(number));
            return Gate::Known(number, CallOutcome::Done(reply, version.0));
        }
        Known::TooOld => return Gate::Shut(CallOutcome::TooOld),
        Known::FullOfReplies => {
            let bound = Bound::RepliesPerClient { limit: limits.per_client };
            return Gate::Shut(CallOutcome::Busy(bound, BUSY_FOR));
        }
        Known::FullOfClients(left) => {
            let bound = Bound::ClientsPerSession { limit: limits.clients };
            return Gate::Shut(CallOutcome::Busy(bound, whole_millis(left)));
        }
        Known::New => {}
    }
    if request.attempts >= ATTEMPTS_MAX && !request.operation.is_question() {
        return Gate::Shut(CallOutcome::Poisoned);
    }
    let lost = primary.open_loss().is_some() && record.is_none_or(|r| !r.exists());
    if lost && !may_begin_on_lost(request) {
        // "Lost" is a reading of the state too: it leaves under the lease.
        return Gate::Known(record.map(|r| r.version).unwrap_or_default(), CallOutcome::Lost);
    }
    Gate::Open(kind)
}

/// Appends what an operation changed, and lets its reply leave when it may.
fn conclude(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    kind: &Arc<dyn Kind>,
    call: Call,
    (run, standing): (Run, Standing),
    now: Moment,
) {
    let Call { request, reply_to, .. } = call;
    let Standing { exists, version: depends_on, .. } = standing;
    let Run { change, tasks, life, outcome } = run;
    let reply = match outcome {
        Ok(reply) => reply,
        Err(failure) => {
            wait(state, host, arc, depends_on, reply_to, CallOutcome::Failed(failure), now);
            return;
        }
    };
    let places = match Place::take(&state.shared, tasks.len()) {
        Ok(places) => places,
        Err(bound) => {
            // The object may be one that planned this when it was loaded: it has to be loaded again.
            state.live.forget(arc, &request.key);
            state.dedicated.forget(&request.key);
            reply_to.give(CallOutcome::Busy(bound, BUSY_FOR));
            return;
        }
    };
    let farewell = match change {
        Change::Deleted => {
            let record = host.serve(arc, now).ok().and_then(|primary| primary.store().get(&request.key));
            record.and_then(|record| Farewell::of(kind, &request.key, record, End::Deleted))
        }
        _ => None,
    };
    let after = After::of(farewell, &request.key, tasks.into_iter().zip(places).collect());
    let is_question = request.operation.is_question();
    let said = life.or(request.life.filter(|_| !is_question));
    // The operator wants to see with each read that the copies are there.
    let is_shown = is_question && exists && state.shared.settings.replicate_on_read;
    if change == Change::None {
        let must_be_known = is_shown || (request.request.is_some() && !is_question);
        // A use is noted here either way; now and then the copies have to hear of it before its user is answered.
        let uses = if exists { host.used(arc, &request.key, now) } else { Use::default() };
        if let Use::KnownBy(told) = uses
            && !must_be_known
            && !(exists && said.is_some())
        {
            let outcome = CallOutcome::Done(reply, depends_on.0);
            wait_and(state, host, arc, depends_on.max(told), Waiting { reply_to, outcome, after }, now);
            return;
        }
    }
    let body = match change {
        Change::None => Body::Unchanged,
        Change::Image { bytes, state_version } => Body::Image { bytes, state_version },
        Change::Events { image: Some(image), state_version, .. } => {
            Body::Events { events: Events::new(), image: Some(image), state_version }
        }
        Change::Events { bytes, image: None, state_version } => {
            Body::Events { events: bytes, image: None, state_version }
        }
        Change::Deleted => Body::Deleted,
    };
    let unchanged = body == Body::Unchanged;
    let life = said.or_else(|| Some(kind.lifespan()).filter(|span| !exists && *span != Lifespan::FOR_EVER));
    let entry = request.request.filter(|_| !is_question).map(|request| ReplyEntry { request, reply: reply.clone() });
    let token = state.draw_token();
    let change = SessionChange { key: request.key.clone(), body, reply: entry, life, copied: kind.is_copied() };
    let durability = if is_shown { Durability::Sync } else { request.durability.unwrap_or_else(|| kind.durability()) };
    // Of one that changed nothing the version is not the commit's, so its asker is told from here.
    let asker = reply_to.asker().filter(|_| !unchanged && change.reply.is_some());
    let number = host.append_for((token, asker), arc, smallvec![change], durability, now, &mut state.effects);
    let version = if unchanged { depends_on } else { number };
    state.waiting.insert(token, Waiting { reply_to, outcome: CallOutcome::Done(reply, version.0), after });
    if !unchanged {
        watchers::wake(state, host, &request.key, now);
    }
}

pub(super) fn not_served(not_here: NotHere) -> CallOutcome {
    match not_here {
        NotHere::Elsewhere { primary, view } => CallOutcome::Elsewhere(primary, view),
        NotHere::Starting => CallOutcome::Starting,
        NotHere::HandingOver => CallOutcome::HandingOver,
        NotHere::Recovering => CallOutcome::Recovering,
        NotHere::Full => CallOutcome::Busy(Bound::Arc, BUSY_FOR),
    }
}

/// Rounded up: whoever comes back a moment too early has waited for nothing.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

fn may_begin_on_lost(request: &CallRequest) -> bool {
    // Who expects a version expects a session: that it is lost is the answer, not that the version is another.
    let expects_one = request.expected.is_some_and(|version| version != 0);
    (request.creating && !expects_one) || matches!(request.operation, Operation::Create(_))
}

/// Lets an answer leave when everything it shows is committed and the leases run.
pub(super) fn wait(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    depends_on: CommitNumber,
    reply_to: ReplyTo,
    outcome: CallOutcome,
    now: Moment,
) {
    wait_and(state, host, arc, depends_on, Waiting { reply_to, outcome, after: None }, now);
}

fn wait_and(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    depends_on: CommitNumber,
    waiting: Waiting,
    now: Moment,
) {
    let token = state.draw_token();
    state.waiting.insert(token, waiting);
    host.answer(arc, depends_on, token, now, &mut state.effects);
}

/// Runs a request's operation on a session.
pub(super) fn perform(
    kind: &dyn Kind,
    live: &mut LiveSession,
    stored: Stored<'_>,
    request: &CallRequest,
    occasion: &Occasion<'_>,
) -> Run {
    let call = |command, payload| Op::Call { command, payload, may_create: true };
    let op = match &request.operation {
        Operation::Call(command, payload) => call(command, Payload::One(payload)),
        Operation::Many(command, payloads) => call(command, Payload::Many(payloads)),
        Operation::Ask(question, payload) => Op::Answer { question, payload },
        Operation::Create(initial) => Op::Create { initial: initial.as_deref() },
        Operation::GetOrCreate(initial) => Op::GetOrCreate { initial: initial.as_deref() },
        Operation::Delete => Op::Delete,
        Operation::Watch(..) | Operation::Together(_) | Operation::List(..) => {
            unreachable!("done by the worker itself")
        }
    };
    kind.run(live, stored, op, occasion)
}

/// The circumstances of a request, on what is stored.
pub(super) fn occasion_of<'a>(
    shared: &Shared,
    kind: &dyn Kind,
    id: &'a SessionId,
    request: &CallRequest,
    record: Option<&Record>,
    now: Moment,
) -> Occasion<'a> {
    let existing = record.filter(|r| r.exists());
    Occasion {
        id,
        request: request.request,
        now,
        version: existing.map_or(0, |r| r.version.0),
        lifespan: existing.map_or(kind.lifespan(), |r| r.lifespan(now)),
        expected: request.expected,
        value_max: shared.settings.value_max,
    }
}

pub(super) fn stored_of(record: Option<&Record>) -> Stored<'_> {
    record.filter(|r| r.exists()).map_or(Stored::ABSENT, |r| Stored {
        image: r.image.as_ref(),
        events: &r.events,
        state_version: r.state_version,
    })
}

/// Answers a question from this node's copy: committed state, perhaps old.
pub(super) fn read_stale(shared: &Shared, host: &Host, request: &CallRequest, now: Moment) -> StaleRead {
    let view = &host.surroundings().view;
    let arc = request.key.arc(view.shape.arcs);
    let Operation::Ask(question, payload) = &request.operation else { return Err(StaleFailure::NoCopy) };
    let since = view.arc(arc).map(|e| e.since).unwrap_or_default();
    let (store, as_of) = match host.replica(arc) {
        Some(Replica::Primary(primary)) if primary.is_serving() && shows_only_committed(primary, &request.key) => {
            (primary.store(), now)
        }
        Some(Replica::Backup(backup)) if backup.follows(since) => (backup.store(), backup.heard()),
        Some(Replica::Backup(_) | Replica::Primary(_)) => return Err(StaleFailure::NotFollowing),
        Some(Replica::Learner(_)) | None => return Err(StaleFailure::NoCopy),
    };
    let kind = shared.registry.kind(request.key.kind()).map_err(|_| StaleFailure::NoSuchKind)?;
    let id = SessionId::of(&request.key);
    let record = store.get(&request.key);
    let version = record.filter(|r| r.exists()).map_or(0, |r| r.version.0);
    let occasion = Occasion {
        id: &id,
        request: None,
        now,
        version,
        lifespan: Lifespan::FOR_EVER,
        expected: None,
        value_max: shared.settings.value_max,
    };
    let answered = kind.answer_stored(stored_of(record), question, payload, &occasion).map_err(StaleFailure::Failed)?;
    Ok((answered, version, as_of))
}

fn shows_only_committed(primary: &Primary, key: &SessionKey) -> bool {
    primary.store().get(key).is_none_or(|record| record.version <= primary.committed())
}
