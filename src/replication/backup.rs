//! The backup of one arc: sessions as bytes up to what is folded, and an uncommitted tail kept apart.
//!
//! It folds no commit that is not committed once it is here, and a commit is known by (since, number): meeting another commit under
//! a number it holds, it discards its own from there on (A2 of the interleavings). So whatever a deposed primary sent and did
//! not get acknowledged can still be taken back, and whatever was acknowledged is here.
//!
//! It runs no user code, decides no expiry, and does not judge who may send to it (`host` fences).

use std::{collections::VecDeque, sync::Arc};

use super::{
    commit::Commit,
    lifetime::Lifespan,
    reply_table::ReplyLimits,
    rules::{Rule, Rules},
    store::Store,
};
use crate::{
    id::{CommitNumber, ViewNumber},
    moment::Moment,
};

/// What a stream of commits turned out to be: either it fits, or a commit before it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

/// One backup copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backup {
    store: Store,
    folded: CommitNumber,
    committed: CommitNumber,
    tail: VecDeque<Arc<Commit>>,
    /// The primary whose start record is in the tail or below.
    following: ViewNumber,
    /// When the primary last said anything here.
    heard: Moment,
}

impl Backup {
    /// A copy that holds `store`, everything up to `folded`, and `tail` above it.
    #[must_use]
    pub fn new(store: Store, folded: CommitNumber, tail: VecDeque<Arc<Commit>>, following: ViewNumber) -> Self {
        Self { store, folded, committed: folded, tail, following, heard: Moment::START }
    }

    /// The sessions up to what is folded.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The number of its newest commit, committed or not.
    #[must_use]
    pub fn last(&self) -> CommitNumber {
        self.tail.back().map_or(self.folded, |c| c.id.number)
    }

    /// Everything up to here is folded.
    #[must_use]
    pub fn folded(&self) -> CommitNumber {
        self.folded
    }

    /// How far it knows the history committed.
    #[must_use]
    pub fn committed(&self) -> CommitNumber {
        self.committed
    }

    /// The uncommitted tail.
    #[must_use]
    pub fn tail(&self) -> &VecDeque<Arc<Commit>> {
        &self.tail
    }

    /// Whether the present primary's start record has come; until then nothing may be read here.
    #[must_use]
    pub fn follows(&self, since: ViewNumber) -> bool {
        self.following == since
    }

    /// When the primary last said how far the history is committed; the beginning of time if it never did.
    #[must_use]
    pub fn heard(&self) -> Moment {
        self.heard
    }

    /// Takes the next commit of the primary installed in `since`.
    ///
    /// # Errors
    /// A commit before it is missing: nothing was stored.
    pub fn handle_commit(&mut self, commit: Arc<Commit>, rules: Rules) -> Result<(), Gap> {
        let number = commit.id.number;
        if number <= self.folded {
            return Ok(()); // Folded means committed, and what is committed is the same everywhere.
        }
        if let Some(at) = self.tail.iter().position(|c| c.id.number == number) {
            if self.tail[at].id == commit.id || !rules.hold(Rule::CommitIdentity) {
                return Ok(());
            }
            self.tail.truncate(at);
        }
        if number != self.last().next() {
            return Err(Gap);
        }
        self.tail.push_back(if rules == Rules::default() { commit } else { in_part(commit, rules) });
        Ok(())
    }

    /// Takes the next commit, and how far the history is committed once it is stored. Where that is all there is here, the commit is
    /// folded at once, and was never kept apart.
    ///
    /// # Errors
    /// A commit before it is missing: nothing was stored.
    pub fn handle_next(
        &mut self,
        commit: Arc<Commit>,
        committed: CommitNumber,
        limits: &ReplyLimits,
        rules: Rules,
        now: Moment,
    ) -> Result<(), Gap> {
        let number = commit.id.number;
        if self.tail.is_empty() && number == self.folded.next() && number <= committed && rules == Rules::default() {
            self.fold(commit, limits, rules, now);
        } else {
            self.handle_commit(commit, rules)?;
        }
        self.handle_committed(committed, limits, rules, now);
        Ok(())
    }

    fn fold(&mut self, commit: Arc<Commit>, limits: &ReplyLimits, rules: Rules, now: Moment) {
        self.folded = commit.id.number;
        self.store.take(Arc::unwrap_or_clone(commit), limits, rules, now);
    }

