//! The keeper's part in a recovery: it asks every named process for its word, gives its own, and follows a successor of its
//! cluster. It never begins one by itself.

use super::{
    Arc, BTreeMap, BTreeSet, Chain, ChainEffect, ChainMessage, Duration, Keeper, KeeperEffect, KeeperMessage, Member,
    Moment, NodeId, View,
};
use crate::{
    id::{ClusterId, NodeName},
    membership::{Ballot, Declined, RecoveryFault, RecoveryMessage, Vote, recovery::successor_view},
};

/// Those named have this long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A word given is kept for so long: longer than whoever asked for it waits, whatever both clocks do.
const PLEDGE_KEPT: Duration = Duration::from_secs(4);

/// One recovery, at the node where the operator asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovery {
    successor: ClusterId,
    named: BTreeMap<NodeName, NodeId>,
    pledges: BTreeMap<NodeId, (Member, Newest)>,
    began: Moment,
}

/// The newest view that a voter can tell of, and under which ballot it was accepted if it is not known as decided. Who went on
/// without this voter may have decided it, so it is believed: a backup that it dropped may be behind.
type Newest = (Arc<View>, Option<Ballot>);

fn newest(view: Arc<View>, accepted: Option<(Ballot, Arc<View>)>) -> Newest {
    match accepted {
        Some((ballot, later)) if later.number > view.number => (later, Some(ballot)),
        _ => (view, None),
    }
}

impl Keeper {
    /// Begins to go on as `successor` with the nodes named, this one among them, and no others. `connected` is whom this node
    /// can reach. How it ends is told by `KeeperEffect::RecoveryEnded`.
    pub fn recover(
        &mut self,
        named: &BTreeSet<NodeName>,
        successor: ClusterId,
        connected: impl IntoIterator<Item = NodeId>,
        now: Moment,
        out: &mut Vec<KeeperEffect>,
    ) {
        self.calm_until = None;
        let me = self.member.node;
        let mut end = |why| out.push(KeeperEffect::RecoveryEnded(Err(why)));
        if self.recovery.is_some() {
            return end(RecoveryFault::UnderWay);
        }
        if !named.contains(&me.name) {
            return end(RecoveryFault::NotNamed(me.name));
        }
        if let Err(why) = self.may_pledge(successor, self.view().cluster, now) {
            return end(RecoveryFault::Declined(me.name, why));
        }
        let heard = self.heard(now);
        let left_out = |m: &&Arc<Member>| heard.contains(&m.node) && !named.contains(&m.node.name);
        let left_out: Vec<NodeName> = self.view().members.iter().filter(left_out).map(|m| m.node.name).collect();
        if !left_out.is_empty() {
            return end(RecoveryFault::LeavesOut(left_out));
        }
        let reached: BTreeMap<NodeName, NodeId> = connected
            .into_iter()
            .filter(|node| named.contains(&node.name) && node.name != me.name)
            .chain([me])
            .map(|node| (node.name, node))
            .collect();
        let missing: Vec<NodeName> = named.iter().filter(|name| !reached.contains_key(*name)).copied().collect();
        if !missing.is_empty() {
            return end(RecoveryFault::NotReached(missing));
        }
        let of = self.view().cluster;
        for node in reached.values().filter(|node| **node != me) {
            out.push(KeeperEffect::Send(*node, KeeperMessage::Recovery(RecoveryMessage::Pledge { successor, of })));
        }
        self.pledged = Some((successor, now));
        self.chain.abandon();
        let Vote { view, accepted, .. } = self.chain.vote();
        let pledges = BTreeMap::from([(me, (self.member.clone(), newest(view, accepted)))]);
        self.recovery = Some(Recovery { successor, named: reached, pledges, began: now });
        self.conclude_recovery(now, out);
    }

