//! The host: every arc of one worker of one node, and the links to and from the workers of its peers.
//!
//! It routes: a frame to the arcs it speaks of, an acknowledgement to the primaries it settles, a view to the parts it changes.
//! It judges whether a frame may be stored at all (fencing by arc), whole or not at all, so that one cumulative number
//! acknowledges many arcs. What a primary or a backup does with its own is theirs to decide.
//!
//! Workers share nothing: arcs are dealt to them by number, worker counts are powers of two, and a pair of nodes has as many
//! links as the larger count, so each link has one worker at either end.
//!
//! Invariant: a frame is acknowledged only if everything in it is stored, or was said by a primary that knows itself deposed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    ArcMessage, Asker, Durability, Effect, FrameHead, Grants, LinkReceiver, LinkSender, Primary, Replica,
    ReplicationSettings, StaleCopies, Surroundings, Token,
    by_arc::ByArc,
    commit::Changes,
    few::Few,
    lifetime::{Lapse, Use},
    replica::Change,
    settings::Around,
};
use crate::{
    id::{ArcId, CommitNumber, NodeId, SessionKey, ViewNumber},
    membership::{Part, Target, View, transition},
    moment::Moment,
};

/// Links from processes that are no longer members are remembered up to this many: one of them may come back.
const FORMER_PEERS_MAX: usize = 1024;
/// Workers that a node has, at most: as many links lead to it from any other.
pub const WORKERS_MAX: u16 = 16;
/// Sessions of one arc that a sweep looks at before it goes on to the next.
const SWEPT_OF_ONE: usize = 256;
/// An unacknowledged frame is sent again after this, beside whenever a connection is new.
const RESEND_AFTER: Duration = Duration::from_millis(400);

/// What a decision is made with, borrowed field by field so that a replica can be borrowed beside it.
macro_rules! around {
    ($host:expr, $now:expr) => {
        Around { settings: &$host.settings, surroundings: &$host.surroundings, now: $now }
    };
}

mod links;

use links::Outgoing;
pub use links::Verdict;

/// One end of the links between two nodes: the peer, and which of the links.
type LinkName = (NodeId, u16);

/// One frame of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Frame {
    /// Which of the links between the two nodes.
    pub stream: u16,
    /// Its numbers.
    pub head: FrameHead,
    /// What it carries; shared with the window until acknowledged.
    pub messages: Arc<Vec<ArcMessage>>,
}

/// Why an arc cannot be served here now. Nothing was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotHere {
    /// Another node serves it, as far as this one knows.
    Elsewhere {
        /// The primary.
        primary: NodeId,
        /// In this view.
        view: ViewNumber,
    },
    /// This node is its primary but does not answer yet.
    Starting,
    /// It is being handed over to another node, in some milliseconds.
    HandingOver,
    /// The only copy is on a node that nobody reaches.
    Recovering,
    /// A bound is reached: the window of a backup, or the queue of replies.
    Full,
}

/// The arcs of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    settings: ReplicationSettings,
    surroundings: Surroundings,
    /// Which worker of how many.
    worker: u16,
    workers: u16,
    window_bytes: usize,
    goals: Vec<Target>,
    replicas: ByArc<Replica>,
    stale: StaleCopies,
    restless: BTreeSet<ArcId>,
    swept: Option<ArcId>,
    senders: Few<LinkName, LinkSender<Arc<Vec<ArcMessage>>>>,
    refused: BTreeSet<LinkName>,
    receivers: BTreeMap<LinkName, LinkReceiver>,
    /// Frames that came before their turn, or before the view they speak of, by number.
    parked: BTreeMap<LinkName, BTreeMap<u64, Frame>>,
    /// What has gathered since the last flush; the places of what is flushed stay.
    outbox: Few<LinkName, Outgoing>,
}

impl Host {
    /// A host without arcs, at a view that gives it none: its first `install` does. Worker `worker` of `workers`.
    ///
    /// # Panics
    /// If `workers` is not a power of two: links could then not be shared out.
    #[must_use]
    pub fn new(
        me: NodeId,
        view: Arc<View>,
        worker: u16,
        workers: u16,
        window_bytes: usize,
        settings: ReplicationSettings,
    ) -> Self {
        assert!(workers.is_power_of_two(), "worker counts are powers of two");
        Self {
            settings,
            surroundings: Surroundings::new(me, view),
            worker,
            workers,
            window_bytes,
            goals: Vec::new(),
            replicas: ByArc::default(),
            stale: StaleCopies::default(),
            restless: BTreeSet::new(),
            swept: None,
            senders: Few::default(),
            refused: BTreeSet::new(),
            receivers: BTreeMap::new(),
            parked: BTreeMap::new(),
            outbox: Few::default(),
        }
    }

