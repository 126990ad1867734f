//! The world around a handful of `Chain`s: what may happen, and what must never.
//!
//! The network is a set of letters; each may be delivered at any moment, in any order, any number of times, or never. What
//! keeps the set small loses no behaviour:
//! - a letter is taken out once delivering it can change nothing any more, now or later (`is_spent`, and `deliver` for what
//!   the receiver has used up), so that states that differ only in such letters are one;
//! - a loss is a letter that is never delivered, and a crash is silence until somebody learns of it. So a crash is a step of
//!   its own only where it leaves an orphan (below); elsewhere it comes together with the first proof of it;
//! - whom a decided view came from makes no difference to who reads it.
//!
//! Without `answers`, refusals and fetches are all lost. They carry decided views, which were sent to every member anyway,
//! and higher rounds; a smaller exploration has them.
//!
//! Nodes and letters carry a digest made when they were made, so that a state is hashed and compared by digests: a
//! fingerprint of fingerprints, which is what the checker keeps of a state anyway.

use std::{collections::BTreeSet, sync::Arc};

use ringheir::{
    id::{NodeId, ViewNumber},
    membership::{Agreement, Ballot, Chain, ChainEffect, ChainMessage, View},
    moment::Moment,
};
use stateright::{Model, Property};

use super::{
    outsider::Outsider,
    ring::{Sealed, founded, id, place_of},
};

/// How the view that a proposer chooses differs from the one before; it always tells who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The member after the proposer is gone, and with it one voter.
    Drop,
    /// The proposer's own description is another; the voters stay.
    Mark,
}

/// A bug put in on purpose, on the model's side of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// None.
    None,
    /// This many times, an acceptor restarts under its old id, knowing nothing but view 1.
    Forget(u8),
    /// Two members that are no voters propose too: their quorums do not contain themselves.
    Outsiders,
    /// Anyone may be "proved" dead at any moment, as if a refused connection were a proof.
    FalseProof,
}

/// The bounds of one exploration.
#[derive(Clone, Debug)]
pub(crate) struct ChainModel {
    /// How many voters view 1 has.
    pub(crate) voters: usize,
    /// How often each of the first voters may begin a proposal, over all views.
    pub(crate) proposals: Vec<u8>,
    /// No view above this is proposed.
    pub(crate) last_view: u64,
    /// How many nodes may crash.
    pub(crate) crashes: usize,
    /// The quorum rule.
    pub(crate) agreement: Agreement,
    /// What proposers choose.
    pub(crate) change: Change,
    /// Whether refusals and fetches arrive.
    pub(crate) answers: bool,
    /// The bug put in.
    pub(crate) plant: Plant,
}

/// One process.
#[derive(Clone, Debug, Hash)]
struct Node {
    chain: Chain,
    outsider: Option<Outsider>,
    /// Whom it holds for proved dead.
    dead: BTreeSet<NodeId>,
    alive: bool,
    proposals_left: u8,
    /// The last ballot it asked promises for, and the last it asked to accept.
    asked: (Option<Ballot>, Option<Ballot>),
}

/// One message and its way.
#[derive(Clone, Debug, Hash)]
struct Letter {
    from: NodeId,
    to: NodeId,
    message: ChainMessage,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    nodes: Vec<Sealed<Node>>,
    /// Sorted by digest.
    letters: Vec<Sealed<Letter>>,
    /// Every view that any node installed, each once.
    decided: Vec<Sealed<View>>,
    /// Views that a quorum had accepted when the only node that could know it crashed.
    orphaned: Vec<Sealed<View>>,
    restarts_left: u8,
}

/// One thing that may happen next. Nodes and letters are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Deliver(usize),
    Propose(usize),
    Crash(usize),
    /// The first learns that the second is dead.
    Prove(usize, usize),
    Restart(usize),
}

impl ChainModel {
    /// Three voters, two of which propose once, views 1 to 3, one crash, no bug.
    pub(crate) fn small() -> Self {
        Self {
            voters: 3,
            proposals: vec![1, 1],
            last_view: 3,
            crashes: 1,
            agreement: Agreement::Majority,
            change: Change::Drop,
            answers: false,
            plant: Plant::None,
        }
    }

    /// How many nodes there are: the voters, and two more where non-voters propose.
    fn size(&self) -> usize {
        self.voters + if self.plant == Plant::Outsiders { 2 } else { 0 }
    }

