//! The order of the ring, read off a view: who comes after whom among the members that are in it.
//!
//! ```text
//!        a ──► b          shape.ring: a b c d     members: a c d     (b has died)
//!        ▲     │          successor of a: c       predecessor of c: a
//!        d ◄── c          after b: c d a          distance from a to d: 2
//! ```
//!
//! A name keeps its place while it is dead, so every question may start from a name that is no member. These answers say
//! nothing of what a node may hold; that is `placement`. Invariant: the answers depend on `shape.ring` and the names of
//! the members only, so two nodes with one view give the same answers. The circle of names is that of Chord (Stoica et
//! al. 2001), with configured places instead of hashed ones.

use std::{collections::BTreeSet, sync::Arc};

use super::view::{Member, View};
use crate::id::{NodeId, NodeName};

impl View {
    /// Every member but `name` itself, clockwise, beginning with the first after `name`. Members whose names have no place
    /// come after all that have one.
    #[must_use]
    pub fn after(&self, name: NodeName) -> Vec<&Arc<Member>> {
        let start = self.position(name);
        let mut others: Vec<_> = self
            .members
            .iter()
            .filter(|m| m.node.name != name)
            .map(|m| (self.position(m.node.name), m))
            // Before the start means a whole turn later; both halves keep the order of places.
            .map(|(place, m)| ((place < start, place), m))
            .collect();
        others.sort_by_key(|(turn, _)| *turn);
        others.into_iter().map(|(_, m)| m).collect()
    }

    /// The next member clockwise after `name`; `None` if there is no other.
    #[must_use]
    pub fn successor(&self, name: NodeName) -> Option<NodeId> {
        self.after(name).first().map(|m| m.node)
    }

    /// The member whose successor `name` is; `None` if there is no other.
    #[must_use]
    pub fn predecessor(&self, name: NodeName) -> Option<NodeId> {
        self.after(name).last().map(|m| m.node)
    }

    /// How many steps from member to member lead from `from` to `to`: 0 for itself, 1 for its successor. `None` if `to` is
    /// no member.
    #[must_use]
    pub fn distance(&self, from: NodeName, to: NodeName) -> Option<usize> {
        if from == to {
            return self.named(to).map(|_| 0);
        }
        self.after(from).iter().position(|m| m.node.name == to).map(|before| before + 1)
    }

    /// Whose turn it is to propose the next view: 0 for the first voter after `lost`, or of the ring, that is not in `silent`,
    /// 1 for the second. `None` if `me` is no voter, or is itself `lost` or `silent`. Each voter waits its turn times a step,
    /// so that proposals rarely meet; that two nodes count different turns costs a retry, never agreement.
    #[must_use]
    pub fn turn_after(&self, lost: Option<NodeName>, me: NodeId, silent: &BTreeSet<NodeId>) -> Option<usize> {
        lost.map_or_else(|| self.members.iter().collect(), |lost| self.after(lost))
            .iter()
            .map(|m| m.node)
            .filter(|node| self.votes(*node) && !silent.contains(node))
            .position(|node| node == me)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::membership::test_views::{founded, name, without};

    fn names(members: &[&std::sync::Arc<super::Member>]) -> Vec<String> {
        members.iter().map(|m| m.node.name.to_string()).collect()
    }

    #[test]
    fn the_order_goes_round_and_leaves_out_the_dead() {
        let all = founded(&["a", "b", "c", "d"], 4, 1);
        let view = without(&all, &["b"]);
        assert_eq!(names(&view.after(name("b"))), ["c", "d", "a"]);
        assert_eq!(names(&view.after(name("c"))), ["d", "a"]);
        assert_eq!(view.successor(name("d")).map(|n| n.name), Some(name("a")));
        assert_eq!(view.successor(name("a")).map(|n| n.name), Some(name("c")));
        assert_eq!(view.predecessor(name("c")).map(|n| n.name), Some(name("a")));
        assert_eq!(view.predecessor(name("a")).map(|n| n.name), Some(name("d")));
    }

    #[test]
    fn distance_counts_members_only() {
        let view = without(&founded(&["a", "b", "c", "d"], 4, 1), &["b"]);
        assert_eq!(view.distance(name("a"), name("d")), Some(2));
        assert_eq!(view.distance(name("d"), name("a")), Some(1));
        assert_eq!(view.distance(name("b"), name("c")), Some(1));
        assert_eq!(view.distance(name("a"), name("a")), Some(0));
        assert_eq!(view.distance(name("a"), name("b")), None);
    }

    #[test]
    fn a_ring_of_one_has_no_neighbours() {
        let view = founded(&["a"], 1, 0);
        assert_eq!((view.successor(name("a")), view.predecessor(name("a"))), (None, None));
    }

    #[test]
    fn the_first_voter_after_the_lost_node_proposes_and_silent_ones_are_passed_over() {
        let view = founded(&["a", "b", "c", "d"], 4, 1);
        let node = |text: &str| view.named(name(text)).expect("founded").node;
        let nobody = BTreeSet::new();
        assert_eq!(view.turn_after(Some(name("a")), node("b"), &nobody), Some(0));
        assert_eq!(view.turn_after(Some(name("a")), node("d"), &nobody), Some(2));
        assert_eq!(view.turn_after(Some(name("a")), node("a"), &nobody), None, "the lost node has no turn");
        assert_eq!(view.turn_after(None, node("b"), &nobody), Some(1), "without a loss from the ring's start");
        let silent = BTreeSet::from([node("b")]);
        assert_eq!(view.turn_after(Some(name("a")), node("c"), &silent), Some(0));
        assert_eq!(view.turn_after(Some(name("a")), node("b"), &silent), None);
    }
}
