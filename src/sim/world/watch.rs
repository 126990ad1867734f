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
    time::Duration,
};

use super::World;
use crate::{
    id::{ArcId, NodeId},
    membership::{ArcEntry, View},
    sim::{
        check::{Violation, lost_changes},
        node::SimNode,
    },
};

impl World {
    /// Something is that may not be.
    pub(super) fn violated(&mut self, check: &'static str, words: impl std::fmt::Display) {
        self.wrong.push(Violation::new(check, words).at(Duration::from_nanos(self.now)));
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
        // One that is alone has nobody to guard it.
        let served = || newest.entries().all(|(arc, entry)| self.is_served(arc, entry.primary));
        everywhere && all_in && if self.processes.len() == 1 { served() } else { self.is_protected_now() }
    }

    /// Whether every arc is served, with all the backups that it should have, as the newest view says.
    pub(crate) fn is_protected_now(&self) -> bool {
        let Some(view) = &self.newest else { return false };
        view.fully_protected() && view.entries().all(|(arc, entry)| self.is_served(arc, entry.primary))
    }

    /// How many changes had been acknowledged when their session lost its last copy.
    pub(crate) fn lost_commands(&self) -> u64 {
        lost_changes(&self.history, &self.session_losses())
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

    /// What does not stand, for people: the first that there is.
    #[must_use]
    pub(crate) fn what_is_missing(&self) -> String {
        let Some(newest) = &self.newest else { return "not healed: no node has installed a view".to_owned() };
        let number = newest.number;
        let late = self.processes.iter().find_map(|(name, process)| {
            let installed = process.node.view().map(|view| view.number);
            let words = match installed {
                None => format!("{name} has no view"),
                Some(installed) if installed != number => format!("{name} has view {installed}"),
                Some(_) if !newest.is_member(process.node.id()) => format!("{name} is not a member"),
                Some(_) => return None,
            };
            Some(format!("{words}, and view {number} is the newest"))
        });
        let lacking = || {
            let unserved = |arc, entry: &ArcEntry| (!self.is_served(arc, entry.primary)).then_some("is not served");
            let wanted = usize::from(newest.shape.backups).min(newest.members.len().saturating_sub(1));
            let unguarded = |entry: &ArcEntry| (entry.in_sync.len() < wanted).then_some("lacks a backup");
            let first = |(arc, entry): (ArcId, &Arc<ArcEntry>)| {
                let what = unserved(arc, entry).or_else(|| unguarded(entry))?;
                Some(format!(
                    "by view {number}, arc {arc} of {}, at home with {}, {what}",
                    entry.primary.name, entry.home
                ))
            };
            newest.entries().find_map(first)
        };
        let words = late.or_else(lacking).unwrap_or_else(|| format!("by view {number}, not all is protected"));
        format!("not healed: {words}")
    }
}