    fn first_view(&self) -> View {
        founded(self.size(), self.voters, self.agreement)
    }

    /// The view that `chooser` would have after `base`; another for every chooser.
    fn value(&self, chooser: NodeId, base: &View) -> View {
        let mut view = base.clone();
        view.number = base.number.next();
        match self.change {
            Change::Drop => {
                if let Some(gone) = base.successor(chooser.name) {
                    view.members.retain(|m| m.node != gone);
                    view.voters.retain(|v| *v != gone);
                }
            }
            Change::Mark => {
                let mine = view.members.iter_mut().find(|m| m.node == chooser).expect("a chooser is a member");
                Arc::make_mut(mine).workers += 1;
            }
        }
        view
    }

    /// Takes what a node's chain asks for; a value that is free is chosen at once, as the keeper does.
    fn follow(&self, world: &mut World, me: NodeId, node: &mut Node, mut effects: Vec<ChainEffect>) {
        if node.chain.choosing().is_some() {
            let value = self.value(me, node.chain.view());
            node.chain.choose(Arc::new(value), &node.dead, &mut effects);
        }
        for effect in effects {
            match effect {
                ChainEffect::Send(_, ChainMessage::Refuse { .. } | ChainMessage::Fetch { .. }) if !self.answers => {}
                ChainEffect::Send(to, message @ ChainMessage::Decided(_)) => {
                    world.post(Letter { from: to, to, message });
                }
                ChainEffect::Keep => {}
                ChainEffect::Send(to, message) | ChainEffect::Ask(to, message) => {
                    match &message {
                        ChainMessage::Prepare { ballot, .. } => node.asked = (Some(*ballot), None),
                        ChainMessage::Accept { ballot, .. } => node.asked.1 = Some(*ballot),
                        _ => {}
                    }
                    world.post(Letter { from: me, to, message });
                }
                ChainEffect::Installed(view) => world.decide(&view),
            }
        }
    }

    /// Runs one node's part of a step; `None` if nothing came of it.
    fn with_node(&self, world: &World, place: usize, run: impl FnOnce(&Self, &mut World, &mut Node)) -> Option<World> {
        let mut next = world.clone();
        let mut node = Node::clone(&world.nodes[place].1);
        run(self, &mut next, &mut node);
        next.nodes[place] = Sealed::new(node);
        if next == *world {
            return None;
        }
        let nodes = &next.nodes;
        next.letters.retain(|l| !self.is_spent(&l.1, &nodes[place_of(l.1.to)].1));
        Some(next)
    }

    /// Whether a letter can change nothing any more, whatever happens first.
    fn is_spent(&self, letter: &Letter, to: &Node) -> bool {
        if !to.alive {
            return true;
        }
        if to.outsider.is_some() || matches!(self.plant, Plant::Forget(_)) {
            return false;
        }
        is_spent(&letter.message, &to.chain, to.asked, self.answers)
    }

    /// Whether the receiver has used a letter up when it has taken it once, so that a duplicate changes nothing.
    fn is_used_up(&self, letter: &Letter, before: &Node) -> bool {
        !matches!(self.plant, Plant::Forget(_)) && is_used_up(&letter.message, &before.chain, self.answers)
    }

    fn deliver(&self, world: &World, letter: usize) -> Option<World> {
        let (sealed, letter) = (&world.letters[letter], &world.letters[letter].1);
        self.with_node(world, place_of(letter.to), |model, next, node| {
            if model.is_used_up(letter, node) {
                next.letters.retain(|l| l != sealed);
            }
            let mut effects = Vec::new();
            if let Some(outsider) = &mut node.outsider {
                let value = |base: &View| model.value(letter.to, base);
                outsider.handle(letter.from, &letter.message, &node.dead, value, &mut effects);
            } else {
                let hears = (0..model.size()).map(id).collect();
                node.chain.handle(letter.from, letter.message.clone(), &hears, &node.dead, &mut effects);
            }
            model.follow(next, letter.to, node, effects);
        })
    }

    fn propose(&self, world: &World, place: usize) -> Option<World> {
        self.with_node(world, place, |model, next, node| {
            node.proposals_left -= 1;
            let mut effects = Vec::new();
            if let Some(outsider) = &mut node.outsider {
                outsider.propose(&mut effects);
            } else {
                let hears = (0..model.size()).map(id).collect();
                node.chain.propose(hears, &node.dead, Moment::START, &mut effects);
            }
            model.follow(next, id(place), node, effects);
        })
    }

