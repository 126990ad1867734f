//! Sessions with an actor of their own: for types registered as `dedicated`, whose commands compute for long.
//!
//! A session's actor keeps its decoded object and runs its code, on a thread for blocking work, so that neither the sessions
//! beside it nor the worker that supervises it wait. It decides nothing and owns nothing: the worker gives it what is stored
//! and appends what came of it, and runs it again where the session is another by then. One operation of a session is under
//! way at a time; the others wait here, in order.
//!
//! Invariant: a call that was taken is under way, or waits behind one that is, or has its outcome.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, ActorRuntime};
use thin_vec::ThinVec;
use tokio::{sync::Semaphore, task};

use super::{
    execute::{self, Ran, Standing, occasion_of, stored_of},
    inbox::Call,
    message::{CallOutcome, CallRequest},
    router::BUSY_FOR,
    shared::{NodeSettings, Shared},
    worker::{WorkerInput, WorkerState},
};
use crate::{
    blob::Blob,
    error::Bound,
    id::{ArcId, SessionKey},
    kinds::{Change, Failure, Kind, LiveSession, Occasion, Run, Stored},
    moment::Moment,
    replication::{Host, Lifespan, Record},
    session::SessionId,
};

/// Actors that one worker keeps: eleven kilobytes each, beside what their sessions take.
const ACTORS_MAX: usize = 4_096;

/// An operation with all it needs, to be run elsewhere.
pub(super) struct Job {
    number: u64,
    kind: Arc<dyn Kind>,
    request: Arc<CallRequest>,
    image: Option<Blob>,
    events: ThinVec<Blob>,
    state_version: u32,
    version: u64,
    lifespan: Lifespan,
    value_max: usize,
    now: Moment,
}

impl Job {
    fn run(&self, live: &mut LiveSession) -> Run {
        let id = SessionId::of(&self.request.key);
        let occasion = Occasion {
            id: &id,
            request: self.request.request,
            now: self.now,
            version: self.version,
            lifespan: self.lifespan,
            expected: self.request.expected,
            value_max: self.value_max,
        };
        let stored = Stored { image: self.image.as_ref(), events: &self.events, state_version: self.state_version };
        execute::perform(&*self.kind, live, stored, &self.request, &occasion)
    }
}

// With ractor's cluster feature a message says whether it may leave the process; this one never does.
impl ractor::Message for Job {}

/// What came of a job.
pub(crate) struct Finished {
    key: SessionKey,
    number: u64,
    run: Run,
    bytes: usize,
}

/// The actor of one session.
struct DedicatedSession;

struct Hosting {
    key: SessionKey,
    worker: ActorRef<WorkerInput>,
    /// How many sessions of the node may compute at once.
    places: Arc<Semaphore>,
    live: LiveSession,
}

impl Actor for DedicatedSession {
    type Msg = Job;
    type State = Hosting;
    type Arguments = Hosting;

    async fn pre_start(&self, _: ActorRef<Job>, hosting: Hosting) -> Result<Hosting, ActorProcessingErr> {
        Ok(hosting)
    }

    async fn handle(&self, _: ActorRef<Job>, job: Job, hosting: &mut Hosting) -> Result<(), ActorProcessingErr> {
        let place = hosting.places.acquire().await?;
        let mut live = std::mem::take(&mut hosting.live);
        let number = job.number;
        let ran = task::spawn_blocking(move || {
            let run = job.run(&mut live);
            (run, live)
        });
        let (run, live) = ran.await?;
        drop(place);
        hosting.live = live;
        let bytes = hosting.live.bytes_estimate();
        let finished = Finished { key: hosting.key.clone(), number, run, bytes };
        hosting.worker.cast(WorkerInput::Finished(Box::new(finished)))?;
        Ok(())
    }
}

struct UnderWay {
    number: u64,
    call: Call,
    /// What the session was when it began.
    standing: Standing,
    began: Moment,
}