    /// Whether a view may be looked at here: one of this cluster, or of its successor. What is of another is not for this node.
    #[must_use]
    pub fn may_heed(&self, message: &ChainMessage) -> bool {
        let mine = self.view().cluster;
        match message {
            ChainMessage::Decided(view) => view.cluster == mine || view.succeeds.contains(&mine),
            other => other.views().all(|view| view.cluster == mine),
        }
    }

    pub(super) fn handle_recovery(
        &mut self,
        from: NodeId,
        message: RecoveryMessage,
        now: Moment,
        out: &mut Vec<KeeperEffect>,
    ) {
        match message {
            RecoveryMessage::Pledge { successor, of } => {
                let answer = match self.may_pledge(successor, of, now) {
                    Ok(()) => {
                        self.pledged = Some((successor, now));
                        self.chain.abandon();
                        let Vote { view, accepted, .. } = self.chain.vote();
                        let member = Box::new(self.member.clone());
                        RecoveryMessage::Pledged { successor, member, view, accepted }
                    }
                    Err(why) => RecoveryMessage::Declined { successor, why },
                };
                out.push(KeeperEffect::Send(from, KeeperMessage::Recovery(answer)));
            }
            RecoveryMessage::Pledged { successor, member, view, accepted } => {
                let mine = self.view().cluster;
                let sound = |view: &Arc<View>| view.cluster == mine && view.check().is_ok();
                let is_sound = sound(&view) && accepted.as_ref().is_none_or(|(_, view)| sound(view));
                let Some(recovery) = self.recovery.as_mut().filter(|r| r.successor == successor) else {
                    // It came late: to what was given up meanwhile, or has come about.
                    out.push(KeeperEffect::Send(
                        from,
                        if mine == successor {
                            KeeperMessage::Chain(ChainMessage::Decided(Arc::clone(self.view())))
                        } else {
                            KeeperMessage::Recovery(RecoveryMessage::Released { successor })
                        },
                    ));
                    return;
                };
                let is_named = recovery.named.get(&from.name) == Some(&from);
                if is_named && is_sound && member.node == from {
                    recovery.pledges.insert(from, (*member, newest(view, accepted)));
                    self.conclude_recovery(now, out);
                }
            }
            RecoveryMessage::Released { successor } => {
                self.pledged.take_if(|(to, _)| *to == successor);
            }
            RecoveryMessage::Declined { successor, why } => {
                if self.recovery.as_ref().is_some_and(|r| r.successor == successor && r.named.contains_key(&from.name))
                {
                    self.give_up_recovery(RecoveryFault::Declined(from.name, why), out);
                }
            }
        }
    }

    fn may_pledge(&self, successor: ClusterId, of: ClusterId, now: Moment) -> Result<(), Declined> {
        if self.view().cluster != of {
            return Err(Declined::OtherCluster);
        }
        // Whoever is only asking to be let in has not listened for long, and knows nothing of who lives.
        let (view, member) = (self.view(), &self.member);
        if (view.is_member(member.node) || view.is_voter(member.voter())) && self.outlook(now).has_quorum() {
            return Err(Declined::HasQuorum);
        }
        match self.pledged {
            Some((other, at)) if other != successor && now.since(at) < PLEDGE_KEPT => Err(Declined::Pledged),
            _ => Ok(()),
        }
    }

    /// Whether this node has given its word, and so decides nothing with others.
    pub(super) fn is_pledged(&self, now: Moment) -> bool {
        self.pledged.is_some_and(|(_, at)| now.since(at) < PLEDGE_KEPT)
    }

