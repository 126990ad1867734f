//! The view chain: view n+1 is one single-decree Paxos instance whose acceptors are the voters of view n.
//!
//! No leader, no log, no joint consensus: a view is a whole configuration, and only the newest decided one is kept, with
//! the state of the one instance after it. A process that forgot is another node id and so another voter, which is what
//! makes voting from memory safe (the names never return). Two round trips decide.
//!
//! The chain does not say what a view should hold (`next_view`) or when to propose (`keeper`). It keeps one invariant: no
//! two different views of one number are ever decided.
//!
//! Quorums: a majority of the voters; under `MajorityOrProof` also exactly half of them when every other is proved dead.
//! Half is safe only because the proposer is a voter and counts its own vote: were two disjoint halves to decide, each
//! proposer would have been proved dead before the other acted on the proof (`docs/decisions/0002`).
//!
//! Papers: Lamport, "Paxos Made Simple" (2001); Lamport, Malkhi, Zhou, "Vertical Paxos and Primary-Backup Replication"
//! (2009).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Ballot, ChainMessage, View};
use crate::{
    id::{NodeId, ViewNumber},
    moment::Moment,
};

/// What one voter answered to a prepare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Promise {
    accepted: Option<(Ballot, Arc<View>)>,
    hears: BTreeSet<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Collecting promises.
    Preparing(BTreeMap<NodeId, Promise>),
    /// A quorum promised and none had accepted anything: the value is free.
    Choosing { heard: BTreeSet<NodeId>, promisers: BTreeSet<NodeId> },
    /// Collecting acceptances.
    Accepting { value: Arc<View>, accepted: BTreeSet<NodeId> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Proposal {
    ballot: Ballot,
    began: Moment,
    phase: Phase,
}

/// What the chain asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEffect {
    /// What a voter must not forget has changed (`Chain::vote`): if its vote outlives the process, it is to be stored before
    /// anything that follows is sent.
    Keep,
    /// Send this to a process.
    Send(NodeId, ChainMessage),
    /// Send this to whichever process votes as this voter.
    Ask(NodeId, ChainMessage),
    /// This view is decided and is now the newest.
    Installed(Arc<View>),
}

/// What a voter must not forget: the instance it votes in, and its word there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The newest decided view known.
    pub view: Arc<View>,
    /// No lower ballot than this is answered.
    pub promised: Option<Ballot>,
    /// What was accepted, and under which ballot.
    pub accepted: Option<(Ballot, Arc<View>)>,
}

/// Acceptor, proposer and learner of one voter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    me: NodeId,
    view: Arc<View>,
    promised: Option<Ballot>,
    accepted: Option<(Ballot, Arc<View>)>,
    highest_round: u64,
    proposal: Option<Proposal>,
}

impl Chain {
    /// Starts the voter `me` from a decided view.
    #[must_use]
    pub fn new(me: NodeId, view: Arc<View>) -> Self {
        Self::restored(me, Vote { view, promised: None, accepted: None })
    }

    /// Goes on where the voter stopped.
    #[must_use]
    pub fn restored(me: NodeId, vote: Vote) -> Self {
        let Vote { view, promised, accepted } = vote;
        let highest_round = promised.map_or(0, |ballot| ballot.round);
        Self { me, view, promised, accepted, highest_round, proposal: None }
    }

    /// What must not be forgotten.
    #[must_use]
    pub fn vote(&self) -> Vote {
        Vote { view: Arc::clone(&self.view), promised: self.promised, accepted: self.accepted.clone() }
    }

    /// The newest decided view this node knows.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Since when a proposal of this node has been running.
    #[must_use]
    pub fn proposing_since(&self) -> Option<Moment> {
        self.proposal.as_ref().map(|p| p.began)
    }

    /// Whether this voter accepted a value that it does not yet know decided. If its proposer died, somebody must finish.
    #[must_use]
    pub fn has_unfinished(&self) -> bool {
        self.accepted.is_some()
    }

    /// Begins a proposal for the next view with a ballot above every one seen. Does nothing on a node that is no voter.
    pub fn propose(
        &mut self,
        hears: BTreeSet<NodeId>,
        dead: &BTreeSet<NodeId>,
        now: Moment,
        out: &mut Vec<ChainEffect>,
    ) {
        if !self.view.is_voter(self.me) {
            return;
        }
        self.highest_round += 1;
        let ballot = Ballot { round: self.highest_round, voter: self.me };
        self.promised = Some(ballot);
        out.push(ChainEffect::Keep);
        let own = Promise { accepted: self.accepted.clone(), hears };
        self.proposal =
            Some(Proposal { ballot, began: now, phase: Phase::Preparing(BTreeMap::from([(self.me, own)])) });
        for voter in self.other_voters() {
            out.push(ChainEffect::Ask(voter, ChainMessage::Prepare { base: Arc::clone(&self.view), ballot }));
        }
        self.advance(dead, out);
    }