    /// What it knows of the others.
    #[must_use]
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// The arcs it has a part in.
    pub fn replicas(&self) -> impl Iterator<Item = (ArcId, &Replica)> {
        self.replicas.iter()
    }

    /// One arc, if it has a part in it.
    #[must_use]
    pub fn replica(&self, arc: ArcId) -> Option<&Replica> {
        self.replicas.get(arc)
    }

    /// Copies that are in sync no longer.
    #[must_use]
    pub fn stale(&self) -> &StaleCopies {
        &self.stale
    }

    /// A stale copy has served its purpose.
    pub fn forget_stale(&mut self, arc: ArcId) {
        self.stale.forget(arc);
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &ReplicationSettings {
        &self.settings
    }
}

/// Serving.
impl Host {
    /// The primary of an arc, ready to take a command.
    ///
    /// # Errors
    /// Why it cannot be served here now.
    pub fn serve(&self, arc: ArcId, now: Moment) -> Result<&Primary, NotHere> {
        let Some(Replica::Primary(primary)) = self.replicas.get(arc) else { return Err(self.elsewhere(arc)) };
        if !primary.is_serving() {
            return Err(NotHere::Starting);
        }
        if primary.is_paused(now) {
            return Err(NotHere::HandingOver);
        }
        let window_full = |b: &NodeId| self.is_window_full((*b, self.stream(*b, arc)));
        if primary.is_full(&self.settings) || primary.in_sync().iter().any(window_full) {
            return Err(NotHere::Full);
        }
        Ok(primary)
    }

    fn elsewhere(&self, arc: ArcId) -> NotHere {
        let view = &self.surroundings.view;
        match view.arc(arc) {
            Some(entry) if view.is_member(entry.primary) => {
                NotHere::Elsewhere { primary: entry.primary, view: view.number }
            }
            _ => NotHere::Recovering,
        }
    }

    /// Appends a commit to an arc that `serve` gave.
    ///
    /// # Panics
    /// If the arc is not served here.
    pub fn append(
        &mut self,
        arc: ArcId,
        changes: Changes,
        token: Token,
        durability: Durability,
        now: Moment,
        out: &mut Vec<Effect>,
    ) -> CommitNumber {
        self.append_for((token, None), arc, changes, durability, now, out)
    }

    /// The same for an asker at another node, who may be told there (`Effect::Told` comes then in place of `Effect::Release`).
    ///
    /// # Panics
    /// If the arc is not served here.
    pub fn append_for(
        &mut self,
        (token, asker): (Token, Option<Asker>),
        arc: ArcId,
        changes: Changes,
        durability: Durability,
        now: Moment,
        out: &mut Vec<Effect>,
    ) -> CommitNumber {
        let Some(Replica::Primary(primary)) = self.replicas.get_mut(arc) else {
            panic!("a commit is appended where serve allowed it")
        };
        let from = out.len();
        let number = primary.append(changes, (token, asker), durability, &around!(self, now), out);
        self.restless.insert(arc);
        self.collect(from, out);
        number
    }

    /// Sessions whose time is over on arcs that may be written to now, at most about `max` of them: each is to be ended by a
    /// commit. Expected every ten milliseconds or so.
    pub fn over(&mut self, max: usize, now: Moment) -> Vec<(ArcId, SessionKey, Lapse)> {
        let mut over = Vec::new();
        for (arc, replica) in self.replicas.iter_mut() {
            if over.len() >= max {
                break;
            }
            if let Replica::Primary(primary) = replica {
                let ended = primary.over(max - over.len(), &around!(self, now));
                over.extend(ended.into_iter().map(|(key, lapse)| (arc, key, lapse)));
            }
        }
        over
    }

    /// A session of an arc that `serve` gave was used by a command that changes nothing; what the copies have to know before
    /// its user is answered.
    pub fn used(&mut self, arc: ArcId, key: &SessionKey, now: Moment) -> Use {
        let Some(Replica::Primary(primary)) = self.replicas.get_mut(arc) else { return Use::default() };
        primary.used(key, now)
    }

