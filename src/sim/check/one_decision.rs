//! One decision (agreement of single-decree Paxos: Lamport, "Paxos Made Simple", 2001, section 2.1): no view number is
//! ever decided with two contents, whoever reports it and whenever, processes since dead included.
//!
//! A node reports each view that it installs or learns, with a digest of its bytes. It does not ask who voted, nor
//! whether a view was allowed to follow the one before.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use crate::id::{NodeId, ViewNumber};

/// The decisions reported so far; one entry a view, so as long as the run has views.
#[derive(Clone, Debug, Default)]
pub struct OneDecision {
    decided: BTreeMap<ViewNumber, (NodeId, u64)>,
}

/// Two nodes, or one at two times, hold different contents of one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoDecisions {
    /// The view.
    pub view: ViewNumber,
    /// Who reported it first, and the digest.
    pub first: (NodeId, u64),
    /// Who reported it otherwise, and that digest.
    pub second: (NodeId, u64),
}

impl fmt::Display for TwoDecisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { view, first: (first, one), second: (second, other) } = self;
        write!(f, "view {view} was decided twice: {first} holds {one:016x}, {second} holds {other:016x}")
    }
}

impl std::error::Error for TwoDecisions {}

impl OneDecision {
    /// A node holds this view as decided. Repeating a report changes nothing.
    ///
    /// # Errors
    /// Another content was reported under this number before; the first report stands.
    pub fn report(&mut self, node: NodeId, view: ViewNumber, digest: u64) -> Result<(), Box<TwoDecisions>> {
        match self.decided.entry(view) {
            Entry::Vacant(free) => {
                free.insert((node, digest));
                Ok(())
            }
            Entry::Occupied(first) if first.get().1 == digest => Ok(()),
            Entry::Occupied(first) => Err(Box::new(TwoDecisions { view, first: *first.get(), second: (node, digest) })),
        }
    }

    /// How many views were reported, so that a run can show that it made any.
    #[must_use]
    pub fn views(&self) -> usize {
        self.decided.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeName};

    fn node(name: &str, incarnation: u128) -> NodeId {
        NodeId { name: NodeName::new(name).expect("plain"), incarnation: Incarnation(incarnation) }
    }

    #[test]
    fn every_node_may_report_the_same_decision() {
        let mut decisions = OneDecision::default();
        for (name, view, digest) in [("a", 1, 11), ("b", 1, 11), ("b", 3, 33), ("a", 1, 11), ("a", 3, 33)] {
            assert_eq!(decisions.report(node(name, 1), ViewNumber(view), digest), Ok(()));
        }
        assert_eq!(decisions.views(), 2);
    }

    #[test]
    fn two_contents_of_one_view_are_found_even_if_the_first_holder_is_long_gone() {
        let mut decisions = OneDecision::default();
        assert_eq!(decisions.report(node("a", 1), ViewNumber(2), 22), Ok(()));
        assert_eq!(decisions.report(node("b", 1), ViewNumber(3), 33), Ok(()));
        let found = decisions.report(node("a", 2), ViewNumber(2), 23).expect_err("view 2 has another content");
        assert_eq!(*found, TwoDecisions { view: ViewNumber(2), first: (node("a", 1), 22), second: (node("a", 2), 23) });
    }
}
