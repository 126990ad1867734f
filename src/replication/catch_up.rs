//! Catch-up: a cursor over the session ids of an arc, not a log.
//!
//! What lies ahead of the cursor is not sent, what lies behind it is sent live, and each record is made when the cursor
//! reaches it: one pass, no snapshot held, and it ends however fast the arc changes (A15 of the interleavings). `CatchUp` is
//! the sending side; `Learner` the receiving one, which becomes a backup only by a view.
//!
//! Invariant of the learner: what it holds is, session by session, the primary's state at some number up to the last chunk's;
//! it becomes equal to the history only at `end`, and nothing before `end` may be promoted, because its records may hold
//! commits that were never committed.

use std::{collections::VecDeque, sync::Arc};

use super::{
    backup::{Backup, Gap},
    commit::{Changes, Commit},
    message::Chunk,
    reply_table::ReplyLimits,
    rules::{Rule, Rules},
    store::Store,
};
use crate::{
    id::{CommitNumber, NodeId, SessionKey, ViewNumber},
    moment::Moment,
};

/// The sending side of one catch-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CatchUp {
    /// Who catches up.
    pub to: NodeId,
    /// Which pass; a new one begins from nothing.
    pub pass: u64,
    /// Not before this: a node that was dropped lately has to wait.
    pub not_before: Moment,
    cursor: Option<SessionKey>,
    started: bool,
    in_flight: usize,
    end: Option<CommitNumber>,
    arrived: bool,
}

impl CatchUp {
    /// A pass that has not begun.
    #[must_use]
    pub fn new(to: NodeId, pass: u64, not_before: Moment) -> Self {
        Self { to, pass, not_before, cursor: None, started: false, in_flight: 0, end: None, arrived: false }
    }

    /// Chunks sent and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the last chunk has been made; from then on every commit is sent.
    #[must_use]
    pub fn end(&self) -> Option<CommitNumber> {
        self.end
    }

    /// Whether the node has everything up to `end`.
    #[must_use]
    pub fn arrived(&self) -> bool {
        self.arrived
    }

    /// Whether a change of this session is to be sent live: it lies behind the cursor.
    fn covers(&self, key: &SessionKey) -> bool {
        self.end.is_some() || self.cursor.as_ref().is_some_and(|c| key <= c)
    }

    /// What of a commit is to be sent live. What lies ahead of the cursor comes with its chunk.
    #[must_use]
    pub fn behind(&self, commit: &Commit, rules: Rules) -> Changes {
        if !rules.hold(Rule::CatchUpParts) && commit.changes.iter().any(|change| !self.covers(&change.key)) {
            return Changes::new();
        }
        commit.changes.iter().filter(|change| self.covers(&change.key)).cloned().collect()
    }

    /// Makes the next chunk; `last` is the number of the arc's newest commit.
    #[must_use]
    pub fn next_chunk(&mut self, store: &Store, last: CommitNumber, budget: usize, now: Moment) -> Option<Chunk> {
        if self.end.is_some() {
            return None;
        }
        let first = !self.started;
        self.started = true;
        let records = store.after(self.cursor.as_ref(), budget, now);
        if let Some((key, ..)) = records.last() {
            self.cursor = Some(key.clone());
        }
        if store.is_at_end(self.cursor.as_ref()) {
            self.end = Some(last);
        }
        self.in_flight += 1;
        Some(Chunk { pass: self.pass, first, records, cursor: self.cursor.clone(), end: self.end })
    }

    /// A chunk of this pass was stored.
    pub fn handle_stored(&mut self, end: Option<CommitNumber>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.arrived |= end.is_some() && end == self.end;
    }
}

/// The receiving side of one catch-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Learner {
    pass: Option<(ViewNumber, u64)>,
    cursor: Option<SessionKey>,
    /// Before the end: the sessions so far. After it: empty.
    store: Store,
    /// The newest committed number heard of, for telling how far it got.
    upto: CommitNumber,
    /// From the end on it takes commits as a backup does.
    whole: Option<Backup>,
}

impl Learner {
    /// Whether a pass of the primary installed in `since` has begun here.
    #[must_use]
    pub fn follows(&self, since: ViewNumber) -> bool {
        self.pass.is_some_and(|(s, _)| s == since)
    }

    /// What it holds, once it holds everything.
    #[must_use]
    pub fn whole(&self) -> Option<&Backup> {
        self.whole.as_ref()
    }

    /// Sessions held so far.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.whole.as_ref().map_or(self.store.len(), |b| b.store().len())
    }

    /// Takes a chunk. A new pass begins from nothing; one of another pass is passed over.
    pub fn handle_chunk(&mut self, since: ViewNumber, chunk: Chunk, rules: Rules, now: Moment) {
        let Chunk { pass, first, mut records, cursor, end } = chunk;
        if first && self.pass.is_none_or(|p| p < (since, pass)) {
            *self = Self { pass: Some((since, pass)), ..Self::default() };
        }
        if self.pass != Some((since, pass)) || self.whole.is_some() {
            return;
        }
        // Switched off, what is taken in lives for ever: what the checkers have to notice.
        if !rules.hold(Rule::EndsCopied) {
            records.iter_mut().for_each(|(.., left)| *left = None);
        }
        self.store.take_in(records, now);
        self.cursor = cursor;
        if let Some(end) = end {
            self.whole = Some(Backup::new(std::mem::take(&mut self.store), end, VecDeque::new(), since));
        }
    }

    /// Takes a live commit: before the end, what it changes behind the cursor; after it, whole.
    ///
    /// # Errors
    /// A commit before it is missing: nothing was stored.
    pub fn handle_commit(
        &mut self,
        commit: Arc<Commit>,
        limits: &ReplyLimits,
        rules: Rules,
        now: Moment,
    ) -> Result<(), Gap> {
        if let Some(whole) = &mut self.whole {
            return whole.handle_commit(commit, rules);
        }
        for change in &commit.changes {
            if self.cursor.as_ref().is_some_and(|c| change.key <= *c) {
                self.store.change(change, commit.id.number, limits, rules, now);
            }
        }
        Ok(())
    }

    /// Learns how far the history is committed.
    pub fn handle_committed(&mut self, committed: CommitNumber, limits: &ReplyLimits, rules: Rules, now: Moment) {
        self.upto = committed;
        if let Some(whole) = &mut self.whole {
            whole.handle_committed(committed, limits, rules, now);
        }
    }

    /// Becomes a backup, by a view that says so.
    ///
    /// # Errors
    /// It does not hold everything, which the primary must have ensured; what there is comes back.
    pub fn into_backup(self) -> Result<Backup, Box<Backup>> {
        let since = self.pass.map_or(ViewNumber::default(), |(since, _)| since);
        self.whole.ok_or_else(|| Box::new(Backup::new(self.store, self.upto, VecDeque::new(), since)))
    }
}
