//! `Outlook`: what a node can say of the ring now: its installed view, seen with whom of it this node hears.
//!
//! A view is what was agreed; who was lost since stands in no view until the next one is decided, and without a quorum there
//! is no next one. So nobody may be told "protected" or "ready" from a view alone. It changes nothing and decides nothing.

use std::collections::BTreeSet;

use super::view::View;
use crate::id::{ClusterId, NodeId, NodeName, ViewNumber};

/// The ring as one node sees it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The view it speaks of.
    pub view: ViewNumber,
    /// Members that this node does not hear, in ring order.
    pub unheard: Vec<NodeName>,
    /// Voters that this node does not hear, when those it hears are too few to decide the next view; empty with a quorum.
    pub awaited: Vec<NodeName>,
    /// The cluster that went on for this node's, on an operator's word and without this node.
    pub left_behind_by: Option<ClusterId>,
    /// The view is fully protected, every member of it is heard, and a next view can be decided.
    pub fully_protected: bool,
}

impl Outlook {
    /// What `me` sees, who hears `heard` and holds `dead` for proved dead.
    #[must_use]
    pub fn of(view: &View, me: NodeId, heard: &BTreeSet<NodeId>, dead: &BTreeSet<NodeId>) -> Self {
        let hears = |node: &NodeId| *node == me || heard.contains(node);
        let missing = |nodes: Vec<NodeId>| nodes.into_iter().filter(|n| !hears(n)).map(|n| n.name).collect::<Vec<_>>();
        let unheard = missing(view.members.iter().map(|m| m.node).collect());
        let votes = view.voters.iter().copied().filter(|voter| hears(&view.carrier(*voter))).collect();
        let my_vote = view.member(me).map_or(me, |member| member.voter());
        let has_quorum = view.is_quorum(&votes, my_vote, dead);
        let awaited = if has_quorum { Vec::new() } else { missing(view.carriers().collect()) };
        let fully_protected = view.fully_protected() && unheard.is_empty() && awaited.is_empty();
        Self { view: view.number, unheard, awaited, left_behind_by: None, fully_protected }
    }

    /// Whether a next view can be decided with those whom this node hears.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.awaited.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::membership::{
        Agreement,
        test_views::{founded, name, node},
    };

    fn seen(view: &View, heard: &[&str], dead: &[&str]) -> Outlook {
        let set = |names: &[&str]| names.iter().map(|n| node(n, 1)).collect();
        Outlook::of(view, node("a", 1), &set(heard), &set(dead))
    }

    #[test]
    fn a_view_whose_members_are_not_all_heard_is_not_told_as_protected() {
        let view = founded(&["a", "b", "c"], 6, 1);
        assert!(seen(&view, &["b", "c"], &[]).fully_protected);
        let one_gone = seen(&view, &["c"], &[]);
        assert_eq!((one_gone.unheard.clone(), one_gone.has_quorum()), (vec![name("b")], true));
        assert!(!one_gone.fully_protected);
    }

    #[test]
    fn without_a_quorum_the_voters_that_are_awaited_are_named() {
        let mut view = founded(&["a", "b", "c"], 6, 1);
        let cut_off = seen(&view, &[], &["b", "c"]);
        assert_eq!((cut_off.has_quorum(), cut_off.awaited), (false, vec![name("b"), name("c")]));
        Arc::make_mut(&mut view.shape).agreement = Agreement::MajorityOrProof;
        assert!(!seen(&view, &[], &["b", "c"]).has_quorum(), "proof makes up for half, not for more");
        view.voters.pop();
        assert!(!seen(&view, &[], &[]).has_quorum());
        assert!(seen(&view, &[], &["b"]).has_quorum(), "half of them, and the other proved dead");
    }
}