    fn conclude_recovery(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        let Some(recovery) = self.recovery.as_ref().filter(|r| r.pledges.len() == r.named.len()) else { return };
        let told = recovery.pledges.values().map(|(_, newest)| newest);
        let newest = told.max_by_key(|(view, ballot)| (view.number, *ballot)).map(|(view, _)| view);
        let members: Vec<Member> = recovery.pledges.values().map(|(member, _)| member.clone()).collect();
        let Some(view) = newest.and_then(|newest| successor_view(newest, recovery.successor, members)) else {
            self.give_up_recovery(RecoveryFault::NoHost, out);
            return;
        };
        let view = Arc::new(view);
        let others: Vec<NodeId> = recovery.named.values().filter(|n| **n != self.member.node).copied().collect();
        self.begin_anew(Arc::clone(&view), now, out);
        for node in others {
            let word = ChainMessage::Decided(Arc::clone(&view));
            out.push(KeeperEffect::Send(node, KeeperMessage::Chain(word)));
        }
        out.push(KeeperEffect::RecoveryEnded(Ok(view)));
    }

    fn give_up_recovery(&mut self, why: RecoveryFault, out: &mut Vec<KeeperEffect>) {
        self.pledged = None;
        if let Some(Recovery { successor, named, .. }) = self.recovery.take() {
            for node in named.values().filter(|node| **node != self.member.node) {
                let released = KeeperMessage::Recovery(RecoveryMessage::Released { successor });
                out.push(KeeperEffect::Send(*node, released));
            }
        }
        out.push(KeeperEffect::RecoveryEnded(Err(why)));
    }

    /// A recovery that is not answered comes to nothing.
    pub(super) fn look_after_recovery(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if let Some(recovery) = self.recovery.as_ref().filter(|r| now.since(r.began) > ANSWER_WITHIN) {
            let silent = recovery.named.iter().filter(|(_, node)| !recovery.pledges.contains_key(node));
            let missing = silent.map(|(name, _)| *name).collect();
            self.give_up_recovery(RecoveryFault::NotReached(missing), out);
        }
    }

    /// Takes the view of a successor, where this node has no quorum of its own and either is in it or was only asking to be
    /// let in. One that was left out keeps what it holds, perhaps nobody else has it, until its operator has it go over.
    pub(super) fn handle_successor(&mut self, view: Arc<View>, now: Moment, out: &mut Vec<KeeperEffect>) {
        let me = self.member.node;
        self.gone_over = view.members.iter().map(|m| m.node).filter(|node| *node != me).collect();
        let is_outside = !self.view().is_member(me);
        let is_free = is_outside || !self.outlook(now).has_quorum();
        let comes_along = view.is_member(me) || is_outside || self.goes_over;
        // Whoever gave its word elsewhere is counted on there.
        let is_counted_on = self.pledged.is_some_and(|(other, _)| other != view.cluster) && self.is_pledged(now);
        if is_free && !is_counted_on && view.check().is_ok() {
            if comes_along {
                self.begin_anew(view, now, out);
            } else if self.left_behind_by != Some(view.cluster) {
                self.left_behind_by = Some(view.cluster);
                out.push(KeeperEffect::LeftBehind(view.cluster));
            }
        }
    }

    /// An operator has this node, which was left behind, come into the cluster that went on; what it holds becomes an older copy.
    /// Says whether it was left behind: else nothing is to be done.
    pub fn go_over(&mut self, connected: impl IntoIterator<Item = NodeId>, out: &mut Vec<KeeperEffect>) -> bool {
        if self.left_behind_by.is_none() {
            return false;
        }
        self.goes_over = true;
        self.calm_until = None;
        let have = self.view().number;
        for node in connected.into_iter().filter(|node| *node != self.member.node) {
            out.push(KeeperEffect::Send(node, KeeperMessage::Chain(ChainMessage::Fetch { have })));
        }
        true
    }

    fn begin_anew(&mut self, view: Arc<View>, now: Moment, out: &mut Vec<KeeperEffect>) {
        self.chain = Chain::new(self.member.voter(), Arc::clone(&view));
        (self.pledged, self.recovery, self.left_behind_by) = (None, None, None);
        self.goes_over = false;
        self.gone_over.clear();
        self.mute_until = Moment::START;
        self.follow(vec![ChainEffect::Keep, ChainEffect::Installed(view)], now, out);
    }
}