/// One session, as its worker sees it.
struct Session {
    arc: ArcId,
    actor: Option<ActorRef<Job>>,
    under_way: Option<UnderWay>,
    waiting: VecDeque<Call>,
    used: Moment,
    bytes: usize,
}

impl Session {
    /// Its object may not be what is stored: the next operation begins with a new actor.
    fn forget(&mut self) {
        if let Some(actor) = self.actor.take() {
            actor.stop(None);
        }
        self.bytes = 0;
    }

    fn is_busy(&self) -> bool {
        self.under_way.is_some() || !self.waiting.is_empty()
    }
}

/// The sessions of one worker that have an actor of their own.
pub(super) struct Dedicated {
    sessions: HashMap<SessionKey, Session>,
    next: u64,
    waiting_max: usize,
    bytes_max: usize,
    idle_after: Duration,
}

impl Dedicated {
    pub(super) fn new(settings: &NodeSettings) -> Self {
        Self {
            sessions: HashMap::new(),
            next: 0,
            waiting_max: settings.queue_max,
            bytes_max: settings.live_bytes / usize::from(settings.workers),
            idle_after: settings.idle_after,
        }
    }

    /// Whether an operation of the session is under way.
    pub(super) fn is_busy(&self, key: &SessionKey) -> bool {
        self.sessions.get(key).is_some_and(Session::is_busy)
    }

    /// Drops the object of a session, not the calls that wait for it.
    pub(super) fn forget(&mut self, key: &SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.forget();
        }
    }

    /// The same of all sessions of an arc.
    pub(super) fn forget_arc(&mut self, arc: ArcId) {
        self.sessions.values_mut().filter(|session| session.arc == arc).for_each(Session::forget);
    }

    /// An actor failed. What was under way came to nothing, and is answered like a panic of the type's code.
    pub(super) fn failed(&mut self, who: ActorId, why: &ActorProcessingErr) -> Option<Box<Finished>> {
        let is_it = |session: &Session| session.actor.as_ref().is_some_and(|actor| actor.get_id() == who);
        let (key, session) = self.sessions.iter_mut().find(|(_, session)| is_it(session))?;
        session.actor = None;
        let number = session.under_way.as_ref()?.number;
        tracing::error!(session = %key, %why, "the actor of a session failed");
        let words = "the session's own actor failed".to_owned();
        let outcome = Err(Failure::Panicked { words });
        let run = Run { change: Change::None, tasks: Vec::new(), life: None, outcome };
        Some(Box::new(Finished { key: key.clone(), number, run, bytes: 0 }))
    }

    /// Ends the actors of sessions that nobody used for long, and of more where they keep too much. Expected ten times a second.
    pub(super) fn step(&mut self, now: Moment) {
        let idle_after = self.idle_after;
        self.sessions.retain(|_, session| {
            let stays = session.is_busy() || now.since(session.used) < idle_after;
            if !stays {
                session.forget();
            }
            stays
        });
        let mut bytes: usize = self.sessions.values().map(|session| session.bytes).sum();
        if bytes <= self.bytes_max {
            return;
        }
        let idle = self.sessions.iter().filter(|(_, session)| !session.is_busy());
        let mut idle: Vec<(Moment, SessionKey)> = idle.map(|(key, session)| (session.used, key.clone())).collect();
        idle.sort_unstable();
        for (_, key) in idle {
            if bytes <= self.bytes_max {
                break;
            }
            if let Some(mut session) = self.sessions.remove(&key) {
                bytes -= session.bytes;
                session.forget();
            }
        }
    }

    fn drop_the_longest_unused(&mut self) -> bool {
        let idle = self.sessions.iter().filter(|(_, session)| !session.is_busy());
        let Some(key) = idle.min_by_key(|(_, session)| session.used).map(|(key, _)| key.clone()) else { return false };
        if let Some(mut session) = self.sessions.remove(&key) {
            session.forget();
        }
        true
    }
}

