//! What the model of one arc is made of: nodes, letters, what clients were told, and all of it at one moment.
//!
//! A node is the very `Chain` and `Host` that a process runs, with the grants it has given. This room wires their effects to
//! letters, as the runtime wires them to sockets; it does not say what may happen next (`arc_model`) nor what must never
//! (`arc_judge`).
//!
//! Invariant: whatever a node asks for becomes a letter, a wish or a word to a client, or is named here as left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ringheir::{
    id::{ArcId, NodeId, SessionKey, ViewNumber},
    membership::{Ballot, Chain, ChainEffect, ChainMessage, Knowledge, View, Wish, next_view, targets},
    moment::Moment,
    replication::{Effect, Frame, Grants, Host, LinkAck, Primary, Replica, Store},
};

use super::ring::{LEASE, Sealed};

/// The only arc.
pub(crate) const ARC: ArcId = ArcId(0);
/// A step of time: longer than any lease and than the patience with an unacknowledged frame.
const STEP: Duration = Duration::from_secs(1);

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// Of the view chain.
    Chain(ChainMessage),
    /// From a primary to a copy.
    Frame(Frame),
    /// Back.
    Ack(LinkAck),
    /// Asks for a lease; when, by the asker's clock.
    Ping(Moment),
    /// Grants it: when it was asked for, and the view that the grantor has installed.
    Pong(Moment, ViewNumber),
}

/// One message and its way.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Letter {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) word: Word,
}

impl Letter {
    /// Whether it is part of a proposal.
    pub(crate) fn is_vote(&self) -> bool {
        matches!(&self.word, Word::Chain(message) if message.is_a_vote())
    }
}

/// One process.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Node {
    pub(crate) me: NodeId,
    pub(crate) chain: Chain,
    pub(crate) host: Host,
    pub(crate) grants: Grants,
    /// Whom it holds for proved dead.
    pub(crate) dead: BTreeSet<NodeId>,
    pub(crate) alive: bool,
    pub(crate) proposals_left: u8,
    /// Whom nobody hears, as its running proposal would have it.
    pub(crate) drops: Option<NodeId>,
    /// The last ballot it asked promises for, and the last it asked to accept.
    pub(crate) asked: (Option<Ballot>, Option<Ballot>),
    /// Of each peer, up to which frame it has stored and said so.
    pub(crate) stored: BTreeMap<NodeId, u64>,
    /// Of each peer, up to which of its own frames it knows stored there.
    pub(crate) settled: BTreeMap<NodeId, u64>,
}

/// A write in its place: session, place among the session's writes, value.
pub(crate) type Written = (u8, usize, u8);

/// What a client waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The writes that the answer vouches for: the one asked for, or all that a read shows.
    pub(crate) shows: Vec<Written>,
    /// Under which primary.
    pub(crate) since: ViewNumber,
    /// It is a read, and it lacks something that was acknowledged before it was asked.
    pub(crate) lacks: bool,
}

/// What clients were told, and what else has to be remembered to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    /// By token.
    pub(crate) waiting: BTreeMap<u64, Asked>,
    /// Every write that a client knows of, and the first `since` under which it was told.
    pub(crate) known: BTreeMap<Written, ViewNumber>,
    /// A read was answered that lacks what was acknowledged before it was asked.
    pub(crate) stale: bool,
    /// A frame of a deposed primary was refused.
    pub(crate) refused: bool,
    /// A deposed primary told a client that the outcome is unknown.
    pub(crate) broken: bool,
    /// A primary took for told whom its backup had not told.
    pub(crate) untold: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) nodes: Vec<Sealed<Node>>,
    /// Sorted by digest.
    pub(crate) letters: Vec<Sealed<Letter>>,
    /// Every view that any node installed, each once; the first too.
    pub(crate) decided: Vec<Sealed<View>>,
    /// Wishes that some node could still grant.
    pub(crate) wishes: Vec<Sealed<Wish>>,
    pub(crate) told: Sealed<Told>,
    /// How many steps of time have passed.
    pub(crate) time: u8,
    pub(crate) writes_left: u8,
    pub(crate) reads_left: u8,
    /// The last value written.
    pub(crate) written: u8,
}

/// A session of the model.
pub(crate) fn session_key(session: u8) -> SessionKey {
    SessionKey::new("list", &[b'0' + session]).expect("short")
}

/// Every write of a store, in its place: each is an event of one byte.
pub(crate) fn writes_in(store: &Store) -> Vec<Written> {
    let mut writes = Vec::new();
    for (key, record) in store.iter() {
        let values = record.events.iter().flat_map(|event| event.iter().copied());
        writes.extend(values.enumerate().map(|(place, value)| (key.id()[0] - b'0', place, value)));
    }
    writes
}

impl Node {
    /// The primary, if that is this node's part.
    pub(crate) fn primary(&self) -> Option<&Primary> {
        self.host.replica(ARC).and_then(Replica::as_primary)
    }

    /// The primary, if it answers; one that is about to hand over counts, too.
    pub(crate) fn serving(&self) -> Option<&Primary> {
        self.primary().filter(|p| p.is_serving())
    }

    /// Takes a view into its host.
    pub(crate) fn install(&mut self, view: &Arc<View>, world: &mut World) {
        let mut effects = Vec::new();
        self.host.install(Arc::clone(view), &targets(view), &self.grants, world.now(), &mut effects);
        self.follow_host(effects, world);
    }

