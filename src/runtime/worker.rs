//! The worker: a ractor actor that hosts many arcs with all their sessions, and runs their commands.
//!
//! It owns nothing that must not be lost: its `Host` lies in the shared part of the node, so that a worker that panics outside
//! it is started again with everything it held (one_for_one, at most a few times). A panic *inside* the host leaves the lock
//! poisoned: what it holds can no longer be vouched for, and the node stops, so that its backups take over. A panic of user
//! code is caught where the code runs and never comes here.
//!
//! What it works with lies in a seat ([`visit`]), where others may run its work for it: whoever brings frames, acknowledgements
//! or quick calls. It is run in rounds: all that has arrived and a batch of calls, then one frame a backup for what they produced.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use super::{
    answers::{Answer, Came},
    clock,
    dedicated::{self, Dedicated, Finished},
    drawn::ByDrawn,
    ending, execute,
    forwarded::Forwarded,
    inbox::{Batch, Pace},
    live_cache::LiveCache,
    outgoing::Outgoing,
    reporting::{self, StaleArc},
    shared::Shared,
    tasks::After,
    to_write::ToWrite,
    visit::visit,
    watchdog,
    watchers::{self, Watchers},
};
use crate::{
    blob::Blob,
    id::{ArcId, NodeId, ViewNumber},
    kinds::Failure,
    membership::{Target, View},
    moment::Moment,
    replication::{Asker, Effect, Frame, Host, LinkAck, Token},
    report::ArcReport,
    runtime::message::{CallOutcome, CallRequest, ForwardedReply},
};

/// Frames kept until the first view is installed here. Peers that installed it sooner have begun to send; what is dropped they
/// send again only after hundreds of milliseconds, in which nothing is served.
const EARLY_MAX: usize = 256;
/// Sessions that one sweep looks at, ten times a second: twenty thousand deletions a second are forgotten in time.
const SWEPT: usize = 2_048;
/// What calls produced leaves after this long, though more of their batch wait.
const PROMPT: Duration = Duration::from_millis(1);
/// A round begins no more calls after this long: what waits besides, an acknowledgement or the passing of time, is seen to first.
const ROUND: Duration = Duration::from_millis(5);
/// Why a worker does not go on.
const IN_DOUBT: &str = "a panic inside the host left its arcs in doubt";
const FAILED: &str = "a round of its work panicked, or its arcs are in doubt";

/// What a worker is told.
pub(crate) enum WorkerInput {
    /// Calls wait in its inbox.
    Calls,
    /// A session with an actor of its own has run an operation.
    Finished(Box<Finished>),
    /// A read of this node's copy, wherever the primary is.
    ReadStale(Arc<CallRequest>, oneshot::Sender<StaleRead>),
    /// A frame of a peer's link.
    Frame(NodeId, Frame),
    /// An acknowledgement of a peer.
    Ack(NodeId, u16, LinkAck),
    /// A newer view, and what placement wants of it.
    Install(Arc<View>, Arc<Vec<Target>>),
    /// A peer granted a lease, counted from when this node had asked.
    Grant { by: NodeId, sent: Moment, stamp: ViewNumber },
    /// A peer has installed a view.
    Installed(NodeId, ViewNumber),
    /// A process is proved dead.
    Proof(NodeId),
    /// A connection to a peer is new.
    Connected(NodeId),
    /// Time passed.
    Tick,
    /// A round of its work failed, whoever ran it.
    Fail,
    /// Which copies are in sync no longer, and what is in those that an operator may want.
    Stale(oneshot::Sender<Vec<StaleArc>>),
    /// One of them is not needed any more.
    ForgetStale(ArcId),
    /// What is here?
    Report(oneshot::Sender<Vec<ArcReport>>),
    /// Panic, to show that a restart loses nothing.
    #[cfg(test)]
    Crash,
}

// With ractor's cluster feature a message says whether it may leave the process; this one never does.
impl ractor::Message for WorkerInput {}

/// Where a reply goes.
pub(crate) enum ReplyTo {
    /// To a caller in this process.
    Here(oneshot::Sender<CallOutcome>),
    /// To one who made several calls together.
    Gathered(Answer),
    /// To another node's router.
    There(Forwarded),
    /// To nobody: no caller asked for it.
    Nobody,
}