    /// One learns of another's death; if that one still lived, it dies now, unless false proofs are planted.
    fn prove(&self, world: &World, place: usize, dead: usize) -> Option<World> {
        let crashed = if world.nodes[dead].1.alive && self.plant != Plant::FalseProof {
            Some(self.crash(world, dead)?)
        } else {
            None
        };
        self.with_node(crashed.as_ref().unwrap_or(world), place, |model, next, node| {
            node.dead.insert(id(dead));
            let mut effects = Vec::new();
            if let Some(outsider) = &mut node.outsider {
                let value = |base: &View| model.value(id(place), base);
                outsider.advance(&node.dead, value, &mut effects);
            } else {
                node.chain.handle_proof(&node.dead, &mut effects);
            }
            model.follow(next, id(place), node, effects);
        })
    }

    fn crash(&self, world: &World, place: usize) -> Option<World> {
        let mut next = self.with_node(world, place, |_, _, node| node.alive = false)?;
        if let Some(orphan) = world.accepted_by_quorum(place) {
            next.orphaned.push(orphan);
        }
        Some(next)
    }
}

/// Whether a word of the view chain can change nothing any more for one that lives and forgets nothing; `asked` is the last
/// ballot it asked promises for, and the last it asked to accept. Ballots and view numbers only grow, so an answer to an earlier
/// question and news of an earlier view stay useless.
pub(crate) fn is_spent(
    message: &ChainMessage,
    to: &Chain,
    asked: (Option<Ballot>, Option<Ballot>),
    answers: bool,
) -> bool {
    let newest = to.view().number;
    let asks = to.proposing_since().is_some();
    match message {
        ChainMessage::Promise { ballot, .. } => !asks || asked != (Some(*ballot), None),
        ChainMessage::Accepted { ballot, .. } => !asks || asked.1 != Some(*ballot),
        ChainMessage::Decided(view) => view.number <= newest,
        ChainMessage::Refuse { base, newest: news, .. } => {
            *base < newest && news.as_ref().is_none_or(|v| v.number <= newest)
        }
        // What is left to them is a refusal.
        ChainMessage::Prepare { base, .. } => !answers && base.number < newest,
        ChainMessage::Accept { base, .. } => !answers && *base < newest,
        ChainMessage::Fetch { .. } => false,
    }
}

/// Whether one that takes a word of the view chain has used it up, so that a duplicate changes nothing.
pub(crate) fn is_used_up(message: &ChainMessage, before: &Chain, answers: bool) -> bool {
    match message {
        ChainMessage::Promise { .. } | ChainMessage::Accepted { .. } | ChainMessage::Decided(_) => true,
        // Taken again, they are refused or change nothing.
        ChainMessage::Prepare { .. } => !answers,
        ChainMessage::Accept { base, .. } => !answers && *base <= before.view().number,
        ChainMessage::Refuse { .. } | ChainMessage::Fetch { .. } => false,
    }
}

impl World {
    fn post(&mut self, letter: Letter) {
        Sealed::new(letter).add_to(&mut self.letters);
    }

    fn decide(&mut self, view: &View) {
        Sealed::new(view.clone()).add_to(&mut self.decided);
    }

    fn agrees(&self) -> bool {
        let number = |v: &Sealed<View>| v.1.number;
        self.decided.iter().enumerate().all(|(i, v)| self.decided[..i].iter().all(|w| number(v) != number(w)))
    }

    fn has_decided(&self, number: ViewNumber) -> bool {
        self.decided.iter().any(|v| v.1.number == number)
    }

    /// What this node proposed, if a majority accepted it and nobody has learned so.
    fn accepted_by_quorum(&self, place: usize) -> Option<Sealed<View>> {
        let me = id(place);
        let voters = &self.nodes[place].1.chain.view().voters;
        let base = self.nodes[place].1.chain.view().number;
        let votes = |ballot| {
            let accepted = |voter| ChainMessage::Accepted { base, ballot, voter };
            1 + voters
                .iter()
                .filter(|v| self.letters.iter().any(|l| l.1.to == me && l.1.message == accepted(**v)))
                .count()
        };
        self.letters.iter().find_map(|l| match &l.1.message {
            ChainMessage::Accept { base: at, ballot, value }
                if l.1.from == me && *at == base && votes(*ballot) * 2 > voters.len() =>
            {
                (!self.has_decided(value.number)).then(|| Sealed::new(View::clone(value)))
            }
            _ => None,
        })
    }
}