    /// Sends what has gathered.
    pub(crate) fn flush(&mut self, world: &mut World) {
        let mut effects = Vec::new();
        self.host.flush(world.now(), &mut effects);
        self.follow_host(effects, world);
    }

    /// Carries out what its chain asks for. A value that is free is chosen at once, as the keeper does; with every wish that was
    /// made against this view, for one that comes late is granted by a proposal that begins late.
    pub(crate) fn follow_chain(&mut self, mut effects: Vec<ChainEffect>, world: &mut World, answers: bool) {
        if let Some((_, promisers)) = self.chain.choosing() {
            let base = Arc::clone(self.chain.view());
            let answering: BTreeSet<NodeId> = promisers.iter().map(|voter| base.carrier(*voter)).collect();
            let known = Knowledge {
                // Whoever promises is heard.
                unreachable: self.drops.into_iter().filter(|n| !answering.contains(n)).collect(),
                dead: self.dead.clone(),
                wishes: world.wishes.iter().map(|w| Wish::clone(&w.1)).collect(),
                up_to_date: answering,
                ..Knowledge::default()
            };
            match next_view(&base, self.me, &known) {
                Some(value) => self.chain.choose(Arc::new(value), &self.dead, &mut effects),
                None => self.chain.abandon(),
            }
        }
        for effect in effects {
            match effect {
                ChainEffect::Send(_, ChainMessage::Refuse { .. } | ChainMessage::Fetch { .. }) if !answers => {}
                ChainEffect::Keep => {}
                // Whom a decided view came from makes no difference to who reads it.
                ChainEffect::Send(to, message @ ChainMessage::Decided(_)) => world.post(to, to, Word::Chain(message)),
                ChainEffect::Send(to, message) | ChainEffect::Ask(to, message) => {
                    match &message {
                        ChainMessage::Prepare { ballot, .. } => self.asked = (Some(*ballot), None),
                        ChainMessage::Accept { ballot, .. } => self.asked.1 = Some(*ballot),
                        _ => {}
                    }
                    world.post(self.me, to, Word::Chain(message));
                }
                ChainEffect::Installed(view) => {
                    Sealed::new(View::clone(&view)).add_to(&mut world.decided);
                    self.drops = None;
                    self.install(&view, world);
                }
            }
        }
        if self.chain.proposing_since().is_none() {
            self.drops = None;
        }
    }

    /// Carries out what its host asks for.
    pub(crate) fn follow_host(&mut self, effects: Vec<Effect>, world: &mut World) {
        for effect in effects {
            match effect {
                Effect::Frame { to, frame } => world.post(self.me, to, Word::Frame(frame)),
                Effect::Ack { to, ack, .. } => {
                    self.grants.give(to, world.now(), LEASE);
                    let stored = self.stored.entry(to).or_default();
                    *stored = ack.upto.max(*stored);
                    if ack.refused {
                        world.tell(|told| told.refused = true);
                    }
                    world.post(self.me, to, Word::Ack(ack));
                }
                Effect::Release(token) => world.tell(|told| told.release(token.0)),
                Effect::Done { call, .. } => world.tell(|told| told.release(call)),
                // Whoever asked has been told.
                Effect::Told(token) => world.tell(|told| told.untold |= told.waiting.contains_key(&token.0)),
                Effect::Fail(token, _) => world.tell(|told| {
                    told.broken |= told.waiting.remove(&token.0).is_some();
                }),
                Effect::Wish(wish) => Sealed::new(*wish).add_to(&mut world.wishes),
                Effect::Confirm(to) => world.post(self.me, to, Word::Ping(world.now())),
                // A view is fetched by whoever hears of it; here its first news goes to every member anyway.
                Effect::NeedsView { .. } => {}
                Effect::ToBackup { .. } | Effect::Serving { .. } | Effect::SteppedDown(_) => {}
            }
        }
    }
}

impl Told {
    fn release(&mut self, token: u64) {
        let Some(asked) = self.waiting.remove(&token) else { return };
        self.stale |= asked.lacks;
        for written in asked.shows {
            let since = self.known.entry(written).or_insert(asked.since);
            *since = asked.since.min(*since);
        }
    }
}

impl World {
    /// Now, by every clock alike.
    pub(crate) fn now(&self) -> Moment {
        Moment::START + STEP * (u32::from(self.time) + 1)
    }

    pub(crate) fn post(&mut self, from: NodeId, to: NodeId, word: Word) {
        Sealed::new(Letter { from, to, word }).add_to(&mut self.letters);
    }

    pub(crate) fn tell(&mut self, change: impl FnOnce(&mut Told)) {
        let mut told = Told::clone(&self.told.1);
        change(&mut told);
        self.told = Sealed::new(told);
    }

    /// The nodes that live, by place.
    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().map(|n| &*n.1).enumerate().filter(|(_, node)| node.alive)
    }

    /// The decided view of this number; the first, should there be two.
    pub(crate) fn view(&self, number: ViewNumber) -> Option<&View> {
        self.decided.iter().map(|v| &*v.1).find(|v| v.number == number)
    }

    /// Whether the arc was lost with every copy, each proved dead, after what was told under the first primary and before the
    /// second.
    pub(crate) fn was_lost(&self, told: ViewNumber, since: ViewNumber) -> bool {
        self.decided.iter().filter_map(|v| v.1.arcs[0].lost_at).any(|lost| told < lost && lost <= since)
    }

    /// Whether the process at a place lives.
    pub(crate) fn lives(&self, place: usize) -> bool {
        self.nodes[place].1.alive
    }
}
