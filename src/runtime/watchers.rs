//! Callers who wait for a session to change: parked here, on the session's primary, until it does.
//!
//! A watcher says which version it saw last, so it misses nothing when it has to ask again, here or at the next primary, and a
//! slow one is told what is, not everything that was: nothing gathers for it. What it is told is read like any other state:
//! committed, and under the lease. Watching is no use of a session. After the conflating `watch` of channels, and etcd's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    execute::{occasion_of, stored_of, wait},
    inbox::Call,
    message::{CallOutcome, CallRequest, Operation, Seen},
    router::BUSY_FOR,
    worker::{ReplyTo, WorkerState},
};
use crate::{
    blob::Blob,
    error::Bound,
    id::{ArcId, SessionKey},
    moment::Moment,
    replication::{Host, Record},
    session::SessionId,
    wire::codec,
};

/// Nobody is kept waiting for longer; whoever still wants to know asks again.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Watcher {
    arc: ArcId,
    request: Arc<CallRequest>,
    until: Moment,
    reply_to: ReplyTo,
}

/// Who waits for the sessions of one worker.
pub(super) struct Watchers {
    parked: BTreeMap<u64, Watcher>,
    of_session: HashMap<SessionKey, BTreeSet<u64>>,
    due: BTreeSet<(Moment, u64)>,
    next: u64,
    max: usize,
}

impl Watchers {
    pub(super) fn new(max: usize) -> Self {
        Self { parked: BTreeMap::new(), of_session: HashMap::new(), due: BTreeSet::new(), next: 0, max }
    }

    fn park(&mut self, watcher: Watcher) {
        self.next += 1;
        self.due.insert((watcher.until, self.next));
        self.of_session.entry(watcher.request.key.clone()).or_default().insert(self.next);
        self.parked.insert(self.next, watcher);
    }

    fn take(&mut self, number: u64) -> Option<Watcher> {
        let watcher = self.parked.remove(&number)?;
        self.due.remove(&(watcher.until, number));
        if let Some(numbers) = self.of_session.get_mut(&watcher.request.key) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.of_session.remove(&watcher.request.key);
            }
        }
        Some(watcher)
    }
}

/// Tells what the session is, or parks the call until that is news.
pub(super) fn look(state: &mut WorkerState, host: &mut Host, arc: ArcId, call: Call, now: Moment) {
    let Operation::Watch(seen, millis) = call.request.operation else { return };
    let record = host.serve(arc, now).ok().and_then(|primary| primary.store().get(&call.request.key));
    if version_of(record) != seen {
        tell(state, host, call, now);
    } else if state.watchers.parked.len() >= state.watchers.max {
        let bound = Bound::Calls { limit: state.watchers.max };
        call.reply_to.give(CallOutcome::Busy(bound, BUSY_FOR));
    } else {
        let until = now + Duration::from_millis(millis.into()).min(WAIT_MAX);
        let Call { request, reply_to, .. } = call;
        state.watchers.park(Watcher { arc, request, until, reply_to });
    }
}

fn version_of(record: Option<&Record>) -> u64 {
    record.filter(|record| record.exists()).map_or(0, |record| record.version.0)
}

fn tell(state: &mut WorkerState, host: &mut Host, call: Call, now: Moment) {
    let Call { arc, request, reply_to } = call;
    let Ok(primary) = host.serve(arc, now) else {
        reply_to.give(CallOutcome::Starting);
        return;
    };
    let record = primary.store().get(&request.key);
    let (version, depends_on) = (version_of(record), record.map(|r| r.version).unwrap_or_default());
    let told = match (version, state.shared.registry.kind(request.key.kind())) {
        (0, _) => Ok(None),
        (_, Err(_)) => {
            reply_to.give(CallOutcome::NoSuchKind);
            return;
        }
        (_, Ok(kind)) => {
            let id = SessionId::of(&request.key);
            let occasion = occasion_of(&state.shared, &*kind, &id, &request, record, now);
            kind.state(stored_of(record), &occasion).map(Some)
        }
    };
    let outcome = match told {
        Ok(told) => CallOutcome::Done(news(Some(Seen { version, state: told })), version),
        Err(failure) => CallOutcome::Failed(failure),
    };
    wait(state, host, arc, depends_on, reply_to, outcome, now);
}

fn news(seen: Option<Seen>) -> Blob {
    codec::encode_named(&seen, usize::MAX).expect("numbers and bytes can be encoded")
}

/// A session has changed: whoever waited for that is told, once the change is committed.
pub(super) fn wake(state: &mut WorkerState, host: &mut Host, key: &SessionKey, now: Moment) {
    if state.watchers.parked.is_empty() {
        return;
    }
    for number in state.watchers.of_session.get(key).cloned().unwrap_or_default() {
        if let Some(Watcher { arc, request, reply_to, .. }) = state.watchers.take(number) {
            tell(state, host, Call { arc, request, reply_to }, now);
        }
    }
}

/// An arc is served elsewhere from now on: they have to ask there.
pub(super) fn send_on(state: &mut WorkerState, arc: ArcId) {
    let there: Vec<u64> = state.watchers.parked.iter().filter(|(_, w)| w.arc == arc).map(|(n, _)| *n).collect();
    for number in there {
        if let Some(watcher) = state.watchers.take(number) {
            watcher.reply_to.give(CallOutcome::Starting);
        }
    }
}

/// Those who waited long enough learn that nothing is new.
pub(super) fn let_go(state: &mut WorkerState, now: Moment) {
    while let Some((until, number)) = state.watchers.due.first().copied()
        && until <= now
    {
        if let Some(watcher) = state.watchers.take(number) {
            watcher.reply_to.give(CallOutcome::Done(news(None), 0));
        }
    }
}
