//! One arc from end to end: the view chain together with promotion, the union rule and catch-up. What may happen next.
//!
//! Three nodes, each the very `Chain` and `Host` that a process runs (`arc_world`); what must never happen is in `arc_judge`.
//! The keeper's clockwork is left out, and what it would do at some moment may happen at every moment: any voter may propose,
//! holding any one of the others for unheard (only who promises is heard for certain).
//!
//! The network holds every letter until it is delivered, in any order; a letter that is never delivered is lost, and a node
//! that takes no further step has crashed, so that a crash is a step of its own only together with the first proof of it.
//! Letters of the view chain arrive any number of times. Of frames and acknowledgements a second delivery is left out: it meets
//! a number that was passed, and gives at most an acknowledgement that settles nothing (`LinkReceiver`, `LinkSender`).
//!
//! Time passes in steps, each longer than a lease, for all clocks at once, and only so often; within a step it stands.
//!
//! Left out: joins, so that no process comes back once it is out of the view; refusals and fetches of the chain, which bring
//! nothing that is not on its way already.

use std::collections::{BTreeMap, BTreeSet};

use ringheir::{
    id::{NodeId, ViewNumber},
    replication::{Asker, Body, Durability, Primary, Rules, SessionChange, Token},
};
use smallvec::smallvec;
use stateright::{Model, Property};

use super::{
    arc_judge,
    arc_start::{SIZE, Start},
    arc_world::{ARC, Asked, Letter, Node, Word, World, Written, session_key, writes_in},
    chain_model,
    ring::{LEASE, Sealed, id, place_of},
};

/// The bounds of one exploration.
#[derive(Clone, Debug)]
pub(crate) struct ArcModel {
    pub(crate) start: Start,
    /// Over how many sessions the writes are dealt in turn: a catch-up brings one at a time.
    pub(crate) sessions: u8,
    /// Writes that are acknowledged before the beginning.
    pub(crate) before: u8,
    /// Writes, each of a value of its own, at any node that serves, at any moment.
    pub(crate) writes: u8,
    /// Reads of everything, likewise.
    pub(crate) reads: u8,
    /// How often each node may begin a proposal.
    pub(crate) proposals: [u8; SIZE],
    /// Who may be held for unheard by a proposer.
    pub(crate) unheard: Vec<usize>,
    /// No view above this is proposed.
    pub(crate) last_view: u64,
    /// How many nodes may crash and be proved dead.
    pub(crate) crashes: usize,
    /// How many steps of time may pass.
    pub(crate) times: u8,
    /// Whether frames arrive before their turn too, and before the view they speak of; else they wait in the network, which
    /// differs only in where they wait.
    pub(crate) parks: bool,
    /// Whether a proposer and one other voter come to a decision in one step, so that only the news of it travels; what competing
    /// proposers can do to each other is left to explorations without this.
    pub(crate) at_once: bool,
    /// Whether a primary tells its backups how far it is committed when it has nothing else to say; else the next commit
    /// tells it.
    pub(crate) tells: bool,
    /// Whether writes are asked for through the first of the backups, which tells of them where it may.
    pub(crate) through: bool,
    /// Whether a backup that is silent for a step of time is dropped by its primary.
    pub(crate) impatient: bool,
    /// The rules in force.
    pub(crate) rules: Rules,
    /// What must have been seen to happen.
    pub(crate) seen: Vec<&'static str>,
}

/// One thing that may happen next. Nodes and letters are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Deliver(usize),
    /// A node begins a proposal, and may hold another for unheard.
    Propose(usize, Option<usize>),
    /// A node and another voter decide a view, and may hold a third for unheard.
    Agree(usize, usize, Option<usize>),
    /// The first learns that the second is dead.
    Prove(usize, usize),
    /// A node looks after its arc: chunks that are due, telling how far it is committed, handing over.
    Tick(usize),
    /// A client writes at a node.
    Write(usize),
    /// A client reads everything at a node.
    Read(usize),
    /// Every lease runs out.
    Pass,
}

impl ArcModel {
    /// Runs one node's part of a step; `None` if nothing came of it.
    pub(crate) fn with_node(
        &self,
        world: &World,
        place: usize,
        run: impl FnOnce(&mut World, &mut Node),
    ) -> Option<World> {
        let mut next = world.clone();
        let mut node = Node::clone(&world.nodes[place].1);
        run(&mut next, &mut node);
        node.flush(&mut next);
        next.nodes[place] = Sealed::new(node);
        if next == *world {
            return None;
        }
        next.forget_spent();
        Some(next)
    }