    /// Gives up a running proposal; whatever was accepted stays accepted.
    pub fn abandon(&mut self) {
        self.proposal = None;
    }

    /// The value is free and the owner may choose it: whom the promising voters hear, and who they are.
    #[must_use]
    pub fn choosing(&self) -> Option<(&BTreeSet<NodeId>, &BTreeSet<NodeId>)> {
        match &self.proposal.as_ref()?.phase {
            Phase::Choosing { heard, promisers } => Some((heard, promisers)),
            _ => None,
        }
    }

    /// Chooses the value of a proposal whose value is free.
    ///
    /// # Panics
    /// If there is no free value to choose, or `value` is not the view after the newest: both are faults of the caller.
    pub fn choose(&mut self, value: Arc<View>, dead: &BTreeSet<NodeId>, out: &mut Vec<ChainEffect>) {
        assert!(self.choosing().is_some(), "a value is chosen only after a quorum promised and none had accepted");
        self.ask_to_accept(value, dead, out);
    }

    /// Looks again whether a waiting proposal has its quorum, after a proof of death arrived.
    pub fn handle_proof(&mut self, dead: &BTreeSet<NodeId>, out: &mut Vec<ChainEffect>) {
        self.advance(dead, out);
    }

    /// Takes one message. `hears` is whom this node hears both ways; `dead` are the nodes proved dead to it.
    pub fn handle(
        &mut self,
        from: NodeId,
        message: ChainMessage,
        hears: &BTreeSet<NodeId>,
        dead: &BTreeSet<NodeId>,
        out: &mut Vec<ChainEffect>,
    ) {
        match message {
            ChainMessage::Prepare { base, ballot } => {
                let asked = base.number;
                self.learn(base, out);
                // A ballot promised before is promised again: a refusal to a repeated question would end a proposal that
                // this node supports.
                if asked < self.view.number || self.promised.is_some_and(|p| p > ballot) || !self.view.is_voter(self.me)
                {
                    self.refuse(from, asked, ballot, out);
                    return;
                }
                self.highest_round = self.highest_round.max(ballot.round);
                self.promised = Some(ballot);
                // A lower proposal of our own can no longer succeed with our own vote.
                self.proposal = None;
                let promise = ChainMessage::Promise {
                    base: asked,
                    ballot,
                    voter: self.me,
                    accepted: self.accepted.clone(),
                    hears: hears.clone(),
                };
                out.push(ChainEffect::Keep);
                out.push(ChainEffect::Send(from, promise));
            }
            ChainMessage::Promise { base, ballot, voter, accepted, hears } => {
                if base != self.view.number || !self.view.is_voter(voter) {
                    return;
                }
                if let Some(Proposal { ballot: ours, phase: Phase::Preparing(promises), .. }) = &mut self.proposal
                    && *ours == ballot
                {
                    promises.insert(voter, Promise { accepted, hears });
                    self.advance(dead, out);
                }
            }
            ChainMessage::Refuse { base, ballot, promised, newest } => {
                if let Some(promised) = promised
                    && base == self.view.number
                {
                    self.highest_round = self.highest_round.max(promised.round);
                    if self.proposal.as_ref().is_some_and(|p| p.ballot == ballot) {
                        self.proposal = None;
                    }
                }
                if let Some(view) = newest {
                    self.learn(view, out);
                }
            }
            ChainMessage::Accept { base, ballot, value } => {
                if base > self.view.number {
                    out.push(ChainEffect::Send(from, ChainMessage::Fetch { have: self.view.number }));
                } else if base < self.view.number
                    || self.promised.is_some_and(|p| p > ballot)
                    || !self.view.is_voter(self.me)
                {
                    self.refuse(from, base, ballot, out);
                } else {
                    self.highest_round = self.highest_round.max(ballot.round);
                    if self.promised != Some(ballot) {
                        self.proposal = None;
                    }
                    self.promised = Some(ballot);
                    self.accepted = Some((ballot, value));
                    out.push(ChainEffect::Keep);
                    out.push(ChainEffect::Send(from, ChainMessage::Accepted { base, ballot, voter: self.me }));
                }
            }
            ChainMessage::Accepted { base, ballot, voter } => {
                if base != self.view.number || !self.view.is_voter(voter) {
                    return;
                }
                if let Some(Proposal { ballot: ours, phase: Phase::Accepting { accepted, .. }, .. }) =
                    &mut self.proposal
                    && *ours == ballot
                {
                    accepted.insert(voter);
                    self.advance(dead, out);
                }
            }
            ChainMessage::Decided(view) => self.learn(view, out),
            ChainMessage::Fetch { have } => {
                if have < self.view.number {
                    out.push(ChainEffect::Send(from, ChainMessage::Decided(Arc::clone(&self.view))));
                }
            }
        }
    }

