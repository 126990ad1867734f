//! A deadline failure detector: which of the watched peers have shown no sign of life for too long.
//!
//! ```text
//!   evidence ──────────── suspect_after ────────────► Suspect      (silence)
//!   evidence ── hint ── probe_after ──► Suspect                    (a closed or refused connection, then silence)
//!   evidence ── hint ── evidence newer than the hint               (the hint is forgotten)
//! ```
//!
//! **Only two-way evidence counts**: a pong that answers my ping. A node whose words arrive
//! but that hears nothing would otherwise look alive for ever: it sends heartbeats punctually while no command, no
//! replicated commit and no new view reaches it, and its arcs would answer nobody. Evidence is dated by when the question
//! was *sent*: all that an answer proves is that the peer lived, and both ways were open, at some moment after that.
//!
//! **Stall guard.** Silence proves nothing about a time in which this observer did not listen. A tick that comes later than
//! `late_after` shows such a time; it is taken out of every deadline, whoever was to be suspected just then gets at least
//! `probe_after` more, and suspicions raised at most `probe_after` before the gap are withdrawn, for what stopped the
//! observer may have been what silenced the peer (one starved machine). These gifts are made once per silence, and time
//! attended to still counts, so that an observer that is always late suspects later, but does suspect.
//!
//! A suspicion is no death: views remove only whom no promising voter hears. Moments of two nodes never meet here.
//! Invariant: between two ticks nobody becomes suspected; a peer with two-way evidence younger than `suspect_after`, and
//! no older open hint, is never suspected. The lateness correction is what Lifeguard (Dadgar et al. 2018) calls local
//! health.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{id::NodeId, moment::Moment};

/// How patient the detector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DetectorSettings {
    /// Silence after which a peer is suspected. At least three heartbeats plus the longest round trip; longer than the
    /// lease.
    pub suspect_after: Duration,
    /// The same after a hint. At least three ticks plus the longest round trip; shorter than `suspect_after`.
    pub probe_after: Duration,
    /// How often `tick` is meant to be called.
    pub tick_every: Duration,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self {
            suspect_after: Duration::from_millis(600),
            probe_after: Duration::from_millis(120),
            tick_every: Duration::from_millis(20),
        }
    }
}

impl DetectorSettings {
    /// The gap between two ticks from which on time counts as lost: two ticks and 20 ms for the scheduler, 60 ms by
    /// default. One missed tick on a busy machine is ordinary; what stays below may eat half of a default `probe_after`, so
    /// that a probe still has the other half for its round trip.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        self.tick_every * 2 + Duration::from_millis(20)
    }
}

/// News of one peer, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It has been silent for too long.
    Suspect(NodeId),
    /// It is no longer suspected.
    Trust(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hint {
    at: Moment,
    expires: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Watched {
    /// The newest two-way evidence, or when watching began.
    heard: Moment,
    /// When its silence becomes too long.
    expires: Moment,
    hint: Option<Hint>,
    suspected: Option<Moment>,
    /// Whether the present silence has had its gift for a stall.
    spared: bool,
    /// Whether the last change told of it was `Suspect`.
    told: bool,
}

impl Watched {
    fn expired(&self, now: Moment) -> bool {
        self.expires <= now || self.hint.is_some_and(|hint| hint.expires <= now)
    }

    /// The observer did not listen for `lost` before `now`.
    fn excuse(&mut self, lost: Duration, stopped: Moment, now: Moment, settings: &DetectorSettings) {
        let fresh = |since: Moment| stopped.since(since) <= settings.probe_after;
        match self.suspected {
            Some(since) if self.spared || !fresh(since) => return,
            Some(_) => self.suspected = None,
            None => {}
        }
        let reprieve = now + settings.probe_after;
        let spare = !self.spared && self.expired(reprieve);
        self.spared |= spare;
        let later = |due: Moment| if spare { (due + lost).max(reprieve) } else { due + lost };
        self.expires = later(self.expires);
        if let Some(hint) = &mut self.hint {
            hint.expires = later(hint.expires);
        }
    }
}

/// The observer's latest stall: nothing was attended to between these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stall {
    stopped: Moment,
    lost: Duration,
}

/// Watches peers by their two-way evidence; see the module's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Detector {
    settings: DetectorSettings,
    ticked: Moment,
    stall: Option<Stall>,
    peers: BTreeMap<NodeId, Watched>,
}

