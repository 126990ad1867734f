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
