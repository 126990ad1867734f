//! A proposer that is no voter: the same rule of quorums as `Chain`, except that its own vote is not among those it counts,
//! for it has none. `Chain::propose` refuses to do this; the model shows why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ringheir::{
    id::NodeId,
    membership::{Ballot, ChainEffect, ChainMessage, View},
};

/// One proposal by a member without a vote.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Outsider {
    me: NodeId,
    base: Arc<View>,
    promises: BTreeMap<NodeId, Option<(Ballot, Arc<View>)>>,
    value: Option<Arc<View>>,
    accepted: BTreeSet<NodeId>,
    decided: bool,
}

impl Outsider {
    /// Knows `base` and will propose the view after it.
    pub(crate) fn new(me: NodeId, base: Arc<View>) -> Self {
        Self { me, base, promises: BTreeMap::new(), value: None, accepted: BTreeSet::new(), decided: false }
    }

    fn ballot(&self) -> Ballot {
        Ballot { round: 1, voter: self.me }
    }

    /// Asks every voter to promise.
    pub(crate) fn propose(&self, out: &mut Vec<ChainEffect>) {
        for voter in &self.base.voters {
            let prepare = ChainMessage::Prepare { base: Arc::clone(&self.base), ballot: self.ballot() };
            out.push(ChainEffect::Send(*voter, prepare));
        }
    }

    /// Takes a voter's answer.
    pub(crate) fn handle(
        &mut self,
        from: NodeId,
        message: &ChainMessage,
        dead: &BTreeSet<NodeId>,
        value: impl FnOnce(&View) -> View,
        out: &mut Vec<ChainEffect>,
    ) {
        match message {
            ChainMessage::Promise { ballot, accepted, .. } if *ballot == self.ballot() && self.value.is_none() => {
                self.promises.insert(from, accepted.clone());
            }
            ChainMessage::Accepted { ballot, .. } if *ballot == self.ballot() => {
                self.accepted.insert(from);
            }
            _ => return,
        }
        self.advance(dead, value, out);
    }

    /// Looks whether its votes, and the proofs, suffice.
    pub(crate) fn advance(
        &mut self,
        dead: &BTreeSet<NodeId>,
        value: impl FnOnce(&View) -> View,
        out: &mut Vec<ChainEffect>,
    ) {
        let promised: BTreeSet<NodeId> = self.promises.keys().copied().collect();
        if self.value.is_none() && self.is_quorum(&promised, dead) {
            let bound = self.promises.values().flatten().max_by_key(|(ballot, _)| *ballot);
            let value = bound.map_or_else(|| Arc::new(value(&self.base)), |(_, bound)| Arc::clone(bound));
            for voter in &self.base.voters {
                let (base, value) = (self.base.number, Arc::clone(&value));
                out.push(ChainEffect::Send(*voter, ChainMessage::Accept { base, ballot: self.ballot(), value }));
            }
            self.value = Some(value);
        }
        if let Some(value) = &self.value
            && !self.decided
            && self.is_quorum(&self.accepted, dead)
        {
            self.decided = true;
            out.push(ChainEffect::Installed(Arc::clone(value)));
        }
    }

    fn is_quorum(&self, votes: &BTreeSet<NodeId>, dead: &BTreeSet<NodeId>) -> bool {
        let voters = &self.base.voters;
        votes.len() * 2 > voters.len()
            || votes.len() * 2 >= voters.len() && voters.iter().all(|v| votes.contains(v) || dead.contains(v))
    }
}
