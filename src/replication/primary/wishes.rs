//! What a primary wishes of the view, and feeding whoever catches up.
//!
//! It makes at most one wish at a time. A wish changes nothing by itself: a view does, and settles it either way.

use super::Primary;
use crate::{
    id::NodeId,
    membership::{Standing, Wish, WishedChange},
    replication::{
        catch_up::CatchUp,
        effect::Effect,
        message::ArcContent,
        rules::Rule,
        settings::{Around, Surroundings},
    },
};

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
    /// `hand_backs` is how many more arcs may be handed over at once.
    pub fn tick(&mut self, chunks: &mut usize, hand_backs: &mut usize, around: &Around<'_>, out: &mut Vec<Effect>) {
        self.begin_hand_back(hand_backs, around);
        self.advance(around, out);
        if !self.is_serving() {
            return;
        }
        // While commits go out, each tells what was committed before it. What is left is told once none went out between two looks.
        if std::mem::replace(&mut self.is_quiet, true) && self.told < self.committed {
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
            && let Some(chunk) = catch_up.next_chunk(&self.store, self.last, around.settings.chunk_bytes, around.now)
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
    pub(super) fn pursue(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if self.wish.is_some() {
            return;
        }
        let Some(change) = self.next_change(around).or_else(|| self.hand_back_wish(around)) else { return };
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
        let wish = Box::new(wish);
        self.wish = Some(wish.clone());
        out.push(Effect::Wish(wish));
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
        ring.filter(|m| m.role.holds_copies() && m.standing == Standing::Open).map(|m| m.node).find(free)
    }
}
