//! What the actors, threads and callers of one node share: read by all, written by few, locked for a few instructions.
//!
//! It decides nothing. The granting lock is the one place where a lease is given and where a newer view stops leases of
//! older ones, so that a worker that promotes counts every grant ever given under an older view.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::{Semaphore, broadcast, watch};

use super::{
    calls::Calls,
    clock,
    inbox::{Call, Pace},
    monitor::Orders,
    to_write::{self, Nodes, ToWrite},
    view_keeper::KeeperInput,
    visit::{self, Seat},
    watchdog::Running,
    worker::{ReplyTo, WorkerInput},
};
use crate::{
    event::{Event, EventKind},
    id::{ArcId, NodeId, SessionKey, ViewNumber},
    kinds::Registry,
    membership::{Outlook, View},
    moment::Moment,
    replication::{Grants, Host, ReplicationSettings},
    runtime::message::{CallRequest, ControlMessage, DataMessage},
    transport::{Class, Lane, NotSent, Refusal, Transport},
    wire::codec::CodecFault,
};

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Founding, joining, or waiting to be let in.
    Starting,
    /// In the ring.
    Serving,
    /// Handing over what it has, to leave the ring; it still takes calls.
    Draining,
    /// Stopped, or about to be.
    Stopped,
}

/// Leases this node gives, and the newest view it knows.
#[derive(Debug, Default)]
pub(crate) struct Granting {
    pub(crate) grants: Grants,
    pub(crate) stamp: ViewNumber,
}

/// Settings of one node that hold for its life.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    pub(crate) replication: ReplicationSettings,
    pub(crate) workers: u16,
    pub(crate) window_bytes: usize,
    pub(crate) message_max: usize,
    pub(crate) value_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) replicate_on_read: bool,
    pub(crate) tasks_max: usize,
    pub(crate) dedicated_max: usize,
    pub(crate) idle_after: Duration,
    pub(crate) live_bytes: usize,
    pub(crate) max_hops: u32,
    pub(crate) heartbeat: Duration,
    pub(crate) suspect_after: Duration,
}

/// The shared part of one node.
pub(crate) struct Shared {
    pub(crate) me: NodeId,
    pub(crate) settings: NodeSettings,
    pub(crate) registry: Arc<Registry>,
    pub(crate) view: ArcSwapOption<View>,
    pub(crate) views: watch::Sender<Option<Arc<View>>>,
    /// What the view keeper sees of the ring.
    pub(crate) outlook: watch::Sender<Outlook>,
    pub(crate) readiness: watch::Sender<Readiness>,
    pub(crate) granting: Mutex<Granting>,
    pub(crate) workers: ArcSwap<Vec<ActorRef<WorkerInput>>>,
    /// Each worker's arcs outlive the worker: a restarted one takes them up again.
    pub(crate) hosts: Vec<Arc<Mutex<Option<Host>>>>,
    /// Where each worker's work waits and is done; what waits outlives it, too.
    pub(crate) seats: Vec<Seat>,
    /// What each worker runs now.
    pub(crate) running: Vec<Running>,
    /// The view each worker has installed.
    pub(crate) installed: Vec<AtomicU64>,
    /// Bumped by each worker as it goes; the heartbeat thread is silent when one stands still.
    pub(crate) progress: Vec<AtomicU64>,
    pub(crate) keeper: OnceLock<ActorRef<KeeperInput>>,
    /// What the heartbeat thread is told to do.
    pub(crate) orders: Orders,
    pub(crate) transport: OnceLock<Arc<dyn Transport>>,
    /// Where the life locks of this host's processes lie; nowhere, if this node has none.
    pub(crate) run_dir: OnceLock<PathBuf>,
    pub(crate) calls: Calls,
    /// Nodes for which something was queued that `write_owed` writes.
    owed: Mutex<Nodes>,
    /// For each arc a number that falls on it; made when first asked for, which takes some milliseconds.
    #[cfg(feature = "redis")]
    probes: OnceLock<Vec<Option<u32>>>,
    /// Work that commands left behind, not done yet.
    pub(crate) tasks: AtomicUsize,
    /// Places for sessions with an actor of their own that compute.
    pub(crate) computing: Arc<Semaphore>,
    pub(crate) events: broadcast::Sender<Event>,
    /// Addresses where a node was reached that cannot be linked before somebody mends something, until it is linked.
    refused: Mutex<BTreeMap<String, Refusal>>,
    pub(crate) stopped: AtomicBool,
    pub(crate) started: Moment,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({})", self.me)
    }
}

