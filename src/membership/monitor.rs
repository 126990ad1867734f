//! The pure heart of the heartbeat thread: whom to ping when, what a pong proves, and how far each peer's view has come.
//!
//! ```text
//!            ping 7, "I installed view 3, I hear you"
//!   me  ───────────────────────────────────────────────►  peer
//!       ◄───────────────────────────────────────────────
//!            pong 7, "I installed view 3"
//!
//!   the pong proves that the peer lived, and both ways were open, after ping 7 was sent; it answers nothing else
//! ```
//!
//! It sends nothing and reads no clock; the thread that owns the socket does. It judges nobody: silence is the detector's.
//!
//! **A live thread must not cover a dead runtime.** Each tick is told whether the node's workers made progress. While they
//! make none, no ping is sent and none is answered, so that the others suspect this node; and the detector stands still,
//! so that this node comes back as from a stall and accuses nobody of the silence it caused itself.
//!
//! Invariant: a pong counts once, and only for a ping of this monitor that is still outstanding. Outstanding pings are
//! bounded, for each peer, by [`OUTSTANDING_MAX`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::detector::{Change, Detector, DetectorSettings};
use crate::{
    id::{NodeId, ViewNumber},
    moment::Moment,
};

/// The most pings to one peer that may be unanswered; the oldest is given up for a newer one. At the probing rate these
/// are 1.2 s, twice the default patience of the detector.
pub const OUTSTANDING_MAX: usize = 64;
/// A peer is asked for its lease at most this often.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// The beat of the heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MonitorSettings {
    /// How often each watched peer is pinged. At most a third of `suspect_after`.
    pub heartbeat: Duration,
    /// The same while a hint about it is open. Not less than the detector's `tick_every`, which is what it comes down to.
    pub probe_every: Duration,
    /// How patient the detector is, and how often `tick` is called.
    pub detector: DetectorSettings,
}

impl Default for MonitorSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            probe_every: Duration::from_millis(20),
            detector: DetectorSettings::default(),
        }
    }
}

/// A question to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ping {
    /// To be repeated by the pong; grows with every ping of the sender, to whomever.
    pub number: u64,
    /// The newest view that the sender has installed.
    pub installed: ViewNumber,
    /// Whether the sender has two-way evidence of the receiver: "no" tells a node that is heard but does not answer.
    pub hears_you: bool,
}

/// The answer to one ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pong {
    /// Of the ping it answers.
    pub number: u64,
    /// The newest view that every worker of the answering node has installed: it has stepped down from what that view took.
    pub installed: ViewNumber,
    /// The newest view it knows: the stamp of the lease that this pong grants. Never older than `installed`.
    pub stamp: ViewNumber,
}

/// What a pong proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answered {
    /// When the ping it answers was sent: a lease granted with the pong counts from here.
    pub sent: Moment,
    /// The newest view that the peer has installed.
    pub installed: ViewNumber,
    /// The newest view it knew when it granted.
    pub stamp: ViewNumber,
}

/// What a tick asks for: pings to send, and changes of suspicion to hand on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Beat {
    /// To be sent now.
    pub pings: Vec<(NodeId, Ping)>,
    /// Whom the detector began to suspect or to trust again.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    next_ping: Moment,
    /// Number and moment of each unanswered ping, oldest first.
    outstanding: VecDeque<(u64, Moment)>,
    installed: Option<(ViewNumber, Moment)>,
    /// What its last ping said.
    hears_me: bool,
}

impl Peer {
    fn note_installed(&mut self, installed: ViewNumber, now: Moment) {
        // Late words may tell of an older view; a node never goes back.
        if self.installed.is_none_or(|(known, _)| known < installed) {
            self.installed = Some((installed, now));
        }
    }
}

/// One node's heartbeats; see the module's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Monitor {
    me: NodeId,
    settings: MonitorSettings,
    detector: Detector,
    peers: BTreeMap<NodeId, Peer>,
    last_number: u64,
    progress: bool,
}

impl Monitor {
    /// Watches nobody yet.
    #[must_use]
    pub fn new(me: NodeId, settings: MonitorSettings, now: Moment) -> Self {
        let detector = Detector::new(settings.detector, now);
        Self { me, settings, detector, peers: BTreeMap::new(), last_number: 0, progress: true }
    }

    /// Watches exactly these from now on, itself excepted. Of those watched before, what is known is kept; a new one has
    /// `suspect_after` to show itself.
    pub fn watch(&mut self, peers: &BTreeSet<NodeId>, now: Moment) {
        let gone: Vec<NodeId> = self.peers.keys().filter(|peer| !peers.contains(peer)).copied().collect();
        for peer in gone {
            self.forget(peer);
        }
        for peer in peers.iter().filter(|peer| **peer != self.me) {
            self.detector.watch(*peer, now);
            let outstanding = VecDeque::new();
            self.peers.entry(*peer).or_insert(Peer { next_ping: now, outstanding, installed: None, hears_me: true });
        }
    }

