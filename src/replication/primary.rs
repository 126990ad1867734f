//! The primary of one arc: gives commits their numbers, sends them to the backups, and decides when a reply may leave.
//!
//! After PacificA (Lin et al. 2008) with Kafka's in-sync set: a commit is acknowledged when every member of the *union* of the
//! installed and the wished in-sync set has it. A promoted primary first commits a `start` record carrying its whole tail and
//! waits out the old primary's lease; until then the arc answers nothing.
//!
//! It runs no handler and knows no caller: replies are tokens. It keeps two invariants: a reply leaves only when every commit
//! that its value depends on is committed, and a reply that no backup's acknowledgement vouches for (a read, a solo or
//! asynchronous command) leaves only while every lease needed runs. The replies, the lease and what it wishes for are in the
//! three impl blocks below.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    catch_up::CatchUp,
    commit::{Commit, SessionChange},
    effect::{Broken, Effect, Token},
    message::{ArcContent, ArcMessage, Received},
    rules::{Rule, Rules},
    settings::{Around, ReplicationSettings, Surroundings},
    store::Store,
};
use crate::{
    id::{ArcId, CommitId, CommitNumber, NodeId, ViewNumber},
    membership::{ArcEntry, Role, Target, Wish, WishedChange},
    moment::Moment,
};

/// When a command counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Durability {
    /// When every in-sync backup has it.
    #[default]
    Sync,
    /// At once; a promotion may lose what had not arrived, never more than the window.
    Async,
}

/// Those whose lease ran out are asked for another at most this often.
const ASK_AGAIN: Duration = Duration::from_millis(5);

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    /// Until this is committed.
    number: CommitNumber,
    token: Token,
    /// Whether the backups' acknowledgements vouch for it; otherwise a lease must.
    vouched: bool,
}

/// The primary's part in one arc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Primary {
    arc: ArcId,
    since: ViewNumber,
    changed: ViewNumber,
    phase: Phase,
    store: Store,
    last: CommitNumber,
    committed: CommitNumber,
    /// How far the backups were told that the history is committed.
    told: CommitNumber,
    in_sync: Vec<NodeId>,
    acked: BTreeMap<NodeId, CommitNumber>,
    /// Since when a backup has been owing an acknowledgement without sending any.
    owing: BTreeMap<NodeId, Moment>,
    shunned: BTreeMap<NodeId, Moment>,
    goal: Target,
    wish: Option<Wish>,
    catch_up: Option<CatchUp>,
    passes: u64,
    waiting: VecDeque<Waiting>,
    leased: VecDeque<Token>,
    asked: Option<Moment>,
    lost_at: Option<ViewNumber>,
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
        tail.push(Arc::new(Commit { id: CommitId { since: entry.since, number: start }, changes: vec![] }));
        let mut primary = Self {
            arc,
            since: entry.since,
            changed: entry.changed,
            phase: Phase::Starting { start, deposed, leases_over },
            store,
            last: start,
            committed: base,
            told: base,
            in_sync: entry.in_sync.clone(),
            acked: BTreeMap::new(),
            owing: entry.in_sync.iter().map(|b| (*b, around.now)).collect(),
            shunned: BTreeMap::new(),
            goal,
            wish: None,
            catch_up: None,
            passes: 0,
            waiting: VecDeque::new(),
            leased: VecDeque::new(),
            asked: None,
            lost_at: entry.lost_at,
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
        self.lost_at = entry.lost_at;
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
        self.catch_up = to.map(|to| CatchUp::new(to, pass, self.shunned.get(&to).copied().unwrap_or(now)));
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

    /// The view in which every copy was gone; unknown ids are then `Lost`.
    #[must_use]
    pub fn lost_at(&self) -> Option<ViewNumber> {
        self.lost_at
    }

    /// Whether another command would pass a bound; then nothing is to be executed.
    #[must_use]
    pub fn is_full(&self, settings: &ReplicationSettings) -> bool {
        self.waiting.len() + self.leased.len() >= settings.waiting_max
            || self.last.0 - self.committed.0 >= settings.uncommitted_max
    }

    /// Gives up the arc: every waiting reply is broken.
    pub fn step_down(self, out: &mut Vec<Effect>) {
        for token in self.waiting.iter().map(|w| w.token).chain(self.leased) {
            out.push(Effect::Fail(token, Broken::Deposed));
        }
        out.push(Effect::SteppedDown(self.arc));
    }

    /// Drops tombstones that are no longer needed.
    pub fn sweep(&mut self, settings: &ReplicationSettings, now: Moment) {
        self.store.sweep(&settings.replies, now);
    }

    fn send(&self, to: NodeId, content: ArcContent, out: &mut Vec<Effect>) {
        let message = ArcMessage { arc: self.arc, since: self.since, committed: self.committed, content };
        out.push(Effect::ToBackup { to, message });
    }
}