    /// Takes a decided view; an older or equal one changes nothing.
    pub fn learn(&mut self, view: Arc<View>, out: &mut Vec<ChainEffect>) {
        if view.number <= self.view.number {
            debug_assert!(
                view.number < self.view.number || view == self.view,
                "two different views of one number were decided"
            );
            return;
        }
        self.view = view;
        self.promised = None;
        self.accepted = None;
        self.highest_round = 0;
        self.proposal = None;
        out.push(ChainEffect::Keep);
        out.push(ChainEffect::Installed(Arc::clone(&self.view)));
    }

    fn other_voters(&self) -> Vec<NodeId> {
        self.view.voters.iter().copied().filter(|v| *v != self.me).collect()
    }

    fn refuse(&self, to: NodeId, base: ViewNumber, ballot: Ballot, out: &mut Vec<ChainEffect>) {
        let newest = (base < self.view.number).then(|| Arc::clone(&self.view));
        let promised = (base == self.view.number).then_some(self.promised).flatten();
        out.push(ChainEffect::Send(to, ChainMessage::Refuse { base, ballot, promised, newest }));
    }

    /// Moves a proposal on when its quorum is there.
    fn advance(&mut self, dead: &BTreeSet<NodeId>, out: &mut Vec<ChainEffect>) {
        let Some(proposal) = &self.proposal else { return };
        match &proposal.phase {
            Phase::Preparing(promises) => {
                let promisers: BTreeSet<NodeId> = promises.keys().copied().collect();
                if !self.view.is_quorum(&promisers, self.me, dead) {
                    return;
                }
                let bound = promises.values().filter_map(|p| p.accepted.as_ref()).max_by_key(|(ballot, _)| *ballot);
                if let Some((_, value)) = bound {
                    let value = Arc::clone(value);
                    self.ask_to_accept(value, dead, out);
                    return;
                }
                // Whoever promises is heard: it has just answered. A vote that outlives its process says nothing of the process.
                let of_one_process = |voter: &&NodeId| !self.view.outlives_its_process(**voter);
                let answering = promisers.iter().filter(of_one_process).map(|voter| self.view.carrier(*voter));
                let heard = promises.values().flat_map(|p| p.hears.iter().copied()).chain(answering);
                let phase = Phase::Choosing { heard: heard.collect(), promisers };
                if let Some(proposal) = &mut self.proposal {
                    proposal.phase = phase;
                }
            }
            Phase::Choosing { .. } => {}
            Phase::Accepting { value, accepted } => {
                if !self.view.is_quorum(accepted, self.me, dead) {
                    return;
                }
                let decided = Arc::clone(value);
                // Tell those who leave as well as those who come: each of them has something to stop or to start.
                let told: BTreeSet<NodeId> = self
                    .view
                    .members
                    .iter()
                    .chain(&decided.members)
                    .filter(|m| m.voter() != self.me)
                    .map(|m| m.node)
                    .collect();
                for node in told {
                    out.push(ChainEffect::Send(node, ChainMessage::Decided(Arc::clone(&decided))));
                }
                self.learn(decided, out);
            }
        }
    }

    fn ask_to_accept(&mut self, value: Arc<View>, dead: &BTreeSet<NodeId>, out: &mut Vec<ChainEffect>) {
        assert_eq!(value.number, self.view.number.next(), "a proposal is for the view after the newest");
        let Some(proposal) = &mut self.proposal else { return };
        let ballot = proposal.ballot;
        proposal.phase = Phase::Accepting { value: Arc::clone(&value), accepted: BTreeSet::from([self.me]) };
        self.accepted = Some((ballot, Arc::clone(&value)));
        out.push(ChainEffect::Keep);
        for voter in self.other_voters() {
            let accept = ChainMessage::Accept { base: self.view.number, ballot, value: Arc::clone(&value) };
            out.push(ChainEffect::Ask(voter, accept));
        }
        self.advance(dead, out);
    }
}

#[cfg(test)]
mod tests;
