//! The check `one cluster`: one is founded, ever, and each goes on as one successor at most.

use super::super::World;
use crate::{id::NodeId, membership::View, sim::check::OneDecision};

impl World {
    /// One cluster is founded, ever: but a founding whose every witness died before it answered anyone never was.
    pub(super) fn note_cluster(&mut self, node: NodeId, view: &View) {
        let known = self.clusters.contains_key(&view.cluster);
        self.clusters.entry(view.cluster).or_default().insert(node);
        // Whoever accepted is counted on until the proposer is gone: a cluster born without its majority never heals.
        if !known && let Some(gone) = view.voters.iter().find(|v| self.gave_up.contains(v)) {
            self.violated(
                "one cluster",
                format_args!("{node} founded a cluster with {gone}, which had accepted and given up"),
            );
        }
        if known || self.clusters.len() == 1 {
            return;
        }
        if let Some(before) = view.succeeds.first().copied().filter(|before| self.clusters.contains_key(before)) {
            if let Some(other) = self.successors.insert(before, view.cluster) {
                self.violated("one cluster", format_args!("{before:?} went on as {other:?} and as {:?}", view.cluster));
            }
            return;
        }
        let others = self.clusters.iter().filter(|(cluster, _)| **cluster != view.cluster);
        let living: Vec<NodeId> =
            others.flat_map(|(_, nodes)| nodes).copied().filter(|n| self.alive.contains(n)).collect();
        if self.answered || !living.is_empty() {
            let answered = if self.answered { "callers were answered" } else { "nobody was answered" };
            self.violated("one cluster", format_args!(
                "{node} installed view {} of a second cluster {:?}, while {living:?} serve the first and {answered}",
                view.number, view.cluster
            ));
            return;
        }
        self.mark("a founding that nobody survived was repeated");
        self.newest = None;
        self.decisions = OneDecision::default();
    }
}