    /// Lets the reply of a read leave when it may. `depends_on` is the newest commit its value shows.
    pub fn answer(&mut self, arc: ArcId, depends_on: CommitNumber, token: Token, now: Moment, out: &mut Vec<Effect>) {
        let Some(Replica::Primary(primary)) = self.replicas.get_mut(arc) else {
            out.push(Effect::Fail(token, super::Broken::Deposed));
            return;
        };
        let from = out.len();
        primary.answer(depends_on, token, &around!(self, now), out);
        if primary.is_restless() {
            self.restless.insert(arc);
        }
        self.collect(from, out);
    }
}

/// Views and news of peers.
impl Host {
    /// Installs a newer view: every part it changes, then whatever waited for it. `goals` is placement's word on that view,
    /// by arc; `grants` what this node has granted, counted after it stopped granting under older views.
    pub fn install(&mut self, view: Arc<View>, goals: &[Target], grants: &Grants, now: Moment, out: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.surroundings.view, Arc::clone(&view));
        let jumped = view.number != old.number.next();
        let is_successor = view.cluster != old.cluster;
        let first = self.replicas.is_empty() && self.goals.is_empty();
        self.goals = goals.to_vec();
        let from = out.len();
        let dead = &self.surroundings.dead;
        let all_over = grants.all_run_out(|n| dead.contains(n));
        for turn in transition((!first).then_some(&*old), &view, self.surroundings.me) {
            if turn.arc.0 % self.workers != self.worker {
                continue;
            }
            // After a jump another node may have been the primary in between, so every grant has to run out.
            let leases_over = match turn.deposed {
                Some(deposed) if !jumped => grants.run_out(deposed),
                Some(_) => all_over,
                None => Moment::START,
            };
            let change = Change {
                goal: &self.goals[usize::from(turn.arc.0)],
                leases_over,
                jumped,
                around: Around { settings: &self.settings, surroundings: &self.surroundings, now },
            };
            let held = match self.replicas.remove(turn.arc) {
                Some(Replica::Backup(backup)) if matches!(turn.after, Part::CatchingUp | Part::Away) => {
                    self.stale.keep(turn.arc, *backup, old.number, &self.settings, now);
                    None
                }
                // Whoever went on without this node did not ask what it serves.
                Some(Replica::Primary(primary)) if is_successor && turn.after == Part::Away => {
                    self.stale.keep_of_primary(turn.arc, *primary, old.number);
                    None
                }
                held => held,
            };
            if let Some(replica) = Replica::turn(held, &turn, &change, out) {
                self.replicas.insert(turn.arc, replica);
            }
        }
        for (arc, replica) in self.replicas.iter_mut() {
            if let Replica::Primary(primary) = replica {
                primary.aim(self.goals[usize::from(arc.0)].clone());
                primary.advance(&around!(self, now), out);
                self.restless.insert(arc);
            }
        }
        self.stale.review(&view);
        self.collect(from, out);
        self.forget_former_peers();
        for link in std::mem::take(&mut self.refused) {
            self.resend(link, Duration::ZERO, now, out);
        }
        for link in self.parked.keys().copied().collect::<Vec<_>>() {
            self.take_parked(link, now, out);
        }
    }

    /// A peer granted a lease by answering what was sent at `sent`.
    pub fn handle_grant(&mut self, by: NodeId, sent: Moment, stamp: ViewNumber, now: Moment, out: &mut Vec<Effect>) {
        self.surroundings.leases.take(by, sent, stamp, self.settings.lease);
        self.advance_restless(now, out);
    }

    /// A peer said which view it has installed: it has stepped down from whatever that view took from it.
    pub fn handle_installed(&mut self, peer: NodeId, installed: ViewNumber, now: Moment, out: &mut Vec<Effect>) {
        let known = self.surroundings.installed.entry(peer).or_default();
        if *known < installed {
            *known = installed;
            self.advance_restless(now, out);
        }
    }

    /// A process is proved dead: no lease of its own has to be waited out.
    pub fn handle_proof(&mut self, node: NodeId, now: Moment, out: &mut Vec<Effect>) {
        if self.surroundings.dead.insert(node) {
            self.advance_restless(now, out);
        }
    }

