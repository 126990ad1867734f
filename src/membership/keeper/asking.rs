//! What a keeper says again until a view answers it: that it wants in, that it may go, what its primaries wish, and, cut off
//! from every quorum, the question for a newer view. It decides no view.

use super::{
    ASK_AROUND, Arc, BTreeSet, ChainMessage, Keeper, KeeperEffect, KeeperMessage, Moment, NodeId, REPEAT, Wish,
};

impl Keeper {
    /// Whether this node has heard too few voters for so long that whoever is connected should be asked for the newest view.
    /// It is the only way back for one that was cut off while every other process was replaced: nobody it knows lives, and
    /// nobody who lives knows it.
    #[must_use]
    pub fn asks_around(&self, now: Moment) -> bool {
        self.cut_off_since.is_some_and(|since| now.since(since) >= ASK_AROUND)
    }

    /// Asks `connected`, the processes that can be reached now, members or not, whether they know a newer view.
    pub fn ask_around(
        &mut self,
        connected: impl IntoIterator<Item = NodeId>,
        now: Moment,
        out: &mut Vec<KeeperEffect>,
    ) {
        self.cut_off_since = Some(now);
        let fetch = KeeperMessage::Chain(ChainMessage::Fetch { have: self.view().number });
        let others = connected.into_iter().filter(|node| *node != self.member.node);
        out.extend(others.map(|node| KeeperEffect::Send(node, fetch.clone())));
    }

    pub(super) fn note_cut_off(&mut self, heard: &BTreeSet<NodeId>, now: Moment) {
        let view = self.chain.view();
        let votes = view.voters.iter().copied().filter(|voter| heard.contains(voter)).collect();
        if view.is_quorum(&votes, self.member.node, &self.dead) {
            self.cut_off_since = None;
        } else {
            self.cut_off_since.get_or_insert(now);
        }
    }

    pub(super) fn say_join(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        let view = Arc::clone(self.chain.view());
        let me = view.member(self.member.node);
        let known = me.is_some_and(|known| **known == self.member);
        // One that was voted out with a last copy comes back with it, and drains then.
        let has_left = !self.member.stays() && view.has_let_go(self.member.node);
        if known || has_left || self.join_sent.is_some_and(|at| now.since(at) < REPEAT) {
            return;
        }
        self.join_sent = Some(now);
        // Everyone is asked: a newcomer cannot know which voters are left.
        let others = view.members.iter().map(|m| m.node).chain(self.hearing.hears.iter().copied());
        for node in others.collect::<BTreeSet<_>>() {
            if node != self.member.node {
                out.push(KeeperEffect::Send(node, KeeperMessage::Join(self.member.clone())));
            }
        }
    }

    pub(super) fn say_leave(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        let me = self.member.node;
        if self.member.stays() || self.leave_sent.is_some_and(|at| now.since(at) < REPEAT) {
            return;
        }
        let view = Arc::clone(self.chain.view());
        if !view.is_member(me) || view.needs(me) {
            return;
        }
        self.leave_sent = Some(now);
        for other in view.members.iter().map(|m| m.node).filter(|n| *n != me) {
            out.push(KeeperEffect::Send(other, KeeperMessage::Leave));
        }
    }

    pub(super) fn say_wishes(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if self.own_wishes.is_empty() || self.own_wishes_sent.is_some_and(|at| now.since(at) < REPEAT) {
            return;
        }
        self.own_wishes_sent = Some(now);
        let wishes: Vec<Wish> = self.own_wishes.values().cloned().collect();
        for voter in &self.chain.view().voters {
            if *voter != self.member.node && self.hearing.hears.contains(voter) {
                out.push(KeeperEffect::Send(*voter, KeeperMessage::Wishes(wishes.clone())));
            }
        }
    }
}
