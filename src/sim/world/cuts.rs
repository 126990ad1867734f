//! Which of the nodes of a world reach which: cuts, told or not, and their end.

use std::time::Duration;

use super::{Event, World};
use crate::{
    id::NodeName,
    sim::{
        fault::{Cut, Whom},
        node::SimNode,
    },
};

/// Who sees a connection close, sees it after this.
const SEES_CLOSED_AFTER: Duration = Duration::from_millis(1);

impl World {
    pub(super) fn cut(&mut self, cut: &Cut, told: bool) {
        let mut parted: Vec<(NodeName, NodeName)> = Vec::new();
        let mut part = |one: NodeName, other: NodeName| parted.extend([(one, other), (other, one)]);
        match cut {
            Cut::Group(group) => self.between(group, &mut part),
            Cut::Island(arc) => {
                let both: Vec<NodeName> =
                    [Whom::Primary(*arc), Whom::Backup(*arc)].into_iter().filter_map(|w| self.find(w)).collect();
                if both.len() == 2 {
                    self.mark("a primary was cut off together with its backup");
                    self.between(&both, &mut part);
                }
            }
            Cut::FromBackup(arc) => {
                parted.extend(self.find(Whom::Primary(*arc)).zip(self.find(Whom::Backup(*arc))));
            }
            Cut::FromVoters { arc, deaf } => {
                let Some(view) = self.newest.clone() else { return };
                let Some(entry) = view.arc(*arc) else { return };
                self.mark("a primary was cut off from the voters alone");
                for voter in view.voters.iter().filter(|v| !entry.holds(**v)) {
                    parted.push((entry.primary.name, voter.name));
                    parted.extend(deaf.then_some((voter.name, entry.primary.name)));
                }
            }
            Cut::OneWay(from, to) => parted.push((*from, *to)),
        }
        for (from, to) in parted {
            self.part(from, to);
            if told {
                self.close(from, to);
            }
        }
    }

    /// From now on nothing that one says reaches the other.
    pub(super) fn part(&mut self, from: NodeName, to: NodeName) {
        if self.network.cut(from, to, true) {
            self.record.cut(self.now, from, to);
        }
    }

    /// It reaches it again.
    pub(super) fn join(&mut self, from: NodeName, to: NodeName) {
        if self.network.cut(from, to, false) {
            self.record.mended(self.now, from, to);
        }
    }

    /// Everything reaches everybody again.
    pub(super) fn mend(&mut self) {
        for (from, to) in self.network.mend() {
            self.record.mended(self.now, from, to);
        }
    }

    /// One sees that its connection to the other was closed.
    pub(super) fn close(&mut self, of: NodeName, at: NodeName) {
        if let Some((here, there)) = self.node(at).map(SimNode::id).zip(self.node(of).map(SimNode::id)) {
            self.at(SEES_CLOSED_AFTER, Event::Closed(here, there));
        }
    }

    fn between(&self, group: &[NodeName], part: &mut impl FnMut(NodeName, NodeName)) {
        for one in group {
            for other in self.names.iter().filter(|n| !group.contains(n)) {
                part(*one, *other);
            }
        }
    }
}