    /// A connection to a peer is new: whatever was not acknowledged is sent again.
    pub fn handle_connected(&mut self, peer: NodeId, now: Moment, out: &mut Vec<Effect>) {
        let links: Vec<LinkName> = self.senders.keys().copied().filter(|(p, _)| *p == peer).collect();
        for link in links {
            self.resend(link, Duration::ZERO, now, out);
        }
    }

    /// Looks after whatever time brings; expected every ten milliseconds or so.
    pub fn tick(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let from = out.len();
        let mut credit = self.chunk_credit();
        let mut hand_backs = self.hand_back_places();
        let arcs: Vec<ArcId> = self.restless.iter().copied().collect();
        for arc in arcs {
            let Some(Replica::Primary(primary)) = self.replicas.get_mut(arc) else {
                self.restless.remove(&arc);
                continue;
            };
            let mut chunks = primary.feeding().map_or(0, |(to, _)| credit.get(&to).copied().unwrap_or(0));
            primary.tick(&mut chunks, &mut hand_backs, &around!(self, now), out);
            if let Some((to, _)) = primary.feeding() {
                credit.insert(to, chunks);
            }
            if !primary.is_restless() {
                self.restless.remove(&arc);
            }
        }
        self.collect(from, out);
        let links: Vec<LinkName> = self.senders.keys().copied().collect();
        for link in links {
            self.resend(link, RESEND_AFTER, now, out);
        }
    }

    /// Drops what is no longer remembered, arc after arc, and goes on where it stopped the last time. It looks at about `max`
    /// sessions; expected some times a second.
    pub fn sweep(&mut self, now: Moment, max: usize) {
        let mut left = max;
        let from = self.swept.take().map_or(ArcId(0), ArcId::next);
        for (arc, replica) in self.replicas.range_mut(from..) {
            let looked = match replica {
                Replica::Primary(primary) => primary.sweep(&self.settings, now, SWEPT_OF_ONE),
                Replica::Backup(backup) => backup.sweep(&self.settings.replies, now, SWEPT_OF_ONE),
                Replica::Learner(_) => 0,
            };
            left = left.saturating_sub(looked + 1);
            if left == 0 {
                self.swept = Some(arc);
                break;
            }
        }
    }

    fn advance_restless(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let from = out.len();
        for arc in &self.restless {
            if let Some(Replica::Primary(primary)) = self.replicas.get_mut(*arc) {
                primary.advance(&around!(self, now), out);
            }
        }
        self.collect(from, out);
    }

    fn chunk_credit(&self) -> BTreeMap<NodeId, usize> {
        let mut in_flight: BTreeMap<NodeId, usize> = BTreeMap::new();
        for arc in &self.restless {
            if let Some((to, flying)) = self.replicas.get(*arc).and_then(Replica::as_primary).and_then(Primary::feeding)
            {
                *in_flight.entry(to).or_default() += flying;
            }
        }
        let max = self.settings.chunks_in_flight;
        in_flight.into_iter().map(|(to, flying)| (to, max.saturating_sub(flying))).collect()
    }

    /// How many more arcs may be handed over at once: each of them answers nothing for some milliseconds.
    fn hand_back_places(&self) -> usize {
        let primaries = self.restless.iter().filter_map(|arc| self.replicas.get(*arc)?.as_primary());
        self.settings.hand_backs_max.saturating_sub(primaries.filter(|p| p.is_handing_over()).count())
    }

    fn forget_former_peers(&mut self) {
        let view = &self.surroundings.view;
        self.senders.retain(|(peer, _), _| view.is_member(*peer));
        self.outbox.retain(|(peer, _), _| view.is_member(*peer));
        self.refused.retain(|(peer, _)| view.is_member(*peer));
        // A process that was only cut off comes back with the numbers it had, so the receiving end is kept.
        if self.receivers.len() > FORMER_PEERS_MAX {
            self.receivers.retain(|(peer, _), _| view.is_member(*peer));
        }
        self.parked.retain(|(peer, _), _| view.is_member(*peer));
        let known = |n: &NodeId| view.is_member(*n) || view.arcs.iter().any(|e| e.holds(*n));
        self.surroundings.leases.keep_only(|n| view.is_member(*n));
        self.surroundings.installed.retain(|n, _| view.is_member(*n));
        self.surroundings.dead.retain(known);
    }
}

#[cfg(test)]
mod tests;