impl ReplyTo {
    /// Whom a backup may tell in this node's place.
    pub(super) fn asker(&self) -> Option<Asker> {
        match self {
            Self::There(forwarded) => Some(Asker { node: forwarded.to(), call: forwarded.call() }),
            _ => None,
        }
    }

    /// Whoever waits for it has been told.
    pub(super) fn told(self) {
        if let Self::There(forwarded) = self {
            forwarded.answered();
        }
    }

    /// Gives the outcome to whoever waits for it.
    pub(super) fn give(self, outcome: CallOutcome) {
        match self {
            Self::Here(answer) => {
                let _ = answer.send(outcome);
            }
            Self::Gathered(answer) => {
                if let Some(caller) = answer.give(Came::Outcome(outcome)) {
                    caller.wake();
                }
            }
            Self::There(forwarded) => forwarded.answer(outcome),
            Self::Nobody => {}
        }
    }
}

/// What a copy says, and since when it may have been outrun.
pub(crate) type StaleRead = Result<(Blob, u64, Moment), StaleFailure>;

/// Why a copy says nothing.
#[derive(Debug)]
pub(crate) enum StaleFailure {
    /// This node holds no copy of the arc.
    NoCopy,
    /// Its primary has not told it where the history goes on.
    NotFollowing,
    /// The type's own.
    Failed(Failure),
    /// The kind is not registered here.
    NoSuchKind,
}

/// The actor.
pub(crate) struct Worker;

/// What the actor has: its seat, which it leaves empty when it ends.
pub(crate) struct Seated {
    shared: Arc<Shared>,
    number: usize,
    actor: ActorId,
}

impl Seated {
    fn visit(&self) {
        let mut to_write = ToWrite::default();
        visit(&self.shared, self.number, Pace::Users, &mut to_write);
        self.shared.write(to_write);
        // Whoever was to see to it may have gone.
        self.shared.write_owed();
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.shared.seats[self.number].clear(self.actor);
    }
}

/// A reply that waits for the copies or for a lease.
pub(super) struct Waiting {
    pub(super) reply_to: ReplyTo,
    pub(super) outcome: CallOutcome,
    /// What is to be done besides.
    pub(super) after: Option<Box<After>>,
}

/// What a worker keeps between messages; all of it can be made again.
pub(crate) struct WorkerState {
    pub(super) shared: Arc<Shared>,
    host: Arc<Mutex<Option<Host>>>,
    pub(super) number: u16,
    pub(super) myself: ActorRef<WorkerInput>,
    pub(super) live: LiveCache,
    pub(super) dedicated: Dedicated,
    pub(super) watchers: Watchers,
    pub(super) waiting: HashMap<Token, Waiting, ByDrawn>,
    pub(super) next_token: u64,
    pub(super) effects: Vec<Effect>,
    /// What is for other nodes, and callers that have something to take: seen to when all of it is there.
    pub(super) outgoing: Outgoing,
    /// Calls of this node's that its copies show to be done, and by whom: told when all of them are there.
    pub(super) done: Vec<(NodeId, ForwardedReply)>,
    /// To be written when the round is over.
    pub(super) to_write: ToWrite,
    batch: Batch,
    early: Vec<(NodeId, Frame)>,
    ticks: u64,
}

impl Actor for Worker {
    type Msg = WorkerInput;
    type State = Seated;
    type Arguments = (Arc<Shared>, u16);

    async fn pre_start(
        &self,
        myself: ActorRef<WorkerInput>,
        (shared, number): (Arc<Shared>, u16),
    ) -> Result<Seated, ActorProcessingErr> {
        // Whatever the worker before this one ran, it runs no more.
        shared.running[usize::from(number)].end();
        // Those that the worker before this one had not taken.
        myself.cast(WorkerInput::Calls)?;
        let seated = Seated { shared: Arc::clone(&shared), number: usize::from(number), actor: myself.get_id() };
        seated.shared.seats[seated.number].fill(WorkerState {
            host: Arc::clone(&shared.hosts[usize::from(number)]),
            // An equal share of what the node may keep.
            live: LiveCache::new(
                shared.settings.live_bytes / usize::from(shared.settings.workers),
                shared.settings.idle_after,
            ),
            dedicated: Dedicated::new(&shared.settings),
            watchers: Watchers::new(shared.settings.calls_max),
            shared,
            number,
            myself,
            waiting: HashMap::default(),
            // Tokens of a worker that was started again must not be taken for those of the one before it.
            next_token: clock::now().as_nanos(),
            effects: Vec::new(),
            outgoing: Outgoing::default(),
            done: Vec::new(),
            to_write: ToWrite::default(),
            batch: Batch::default(),
            early: Vec::new(),
            ticks: 0,
        });
        Ok(seated)
    }

