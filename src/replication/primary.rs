//! The primary of one arc: gives commits their numbers, sends them to the backups, and decides when a reply may leave.
//!
//! After PacificA (Lin et al. 2008) with Kafka's in-sync set: a commit is acknowledged when every member of the *union* of the
//! installed and the wished in-sync set has it. A promoted primary first commits a `start` record carrying its whole tail and
//! waits out the old primary's lease; until then the arc answers nothing.
//!
//! It runs no handler and knows no caller: replies are tokens. It keeps two invariants: a reply leaves only when every commit
//! that its value depends on is committed, and a reply that no backup's acknowledgement vouches for (a read, a solo or
//! asynchronous command) leaves only while every lease needed runs. Leases and wishes have rooms of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    hint::black_box,
    iter::repeat_n,
    sync::Arc,
    time::Duration,
};

use super::{
    catch_up::CatchUp,
    commit::{Changes, Commit},
    effect::{Asker, Broken, Effect, Token},
    few::Few,
    lifetime::{Lapse, Use},
    message::{ArcContent, ArcMessage, Received},
    rules::{Rule, Rules},
    settings::{Around, ReplicationSettings},
    store::Store,
};
use crate::{
    id::{ArcId, CommitId, CommitNumber, NodeId, SessionKey, ViewNumber},
    membership::{ArcEntry, Target, Wish},
    moment::Moment,
};

mod hand_back;
mod leases;
mod wishes;

use hand_back::HandBack;

/// When a command counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Durability {
    /// When every in-sync backup has it.
    #[default]
    Sync,
    /// At once; a promotion may lose what had not arrived, never more than the window.
    Async,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Promoted: answers nothing until `start` is committed and the old primary's lease is over.
    Starting {
        start: CommitNumber,
        deposed: Option<NodeId>,
        leases_over: Moment,
    },
    Serving,
}

/// Without the rule `DropByView`, a primary counts no longer on a backup that is silent for so long.
const DROPPED_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    /// Until this is committed.
    number: CommitNumber,
    token: Token,
    /// Whether the backups' acknowledgements vouch for it; otherwise a lease must.
    vouched: bool,
    /// The backup that tells its asker, once it has stored it.
    told_by: Option<NodeId>,
}

/// The primary's part in one arc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Primary {
    arc: ArcId,
    since: ViewNumber,
    changed: ViewNumber,
    /// The first commit of its own.
    start: CommitNumber,
    phase: Phase,
    store: Store,
    last: CommitNumber,
    committed: CommitNumber,
    /// How far the backups were told that the history is committed, or is once they have it.
    told: CommitNumber,
    /// Whether no commit went out since `tick` looked.
    is_quiet: bool,
    in_sync: Vec<NodeId>,
    acked: Few<NodeId, CommitNumber>,
    /// Since when a backup has been owing an acknowledgement without sending any.
    owing: Few<NodeId, Moment>,
    shunned: BTreeMap<NodeId, Moment>,
    goal: Target,
    wish: Option<Box<Wish>>,
    hand_back: Option<Box<HandBack>>,
    hand_back_not_before: Moment,
    catch_up: Option<Box<CatchUp>>,
    passes: u64,
    waiting: VecDeque<Waiting>,
    /// Replies that need a lease, each with the time from when on it has needed one.
    leased: VecDeque<(Token, Moment)>,
    asked: Option<Moment>,
    open_loss: Option<ViewNumber>,
}