impl Shared {
    pub(crate) fn new(me: NodeId, settings: NodeSettings, registry: Arc<Registry>) -> Arc<Self> {
        let workers = usize::from(settings.workers);
        Arc::new(Self {
            me,
            registry,
            view: ArcSwapOption::empty(),
            views: watch::Sender::new(None),
            outlook: watch::Sender::new(Outlook::default()),
            readiness: watch::Sender::new(Readiness::Starting),
            granting: Mutex::default(),
            workers: ArcSwap::default(),
            hosts: (0..workers).map(|_| Arc::default()).collect(),
            seats: (0..workers).map(|_| Seat::new(settings.calls_max)).collect(),
            running: (0..workers).map(|_| Running::default()).collect(),
            installed: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            progress: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            keeper: OnceLock::new(),
            run_dir: OnceLock::new(),
            orders: Orders::default(),
            transport: OnceLock::new(),
            calls: Calls::new(me, settings.calls_max, settings.replication.replies.per_client),
            owed: Mutex::default(),
            #[cfg(feature = "redis")]
            probes: OnceLock::new(),
            tasks: AtomicUsize::new(0),
            computing: Arc::new(Semaphore::new(settings.dedicated_max)),
            events: broadcast::Sender::new(1024),
            refused: Mutex::default(),
            stopped: AtomicBool::new(false),
            started: clock::now(),
            settings,
        })
    }

    /// The processes that can be reached now, members or not.
    pub(crate) fn connected(&self) -> BTreeSet<NodeId> {
        self.transport.get().map(|t| t.peers().into_iter().map(|p| p.node).collect()).unwrap_or_default()
    }

    /// The newest view installed.
    pub(crate) fn newest_view(&self) -> Option<Arc<View>> {
        self.view.load_full()
    }

    /// The view that every worker has installed.
    pub(crate) fn installed_everywhere(&self) -> ViewNumber {
        ViewNumber(self.installed.iter().map(|i| i.load(Ordering::Acquire)).min().unwrap_or(0))
    }

    fn worker_number(&self, arc: ArcId) -> usize {
        usize::from(arc.0 % self.settings.workers)
    }

    /// Hands something to the worker that has an arc; false if there is none, and nothing was handed on.
    pub(crate) fn tell_worker(&self, arc: ArcId, input: WorkerInput) -> bool {
        self.tell_worker_number(self.worker_number(arc), input)
    }

    pub(super) fn tell_worker_number(&self, number: usize, input: WorkerInput) -> bool {
        self.workers.load().get(number).is_some_and(|worker| worker.cast(input).is_ok())
    }

    /// Leaves something for the worker that has an arc, until somebody visits.
    pub(crate) fn leave_for(&self, arc: ArcId, input: WorkerInput) {
        self.seats[self.worker_number(arc)].inbox.put_input(input);
    }

    /// Hands a call to the worker that has its arc.
    ///
    /// # Errors
    /// That has too many: nothing was handed on, and the way back is the caller's again.
    pub(crate) fn call_worker(&self, arc: ArcId, request: Arc<CallRequest>, reply_to: ReplyTo) -> Result<(), ReplyTo> {
        let number = self.worker_number(arc);
        self.seats[number].inbox.put(Call { arc, request, reply_to }, Pace::Users).map_err(|call| call.reply_to)?;
        visit::signal(self, number);
        Ok(())
    }

    /// Hands calls to their workers, those of one worker together. Quick ones wait there until somebody visits.
    ///
    /// # Errors
    /// Those for which there was no room.
    pub(crate) fn call_workers(&self, calls: &mut Vec<Call>) -> Vec<Call> {
        let mut refused = Vec::new();
        let kinds = self.registry.look();
        for (number, seat) in self.seats.iter().enumerate() {
            let mut mine = calls.extract_if(.., |call| self.worker_number(call.arc) == number).peekable();
            if mine.peek().is_none() {
                continue;
            }
            let mut has_users = false;
            let with_pace = mine.map(|call| {
                let pace = Pace::of(&call.request, &kinds);
                has_users |= pace == Pace::Users;
                (pace, call)
            });
            seat.inbox.put_all(with_pace, &mut refused);
            if has_users {
                visit::signal(self, number);
            }
        }
        refused
    }

    /// Runs what waits for any worker and may be run by whoever passes by, and writes what comes of it: what several of them have
    /// for one node is one write.
    pub(super) fn visit_workers(self: &Arc<Self>) {
        let mut to_write = ToWrite::default();
        (0..self.seats.len()).for_each(|number| visit::visit(self, number, Pace::Quick, &mut to_write));
        self.write(to_write);
    }

    /// Hands something to every worker.
    pub(crate) fn tell_workers(&self, input: impl Fn() -> WorkerInput) {
        for worker in self.workers.load().iter() {
            let _ = worker.cast(input());
        }
    }

    /// Hands something to the view keeper.
    pub(crate) fn tell_keeper(&self, input: KeeperInput) {
        if let Some(keeper) = self.keeper.get() {
            let _ = keeper.cast(input);
        }
    }