/// Commits and replies.
impl Primary {
    /// Appends a commit; its reply leaves when it may.
    ///
    /// # Panics
    /// If this primary is not serving: the caller asks first.
    pub fn append(
        &mut self,
        changes: Vec<SessionChange>,
        token: Token,
        durability: Durability,
        around: &Around<'_>,
        out: &mut Vec<Effect>,
    ) -> CommitNumber {
        assert!(self.is_serving(), "only a serving primary appends");
        self.last = self.last.next();
        let commit = Arc::new(Commit { id: CommitId { since: self.since, number: self.last }, changes });
        self.store.apply(&commit, &around.settings.replies, around.settings.rules, around.now);
        for at in 0..self.in_sync.len() {
            let backup = self.in_sync[at];
            self.owing.entry(backup).or_insert(around.now);
            self.send(backup, ArcContent::Commit(Arc::clone(&commit)), out);
        }
        self.send_live(&commit, around.now, out);
        match durability {
            Durability::Sync => self.waiting.push_back(Waiting { number: self.last, token, vouched: true }),
            // Nobody vouches for it, so it needs what a read needs.
            Durability::Async => self.leased.push_back(token),
        }
        self.advance(around, out);
        self.last
    }

    /// Sends a commit to the node that catches up: what lies behind its cursor.
    fn send_live(&mut self, commit: &Arc<Commit>, now: Moment, out: &mut Vec<Effect>) {
        let Some(catch_up) = &self.catch_up else { return };
        if catch_up.end().is_some() {
            let (to, arrived) = (catch_up.to, catch_up.arrived());
            self.send(to, ArcContent::Commit(Arc::clone(commit)), out);
            if arrived {
                self.owing.entry(to).or_insert(now);
            }
            return;
        }
        let behind: Vec<SessionChange> = commit.changes.iter().filter(|c| catch_up.covers(&c.key)).cloned().collect();
        if !behind.is_empty() {
            let part = Arc::new(Commit { id: commit.id, changes: behind });
            self.send(catch_up.to, ArcContent::Commit(part), out);
        }
    }

