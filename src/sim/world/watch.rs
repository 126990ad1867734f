//! What a world notes about views: that no number is decided twice, that each step is allowed, that everything stands.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::World;
use crate::{
    id::{ArcId, NodeId, ViewNumber},
    membership::{ArcEntry, Pin, View, target},
    sim::{check::OneDecision, node::SimNode, register::session_key},
};

/// A sleep that nobody can take for a late timer, in nanoseconds.
const LONG_SLEEP: u64 = 150_000_000;

impl World {
    pub(super) fn installed(&mut self, node: NodeId, view: Arc<View>) {
        self.note_cluster(node, &view);
        self.record.installed(self.now, node.name, view.number);
        let mut hasher = DefaultHasher::new();
        view.hash(&mut hasher);
        if let Err(two) = self.decisions.report(node, view.number, hasher.finish()) {
            self.wrong.push(two.to_string());
        }
        if let Err(fault) = view.check() {
            self.wrong.push(format!("{node} installed {fault}"));
        }
        if self.newest.as_ref().is_none_or(|n| n.number < view.number) {
            self.judge_step(&view);
            self.record.view(self.now, &view);
            self.newest = Some(view);
        }
    }

    /// One cluster is founded, ever: but a founding whose every witness died before it answered anyone never was.
    fn note_cluster(&mut self, node: NodeId, view: &View) {
        let known = self.clusters.contains_key(&view.cluster);
        self.clusters.entry(view.cluster).or_default().insert(node);
        // Whoever accepted is counted on until the proposer is gone: a cluster born without its majority never heals.
        if !known && let Some(gone) = view.voters.iter().find(|v| self.gave_up.contains(v)) {
            self.wrong.push(format!("{node} founded a cluster with {gone}, which had accepted and given up"));
        }
        if known || self.clusters.len() == 1 {
            return;
        }
        if let Some(before) = view.succeeds.first().copied().filter(|before| self.clusters.contains_key(before)) {
            if let Some(other) = self.successors.insert(before, view.cluster) {
                self.wrong.push(format!("{before:?} went on as {other:?} and as {:?}", view.cluster));
            }
            return;
        }
        let others = self.clusters.iter().filter(|(cluster, _)| **cluster != view.cluster);
        let living: Vec<NodeId> =
            others.flat_map(|(_, nodes)| nodes).copied().filter(|n| self.alive.contains(n)).collect();
        if self.answered || !living.is_empty() {
            let answered = if self.answered { "callers were answered" } else { "nobody was answered" };
            self.wrong.push(format!(
                "{node} installed view {} of a second cluster {:?}, while {living:?} serve the first and {answered}",
                view.number, view.cluster
            ));
            return;
        }
        self.mark("a founding that nobody survived was repeated");
        self.newest = None;
        self.decisions = OneDecision::default();
    }

    /// What one view may do to the one before.
    fn judge_step(&mut self, view: &View) {
        let Some(before) = self.newest.clone() else { return };
        let adjacent = view.number == before.number.next();
        for (arc, entry) in view.entries() {
            let Some(old) = before.arc(arc) else { continue };
            if entry.since != old.since && adjacent && entry.lost_at != Some(view.number) {
                let handed_over = view.is_member(old.primary);
                self.mark(if handed_over { "an arc was handed over" } else { "a promotion" });
                if handed_over {
                    self.judge_hand_over(&before, arc, entry);
                }
                if old.catching_up.is_some() && !handed_over {
                    self.mark("a promotion during a catch-up");
                }
                if !old.in_sync.contains(&entry.primary) {
                    self.wrong
                        .push(format!("view {} promotes {} of arc {arc}, not in sync", view.number, entry.primary));
                }
            }
            if entry.lost_at == Some(view.number) {
                self.mark("an arc lost with its last copy");
                let alive: Vec<NodeId> =
                    [old.primary].iter().chain(&old.in_sync).copied().filter(|n| self.alive.contains(n)).collect();
                if adjacent && !alive.is_empty() {
                    self.wrong.push(format!("arc {arc} was called lost while {alive:?} held it"));
                }
            }
            if entry.loss_cleared && old.open_loss().is_some() {
                self.mark("an operator cleared a loss");
                if entry.lost_at != old.lost_at {
                    self.wrong.push(format!("view {} clears a loss of arc {arc} that nobody could mean", view.number));
                }
            }
            if entry.in_sync.len() > old.in_sync.len() {
                self.mark("a backup caught up");
            }
            if adjacent && old.catching_up.is_some_and(|c| !view.is_member(c)) {
                self.mark("a catch-up was cut short");
            }
        }
    }