/// Gives a call to its session's actor, or has it wait for its turn. `record` is what the session is now.
pub(super) fn begin(
    state: &mut WorkerState,
    kind: &Arc<dyn Kind>,
    arc: ArcId,
    call: Call,
    (record, standing): (Option<&Record>, Standing),
    now: Moment,
) {
    let (shared, worker) = (&state.shared, &state.myself);
    let dedicated = &mut state.dedicated;
    if let Some(session) = dedicated.sessions.get_mut(&call.request.key)
        && session.is_busy()
    {
        if session.waiting.len() < dedicated.waiting_max {
            session.waiting.push_back(call);
        } else {
            let bound = Bound::Session { limit: dedicated.waiting_max };
            call.reply_to.give(CallOutcome::Busy(bound, BUSY_FOR));
        }
        return;
    }
    if dedicated.sessions.len() >= ACTORS_MAX
        && !dedicated.sessions.contains_key(&call.request.key)
        && !dedicated.drop_the_longest_unused()
    {
        let bound = Bound::Dedicated { limit: ACTORS_MAX };
        call.reply_to.give(CallOutcome::Busy(bound, BUSY_FOR));
        return;
    }
    dedicated.next += 1;
    let number = dedicated.next;
    let session = dedicated.sessions.entry(call.request.key.clone()).or_insert_with(|| Session {
        arc,
        actor: None,
        under_way: None,
        waiting: VecDeque::new(),
        used: now,
        bytes: 0,
    });
    let id = SessionId::of(&call.request.key);
    let Occasion { version, lifespan, value_max, .. } = occasion_of(shared, &**kind, &id, &call.request, record, now);
    let Stored { image, events, state_version } = stored_of(record);
    let job = Job {
        number,
        kind: Arc::clone(kind),
        request: Arc::clone(&call.request),
        image: image.cloned(),
        events: events.iter().cloned().collect(),
        state_version,
        version,
        lifespan,
        value_max,
        now,
    };
    let given = match &session.actor {
        Some(actor) => actor.cast(job).is_ok(),
        None => start(shared, worker, &call.request.key).is_some_and(|actor| {
            let given = actor.cast(job).is_ok();
            session.actor = Some(actor);
            given
        }),
    };
    if given {
        session.used = now;
        session.under_way = Some(UnderWay { number, call, standing, began: now });
    } else {
        // It is on its way out; its caller's router asks again in a moment, and finds another.
        session.actor = None;
        call.reply_to.give(CallOutcome::Starting);
    }
}

fn start(shared: &Shared, worker: &ActorRef<WorkerInput>, key: &SessionKey) -> Option<ActorRef<Job>> {
    let (key, places) = (key.clone(), Arc::clone(&shared.computing));
    let hosting = Hosting { key, worker: worker.clone(), places, live: LiveSession::new() };
    let started = ActorRuntime::spawn_linked_instant(None, DedicatedSession, hosting, worker.get_cell());
    started.inspect_err(|why| tracing::error!(%why, "a session's own actor could not be started")).ok().map(|s| s.0)
}

/// Takes what came of an operation, then whatever waits behind it.
pub(super) fn finish(state: &mut WorkerState, host: &mut Host, finished: Finished, now: Moment) {
    let Finished { key, number, run, bytes } = finished;
    let Some(session) = state.dedicated.sessions.get_mut(&key) else { return };
    let Some(under_way) = session.under_way.take_if(|under_way| under_way.number == number) else { return };
    session.bytes = bytes;
    session.used = now;
    let mut waiting = std::mem::take(&mut session.waiting);
    let UnderWay { call, standing, began, .. } = under_way;
    let kinds = state.shared.registry.look();
    execute::resume(state, host, &kinds, call, Ran { run, standing, began }, now);
    // In order, until one is under way again.
    while !state.dedicated.is_busy(&key)
        && let Some(call) = waiting.pop_front()
    {
        execute::run(state, host, &kinds, call, now);
    }
    if let Some(session) = state.dedicated.sessions.get_mut(&key) {
        waiting.append(&mut session.waiting);
        session.waiting = waiting;
    }
}