    async fn handle(
        &self,
        _: ActorRef<WorkerInput>,
        input: WorkerInput,
        seated: &mut Seated,
    ) -> Result<(), ActorProcessingErr> {
        match input {
            WorkerInput::Calls => {}
            WorkerInput::Fail => return Err(FAILED.into()),
            input => seated.shared.seats[seated.number].inbox.put_input(input),
        }
        seated.visit();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<WorkerInput>,
        event: SupervisionEvent,
        seated: &mut Seated,
    ) -> Result<(), ActorProcessingErr> {
        // A session's own actor never fails by its type's code, which is caught where it runs.
        if let SupervisionEvent::ActorFailed(who, why) = event {
            let failed = |state: &mut WorkerState| state.dedicated.failed(who.get_id(), &why);
            let finished = seated.shared.seats[seated.number].with(failed).flatten();
            // Whoever came by meanwhile has left what they brought.
            seated.visit();
            if let Some(finished) = finished {
                myself.cast(WorkerInput::Finished(finished))?;
            }
        }
        Ok(())
    }
}

impl WorkerState {
    /// Takes what has arrived and a batch of calls. What they produced leaves when the batch is through, or sooner if their code is
    /// slow; then some of them may be left for the next round.
    ///
    /// # Errors
    /// The host is in doubt.
    pub(super) fn round(&mut self, pace: Pace) -> Result<(), &'static str> {
        let mut batch = std::mem::take(&mut self.batch);
        let (shared, number) = (Arc::clone(&self.shared), usize::from(self.number));
        let slow_after = watchdog::slow_after(&shared);
        shared.seats[number].inbox.take(pace, &mut batch);
        #[cfg(test)]
        assert!(!batch.inputs.iter().any(|input| matches!(input, WorkerInput::Crash)), "told to crash");
        let host = Arc::clone(&self.host);
        let kinds = shared.registry.look();
        let round_began = clock::now();
        for input in batch.inputs.drain(..) {
            let from = self.effects.len();
            self.take(input, &mut *host.lock().map_err(|_| IN_DOUBT)?);
            // Before anything else is run: what is kept of an arc that changes hands is dropped, and must not be what a later call
            // has begun with.
            let changes_hands = |effect: &Effect| matches!(effect, Effect::Serving { .. } | Effect::SteppedDown(_));
            if self.effects[from..].iter().any(changes_hands) {
                self.follow();
            }
        }
        loop {
            {
                let mut slot = host.lock().map_err(|_| IN_DOUBT)?;
                if let Some(host) = slot.as_ref() {
                    host.look_ahead(batch.calls().map(|call| (call.arc, &call.request.key)));
                }
                let began = clock::now();
                let mut now = began;
                while now.since(began) < PROMPT
                    && let Some((pace, call)) = batch.next()
                {
                    let Some(host) = slot.as_mut() else {
                        call.reply_to.give(CallOutcome::Starting);
                        continue;
                    };
                    // Only users' code can be slow.
                    let watched = (pace == Pace::Users).then(|| Arc::clone(&call.request));
                    if let Some(request) = &watched {
                        shared.running[number].begin(request, now);
                    }
                    execute::run(self, host, &kinds, call, now);
                    // Each call has its own moment: a lease may run out between two.
                    let (began, ended) = (now, clock::now());
                    now = ended;
                    if let Some(request) = watched {
                        shared.running[number].end();
                        if ended.since(began) >= slow_after {
                            watchdog::tell(&shared, &request, ended.since(began), true);
                        }
                    }
                }
                if let Some(host) = slot.as_mut() {
                    host.flush(now, &mut self.effects);
                }
            }
            self.follow();
            if batch.len() == 0 {
                break;
            }
            if clock::now().since(round_began) >= ROUND {
                shared.seats[number].inbox.put_back(&mut batch);
                break;
            }
        }
        self.batch = batch;
        Ok(())
    }

    fn take(&mut self, input: WorkerInput, slot: &mut Option<Host>) {
        let now = clock::now();
        let input = match (input, &mut *slot) {
            (WorkerInput::Install(view, goals), slot) => {
                self.install(&view, &goals, slot, now);
                return;
            }
            (WorkerInput::ReadStale(_, answer), None) => {
                let _ = answer.send(Err(StaleFailure::NoCopy));
                return;
            }
            (WorkerInput::Report(answer), None) => {
                let _ = answer.send(Vec::new());
                return;
            }
            (WorkerInput::Stale(answer), None) => {
                let _ = answer.send(Vec::new());
                return;
            }
            (WorkerInput::Tick, None) => {
                self.shared.progress[usize::from(self.number)].fetch_add(1, Ordering::Release);
                return;
            }
            (WorkerInput::Frame(from, frame), None) => {
                if self.early.len() < EARLY_MAX {
                    self.early.push((from, frame));
                }
                return;
            }
            (_, None) => return,
            (input, Some(_)) => input,
        };
        let Some(host) = slot.as_mut() else { return };
        match input {
            WorkerInput::ReadStale(request, answer) => {
                let _ = answer.send(execute::read_stale(&self.shared, host, &request, now));
            }
            WorkerInput::Finished(finished) => dedicated::finish(self, host, *finished, now),
            WorkerInput::Frame(from, frame) => {
                host.handle_frame(from, frame, now, &mut self.effects);
            }
            WorkerInput::Ack(from, stream, ack) => host.handle_ack(from, stream, &ack, now, &mut self.effects),
            WorkerInput::Grant { by, sent, stamp } => host.handle_grant(by, sent, stamp, now, &mut self.effects),
            WorkerInput::Installed(peer, number) => host.handle_installed(peer, number, now, &mut self.effects),
            WorkerInput::Proof(node) => host.handle_proof(node, now, &mut self.effects),
            WorkerInput::Connected(peer) => host.handle_connected(peer, now, &mut self.effects),
            WorkerInput::Tick => {
                host.tick(now, &mut self.effects);
                ending::end_what_is_over(self, host, now);
                watchers::let_go(self, now);
                self.live.step(now);
                self.ticks += 1;
                if self.ticks.is_multiple_of(10) {
                    host.sweep(now, SWEPT);
                    self.dedicated.step(now);
                }
                self.shared.progress[usize::from(self.number)].fetch_add(1, Ordering::Release);
            }
            WorkerInput::Report(answer) => {
                let _ = answer.send(reporting::report(host));
            }
            WorkerInput::Stale(answer) => {
                let _ = answer.send(reporting::stale(host, now));
            }
            WorkerInput::ForgetStale(arc) => host.forget_stale(arc),
            WorkerInput::Install(..) | WorkerInput::Calls | WorkerInput::Fail => {}
            #[cfg(test)]
            WorkerInput::Crash => {}
        }
    }

    fn install(&mut self, view: &Arc<View>, goals: &[Target], slot: &mut Option<Host>, now: Moment) {
        let settings = &self.shared.settings;
        let host = slot.get_or_insert_with(|| {
            Host::new(
                self.shared.me,
                Arc::clone(view),
                self.number,
                settings.workers,
                settings.window_bytes,
                settings.replication.clone(),
            )
        });
        let installed = &self.shared.installed[usize::from(self.number)];
        if installed.load(Ordering::Acquire) >= view.number.0 {
            return;
        }
        // Counted only now: the keeper stopped granting under older views before it sent this.
        let grants = self.shared.granting().grants.clone();
        host.install(Arc::clone(view), goals, &grants, now, &mut self.effects);
        installed.store(view.number.0, Ordering::Release);
        for (from, frame) in self.early.drain(..) {
            host.handle_frame(from, frame, now, &mut self.effects);
        }
    }

    pub(super) fn draw_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }
}