    /// Takes a promoted primary's start: everything above `base` becomes equal to its tail.
    ///
    /// # Errors
    /// This copy does not reach up to `base`, or the tail does not go on from there without a gap: nothing was stored.
    pub fn handle_start(
        &mut self,
        since: ViewNumber,
        base: CommitNumber,
        tail: Vec<Arc<Commit>>,
        rules: Rules,
    ) -> Result<(), Gap> {
        self.following = since;
        if !rules.hold(Rule::CommitIdentity) {
            return tail.into_iter().try_for_each(|commit| self.handle_commit(commit, rules));
        }
        // Taken as it came, a tail with a gap would be this arc's history once this copy is promoted.
        let goes_on = tail.iter().zip(base.0 + 1..).all(|(commit, number)| commit.id.number.0 == number);
        if self.last() < base || !goes_on {
            return Err(Gap);
        }
        self.tail.retain(|c| c.id.number <= base);
        let folded = self.folded;
        self.tail.extend(tail.into_iter().filter(|c| c.id.number > folded));
        Ok(())
    }

    /// Learns how far the history is committed, and folds up to there what it holds.
    pub fn handle_committed(&mut self, committed: CommitNumber, limits: &ReplyLimits, rules: Rules, now: Moment) {
        self.committed = self.committed.max(committed);
        self.heard = self.heard.max(now);
        while self.tail.front().is_some_and(|c| c.id.number <= committed)
            && let Some(commit) = self.tail.pop_front()
        {
            self.fold(commit, limits, rules, now);
        }
        // Switched off, what is over by this copy's own count is gone here: what the checkers have to notice.
        if !rules.hold(Rule::PrimaryExpires) {
            for (key, _) in self.store.over(now, usize::MAX) {
                self.store.put(key, None);
            }
        }
    }

    /// Drops what is no longer remembered; how many sessions it looked at, about `max` at most.
    pub fn sweep(&mut self, limits: &ReplyLimits, now: Moment, max: usize) -> usize {
        self.store.sweep(limits, now, max)
    }

    /// Gives up everything for a promotion.
    #[must_use]
    pub fn into_parts(self) -> (Store, CommitNumber, VecDeque<Arc<Commit>>) {
        (self.store, self.folded, self.tail)
    }
}

/// What a copy takes of a commit where a rule is switched off that makes it take the whole: what the checkers have to notice.
fn in_part(mut commit: Arc<Commit>, rules: Rules) -> Arc<Commit> {
    let part = Arc::make_mut(&mut commit);
    if !rules.hold(Rule::CommitWhole) {
        part.changes.truncate(1);
    }
    for change in &mut part.changes {
        let holds = if change.life == Some(Lifespan::FOR_EVER) { Rule::EndsReplaced } else { Rule::EndsCopied };
        change.life = change.life.filter(|_| rules.hold(holds));
    }
    commit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::CommitId, replication::Changes};

    const SINCE: ViewNumber = ViewNumber(2);

    fn commits(numbers: &[u64]) -> Vec<Arc<Commit>> {
        let id = |number: &u64| CommitId { since: SINCE, number: CommitNumber(*number) };
        numbers.iter().map(|number| Arc::new(Commit { id: id(number), changes: Changes::new() })).collect()
    }

    #[test]
    fn a_start_whose_tail_does_not_go_on_without_a_gap_is_not_stored() {
        let mut backup = Backup::default();
        let base = CommitNumber(2);
        backup.handle_start(SINCE, CommitNumber(0), commits(&[1, 2]), Rules::default()).expect("the first history");
        for wrong in [&[4][..], &[3, 5], &[4, 3], &[3, 3], &[2, 3]] {
            assert_eq!(backup.handle_start(SINCE, base, commits(wrong), Rules::default()), Err(Gap), "{wrong:?}");
            assert_eq!(backup.last(), base);
        }
        backup.handle_start(SINCE, base, commits(&[3, 4]), Rules::default()).expect("it goes on");
        assert_eq!(backup.last(), CommitNumber(4));
    }

    #[test]
    fn a_commit_is_folded_at_once_where_it_is_said_to_be_committed_by_that_and_nothing_before_it_is_missing() {
        let mut backup = Backup::default();
        let mut next = |number: u64, committed: u64| {
            let commit = commits(&[number]).remove(0);
            let (limits, rules) = (ReplyLimits::default(), Rules::default());
            let stored = backup.handle_next(commit, CommitNumber(committed), &limits, rules, Moment::START);
            (stored, backup.folded().0, backup.tail().len())
        };
        assert_eq!(next(1, 1), (Ok(()), 1, 0));
        assert_eq!(next(2, 1), (Ok(()), 1, 1), "others have to have it");
        assert_eq!(next(4, 4), (Err(Gap), 1, 1), "what it says is not believed");
        assert_eq!(next(3, 2), (Ok(()), 2, 1));
        assert_eq!(next(4, 4), (Ok(()), 4, 0), "with those before it");
        assert_eq!(next(2, 4), (Ok(()), 4, 0), "it was there");
    }
}
