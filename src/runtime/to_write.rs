//! `ToWrite`: for which nodes a worker's rounds have queued something.
//!
//! Commits, replies and calls are waited for, and are written as soon as the round is over. An acknowledgement alone can wait for the
//! callers that the same round has given something: what they say to their clients comes first, and what they ask for next goes along with it.
//! It is *owed* before they are given that, so that they find it. Where they have gone, whoever next writes to that node writes it, at the
//! latest the worker's next tick.

use smallvec::SmallVec;

use crate::id::NodeId;

/// Nodes, each once.
pub(super) type Nodes = SmallVec<[NodeId; 2]>;

/// Adds a node, unless it is there.
pub(super) fn enter(nodes: &mut Nodes, node: NodeId) {
    if !nodes.contains(&node) {
        nodes.push(node);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct ToWrite {
    /// Something that is waited for is queued for them.
    pub(super) nodes: Nodes,
    /// Something is owed.
    owes: bool,
    /// Callers have something to take, who will see to what is owed then.
    wakes: bool,
}

impl ToWrite {
    /// Something that is waited for.
    pub(super) fn add(&mut self, node: NodeId) {
        enter(&mut self.nodes, node);
    }

    /// An acknowledgement, which is owed already. Who was woken before may have looked before that.
    pub(super) const fn owes(&mut self) {
        (self.owes, self.wakes) = (true, false);
    }

    /// Callers were given something, if so, since the last of these. They look after that, were they woken by it or by what came before.
    pub(super) const fn wakes(&mut self, any: bool) {
        self.wakes |= any;
    }

    /// Takes what another has.
    pub(super) fn append(&mut self, other: &mut Self) {
        let Self { nodes, owes, wakes } = std::mem::take(other);
        nodes.into_iter().for_each(|node| self.add(node));
        if owes {
            self.owes();
        }
        self.wakes(wakes);
    }

    /// Whether what is owed has to be written now, for nobody else will see to it at once.
    pub(super) const fn is_due(&self) -> bool {
        self.owes && !self.wakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_waits_only_for_those_who_are_woken_after_it() {
        let round = |owes: bool, wakes: bool| {
            let mut round = ToWrite::default();
            if owes {
                round.owes();
            }
            round.wakes(wakes);
            round
        };
        let is_due = |rounds: &[(bool, bool)]| {
            let mut all = ToWrite::default();
            rounds.iter().for_each(|(owes, wakes)| all.append(&mut round(*owes, *wakes)));
            all.is_due()
        };
        assert!(!is_due(&[(false, false)]) && !is_due(&[(true, true)]) && !is_due(&[(true, false), (false, true)]));
        assert!(is_due(&[(true, false)]) && is_due(&[(false, true), (true, false)]));
    }
}