    pub(crate) fn deliver(&self, world: &World, at: usize) -> Option<World> {
        let (sealed, letter) = (&world.letters[at], &world.letters[at].1);
        self.with_node(world, place_of(letter.to), |next, node| {
            let now = next.now();
            let mut effects = Vec::new();
            let used_up = match &letter.word {
                Word::Chain(message) => chain_model::is_used_up(message, &node.chain, false),
                // Until it is stored, it may be sent again.
                Word::Frame(_) => false,
                Word::Ack(_) | Word::Ping(_) | Word::Pong(..) => true,
            };
            if used_up {
                next.letters.retain(|l| l != sealed);
            }
            match letter.word.clone() {
                Word::Chain(message) => {
                    let mut effects = Vec::new();
                    // Whom a voter hears is chosen with the proposal.
                    node.chain.handle(letter.from, message, &BTreeSet::new(), &node.dead, &mut effects);
                    node.follow_chain(effects, next, false);
                }
                Word::Frame(frame) => node.host.handle_frame(letter.from, frame, now, &mut effects),
                Word::Ack(ack) => {
                    let settled = node.settled.entry(letter.from).or_default();
                    *settled = ack.upto.max(*settled);
                    node.host.handle_ack(letter.from, 0, &ack, now, &mut effects);
                }
                Word::Ping(sent) => {
                    node.grants.give(letter.from, now, LEASE);
                    next.post(letter.to, letter.from, Word::Pong(sent, node.chain.view().number));
                }
                Word::Pong(sent, stamp) => {
                    node.host.handle_grant(letter.from, sent, stamp, now, &mut effects);
                    node.host.handle_installed(letter.from, stamp, now, &mut effects);
                }
            }
            node.follow_host(effects, next);
        })
    }

    fn propose(&self, world: &World, place: usize, unheard: Option<usize>) -> Option<World> {
        self.with_node(world, place, |next, node| {
            node.proposals_left -= 1;
            node.drops = unheard.map(id);
            let mut effects = Vec::new();
            node.chain.propose(BTreeSet::new(), &node.dead, next.now(), &mut effects);
            node.follow_chain(effects, next, false);
        })
    }

    fn agree(&self, world: &World, place: usize, helper: usize, unheard: Option<usize>) -> Option<World> {
        let mut next = self.propose(world, place, unheard)?;
        let between = |letter: &Letter| {
            let ends = [place_of(letter.from), place_of(letter.to)];
            letter.is_vote() && (ends == [place, helper] || ends == [helper, place])
        };
        while let Some(at) = next.letters.iter().position(|l| between(&l.1)) {
            next = self.deliver(&next, at)?;
        }
        next.letters.retain(|l| !l.1.is_vote());
        let number = |world: &World| world.nodes[place].1.chain.view().number;
        (number(&next) > number(world)).then_some(next)
    }

    fn prove(&self, world: &World, place: usize, dead: usize) -> Option<World> {
        let mut crashed = world.clone();
        if world.lives(dead) {
            let mut node = Node::clone(&world.nodes[dead].1);
            node.alive = false;
            crashed.nodes[dead] = Sealed::new(node);
        }
        self.with_node(&crashed, place, |next, node| {
            node.dead.insert(id(dead));
            let mut effects = Vec::new();
            node.chain.handle_proof(&node.dead, &mut effects);
            node.follow_chain(effects, next, false);
            let mut effects = Vec::new();
            node.host.handle_proof(id(dead), next.now(), &mut effects);
            node.follow_host(effects, next);
        })
    }

    fn tick(&self, world: &World, place: usize) -> Option<World> {
        self.with_node(world, place, |next, node| {
            let mut effects = Vec::new();
            node.host.tick(next.now(), &mut effects);
            node.follow_host(effects, next);
        })
    }

    pub(crate) fn write(&self, world: &World, place: usize) -> Option<World> {
        self.with_node(world, place, |next, node| {
            let Ok(primary) = node.host.serve(ARC, next.now()) else { return };
            next.writes_left -= 1;
            next.written += 1;
            let value = next.written;
            let session = value % self.sessions;
            let at = writes_in(primary.store()).iter().filter(|(of, ..)| *of == session).count();
            let asked = Asked { shows: vec![(session, at, value)], since: primary.since(), lacks: false };
            let through = primary.in_sync().first().filter(|_| self.through);
            let asker = through.map(|backup| Asker { node: *backup, call: u64::from(value) });
            next.tell(|told| {
                told.waiting.insert(u64::from(value), asked);
            });
            let body = Body::Events { events: smallvec![(&[value]).into()], image: None, state_version: 1 };
            let change = SessionChange { key: session_key(session), body, reply: None, life: None, copied: true };
            let (mut effects, now) = (Vec::new(), next.now());
            let token = Token(u64::from(value));
            node.host.append_for((token, asker), ARC, smallvec![change], Durability::Sync, now, &mut effects);
            node.follow_host(effects, next);
        })
    }

    fn read(&self, world: &World, place: usize) -> Option<World> {
        self.with_node(world, place, |next, node| {
            let Ok(primary) = node.host.serve(ARC, next.now()) else { return };
            let shows = writes_in(primary.store());
            let depends_on = primary.store().iter().map(|(_, r)| r.version).max().unwrap_or_default();
            let since = primary.since();
            let lacks = |(known, told): (&Written, &ViewNumber)| !shows.contains(known) && !next.was_lost(*told, since);
            let lacks = next.told.1.known.iter().any(lacks);
            let asked = Asked { shows, since, lacks };
            let token = Token(100 + u64::from(next.reads_left));
            next.reads_left -= 1;
            next.tell(|told| {
                told.waiting.insert(token.0, asked);
            });
            let mut effects = Vec::new();
            node.host.answer(ARC, depends_on, token, next.now(), &mut effects);
            node.follow_host(effects, next);
        })
    }

