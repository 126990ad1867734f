//! Handing an arc over to one of its backups while everybody lives, and staying as a backup of it.
//!
//! After Vertical Paxos' idea that a configuration may change for any reason, not only for a death: the primary first takes no
//! more commands and lets every reply leave (it *quiesces*), then wishes for a view in which the heir serves and it is in sync
//! itself. So no caller is left with an outcome unknown, and either of the two may die at any moment: before the view the arc
//! has its primary, after it a primary and one more copy.
//!
//! The pause is short and bounded. Should the view not come, for want of a quorum, the arc is served again, although the view
//! may still grant the wish: what is committed from then on is kept apart here, so that it can be taken back out of the store.
//! A backup must not hold folded what was never committed.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::Primary;
use crate::{
    id::{NodeId, SessionKey},
    membership::WishedChange,
    moment::Moment,
    replication::{
        Backup, Commit, Store,
        effect::Effect,
        rules::Rule,
        settings::{Around, ReplicationSettings},
    },
};

/// The replies under way have this long to leave; else the arc is served on, and handed over later.
const QUIESCE_MAX: Duration = Duration::from_millis(60);
/// Commands are kept waiting this long in all, then the arc is served again.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// After an attempt that came to nothing, not before this.
const NOT_AGAIN: Duration = Duration::from_millis(500);

/// One attempt to hand over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HandBack {
    heir: NodeId,
    began: Moment,
    /// Whether the wish is out; from then on a view may make this node a backup.
    wished: bool,
    /// Sessions that a commit not known as committed has touched since, as they were before it.
    before: Store,
    touched: BTreeSet<SessionKey>,
    /// Those commits.
    tail: VecDeque<Arc<Commit>>,
}

impl Primary {
    /// Whether commands have to wait, because the arc is about to be served elsewhere.
    #[must_use]
    pub fn is_paused(&self, now: Moment) -> bool {
        self.hand_back.as_ref().is_some_and(|h| now.since(h.began) < PAUSE_MAX)
    }

    /// Whether the arc is being handed over.
    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        self.hand_back.is_some()
    }

    /// The in-sync backup that should serve the arc instead, if it may be asked to now. One that owes acknowledgements for long
    /// would only make callers wait.
    fn heir(&self, around: &Around<'_>) -> Option<NodeId> {
        let free = self.is_serving() && self.wish.is_none() && self.catch_up.is_none();
        let prompt = |n: &NodeId| self.owing.get(n).is_none_or(|since| around.now.since(*since) < QUIESCE_MAX);
        let fit = |n: &NodeId| self.in_sync.contains(n) && !around.surroundings.dead.contains(n) && prompt(n);
        self.goal.primary.filter(|heir| free && fit(heir))
    }

    /// Begins to quiesce if the arc should be served elsewhere; `places` is how many more arcs may be on their way.
    pub(super) fn begin_hand_back(&mut self, places: &mut usize, around: &Around<'_>) {
        if *places == 0 || self.hand_back.is_some() || around.now < self.hand_back_not_before {
            return;
        }
        if let Some(heir) = self.heir(around) {
            *places -= 1;
            self.hand_back = Some(Box::new(HandBack {
                heir,
                began: around.now,
                wished: false,
                before: Store::default(),
                touched: BTreeSet::new(),
                tail: VecDeque::new(),
            }));
        }
    }

    /// The wish to make once every reply has left; gives up if they do not leave in time.
    pub(super) fn hand_back_wish(&mut self, around: &Around<'_>) -> Option<WishedChange> {
        let handing = self.hand_back.as_ref().filter(|h| !h.wished)?;
        let heir = handing.heir;
        if self.heir(around) != Some(heir) || around.now.since(handing.began) > QUIESCE_MAX {
            self.end_hand_back(around.now);
            return None;
        }
        let quiet = self.committed == self.last && self.waiting.is_empty() && self.leased.is_empty();
        if !quiet && around.settings.rules.hold(Rule::Quiesce) {
            return None;
        }
        if let Some(handing) = &mut self.hand_back {
            handing.wished = true;
        }
        Some(WishedChange::Move(heir))
    }

    /// A view settled the wish otherwise.
    pub(super) fn end_hand_back(&mut self, now: Moment) {
        if self.hand_back.take().is_some() {
            self.hand_back_not_before = now + NOT_AGAIN;
        }
    }

    /// Notes what a commit is about to change, while a view may still make this node a backup.
    pub(super) fn note_before(&mut self, commit: &Arc<Commit>) {
        let Some(handing) = self.hand_back.as_mut().filter(|h| h.wished) else { return };
        for change in &commit.changes {
            if handing.touched.insert(change.key.clone())
                && let Some(record) = self.store.get(&change.key)
            {
                handing.before.put(change.key.clone(), Some(record.clone()));
            }
        }
        handing.tail.push_back(Arc::clone(commit));
    }

    /// What is committed stays, whatever view comes.
    pub(super) fn settle_before(&mut self, settings: &ReplicationSettings, now: Moment) {
        let committed = self.committed;
        let Some(handing) = self.hand_back.as_mut() else { return };
        while handing.tail.front().is_some_and(|c| c.id.number <= committed)
            && let Some(commit) = handing.tail.pop_front()
        {
            handing.before.apply(&commit, &settings.replies, settings.rules, now);
        }
        if handing.tail.is_empty() {
            handing.before.clear();
            handing.touched.clear();
        }
    }

    /// Becomes a backup, by a view that granted the wish; `None` if this node never wished so, and holds nothing that can be
    /// vouched for. Replies that still wait are broken either way.
    pub fn step_aside(mut self, settings: &ReplicationSettings, now: Moment, out: &mut Vec<Effect>) -> Option<Backup> {
        self.settle_before(settings, now);
        let wished = self.hand_back.take().filter(|h| h.wished);
        let (since, committed, last) = (self.since, self.committed, self.last);
        let mut store = std::mem::take(&mut self.store);
        self.step_down(out);
        let handing = wished?;
        // Switched off, everything is taken for committed: what the checkers have to notice.
        let folded = if settings.rules.hold(Rule::Quiesce) {
            for key in handing.touched {
                let before = handing.before.get(&key).cloned();
                store.put(key, before);
            }
            committed
        } else {
            last
        };
        store.forget_uncopied();
        Some(Backup::new(store, folded, handing.tail, since))
    }
}

#[cfg(test)]
mod tests;