impl Primary {
    /// Promotes: begins to serve what `store` and `tail` hold, for the entry of the view just installed. `deposed` is the
    /// primary before; `leases_over` is when this node's own grants to it have run out.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "what a promotion consists of")]
    pub fn promote(
        arc: ArcId,
        entry: &ArcEntry,
        goal: Target,
        mut store: Store,
        base: CommitNumber,
        mut tail: Vec<Arc<Commit>>,
        deposed: Option<NodeId>,
        leases_over: Moment,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> Self {
        for commit in &tail {
            store.apply(commit, &around.settings.replies, around.settings.rules, around.now);
        }
        let start = tail.last().map_or(base, |c| c.id.number).next();
        tail.push(Arc::new(Commit { id: CommitId { since: entry.since, number: start }, changes: Changes::new() }));
        let mut primary = Self {
            arc,
            since: entry.since,
            changed: entry.changed,
            start,
            phase: Phase::Starting { start, deposed, leases_over },
            store,
            last: start,
            committed: base,
            told: base,
            is_quiet: true,
            in_sync: entry.in_sync.clone(),
            acked: Few::default(),
            owing: entry.in_sync.iter().map(|b| (*b, around.now)).collect(),
            shunned: BTreeMap::new(),
            goal,
            wish: None,
            hand_back: None,
            hand_back_not_before: Moment::START,
            catch_up: None,
            passes: 0,
            waiting: VecDeque::new(),
            leased: VecDeque::new(),
            asked: None,
            open_loss: entry.open_loss(),
        };
        for backup in entry.in_sync.clone() {
            primary.send(backup, ArcContent::Start { base, tail: tail.clone() }, out);
        }
        primary.begin_catch_up(entry.catching_up, around.now);
        primary.advance(around, out);
        primary
    }

    /// Takes a newer view's entry that leaves this node the primary, with the same `since`. `jumped`: views before it were
    /// never seen.
    pub fn reconfigure(
        &mut self,
        entry: &ArcEntry,
        goal: Target,
        jumped: bool,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        assert_eq!(entry.since, self.since, "another since is another promotion");
        self.changed = entry.changed;
        self.goal = goal;
        self.open_loss = entry.open_loss();
        self.in_sync.clone_from(&entry.in_sync);
        let (in_sync, catching_up) = (&self.in_sync, entry.catching_up);
        self.acked.retain(|n, _| in_sync.contains(n) || catching_up == Some(*n));
        self.owing.retain(|n, _| in_sync.contains(n) || catching_up == Some(*n));
        // After a jump the node may have been let go and called again in between, and have forgotten what it was sent.
        if jumped || self.catch_up.as_ref().map(|c| c.to) != entry.catching_up {
            self.begin_catch_up(entry.catching_up, around.now);
        }
        self.advance(around, out);
    }

    fn begin_catch_up(&mut self, to: Option<NodeId>, now: Moment) {
        self.passes += 1;
        let pass = self.passes;
        if let Some(to) = to {
            self.acked.remove(&to);
            // What it owed as a backup it owes no more: kept, that would make it look silent the moment it arrives.
            self.owing.remove(&to);
        }
        self.catch_up = to.map(|to| Box::new(CatchUp::new(to, pass, self.shunned.get(&to).copied().unwrap_or(now))));
    }

    /// Takes what placement wants now; an unchanged entry may still have another goal.
    pub fn aim(&mut self, goal: Target) {
        self.goal = goal;
    }

    /// The sessions as of the newest commit.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Gives up everything but the sessions as of the newest commit.
    #[must_use]
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The view that installed this primary.
    #[must_use]
    pub fn since(&self) -> ViewNumber {
        self.since
    }

    /// Whether it answers; a promoted primary does only after its start.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// The number of its newest commit.
    #[must_use]
    pub fn last(&self) -> CommitNumber {
        self.last
    }

    /// How far its history is committed.
    #[must_use]
    pub fn committed(&self) -> CommitNumber {
        self.committed
    }

    /// The backups it counts on.
    #[must_use]
    pub fn in_sync(&self) -> &[NodeId] {
        &self.in_sync
    }

    /// The view in which every copy was gone, unless that was cleared: unknown ids are then `Lost`.
    #[must_use]
    pub fn open_loss(&self) -> Option<ViewNumber> {
        self.open_loss
    }

    /// Whether another command would pass a bound; then nothing is to be executed.
    #[must_use]
    pub fn is_full(&self, settings: &ReplicationSettings) -> bool {
        self.waiting.len() + self.leased.len() >= settings.waiting_max
            || self.last.0 - self.committed.0 >= settings.uncommitted_max
    }

    /// Gives up the arc: every waiting reply is broken.
    pub(super) fn step_down(self, out: &mut Vec<Effect>) {
        for token in self.waiting.iter().map(|w| w.token).chain(self.leased.iter().map(|(token, _)| *token)) {
            out.push(Effect::Fail(token, Broken::Deposed));
        }
        out.push(Effect::SteppedDown(self.arc));
    }

    /// Sessions whose time is over, if they may be ended now; at most `max` of them.
    pub fn over(&mut self, max: usize, around: &Around<'_>) -> Vec<(SessionKey, Lapse)> {
        if !self.is_serving() || self.is_paused(around.now) || self.is_full(around.settings) {
            return Vec::new();
        }
        self.store.over(around.now, max)
    }

    /// A session was used by a command that changes nothing; what the copies have to know before its user is answered.
    pub fn used(&mut self, key: &SessionKey, now: Moment) -> Use {
        self.store.used(key, self.start, now)
    }

    /// Drops what is no longer remembered; how many sessions it looked at, about `max` at most.
    pub fn sweep(&mut self, settings: &ReplicationSettings, now: Moment, max: usize) -> usize {
        self.store.sweep(&settings.replies, now, max)
    }

    /// Reads what the next command will look at.
    pub(super) fn read_ahead(&self) {
        let backup = self.in_sync.first();
        let waits = |waiting: Option<&Waiting>| waiting.map(|waiting| (waiting.number, waiting.token));
        black_box((
            self.is_serving(),
            self.hand_back.is_some(),
            waits(self.waiting.front()),
            waits(self.waiting.back()),
        ));
        black_box((
            backup.copied(),
            backup.and_then(|backup| self.owing.get(backup)).copied(),
            self.committed,
            self.leased.len(),
        ));
    }

    fn send(&self, to: NodeId, content: ArcContent, out: &mut Vec<Effect>) {
        self.send_as_of(self.committed, to, content, out);
    }

    fn send_as_of(&self, committed: CommitNumber, to: NodeId, content: ArcContent, out: &mut Vec<Effect>) {
        let message = ArcMessage { arc: self.arc, since: self.since, committed, content };
        out.push(Effect::ToBackup { to, message });
    }
}

/// Commits and replies.
impl Primary {
    /// Appends a commit; its reply leaves when it may. Where its asker called through the only node that has to have it, that one
    /// tells them, as the tail of a chain does (van Renesse and Schneider 2004), and the reply need not leave from here.
    ///
    /// # Panics
    /// If this primary is not serving: the caller asks first.
    pub fn append(
        &mut self,
        changes: Changes,
        (token, asker): (Token, Option<Asker>),
        durability: Durability,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> CommitNumber {
        assert!(self.is_serving(), "only a serving primary appends");
        self.last = self.last.next();
        let commit = Arc::new(Commit { id: CommitId { since: self.since, number: self.last }, changes });
        self.note_before(&commit);
        self.store.apply(&commit, &around.settings.replies, around.settings.rules, around.now);
        let changes_any = !commit.changes.is_empty();
        let copied = Commit::for_backups(commit);
        let copies_any = !copied.changes.is_empty();
        let may_tell = durability == Durability::Sync && copies_any;
        let asker = asker.filter(|asker| may_tell && self.is_alone_to_have(asker.node, around.settings.rules));
        // Where one backup is all that it needs, it is committed once that has it: so that one need not keep it apart until it hears.
        let is_alone = self.in_sync.first().is_some_and(|backup| self.is_alone_to_have(*backup, around.settings.rules));
        self.told = if is_alone { self.last } else { self.committed };
        self.is_quiet = false;
        self.send_live(&copied, around, out);
        for (at, commit) in repeat_n(copied, self.in_sync.len()).enumerate() {
            let backup = self.in_sync[at];
            self.owing.get_or_insert_with(backup, || around.now);
            let content = match asker.filter(|asker| asker.node == backup) {
                Some(Asker { call, .. }) => ArcContent::Answering(call, commit),
                None => ArcContent::Commit(commit),
            };
            self.send_as_of(self.told, backup, content, out);
        }
        match durability {
            // What the backups never get they cannot vouch for.
            Durability::Sync if changes_any && !copies_any => {
                self.leased.push_back((token, around.now));
            }
            Durability::Sync => {
                let told_by = asker.map(|asker| asker.node);
                self.waiting.push_back(Waiting { number: self.last, token, vouched: true, told_by });
            }
            // Nobody vouches for it, so it needs what a read needs.
            Durability::Async => self.leased.push_back((token, around.now)),
        }
        // With backups nothing can move before they have acknowledged something.
        if self.in_sync.is_empty() || !self.leased.is_empty() || !around.settings.rules.hold(Rule::BackupFirst) {
            self.advance(around, out);
        }
        self.last
    }

    /// Whether this backup is the only node that has to have the next commit before it is done, and stays so until a view says
    /// otherwise: who catches up later has what it finds committed, which that is as soon as the backup has it.
    fn is_alone_to_have(&self, backup: NodeId, rules: Rules) -> bool {
        if !rules.hold(Rule::ToldAlone) {
            return self.in_sync.contains(&backup);
        }
        self.in_sync == [backup] && self.catch_up.is_none() && self.wish.is_none() && self.hand_back.is_none()
    }

    /// Sends a commit to the node that catches up: what lies behind its cursor.
    fn send_live(&mut self, commit: &Arc<Commit>, around: &Around<'_>, out: &mut Vec<Effect>) {
        let Some(catch_up) = &self.catch_up else { return };
        if catch_up.end().is_some() {
            let (to, arrived) = (catch_up.to, catch_up.arrived());
            self.send(to, ArcContent::Commit(Arc::clone(commit)), out);
            if arrived {
                self.owing.get_or_insert_with(to, || around.now);
            }
            return;
        }
        let behind = catch_up.behind(commit, around.settings.rules);
        if !behind.is_empty() {
            let part = Arc::new(Commit { id: commit.id, changes: behind });
            self.send(catch_up.to, ArcContent::Commit(part), out);
        }
    }

    /// Lets the reply of a read leave when it may: a value that depends on commits up to `depends_on`.
    pub fn answer(&mut self, depends_on: CommitNumber, token: Token, around: &Around<'_>, out: &mut Vec<Effect>) {
        if depends_on <= self.committed || !around.settings.rules.hold(Rule::CommittedReads) {
            self.leased.push_back((token, around.now));
        } else {
            // Behind everything appended, which keeps the queue in order.
            self.waiting.push_back(Waiting { number: self.last, token, vouched: false, told_by: None });
        }
        self.advance(around, out);
    }

    /// Takes what a backup stored.
    pub fn handle_receipt(
        &mut self,
        from: NodeId,
        since: ViewNumber,
        received: Received,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) {
        if since != self.since {
            return;
        }
        match received {
            Received::Upto(number) => {
                let counts =
                    self.in_sync.contains(&from) || self.catch_up.as_ref().is_some_and(|c| c.to == from && c.arrived());
                if counts {
                    let acked = self.acked.get_or_insert_with(from, CommitNumber::default);
                    *acked = number.max(*acked);
                    if *acked >= self.last {
                        self.owing.remove(&from);
                    } else {
                        self.owing.insert(from, around.now);
                    }
                }
            }
            Received::Chunk { pass, end } => {
                if let Some(catch_up) = self.catch_up.as_mut().filter(|c| c.to == from && c.pass == pass) {
                    catch_up.handle_stored(end);
                    if let Some(end) = end {
                        self.acked.insert(from, end);
                        if end < self.last {
                            self.owing.insert(from, around.now);
                        }
                    }
                }
            }
            Received::Nothing => return,
        }
        self.advance(around, out);
    }

    /// Moves on whatever can move: the committed number, the start, the replies, the wishes.
    pub fn advance(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        // A wish may enter the view after its base and no later one, so any newer view settles it.
        if self.wish.take_if(|w| w.base < around.surroundings.view.number).is_some() {
            self.end_hand_back(around.now);
        }
        if !around.settings.rules.hold(Rule::DropByView) {
            let owes =
                |backup: &NodeId| self.owing.get(backup).is_some_and(|since| around.now.since(*since) > DROPPED_AFTER);
            self.in_sync.retain(|backup| !owes(backup));
        }
        let stored = self.union(around.settings.rules).map(|b| self.acked.get(&b).copied().unwrap_or_default()).min();
        let stored =
            if around.settings.rules.hold(Rule::BackupFirst) { stored.unwrap_or(self.last) } else { self.last };
        self.committed = self.committed.max(stored);
        self.settle_before(around.settings, around.now);
        if let Phase::Starting { start, deposed, leases_over } = &self.phase {
            let stepped_down = deposed.is_some_and(|old| {
                // What it acknowledges under this view it acknowledges as a backup.
                self.acked.contains_key(&old)
                    || around.surroundings.dead.contains(&old)
                    || around.surroundings.installed.get(&old).is_some_and(|i| *i >= self.since)
            });
            let lease_over =
                around.now >= *leases_over || stepped_down || !around.settings.rules.hold(Rule::PromotedWaits);
            if self.committed < *start || !lease_over {
                self.pursue(around, out);
                return;
            }
            self.phase = Phase::Serving;
            out.push(Effect::Serving { arc: self.arc, since: self.since });
        }
        while self.waiting.front().is_some_and(|w| w.number <= self.committed)
            && let Some(waiting) = self.waiting.pop_front()
        {
            if waiting.vouched && !self.in_sync.is_empty() {
                // It has told them unless it did not store it as this view's only backup.
                let has_told = |by: NodeId| {
                    self.in_sync == [by] && self.acked.get(&by).is_some_and(|acked| *acked >= waiting.number)
                };
                let is_told = waiting.told_by.is_some_and(has_told);
                out.push(if is_told { Effect::Told(waiting.token) } else { Effect::Release(waiting.token) });
            } else {
                self.leased.push_back((waiting.token, around.now));
            }
        }
        if !self.leased.is_empty() {
            // A lease that ran at some moment after the value was computed is enough, over or not: over long distances an answer
            // takes longer than the lease that it brings.
            let until = self.lease_until(around);
            let ready = self.leased.iter().take_while(|(_, from)| *from < until).count();
            out.extend(self.leased.drain(..ready).map(|(token, _)| Effect::Release(token)));
            if !self.leased.is_empty() {
                self.ask_for_leases(around, out);
            }
        }
        self.pursue(around, out);
    }
}

#[cfg(test)]
mod tests;
