//! What a world notes of the views that its nodes install, and whether everything stands. What may not be is a violation at once: each
//! check that looks while a run goes on is a file below.

mod clusters;
mod copies;
mod losses;
mod steps;
mod waking;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::World;
use crate::{
    id::{NodeId, ViewNumber},
    membership::View,
    sim::{node::SimNode, register::session_key},
};

impl World {
    /// Something is that may not be.
    pub(super) fn violated(&mut self, check: &str, words: impl std::fmt::Display) {
        self.wrong.push(format!("{check}: {words}"));
    }

    pub(super) fn installed(&mut self, node: NodeId, view: Arc<View>) {
        self.note_cluster(node, &view);
        self.record.installed(self.now, node.name, view.number);
        let mut hasher = DefaultHasher::new();
        view.hash(&mut hasher);
        if let Err(two) = self.decisions.report(node, view.number, hasher.finish()) {
            self.violated("one decision", two);
        }
        if let Err(fault) = view.check() {
            self.violated("well-formed views", format_args!("{node} installed {fault}"));
        }
        if self.newest.as_ref().is_none_or(|n| n.number < view.number) {
            self.judge_step(&view);
            self.record.view(self.now, &view);
            self.newest = Some(Arc::clone(&view));
        }
        self.judge_beginnings(node, &view);
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
