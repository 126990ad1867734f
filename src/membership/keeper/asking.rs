//! What a keeper says again until a view answers it: that it wants in, that it may go, what its primaries wish, and, cut off
//! from every quorum, the question for a newer view. It decides no view.

use super::{
    ASK_AROUND, Arc, BTreeSet, ChainMessage, EARLIER_MAX, Keeper, KeeperEffect, KeeperMessage, Moment, NodeId, REPEAT,
    ViewNumber, Wish,
};

impl Keeper {
    /// Whether this node has heard too few voters for so long that whoever is connected should be asked for the newest view.
    /// It is the only way back for one that was cut off while every other process was replaced: nobody it knows lives, and
    /// nobody who lives knows it.
    #[must_use]
    pub fn asks_around(&self, now: Moment) -> bool {
        // One that came back is in no view that anybody has, and has nothing to wait for.
        let patience = if self.earlier.is_empty() { ASK_AROUND } else { REPEAT };
        self.cut_off_since.is_some_and(|since| now.since(since) >= patience)
    }

    /// Asks `connected`, the processes that can be reached now, members or not, whether they know a newer view.
    pub fn ask_around(
        &mut self,
        connected: impl IntoIterator<Item = NodeId>,
        now: Moment,
        out: &mut Vec<KeeperEffect>,
    ) {
        self.cut_off_since = Some(now);
        let is_outside = !self.view().is_member(self.member.node);
        // Whatever view they have: should it be another cluster's, this node has to know.
        let have = if is_outside && !self.earlier.is_empty() { ViewNumber::default() } else { self.view().number };
        let fetch = KeeperMessage::Chain(ChainMessage::Fetch { have });
        for node in connected.into_iter().filter(|node| *node != self.member.node) {
            out.push(KeeperEffect::Send(node, fetch.clone()));
            if is_outside && !self.earlier.is_empty() {
                self.ask_to_join(node, out);
            }
        }
    }

    fn ask_to_join(&self, node: NodeId, out: &mut Vec<KeeperEffect>) {
        if !self.earlier.is_empty() {
            out.push(KeeperEffect::Send(node, KeeperMessage::Ended(self.earlier.clone())));
        }
        out.push(KeeperEffect::Send(node, KeeperMessage::Join(self.member.clone())));
    }

    pub(super) fn note_cut_off(&mut self, heard: &BTreeSet<NodeId>, now: Moment) {
        let view = self.chain.view();
        let votes = view.voters.iter().copied().filter(|voter| heard.contains(&view.carrier(*voter))).collect();
        if view.is_quorum(&votes, self.member.voter(), &self.dead) {
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
                self.ask_to_join(node, out);
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

    /// Whoever proposes the view that gives up a last copy has to know of every one of its holders that it is dead. Those who
    /// have proof of it may be killed before that, and who comes later has nothing to prove it by: so it is handed on.
    pub(super) fn say_ended(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        let knows_none = self.earlier.is_empty() && self.dead.is_empty();
        if knows_none || self.ended_told.is_some_and(|at| now.since(at) < ASK_AROUND) {
            return;
        }
        self.ended_told = Some(now);
        let view = Arc::clone(self.chain.view());
        let others = self.dead.iter().filter(|node| !view.is_member(**node) && !self.earlier.contains(node));
        let sought = |node: &&NodeId| view.arcs.iter().any(|entry| entry.holds(**node));
        let ended: Vec<NodeId> = self.earlier.iter().chain(others).filter(sought).copied().take(EARLIER_MAX).collect();
        if ended.is_empty() {
            return;
        }
        for other in view.members.iter().map(|m| m.node).filter(|n| *n != self.member.node) {
            out.push(KeeperEffect::Send(other, KeeperMessage::Ended(ended.clone())));
        }
    }

    /// Asks its owner for proof that the last holders of an arc are dead. Who saw them die may be gone, too.
    pub(super) fn seek_proofs(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if self.sought_at.is_some_and(|at| now.since(at) < ASK_AROUND) {
            return;
        }
        self.sought_at = Some(now);
        let strays = self.chain.view().strays();
        out.extend(strays.difference(&self.dead).take(EARLIER_MAX).map(|node| KeeperEffect::Seek(*node)));
    }

    pub(super) fn say_wishes(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if self.own_wishes.is_empty() || self.own_wishes_sent.is_some_and(|at| now.since(at) < REPEAT) {
            return;
        }
        self.own_wishes_sent = Some(now);
        let wishes: Vec<Wish> = self.own_wishes.values().cloned().collect();
        for voter in self.chain.view().carriers() {
            if voter != self.member.node && self.hearing.hears.contains(&voter) {
                out.push(KeeperEffect::Send(voter, KeeperMessage::Wishes(wishes.clone())));
            }
        }
    }
}