    /// Watches this peer no longer.
    pub fn forget(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
        self.detector.forget(peer);
    }

    /// To be called every `tick_every`. `installed` is this node's newest view; `progress` says whether its workers have
    /// been seen to work, or to be idle, lately.
    pub fn tick(&mut self, now: Moment, installed: ViewNumber, progress: bool) -> Beat {
        self.progress = progress;
        if !progress {
            return Beat::default();
        }
        let mut beat = Beat { pings: Vec::new(), changes: self.detector.tick(now) };
        for (node, peer) in &mut self.peers {
            if now < peer.next_ping {
                continue;
            }
            let pace = if self.detector.probing(*node) { self.settings.probe_every } else { self.settings.heartbeat };
            peer.next_ping = now + pace;
            self.last_number += 1;
            if peer.outstanding.len() == OUTSTANDING_MAX {
                peer.outstanding.pop_front();
            }
            peer.outstanding.push_back((self.last_number, now));
            let hears_you = self.detector.hears(*node);
            beat.pings.push((*node, Ping { number: self.last_number, installed, hears_you }));
        }
        beat
    }

    /// A ping to send at once, because a reply waits for this peer's lease; `None` if one was just sent, to a stranger, or
    /// while the workers make no progress.
    #[must_use]
    pub fn ask(&mut self, peer: NodeId, now: Moment, installed: ViewNumber) -> Option<Ping> {
        if !self.progress {
            return None;
        }
        let hears_you = self.detector.hears(peer);
        let asked = self.peers.get_mut(&peer)?;
        if asked.outstanding.back().is_some_and(|(_, at)| now.since(*at) < ASK_AGAIN) {
            return None;
        }
        self.last_number += 1;
        if asked.outstanding.len() == OUTSTANDING_MAX {
            asked.outstanding.pop_front();
        }
        asked.outstanding.push_back((self.last_number, now));
        Some(Ping { number: self.last_number, installed, hears_you })
    }

    /// A peer asks; the pong is to be sent back at once. `None` while the workers make no progress. That the ping arrived
    /// is no evidence: it came one way. Any member is answered, watched or not, and only of the watched is anything kept.
    #[must_use]
    pub fn handle_ping(
        &mut self,
        from: NodeId,
        ping: &Ping,
        now: Moment,
        installed: ViewNumber,
        stamp: ViewNumber,
    ) -> Option<Pong> {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.note_installed(ping.installed, now);
            peer.hears_me = ping.hears_you;
        }
        self.progress.then_some(Pong { number: ping.number, installed, stamp })
    }

    /// A peer answers. `None`, and nothing is learned, unless it answers a ping to that very peer which is outstanding.
    /// Older pings are given up with it: their answers would prove less.
    pub fn handle_pong(&mut self, from: NodeId, pong: &Pong, now: Moment) -> Option<Answered> {
        let peer = self.peers.get_mut(&from)?;
        let answered = peer.outstanding.binary_search_by_key(&pong.number, |(number, _)| *number).ok()?;
        let (_, sent) = peer.outstanding.drain(..=answered).next_back()?;
        peer.note_installed(pong.installed, now);
        self.detector.handle_evidence(from, sent);
        Some(Answered { sent, installed: pong.installed, stamp: pong.stamp })
    }

    /// A connection to this peer was closed or refused: it is pinged with the next tick, and then at the probing rate until
    /// it answers or is suspected.
    pub fn hint(&mut self, peer: NodeId, now: Moment) {
        self.detector.hint(peer, now);
        if let Some(watched) = self.peers.get_mut(&peer).filter(|_| self.detector.probing(peer)) {
            watched.next_ping = watched.next_ping.min(now);
        }
    }

    /// The newest view that this peer is known to have installed, and when that was first known.
    #[must_use]
    pub fn installed_of(&self, peer: NodeId) -> Option<(ViewNumber, Moment)> {
        self.peers.get(&peer)?.installed
    }

    /// Whom this node hears: watched and not suspected. A newly watched peer counts until its first patience has run out.
    #[must_use]
    pub fn hears(&self) -> BTreeSet<NodeId> {
        self.detector.watched().filter(|peer| self.detector.hears(*peer)).collect()
    }

    /// Who is watched and suspected.
    #[must_use]
    pub fn suspects(&self) -> BTreeSet<NodeId> {
        self.detector.suspects()
    }

    /// Watched peers whose last ping said that they do not hear this node. All of them at once: it is this node that is
    /// cut off.
    #[must_use]
    pub fn unheard_by(&self) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, peer)| !peer.hears_me).map(|(node, _)| *node).collect()
    }

    /// Whether the last tick was told that the workers make no progress.
    #[must_use]
    pub fn paused(&self) -> bool {
        !self.progress
    }
}

#[cfg(test)]
mod tests;
