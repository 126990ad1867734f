//! Copies that are in sync no longer, kept for an operator as long as nobody has a better one beside the primary.
//!
//! A backup that was dropped as slow, or whose node was voted out while it hung, holds everything up to that moment. Should the
//! primary die before another has caught up, the arc is lost, and such a copy is the newest there is. Nothing is ever served
//! from it: what is in it may lack what was acknowledged later, and only a person can accept that. It is let go as soon as
//! the arc has an in-sync backup again, so what is kept is no more than this node held anyway.

use std::collections::BTreeMap;

use super::{Backup, Primary, ReplicationSettings, Store};
use crate::{
    id::{ArcId, ViewNumber},
    membership::{ArcEntry, View},
    moment::Moment,
};

/// One such copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StaleCopy {
    store: Store,
    held_until: ViewNumber,
}

impl StaleCopy {
    /// All that it had been sent when it was dropped.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The last view of this node that called it in sync.
    #[must_use]
    pub fn held_until(&self) -> ViewNumber {
        self.held_until
    }

    /// Whether the arc was lost since, so that this is what is left of it, and no operator has given it up.
    #[must_use]
    pub fn is_wanted(&self, entry: &ArcEntry) -> bool {
        entry.open_loss().is_some_and(|lost_at| lost_at > self.held_until)
    }
}

/// The stale copies of one worker, by arc.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StaleCopies(BTreeMap<ArcId, StaleCopy>);

impl StaleCopies {
    /// A view takes a backup's part away; `held_until` is the one before, in which it was in sync.
    pub fn keep(
        &mut self,
        arc: ArcId,
        backup: Backup,
        held_until: ViewNumber,
        settings: &ReplicationSettings,
        now: Moment,
    ) {
        let (mut store, _, tail) = backup.into_parts();
        // What it did not know as committed may have been acknowledged all the same, and nobody is left to say.
        for commit in &tail {
            store.apply(commit, &settings.replies, settings.rules, now);
        }
        if !store.is_empty() {
            self.0.insert(arc, StaleCopy { store, held_until });
        }
    }

    /// The ring went on without a primary, in another cluster; `held_until` is the last view that called it one.
    pub fn keep_of_primary(&mut self, arc: ArcId, primary: Primary, held_until: ViewNumber) {
        let store = primary.into_store();
        if !store.is_empty() {
            self.0.insert(arc, StaleCopy { store, held_until });
        }
    }

    /// Lets go what a view shows to be needless: the arc is served, and has an in-sync backup of the same history.
    pub fn review(&mut self, view: &View) {
        self.0.retain(|arc, copy| {
            let entry = view.arc(*arc);
            let is_guarded = |entry: &ArcEntry| !entry.in_sync.is_empty() || view.shape.backups == 0;
            let has_better = |entry: &ArcEntry| view.is_member(entry.primary) && is_guarded(entry);
            entry.is_some_and(|entry| copy.is_wanted(entry) || !has_better(entry))
        });
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (ArcId, &StaleCopy)> {
        self.0.iter().map(|(arc, copy)| (*arc, copy))
    }

    /// Lets one go.
    pub fn forget(&mut self, arc: ArcId) {
        self.0.remove(&arc);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use super::*;
    use crate::{
        id::{CommitNumber, SessionKey},
        membership::test_views::{founded, node},
        replication::Record,
    };

    fn copy() -> Backup {
        let mut store = Store::default();
        let record = Record { image: Some((&[1_u8]).into()), ..Record::default() };
        store.put(SessionKey::new("k", b"s").expect("short"), Some(record));
        Backup::new(store, CommitNumber(3), VecDeque::new(), ViewNumber(1))
    }

    fn view(change: impl FnOnce(&mut ArcEntry)) -> View {
        let mut view = View::clone(&founded(&["a", "b", "c"], 3, 1));
        view.number = ViewNumber(5);
        change(Arc::make_mut(&mut view.arcs[0]));
        view
    }

    fn kept_by(view: &View) -> bool {
        let mut copies = StaleCopies::default();
        copies.keep(ArcId(0), copy(), ViewNumber(2), &ReplicationSettings::default(), Moment::START);
        copies.review(view);
        copies.iter().next().is_some()
    }

    #[test]
    fn a_copy_is_kept_while_the_arc_has_no_backup_and_when_it_was_lost_since() {
        assert!(kept_by(&view(|entry| entry.in_sync.clear())), "only the primary has more");
        assert!(!kept_by(&view(|_| {})), "a backup holds everything");
        assert!(kept_by(&view(|entry| entry.lost_at = Some(ViewNumber(4)))), "what is left of the old history");
        assert!(!kept_by(&view(|entry| entry.lost_at = Some(ViewNumber(1)))), "it is of the history after that loss");
        assert!(kept_by(&view(|entry| entry.primary = node("gone", 1))), "nobody who lives has more");
    }

    #[test]
    fn a_copy_of_nothing_is_none() {
        let mut copies = StaleCopies::default();
        copies.keep(ArcId(0), Backup::default(), ViewNumber(2), &ReplicationSettings::default(), Moment::START);
        assert_eq!(copies.iter().count(), 0);
    }
}
