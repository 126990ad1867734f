//! The heartbeat thread: a plain thread of the operating system around the pure `Monitor`, so that busy handlers and a full
//! runtime neither delay a heartbeat nor fake one.
//!
//! It sends nothing while a worker makes no progress: a live thread must not cover a dead runtime. It grants a lease with
//! every pong, under the granting lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use super::{clock, shared::Shared, view_keeper::KeeperInput, watchdog::Watchdog, worker::WorkerInput};
use crate::{
    event::EventKind,
    id::{NodeId, ViewNumber},
    membership::{DetectorSettings, Hearing, Monitor, MonitorSettings},
    moment::Moment,
    runtime::message::HeartbeatMessage,
    transport::Heartbeats,
};

/// The thread looks up at least this often.
const LOOK: Duration = Duration::from_millis(10);

/// What the thread is told to do, picked up within `LOOK`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    watch: Option<BTreeSet<NodeId>>,
    hints: Vec<NodeId>,
    asked: BTreeSet<NodeId>,
}

impl Orders {
    /// Watch exactly these from now on.
    pub(crate) fn watch(&self, nodes: BTreeSet<NodeId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).watch = Some(nodes);
    }

    /// A connection to this node was closed or refused: probe it at once.
    pub(crate) fn hint(&self, node: NodeId) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.hints.len() < 1024 {
            pending.hints.push(node);
        }
    }

    /// A reply waits for this node's lease: ping it now.
    pub(crate) fn ask(&self, node: NodeId) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.asked.len() < 1024 {
            pending.asked.insert(node);
        }
    }
}

/// Starts the thread; it ends when the node is stopped.
pub(crate) fn start(shared: Arc<Shared>, orders: Orders, heartbeats: impl Heartbeats) -> std::io::Result<()> {
    let name = format!("heartbeat {}", shared.me.name);
    thread::Builder::new().name(name).spawn(move || Thread::new(shared, orders).run(heartbeats)).map(drop)
}

struct Thread {
    shared: Arc<Shared>,
    orders: Orders,
    monitor: Monitor,
    progress: Vec<(u64, Moment)>,
    told: Hearing,
    unheard_by: BTreeSet<NodeId>,
    watchdog: Watchdog,
}

impl Thread {
    fn new(shared: Arc<Shared>, orders: Orders) -> Self {
        let now = clock::now();
        let settings = MonitorSettings {
            heartbeat: shared.settings.heartbeat,
            detector: DetectorSettings { suspect_after: shared.settings.suspect_after, ..DetectorSettings::default() },
            ..MonitorSettings::default()
        };
        let monitor = Monitor::new(shared.me, settings, now);
        let progress = vec![(0, now); shared.progress.len()];
        let watchdog = Watchdog::new(shared.running.len());
        Self { shared, orders, monitor, progress, told: Hearing::default(), unheard_by: BTreeSet::new(), watchdog }
    }

    fn run(mut self, mut heartbeats: impl Heartbeats) {
        let mut ticked = Moment::START;
        while !self.shared.is_stopped() {
            let arrived = heartbeats.receive(LOOK);
            let now = clock::now();
            if let Some((from, body)) = arrived
                && let Some(message) = HeartbeatMessage::decode(&body)
            {
                self.handle(from, message, &mut heartbeats, now);
            }
            if now.since(ticked) >= LOOK {
                ticked = now;
                self.tick(&mut heartbeats, now);
            }
        }
    }

    fn handle(&mut self, from: NodeId, message: HeartbeatMessage, heartbeats: &mut impl Heartbeats, now: Moment) {
        let installed = self.shared.installed_everywhere();
        match message {
            HeartbeatMessage::Ping(ping) => {
                let mut granting = self.shared.granting();
                let stamp = granting.stamp;
                if let Some(pong) = self.monitor.handle_ping(from, &ping, now, installed, stamp) {
                    granting.grants.give(from, now, self.shared.settings.replication.lease);
                    drop(granting);
                    heartbeats.send(from, &HeartbeatMessage::Pong(pong).encode());
                }
                self.note_installed(from, ping.installed);
            }
            HeartbeatMessage::Pong(pong) => {
                if let Some(answered) = self.monitor.handle_pong(from, &pong, now) {
                    self.shared.tell_workers(|| WorkerInput::Grant {
                        by: from,
                        sent: answered.sent,
                        stamp: answered.stamp,
                    });
                    self.shared.tell_workers(|| WorkerInput::Installed(from, answered.installed));
                }
                self.note_installed(from, pong.installed);
            }
        }
    }

    fn note_installed(&self, peer: NodeId, installed: ViewNumber) {
        let newest = self.shared.view.load().as_ref().map_or(ViewNumber::default(), |v| v.number);
        if installed != newest {
            self.shared.tell_keeper(KeeperInput::Installed(peer, installed));
        }
    }

    fn tick(&mut self, heartbeats: &mut impl Heartbeats, now: Moment) {
        let pending = mem::take(&mut *self.orders.0.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(nodes) = pending.watch {
            self.monitor.watch(&nodes, now);
        }
        for node in pending.hints {
            self.monitor.hint(node, now);
        }
        self.watchdog.look(&self.shared, now);
        let progressing = self.workers_progress(now);
        let mut beat = self.monitor.tick(now, self.shared.installed_everywhere(), progressing);
        for node in pending.asked {
            beat.pings.extend(self.monitor.ask(node, now, self.shared.installed_everywhere()).map(|ping| (node, ping)));
        }
        for (peer, ping) in beat.pings {
            heartbeats.send(peer, &HeartbeatMessage::Ping(ping).encode());
        }
        let unheard_by = self.monitor.unheard_by();
        for node in unheard_by.difference(&self.unheard_by) {
            self.shared.tell(EventKind::Unheard { by: *node });
        }
        self.unheard_by = unheard_by;
        let hears = self.monitor.hears();
        let view = self.shared.newest_view();
        let members = view.iter().flat_map(|v| v.members.iter().map(|m| m.node));
        let known = members.chain(hears.iter().copied());
        let installed: BTreeMap<NodeId, ViewNumber> =
            known.filter_map(|n| Some((n, self.monitor.installed_of(n)?.0))).collect();
        let hearing = Hearing { hears, suspects: self.monitor.suspects(), installed };
        if hearing != self.told || !beat.changes.is_empty() {
            self.told = hearing.clone();
            self.shared.tell_keeper(KeeperInput::Hearing(hearing, beat.changes));
        }
    }

    /// Whether every worker has got on within half the time after which others would suspect this node.
    fn workers_progress(&mut self, now: Moment) -> bool {
        let patience = self.shared.settings.suspect_after / 2;
        let mut all = true;
        for (seen, counter) in self.progress.iter_mut().zip(&self.shared.progress) {
            let count = counter.load(Ordering::Acquire);
            if count != seen.0 {
                *seen = (count, now);
            }
            all &= now.since(seen.1) < patience;
        }
        all
    }
}