impl Detector {
    /// Watches nobody yet.
    #[must_use]
    pub fn new(settings: DetectorSettings, now: Moment) -> Self {
        Self { settings, ticked: now, stall: None, peers: BTreeMap::new() }
    }

    /// Watches one more peer, which has `suspect_after` to show itself. Nothing changes if it is watched already.
    pub fn watch(&mut self, peer: NodeId, now: Moment) {
        let expires = now + self.settings.suspect_after;
        let unheard = Watched { heard: now, expires, hint: None, suspected: None, spared: false, told: false };
        self.peers.entry(peer).or_insert(unheard);
    }

    /// Watches this peer no longer; nothing more is told of it.
    pub fn forget(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// Who is watched.
    pub fn watched(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    /// The peer answered something that this node sent at `sent`.
    pub fn handle_evidence(&mut self, peer: NodeId, sent: Moment) {
        let Some(watched) = self.peers.get_mut(&peer) else { return };
        if sent <= watched.heard {
            return;
        }
        watched.heard = sent;
        // What was asked before a stall may be answered in full and wait unread: the stall is not the peer's silence.
        let lost = self.stall.filter(|stall| sent <= stall.stopped).map_or(Duration::ZERO, |stall| stall.lost);
        watched.expires = watched.expires.max(sent + lost + self.settings.suspect_after);
        watched.hint = watched.hint.filter(|hint| sent <= hint.at);
        if !watched.expired(self.ticked) {
            watched.suspected = None;
            watched.spared = false;
        }
    }

    /// A connection to the peer was closed or refused. That proves nothing (a firewall refuses for the living), but unless
    /// the peer answers something sent after this within `probe_after`, it is suspected. Of several hints the first holds,
    /// or a peer that refuses quickly enough would never be suspected.
    pub fn hint(&mut self, peer: NodeId, now: Moment) {
        let expires = now + self.settings.probe_after;
        if let Some(watched) = self.peers.get_mut(&peer) {
            watched.hint.get_or_insert(Hint { at: now, expires });
        }
    }

    /// Whether a hint about this peer is open and undecided: it should be asked at once and often.
    #[must_use]
    pub fn probing(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|watched| watched.hint.is_some() && watched.suspected.is_none())
    }

    /// Time has come this far. Only here does a peer become suspected, and only here are changes told.
    pub fn tick(&mut self, now: Moment) -> Vec<Change> {
        let gap = now.since(self.ticked);
        if gap > self.settings.late_after() {
            let stall = Stall { stopped: self.ticked, lost: gap.saturating_sub(self.settings.tick_every) };
            self.stall = Some(stall);
            for watched in self.peers.values_mut() {
                watched.excuse(stall.lost, stall.stopped, now, &self.settings);
            }
        }
        self.ticked = self.ticked.max(now);
        let mut changes = Vec::new();
        for (peer, watched) in &mut self.peers {
            if watched.expired(self.ticked) {
                watched.suspected.get_or_insert(self.ticked);
            }
            let suspected = watched.suspected.is_some();
            if suspected != watched.told {
                watched.told = suspected;
                changes.push(if suspected { Change::Suspect(*peer) } else { Change::Trust(*peer) });
            }
        }
        changes
    }

    /// Whether the peer is watched and not suspected.
    #[must_use]
    pub fn hears(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|watched| watched.suspected.is_none())
    }

    /// Who is watched and suspected.
    #[must_use]
    pub fn suspects(&self) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, watched)| watched.suspected.is_some()).map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests;