    /// An arc leaves a live primary only for where placement wanted it, by the view in which that was wished.
    fn judge_hand_over(&mut self, before: &View, arc: ArcId, entry: &ArcEntry) {
        let wanted = target(before, arc).primary;
        if wanted != Some(entry.primary) {
            self.wrong.push(format!(
                "after view {} arc {arc} was handed over to {}, and placement wanted it at {wanted:?}",
                before.number, entry.primary
            ));
        }
        let (Some(heir), Some(old)) = (before.member(entry.primary), before.arc(arc)) else { return };
        let gives = before.member(old.primary).is_some_and(|member| member.stays());
        match before.shape.pin {
            Pin::None => {}
            // The home of before: a newcomer of another weight may be given its share in the same view.
            _ if heir.may_claim() && old.home == entry.primary.name => self.mark("a pinned arc came home by a claim"),
            Pin::OnOverload if gives => self.mark("a pinned arc was given up for overload"),
            Pin::OnDrain | Pin::NeverMove if gives => {
                self.wrong.push(format!("after view {} the pinned arc {arc} left {}", before.number, old.primary));
            }
            _ => {}
        }
    }

    /// Whoever has slept accuses nobody of the silence that it caused itself: nobody who lived within its reach when it fell asleep
    /// and does so now. It forgives each silence once, so what was silent before is left out.
    pub(super) fn judge_waking(&mut self, id: NodeId) {
        let Some(process) = self.processes.get_mut(&id.name).filter(|p| p.node.id() == id && !p.paused) else { return };
        let Some((since, around)) = process.slept.take() else { return };
        let accused = process.node.suspects();
        if accused.is_empty() || self.now - since < LONG_SLEEP {
            return;
        }
        let wrongly = self.within_reach(id);
        for living in accused.into_iter().filter(|node| around.contains(node) && wrongly.contains(node)) {
            self.wrong.push(format!("false alarm: {id} woke and suspects {living}, which lives"));
        }
    }

    /// Whether nothing is asked and everything stands: one view everywhere, every arc served and fully protected.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        let Some(newest) = &self.newest else { return false };
        let everywhere = self.processes.values().all(|p| p.node.view().is_some_and(|v| v.number == newest.number));
        let all_in = self.processes.values().all(|p| newest.is_member(p.node.id()));
        everywhere && all_in && self.is_protected_now()
    }

    /// Whether every arc is served, with all the backups that it should have, as the newest view says.
    pub(crate) fn is_protected_now(&self) -> bool {
        let Some(view) = &self.newest else { return false };
        view.fully_protected() && view.entries().all(|(arc, entry)| self.is_served(arc, entry.primary))
    }

    /// How many acknowledged changes were made to sessions whose arc lost every copy.
    pub(crate) fn lost_commands(&self) -> u64 {
        let Some(view) = &self.newest else { return 0 };
        let is_lost = |session: u32| {
            view.arc(session_key(session).arc(view.shape.arcs)).is_some_and(|entry| entry.lost_at.is_some())
        };
        self.history.operations().iter().filter(|o| o.changed() && is_lost(o.session)).count() as u64
    }

    /// The newest view that any of these living processes has installed.
    pub(super) fn newest_known(&self, of: impl Fn(NodeId) -> bool) -> Option<&Arc<View>> {
        let nodes = self.processes.values().map(|p| &p.node).filter(|node| of(node.id()));
        nodes.filter_map(SimNode::view).max_by_key(|view| view.number)
    }

    /// Whether the faults took the majority that could have decided the next view: a view that a killed voter was in may be
    /// decided after the kill was allowed, and one that only the killed knew may have been the last. Nothing can heal then
    /// but the operator's word.
    #[must_use]
    pub(crate) fn is_beyond_healing(&self) -> bool {
        let Some(view) = self.newest_known(|_| true) else { return false };
        let living = view.voters.iter().filter(|v| self.alive.contains(v)).count();
        !self.setting.keeps_votes && !self.setting.recovers && living * 2 <= view.voters.len()
    }

    /// A short description of what does not stand, for a liveness failure.
    #[must_use]
    pub(crate) fn what_is_missing(&self) -> String {
        let views: Vec<(NodeId, Option<ViewNumber>)> =
            self.processes.values().map(|p| (p.node.id(), p.node.view().map(|v| v.number))).collect();
        format!("newest {:?}; installed {views:?}", self.newest)
    }
}
