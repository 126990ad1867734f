//! One command on the primary: look up what its session is, whether it was answered before, run it, append what it changed.
//!
//! The order is what makes it safe: nothing runs before a bound is checked, nothing is appended that could not be encoded, and
//! every answer, refusals included, leaves only through the host, when the copies or a lease vouch for it.

use std::time::Duration;

use smallvec::smallvec;

use super::{
    ending::{self, Farewell},
    router::BUSY_FOR,
    shared::Shared,
    worker::{ReplyTo, StaleFailure, StaleRead, Waiting, WorkerState},
};
use crate::{
    error::Bound,
    id::{ArcId, CommitNumber, SessionKey},
    kinds::{Change, Kind, Occasion, Op, Run, Stored},
    membership::View,
    moment::Moment,
    replication::{
        Body, Events, Host, Known, Lifespan, NotHere, Primary, Record, Replica, ReplyEntry, SessionChange, Use,
    },
    report::{ArcPart, ArcReport},
    runtime::message::{CallOutcome, CallRequest, Operation},
    session::{End, SessionId},
};

/// A command that was lost with two primaries is not given a third.
const ATTEMPTS_MAX: u8 = 2;

/// Runs one command or question on the arc's primary, if that is here.
pub(super) fn run(state: &mut WorkerState, host: &mut Host, request: &CallRequest, reply_to: ReplyTo, now: Moment) {
    let arc = request.key.arc(host.surroundings().view.shape.arcs);
    let (limits, value_max) = (state.shared.settings.replication.replies, state.shared.settings.value_max);
    let primary = match host.serve(arc, now) {
        Ok(primary) => primary,
        Err(not_here) => {
            state.reply(reply_to, not_served(not_here));
            return;
        }
    };
    let record = primary.store().get(&request.key);
    if let Some(lapse) = record.and_then(|record| record.lapse(now)) {
        // Whoever asks for a session that is over finds it ended, however soon they ask. It is over once only.
        ending::end(state, host, arc, &request.key, lapse, now);
        run(state, host, request, reply_to, now);
        return;
    }
    let Ok(kind) = state.shared.registry.kind(request.key.kind()) else {
        state.reply(reply_to, CallOutcome::NoSuchKind);
        return;
    };
    let known = match (&request.request, record.and_then(|r| r.replies.as_ref())) {
        (Some(id), Some(table)) if !request.operation.is_question() => table.look_up(id, &limits, now),
        _ => Known::New,
    };
    let lost = primary.lost_at().is_some() && record.is_none_or(|r| !r.exists());
    match known {
        Known::Answered(number, reply) => {
            // A command that changed nothing left the version as it was.
            let version = record.map_or(number, |r| r.version.min(number));
            wait(state, host, arc, number, reply_to, CallOutcome::Done(reply, version.0), now);
            return;
        }
        Known::TooOld => {
            state.reply(reply_to, CallOutcome::TooOld);
            return;
        }
        Known::FullOfReplies => {
            state.reply(reply_to, CallOutcome::Busy(Bound::RepliesPerClient { limit: limits.per_client }, BUSY_FOR));
            return;
        }
        Known::FullOfClients(left) => {
            let bound = Bound::ClientsPerSession { limit: limits.clients };
            state.reply(reply_to, CallOutcome::Busy(bound, whole_millis(left)));
            return;
        }
        Known::New => {}
    }
    if request.attempts >= ATTEMPTS_MAX && !request.operation.is_question() {
        state.reply(reply_to, CallOutcome::Poisoned);
        return;
    }
    let depends_on = record.map(|r| r.version).unwrap_or_default();
    if lost && !may_begin_on_lost(request) {
        // "Lost" is a reading of the state too: it leaves under the lease.
        wait(state, host, arc, depends_on, reply_to, CallOutcome::Lost, now);
        return;
    }
    let exists = record.is_some_and(Record::exists);
    let Run { change, life, outcome } = execute(state, &*kind, arc, request, record, now, value_max);
    let reply = match outcome {
        Ok(reply) => reply,
        Err(failure) => {
            wait(state, host, arc, depends_on, reply_to, CallOutcome::Failed(failure), now);
            return;
        }
    };
    let is_question = request.operation.is_question();
    let said = life.or(request.life.filter(|_| !is_question));
    let farewell = match change {
        Change::Deleted => record.and_then(|record| Farewell::of(&kind, &request.key, record, End::Deleted)),
        _ => None,
    };
    if change == Change::None {
        let must_be_known = request.request.is_some() && !is_question;
        // A use is noted here either way; now and then the copies have to hear of it before its user is answered.
        let uses = if exists { host.used(arc, &request.key, now) } else { Use::default() };
        if let Use::KnownBy(told) = uses
            && !must_be_known
            && !(exists && said.is_some())
        {
            wait(state, host, arc, depends_on.max(told), reply_to, CallOutcome::Done(reply, depends_on.0), now);
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
    let durability = request.durability.unwrap_or_else(|| kind.durability());
    let number = host.append(arc, smallvec![change], token, durability, now, &mut state.effects);
    let version = if unchanged { depends_on } else { number };
    state.waiting.insert(token, Waiting { reply_to, outcome: CallOutcome::Done(reply, version.0), farewell });
}

fn not_served(not_here: NotHere) -> CallOutcome {
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
fn wait(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    depends_on: CommitNumber,
    reply_to: ReplyTo,
    outcome: CallOutcome,
    now: Moment,
) {
    let token = state.draw_token();
    state.waiting.insert(token, Waiting { reply_to, outcome, farewell: None });
    host.answer(arc, depends_on, token, now, &mut state.effects);
}

fn execute(
    state: &mut WorkerState,
    kind: &dyn Kind,
    arc: ArcId,
    request: &CallRequest,
    record: Option<&Record>,
    now: Moment,
    value_max: usize,
) -> Run {
    let id = SessionId::of(&request.key);
    let stored = stored_of(record);
    let occasion = Occasion {
        id: &id,
        request: request.request,
        now,
        version: record.filter(|r| r.exists()).map_or(0, |r| r.version.0),
        lifespan: record.filter(|r| r.exists()).map_or(kind.lifespan(), |r| r.lifespan(now)),
        expected: request.expected,
        value_max,
    };
    let op = match &request.operation {
        Operation::Call(command, payload) => Op::Call { command, payload, may_create: true },
        Operation::Ask(question, payload) => Op::Answer { question, payload },
        Operation::Create(initial) => Op::Create { initial: initial.as_deref() },
        Operation::GetOrCreate(initial) => Op::GetOrCreate { initial: initial.as_deref() },
        Operation::Delete => Op::Delete,
    };
    state.live.with(arc, &request.key, now, |live| kind.run(live, stored, op, &occasion))
}

fn stored_of(record: Option<&Record>) -> Stored<'_> {
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

/// What a worker holds, arc by arc.
pub(super) fn report(host: &Host) -> Vec<ArcReport> {
    let view = &host.surroundings().view;
    host.replicas().filter_map(|(arc, replica)| report_one(view, arc, replica)).collect()
}

fn report_one(view: &View, arc: ArcId, replica: &Replica) -> Option<ArcReport> {
    let entry = view.arc(arc)?;
    let (part, sessions, last, committed) = match replica {
        Replica::Primary(primary) => (part_of(primary), primary.store().len(), primary.last(), primary.committed()),
        Replica::Backup(backup) => (ArcPart::Backup, backup.store().len(), backup.last(), backup.committed()),
        Replica::Learner(learner) => {
            (ArcPart::CatchingUp, learner.sessions(), CommitNumber::default(), CommitNumber::default())
        }
    };
    Some(ArcReport {
        arc: arc.0,
        part,
        since: entry.since.0,
        primary: entry.primary,
        in_sync: entry.in_sync.clone(),
        catching_up: entry.catching_up,
        lost_at: entry.lost_at.map(|v| v.0),
        sessions: sessions as u64,
        last: last.0,
        committed: committed.0,
        lag: last.0.saturating_sub(committed.0),
    })
}

fn part_of(primary: &Primary) -> ArcPart {
    match (primary.is_serving(), primary.lost_at()) {
        (false, _) => ArcPart::Promoting,
        (true, None) => ArcPart::Active,
        (true, Some(_)) => ArcPart::Lost,
    }
}