    /// Lets the reply of a read leave when it may: a value that depends on commits up to `depends_on`.
    pub fn answer(&mut self, depends_on: CommitNumber, token: Token, around: &Around<'_>, out: &mut Vec<Effect>) {
        if depends_on <= self.committed || !around.settings.rules.hold(Rule::CommittedReads) {
            self.leased.push_back(token);
        } else {
            // Behind everything appended, which keeps the queue in order.
            self.waiting.push_back(Waiting { number: self.last, token, vouched: false });
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
                    let acked = self.acked.entry(from).or_default();
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
        self.wish.take_if(|w| w.base < around.surroundings.view.number);
        let stored = self.union(around.settings.rules).map(|b| self.acked.get(&b).copied().unwrap_or_default()).min();
        let stored =
            if around.settings.rules.hold(Rule::BackupFirst) { stored.unwrap_or(self.last) } else { self.last };
        self.committed = self.committed.max(stored);
        if let Phase::Starting { start, deposed, leases_over } = &self.phase {
            let stepped_down = deposed.is_some_and(|old| {
                around.surroundings.dead.contains(&old)
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
                out.push(Effect::Release(waiting.token));
            } else {
                self.leased.push_back(waiting.token);
            }
        }
        if !self.leased.is_empty() {
            if around.now < self.lease_until(around) {
                out.extend(self.leased.drain(..).map(Effect::Release));
            } else {
                self.ask_for_leases(around, out);
            }
        }
        self.pursue(around, out);
    }
}

/// Leases.
impl Primary {
    /// Whom an acknowledgement needs: the in-sync backups, and the node that is to become one, from before the wish for it is
    /// made until a view has settled the wish. Before, because what was acknowledged without that node an instant before the
    /// wish would be missing in it.
    fn union(&self, rules: Rules) -> impl Iterator<Item = NodeId> + use<'_> {
        let wished = match &self.wish {
            Some(Wish { change: WishedChange::Add(node), .. }) => Some(*node),
            _ => None,
        };
        let enlisted = self.catch_up.as_ref().filter(|c| c.arrived() && rules.hold(Rule::Enlist)).map(|c| c.to);
        let joining = wished.or(enlisted).filter(|n| rules.hold(Rule::Union) && !self.in_sync.contains(n));
        self.in_sync.iter().copied().chain(joining)
    }

    /// Until when this primary may answer what no acknowledgement vouches for.
    fn lease_until(&self, around: &Around<'_>) -> Moment {
        let rules = around.settings.rules;
        let forever = Moment::from_nanos(u64::MAX);
        if !rules.hold(Rule::ReadLease) {
            return forever;
        }
        let installed = around.surroundings.view.number;
        let needed = if rules.hold(Rule::LeaseFromAll) { usize::MAX } else { 1 };
        let backups = self.union(around.settings.rules).take(needed);
        let granted =
            backups.map(|b| around.surroundings.leases.until(b, self.changed, installed)).min().unwrap_or(forever);
        if self.in_sync.is_empty() {
            // Nobody else holds the arc; only the voters could give it away.
            let voters = &around.surroundings.view.voters;
            let majority =
                around.surroundings.leases.majority_until(voters, around.surroundings.me, self.changed, installed);
            return granted.min(majority);
        }
        granted
    }

    fn ask_for_leases(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        let voters = if self.in_sync.is_empty() { around.surroundings.view.voters.as_slice() } else { &[] };
        if self.asked.is_some_and(|at| around.now.since(at) < ASK_AGAIN) {
            return;
        }
        self.asked = Some(around.now);
        let lacking = |node: &NodeId| {
            let held = around.surroundings.leases.until(*node, self.changed, around.surroundings.view.number);
            *node != around.surroundings.me && held <= around.now
        };
        // A backup answers anything on its link with a lease: one round trip, for every reply that waits.
        let backups: Vec<NodeId> = self.union(around.settings.rules).filter(lacking).collect();
        for backup in backups {
            self.send(backup, ArcContent::Committed, out);
        }
        out.extend(voters.iter().copied().filter(lacking).map(Effect::Confirm));
    }
}

/// What it wishes for, and feeding whoever catches up.
impl Primary {
    /// Whether `tick` has something to do here.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        !self.is_serving()
            || self.catch_up.is_some()
            || self.wish.is_some()
            || !self.leased.is_empty()
            || !self.owing.is_empty()
            || self.told < self.committed
            || self.wants_change()
    }

    fn wants_change(&self) -> bool {
        self.goal.primary.is_some_and(|p| self.in_sync.contains(&p)) || self.in_sync.len() > self.goal.backups.len()
    }

    /// Looks after everything that time brings: slow backups, chunks that are due, telling what is committed.
    /// `chunks` is how many chunks may still be sent to the node that catches up.
    pub fn tick(&mut self, chunks: &mut usize, around: &Around<'_>, out: &mut Vec<Effect>) {
        self.advance(around, out);
        if !self.is_serving() {
            return;
        }
        if self.told < self.committed {
            self.told = self.committed;
            let arrived = self.catch_up.as_ref().filter(|c| c.end().is_some()).map(|c| c.to);
            for backup in self.in_sync.clone().into_iter().chain(arrived) {
                self.send(backup, ArcContent::Committed, out);
            }
        }
        self.dismiss_if_silent(around);
        self.feed(chunks, around, out);
    }

    /// Sends the next chunks of a catch-up, within the credit given.
    pub fn feed(&mut self, chunks: &mut usize, around: &Around<'_>, out: &mut Vec<Effect>) {
        if !self.is_serving() {
            return;
        }
        while *chunks > 0
            && let Some(catch_up) = &mut self.catch_up
            && around.now >= catch_up.not_before
            && let Some(chunk) = catch_up.next_chunk(&self.store, self.last, around.settings.chunk_bytes)
        {
            *chunks -= 1;
            let to = catch_up.to;
            self.send(to, ArcContent::Chunk(Box::new(chunk)), out);
        }
    }

