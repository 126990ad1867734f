//! What a change of view owes one node: from (old view, new view) to the arcs whose entry changed, and what each change is.
//!
//! It works across gaps: a node that jumps from view 3 to view 7 gets one transition. The test of "another primary" is the
//! entry's `since`, not the primary's name, because a node may have lost an arc and got it back in between.

use std::sync::Arc;

use super::{ArcEntry, View};
use crate::id::{ArcId, NodeId, ViewNumber};

/// What one node is to one arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// It serves it, since this view.
    Primary(ViewNumber),
    /// It holds every acknowledged commit.
    Backup,
    /// It is receiving everything.
    CatchingUp,
    /// It has nothing to do with it.
    Away,
}

impl Part {
    /// What `node` is to an arc with this entry.
    #[must_use]
    pub fn of(entry: &ArcEntry, node: NodeId) -> Self {
        if entry.primary == node {
            Self::Primary(entry.since)
        } else if entry.in_sync.contains(&node) {
            Self::Backup
        } else if entry.catching_up == Some(node) {
            Self::CatchingUp
        } else {
            Self::Away
        }
    }
}

/// One arc whose entry changed in a way that concerns a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which arc.
    pub arc: ArcId,
    /// What the node was to it.
    pub before: Part,
    /// What it is now.
    pub after: Part,
    /// The primary before, if there was a view before: its lease has to run out before a promoted node answers.
    pub deposed: Option<NodeId>,
    /// The new entry.
    pub entry: Arc<ArcEntry>,
}

impl Turn {
    /// Whether the node begins to serve the arc, or serves it anew.
    #[must_use]
    pub fn is_promotion(&self) -> bool {
        matches!(self.after, Part::Primary(since) if self.before != Part::Primary(since))
    }
}

/// The arcs that concern `me` and whose entry differs between two views; all that concern it when there was none before.
#[must_use]
pub fn transition(old: Option<&View>, new: &View, me: NodeId) -> Vec<Turn> {
    let mut turns = Vec::new();
    for (arc, entry) in new.entries() {
        let former = old.and_then(|view| view.arc(arc));
        if former.is_some_and(|f| Arc::ptr_eq(f, entry) || f == entry) {
            continue;
        }
        let before = former.map_or(Part::Away, |f| Part::of(f, me));
        let after = Part::of(entry, me);
        if before == Part::Away && after == Part::Away {
            continue;
        }
        turns.push(Turn { arc, before, after, deposed: former.map(|f| f.primary), entry: Arc::clone(entry) });
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{
        ArcEntry, View,
        test_views::{founded, node},
    };

    fn changed(view: &View, number: u64, arc: usize, change: impl FnOnce(&mut ArcEntry)) -> View {
        let mut next = view.clone();
        next.number = ViewNumber(number);
        let entry = Arc::make_mut(&mut next.arcs[arc]);
        change(entry);
        entry.changed = next.number;
        next
    }

    #[test]
    fn a_first_view_owes_every_arc_that_concerns_the_node() {
        let view = founded(&["a", "b", "c"], 3, 1);
        let turns = transition(None, &view, node("a", 1));
        let parts: Vec<_> = turns.iter().map(|t| (t.arc.0, t.before, t.after, t.deposed)).collect();
        let primary = Part::Primary(ViewNumber(1));
        assert_eq!(parts, [(0, Part::Away, primary, None), (2, Part::Away, Part::Backup, None)]);
        assert_eq!(turns.iter().filter(|t| t.is_promotion()).count(), 1);
    }

    #[test]
    fn equal_entries_owe_nothing_whether_or_not_they_are_shared() {
        let view = founded(&["a", "b", "c"], 3, 1);
        let mut copied = view.clone();
        copied.number = ViewNumber(2);
        copied.arcs = view.arcs.iter().map(|e| Arc::new(ArcEntry::clone(e))).collect();
        assert_eq!(transition(Some(&view), &copied, node("a", 1)), []);
    }

    #[test]
    fn across_a_gap_since_tells_a_new_promotion_from_having_stayed() {
        let three = founded(&["a", "b", "c"], 3, 1);
        let me = node("a", 1);
        // Between the views 3 and 7, a lost arc 0 to b and got it back: the same name, another promotion.
        let lost_and_back = changed(&three, 7, 0, |e| e.since = ViewNumber(6));
        let turns = transition(Some(&three), &lost_and_back, me);
        assert_eq!((turns.len(), turns[0].is_promotion()), (1, true));
        assert_eq!((turns[0].before, turns[0].after), (Part::Primary(ViewNumber(1)), Part::Primary(ViewNumber(6))));
        assert_eq!(turns[0].deposed, Some(me), "its own former self is what it succeeds");
        // It stayed primary all the while and gained a backup: a change, no promotion.
        let stayed = changed(&three, 7, 0, |e| e.in_sync.push(node("c", 1)));
        let turns = transition(Some(&three), &stayed, me);
        assert_eq!((turns.len(), turns[0].is_promotion()), (1, false));
    }

    #[test]
    fn each_node_is_owed_its_own_side_of_a_change() {
        let old = founded(&["a", "b", "c"], 3, 1);
        let [a, b, c] = ["a", "b", "c"].map(|n| node(n, 1));
        let new = changed(&old, 2, 0, |e| {
            (e.primary, e.since, e.catching_up) = (b, ViewNumber(2), Some(c));
            e.in_sync.clear();
        });
        let turn = |me| transition(Some(&old), &new, me).into_iter().map(|t| (t.before, t.after, t.deposed)).next();
        let since = |n| Part::Primary(ViewNumber(n));
        assert_eq!(turn(a), Some((since(1), Part::Away, Some(a))));
        assert_eq!(turn(b), Some((Part::Backup, since(2), Some(a))));
        assert_eq!(turn(c), Some((Part::Away, Part::CatchingUp, Some(a))));
        assert_eq!(turn(node("d", 1)), None);
    }
}