    /// Whether this node may begin a proposal, and whom it may hold for unheard.
    fn proposals(&self, world: &World, place: usize, node: &Node, steps: &mut Vec<Step>) {
        let view = node.chain.view();
        let may = view.is_voter(id(place)) && view.is_member(id(place)) && view.number.0 < self.last_view;
        if node.proposals_left == 0 || !may {
            return;
        }
        let others = self.unheard.iter().filter(|other| **other != place && view.is_member(id(**other)));
        let wanted = node.chain.has_unfinished() || world.wishes.iter().any(|w| w.1.base == view.number);
        for unheard in wanted.then_some(None).into_iter().chain(others.map(|other| Some(*other))) {
            if self.at_once {
                let helps = |other: &usize| *other != place && Some(*other) != unheard && world.lives(*other);
                let helpers = (0..SIZE).filter(helps).filter(|other| view.is_voter(id(*other)));
                steps.extend(helpers.map(|helper| Step::Agree(place, helper, unheard)));
            } else {
                steps.push(Step::Propose(place, unheard));
            }
        }
    }

    /// Whether a tick may bring something: chunks, a backup that has been silent for too long, an arc to hand over. What else it
    /// tells of, the next commit tells of too.
    fn is_due(&self, primary: &Primary) -> bool {
        let feeds = primary.feeding().is_some_and(|(_, flying)| flying == 0);
        feeds || self.tells || self.impatient || self.start == Start::Returning
    }
}

impl World {
    /// Letters that can change nothing any more, and wishes that nobody can grant, are taken out, so that states that differ only
    /// in them are one.
    fn forget_spent(&mut self) {
        let nodes = &self.nodes;
        let spent = |letter: &Letter| {
            let to = &nodes[place_of(letter.to)].1;
            let upto = |of: &BTreeMap<NodeId, u64>| of.get(&letter.from).copied().unwrap_or(0);
            !to.alive
                || match &letter.word {
                    Word::Chain(message) => chain_model::is_spent(message, &to.chain, to.asked, false),
                    Word::Frame(frame) => frame.head.number <= upto(&to.stored),
                    // It settles nothing, and so grants nothing.
                    Word::Ack(ack) => !ack.refused && ack.upto <= upto(&to.settled),
                    Word::Ping(_) | Word::Pong(..) => false,
                }
        };
        self.letters.retain(|letter| !spent(&letter.1));
        self.wishes.retain(|w| nodes.iter().any(|n| n.1.alive && n.1.chain.view().number <= w.1.base));
    }
}

impl Model for ArcModel {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.beginning()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if !arc_judge::is_sound(world) {
            return; // Nothing can be worse; and the structs say by panicking that they were contradicted.
        }
        for (at, letter) in world.letters.iter().enumerate() {
            let to = &world.nodes[place_of(letter.1.to)].1;
            let early = |number: u64| number > to.stored.get(&letter.1.from).copied().unwrap_or(0) + 1;
            match &letter.1.word {
                Word::Frame(frame)
                    if !self.parks && (early(frame.head.number) || frame.head.view > to.chain.view().number) => {}
                _ => steps.push(Step::Deliver(at)),
            }
        }
        let crashed = SIZE - world.living().count();
        for (place, node) in world.living() {
            self.proposals(world, place, node, steps);
            if node.primary().is_some_and(|primary| self.is_due(primary)) {
                steps.push(Step::Tick(place));
            }
            if node.host.serve(ARC, world.now()).is_ok() {
                if world.writes_left > 0 {
                    steps.push(Step::Write(place));
                }
                if world.reads_left > 0 {
                    steps.push(Step::Read(place));
                }
            }
            let may_be = |other: &usize| !world.lives(*other) || crashed < self.crashes;
            let news = |other: &usize| *other != place && !node.dead.contains(&id(*other));
            steps.extend((0..SIZE).filter(may_be).filter(news).map(|other| Step::Prove(place, other)));
        }
        if world.time < self.times {
            steps.push(Step::Pass);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        match step {
            Step::Deliver(at) => self.deliver(world, at),
            Step::Propose(place, unheard) => self.propose(world, place, unheard),
            Step::Agree(place, helper, unheard) => self.agree(world, place, helper, unheard),
            Step::Prove(place, dead) => self.prove(world, place, dead),
            Step::Tick(place) => self.tick(world, place),
            Step::Write(place) => self.write(world, place),
            Step::Read(place) => self.read(world, place),
            Step::Pass => Some(World { time: world.time + 1, ..world.clone() }),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        arc_judge::properties(&self.seen)
    }
}