    pub(crate) fn granting(&self) -> MutexGuard<'_, Granting> {
        self.granting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who was reached and not linked, by address.
    pub(crate) fn refused(&self) -> MutexGuard<'_, BTreeMap<String, Refusal>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a control message; what cannot be sent is lost, as on any network, and said again by whoever needs it.
    pub(crate) fn send_control(&self, to: NodeId, class: Class, message: &ControlMessage) -> Result<(), NotSent> {
        let Some(transport) = self.transport.get() else { return Err(NotSent::NoPeer) };
        transport.send(to, Lane::Control, class, encoded(to, message.encode(self.settings.message_max))?)
    }

    /// Sends on the data lane. What of a link's stream cannot be sent now is in its window, and is sent again; of all else whoever
    /// needs it sees to that.
    pub(crate) fn send_data(&self, to: NodeId, class: Class, message: &DataMessage) -> Result<(), NotSent> {
        let Some(transport) = self.transport.get() else { return Err(NotSent::NoPeer) };
        transport.send(to, Lane::Data, class, encoded(to, message.encode(self.settings.message_max))?)
    }

    /// As `send_data`, for what is written later, with whatever else is for that node.
    pub(super) fn queue_data(&self, to: NodeId, class: Class, message: &DataMessage) -> Result<(), NotSent> {
        let Some(transport) = self.transport.get() else { return Err(NotSent::NoPeer) };
        transport.queue(to, class, encoded(to, message.encode(self.settings.message_max))?)
    }

    /// Something was queued for a node that `write_owed` is to write.
    pub(super) fn owe(&self, node: NodeId) {
        to_write::enter(&mut self.owed(), node);
    }

    fn owed(&self) -> MutexGuard<'_, Nodes> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is owed to other nodes.
    pub(super) fn write_owed(&self) {
        let owed = std::mem::take(&mut *self.owed());
        self.push_to(&owed);
    }

    /// Writes what rounds have left, but for what can wait for the callers whom they have woken.
    pub(super) fn write(&self, to_write: ToWrite) {
        self.push_to(&to_write.nodes);
        if to_write.is_due() {
            self.write_owed();
        }
    }

    fn push_to(&self, nodes: &Nodes) {
        if let Some(transport) = self.transport.get() {
            nodes.iter().for_each(|node| transport.push(*node));
        }
    }

    /// Sends what callers have queued for other nodes, then runs what they have for this one: the others begin meanwhile.
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "so far only the Redis port makes many calls at once")
    )]
    pub(crate) fn see_to_calls(self: &Arc<Self>) {
        self.write_owed();
        self.visit_workers();
    }

    /// A process's life lock was found free: keeper, workers and listeners learn of it.
    pub(crate) fn prove_dead(&self, node: NodeId) {
        // Of one that has left the ring that is no news.
        if self.view.load().as_ref().is_some_and(|view| view.is_member(node)) {
            tracing::info!(%node, "proved dead: its life lock is free");
        }
        self.tell(EventKind::ProvedDead { node });
        self.tell_keeper(KeeperInput::Proof(node));
        self.tell_workers(|| WorkerInput::Proof(node));
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, what: EventKind) {
        let at_ms = u64::try_from(clock::now().since(self.started).as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(node = %self.me, ?what, "event");
        let _ = self.events.send(Event { at_ms, what });
    }

    /// A number whose digits, as an id, fall on this arc: an address for what concerns the arc and no session of it. `None` before
    /// the first view, and for an arc that there is not.
    #[cfg(feature = "redis")]
    pub(crate) fn probe_of(&self, arc: ArcId) -> Option<u32> {
        let arcs = self.view.load().as_ref()?.shape.arcs;
        let probes = self.probes.get_or_init(|| {
            let mut probes = vec![None; usize::from(arcs)];
            let mut left = probes.len();
            for number in 0_u32.. {
                let arc = SessionKey::new("probe", number.to_string().as_bytes()).map_or(0, |key| key.arc(arcs).0);
                let probe = &mut probes[usize::from(arc)];
                if probe.is_none() {
                    *probe = Some(number);
                    left -= 1;
                }
                if left == 0 {
                    break;
                }
            }
            probes
        });
        *probes.get(usize::from(arc.0))?
    }

    /// The arc of a session in the installed view.
    pub(crate) fn arc_of(&self, key: &SessionKey) -> Option<ArcId> {
        self.view.load().as_ref().map(|view| key.arc(view.shape.arcs))
    }

    /// Stops everything that is not an actor: no more is sent, received or granted. Returns whether it was the first to.
    pub(crate) fn halt(&self) -> bool {
        let first = !self.stopped.swap(true, Ordering::AcqRel);
        if let Some(transport) = self.transport.get() {
            transport.stop();
        }
        self.seats.iter().for_each(|seat| seat.inbox.close());
        self.readiness.send_replace(Readiness::Stopped);
        first
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// A message as bytes; one that is too long for a node says so in its log.
fn encoded(to: NodeId, message: Result<Bytes, CodecFault>) -> Result<Bytes, NotSent> {
    message.map_err(|fault| {
        tracing::error!(%to, %fault, "a message could not be encoded");
        NotSent::TooLong
    })
}
