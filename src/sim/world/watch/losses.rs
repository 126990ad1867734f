//! When arcs lost every copy, so that what callers were told is judged by the lives of their sessions; and, as a part of the check
//! `honest loss`, that an arc which was called lost begins with nothing.

use super::super::World;
use crate::{
    id::{ArcId, NodeId},
    membership::{ArcEntry, View},
    replication::Replica,
    sim::{
        check::{Loss, Losses, OneDecision},
        node::SimNode,
        register::session_key,
    },
};

impl World {
    /// The arc was called lost by this view, which somebody installs at this moment for the first time.
    pub(super) fn note_lost(&mut self, arc: ArcId, old: &ArcEntry, view: &View) {
        let lives = |node: &NodeId| self.alive.contains(node);
        let holds = |node: &SimNode| {
            let has_view = node.view().is_some_and(|installed| installed.number == view.number);
            !has_view && node.host().and_then(|host| host.replica(arc)).and_then(Replica::as_primary).is_some()
        };
        // Left behind by a recovery, one that lives may go on answering for what was lost without it.
        let goes_on = lives(&old.primary)
            || old.in_sync.iter().any(lives)
            || self.processes.values().any(|process| holds(&process.node));
        let loss = Loss { ended: self.order, began: (!goes_on).then_some(self.order) };
        self.losses.entry(arc).or_default().push(loss);
    }

    /// A process has ended. If it was the last that knew of the cluster, and no vote outlives its process, everything is lost, and
    /// whoever starts founds another cluster, as it must.
    pub(in crate::sim::world) fn note_all_lost(&mut self) {
        // Where faults come by chance, some that knows is spared.
        let is_known = self.processes.values().any(|process| process.node.view().is_some());
        if self.setting.guarded || self.setting.keeps_votes || is_known {
            return;
        }
        let Some(view) = self.newest.take() else { return };
        self.mark("everything was lost");
        let loss = Loss { ended: self.order, began: Some(self.order) };
        for (arc, _) in view.entries() {
            self.losses.entry(arc).or_default().push(loss);
        }
        self.decisions = OneDecision::default();
        self.clusters.clear();
        self.successors.clear();
        self.begun_anew.clear();
        self.answered = false;
    }

    /// Who is named to begin a lost arc anew has nothing of it: not what an older copy had, and not what somebody sent it since.
    pub(super) fn judge_beginnings(&mut self, node: NodeId, view: &View) {
        let begins = view.entries().filter(|(_, entry)| entry.primary == node && entry.lost_at == Some(entry.since));
        for (arc, entry) in begins {
            if !self.begun_anew.insert((arc, entry.since)) {
                continue;
            }
            let primary = self.node(node.name).and_then(SimNode::host).and_then(|host| host.replica(arc));
            let held = primary.and_then(Replica::as_primary).map_or(0, |primary| primary.store().len());
            if held > 0 {
                let (since, number) = (entry.since, view.number);
                self.violated(
                    "honest loss",
                    format_args!(
                        "arc {arc}, lost in view {since}, begins at {node} with {held} sessions in view {number}"
                    ),
                );
            }
        }
    }

    /// The losses of each session that has any.
    #[must_use]
    pub(crate) fn session_losses(&self) -> Losses {
        let of = |session| Some((session, self.losses.get(&session_key(session).arc(self.setting.arcs))?.clone()));
        self.sessions().into_iter().filter_map(of).collect()
    }
}