impl Model for ChainModel {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let view = Arc::new(self.first_view());
        let node = |place| {
            let outsider = (place >= self.voters).then(|| Outsider::new(id(place), Arc::clone(&view)));
            let proposals_left = match &outsider {
                Some(_) => 1,
                None => self.proposals.get(place).copied().unwrap_or(0),
            };
            let chain = Chain::new(id(place), Arc::clone(&view));
            Sealed::new(Node {
                chain,
                outsider,
                dead: BTreeSet::new(),
                alive: true,
                proposals_left,
                asked: (None, None),
            })
        };
        let restarts_left = if let Plant::Forget(times) = self.plant { times } else { 0 };
        vec![World {
            nodes: (0..self.size()).map(node).collect(),
            letters: Vec::new(),
            decided: Vec::new(),
            orphaned: Vec::new(),
            restarts_left,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if !world.agrees() {
            return; // Nothing can be worse; and a chain that meets two views of one number says so by panicking.
        }
        let alive = |place: usize| world.nodes[place].1.alive;
        let crashed = (0..self.size()).filter(|p| !alive(*p)).count();
        steps.extend((0..world.letters.len()).filter(|l| alive(place_of(world.letters[*l].1.to))).map(Step::Deliver));
        for place in (0..self.size()).filter(|p| alive(*p)) {
            let node = &world.nodes[place].1;
            let view = node.chain.view();
            let may_choose = node.outsider.is_some() || view.is_voter(id(place));
            if node.proposals_left > 0 && view.number.0 < self.last_view && may_choose {
                steps.push(Step::Propose(place));
            }
            if crashed < self.crashes
                && self.agreement == Agreement::Majority
                && world.accepted_by_quorum(place).is_some()
            {
                steps.push(Step::Crash(place));
            }
            if world.restarts_left > 0 {
                steps.push(Step::Restart(place));
            }
            // Only one who proposes, or may yet, ever looks at its proofs.
            let looks = node.outsider.is_some() || node.proposals_left > 0 || node.chain.proposing_since().is_some();
            if self.agreement == Agreement::MajorityOrProof && looks {
                let may_be = |p: &usize| !alive(*p) || crashed < self.crashes || self.plant == Plant::FalseProof;
                let provable = |p: &usize| *p != place && may_be(p);
                let news = |p: &usize| !node.dead.contains(&id(*p));
                steps.extend((0..self.voters).filter(provable).filter(news).map(|p| Step::Prove(place, p)));
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        match step {
            Step::Deliver(letter) => self.deliver(world, letter),
            Step::Propose(place) => self.propose(world, place),
            Step::Crash(place) => self.crash(world, place),
            Step::Prove(place, dead) => self.prove(world, place, dead),
            Step::Restart(place) => {
                let mut next = self.with_node(world, place, |model, _, node| {
                    node.chain = Chain::new(id(place), Arc::new(model.first_view()));
                })?;
                next.restarts_left -= 1;
                Some(next)
            }
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(AGREEMENT, |_, world| world.agrees()),
            Property::<Self>::always("a decided view has voters and is sound", |_, world| {
                world.decided.iter().all(|v| !v.1.voters.is_empty() && !v.1.members.is_empty())
            }),
            Property::<Self>::sometimes("the last view is decided", |model, world| {
                world.has_decided(ViewNumber(model.last_view))
            }),
        ];
        if self.crashes > 0 && self.proposals.len() > 1 && self.voters > 2 {
            properties.push(Property::<Self>::sometimes(
                "what a quorum had accepted when its proposer crashed is finished by another",
                |_, world| world.orphaned.iter().any(|v| world.decided.contains(v)),
            ));
            // Follows from agreement only where the orphan counts as decided: said on its own, it is the stronger claim.
            properties.push(Property::<Self>::always("an orphaned value is the only one ever decided", |_, world| {
                let same_number = |o: &Sealed<View>, d: &Sealed<View>| o.1.number == d.1.number;
                world.orphaned.iter().all(|o| world.decided.iter().all(|d| !same_number(o, d) || o == d))
            }));
        }
        properties
    }
}

/// The invariant of the view chain.
pub(crate) const AGREEMENT: &str = "no two different views are decided for one number";