    /// The node it feeds, and how many chunks are on their way there.
    #[must_use]
    pub fn feeding(&self) -> Option<(NodeId, usize)> {
        self.catch_up.as_ref().map(|c| (c.to, c.in_flight()))
    }

    /// Makes at most one wish at a time, the most urgent first.
    fn pursue(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if self.wish.is_some() {
            return;
        }
        let Some(change) = self.next_change(around) else { return };
        if let WishedChange::Drop { node, .. } = change {
            self.shunned.retain(|_, until| *until > around.now);
            let slow = self.owing.get(&node).is_some_and(|since| around.now.since(*since) >= around.settings.ack_after);
            if slow {
                self.shunned.insert(node, around.now + around.settings.shun);
            }
        }
        let wish = Wish {
            arc: self.arc,
            from: around.surroundings.me,
            since: self.since,
            base: around.surroundings.view.number,
            expected: self.in_sync.clone(),
            change,
        };
        self.wish = Some(wish.clone());
        out.push(Effect::Wish(Box::new(wish)));
    }

    fn next_change(&self, around: &Around<'_>) -> Option<WishedChange> {
        let owes_too_long =
            |b: &&NodeId| self.owing.get(*b).is_some_and(|s| around.now.since(*s) >= around.settings.ack_after);
        if let Some(node) = self.in_sync.iter().find(owes_too_long).copied() {
            return Some(WishedChange::Drop { node, instead: self.another_backup(node, around.surroundings) });
        }
        if !self.is_serving() {
            return None;
        }
        if let Some(catch_up) = &self.catch_up
            && self.may_add(catch_up, around)
        {
            return Some(WishedChange::Add(catch_up.to));
        }
        if self.catch_up.is_some() {
            return None;
        }
        // A deposed primary keeps nothing, so the arc moves only when another backup stays: never through a moment alone.
        let another_stays = self.in_sync.len() > 1 || self.goal.backups.is_empty();
        if let Some(heir) = self.goal.primary.filter(|p| another_stays && self.in_sync.contains(p)) {
            return Some(WishedChange::Move(heir));
        }
        let wanted_here = self.goal.backups.iter().all(|b| self.in_sync.contains(b));
        if self.goal.primary != Some(around.surroundings.me) || !wanted_here {
            return None;
        }
        let surplus = self.in_sync.iter().copied().find(|b| !self.goal.backups.contains(b))?;
        Some(WishedChange::Drop { node: surplus, instead: None })
    }

    /// Whether a node that caught up may be called in sync: everything folded into its records is committed, and everything
    /// committed has been acknowledged by it.
    fn may_add(&self, catch_up: &CatchUp, around: &Around<'_>) -> bool {
        let rules = around.settings.rules;
        let Some(end) = catch_up.end() else { return false };
        let acked = self.acked.get(&catch_up.to).copied().unwrap_or_default();
        let enlisted = acked >= self.committed || !rules.hold(Rule::Enlist);
        catch_up.arrived() && self.committed >= end && enlisted || !rules.hold(Rule::CatchUpWhole)
    }

    /// A node that caught up and then acknowledges nothing holds up every command; it has to begin again, later.
    fn dismiss_if_silent(&mut self, around: &Around<'_>) {
        let Some(to) = self.catch_up.as_ref().filter(|c| c.arrived()).map(|c| c.to) else { return };
        let silent = self.owing.get(&to).is_some_and(|since| around.now.since(*since) >= around.settings.ack_after);
        if silent && self.wish.is_none() {
            self.owing.remove(&to);
            self.shunned.insert(to, around.now + around.settings.shun);
            self.begin_catch_up(Some(to), around.now);
        }
    }

    /// Another host to catch up in place of one that does not acknowledge.
    fn another_backup(&self, slow: NodeId, surroundings: &Surroundings) -> Option<NodeId> {
        let view = &surroundings.view;
        let after = view.members.iter().position(|m| m.node == slow).map_or(0, |p| p + 1);
        let ring = view.members.iter().cycle().skip(after).take(view.members.len());
        let free = |n: &NodeId| *n != slow && *n != surroundings.me && !self.in_sync.contains(n);
        ring.filter(|m| matches!(m.role, Role::Host | Role::BackupOnly)).map(|m| m.node).find(free)
    }
}

#[cfg(test)]
mod tests;
