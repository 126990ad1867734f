//! The view keeper's actor: gives the pure `Founding` and `Keeper` their time, their chance and their messages, and hands on
//! what they decide.
//!
//! It is the only writer of the node's view. Its order on a new view matters: first it stops granting leases under older
//! views, then it publishes the view, then it hands it to the workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use super::{
    chance, clock,
    monitor::Orders,
    shared::{Readiness, Shared},
    vote_file::VoteFile,
    worker::WorkerInput,
};
use crate::{
    event::EventKind,
    id::{ClusterId, NodeId, NodeName, ViewNumber},
    membership::{
        ChainMessage, Change, Difference, Founding, FoundingEffect, Hearing, JoinRefusal, Keeper, KeeperEffect,
        KeeperMessage, KeeperSettings, Member, View, Vote, Wish, answer_as_serving, targets,
    },
    moment::Moment,
    runtime::message::ControlMessage,
    transport::{
        Class,
        life_lock::{self, Proof},
    },
};

/// A starting node says for whom it waits once it has waited this long: most are let in or founded sooner.
const SAY_AWAITED_AFTER: Duration = Duration::from_millis(200);
/// And again after this, each time twice as long up to the longest: a node that waits for days shall not fill its log.
const SAY_AGAIN: Duration = Duration::from_secs(5);
const SAY_AGAIN_MAX: Duration = Duration::from_secs(60);
/// Jitter of proposals; below the stagger.
const JITTER: Duration = Duration::from_millis(20);

/// What the keeper is told.
pub(crate) enum KeeperInput {
    /// A peer's message.
    Message(NodeId, KeeperMessage),
    /// Primaries of this node wish for changes.
    Wishes(Vec<Wish>),
    /// A peer has a newer view.
    Fetch(NodeId),
    /// What the monitor knows now, and whom it began to suspect or to trust.
    Hearing(Hearing, Vec<Change>),
    /// A peer said which view it has installed.
    Installed(NodeId, ViewNumber),
    /// A process is proved dead.
    Proof(NodeId),
    /// What this node is has changed.
    Describe(Member),
    /// Time passed.
    Tick,
}

// With ractor's cluster feature a message says whether it may leave the process; this one never does.
impl ractor::Message for KeeperInput {}

/// What a founding waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// Configured voters that are not heard, or say something else.
    pub(crate) missing: Vec<NodeName>,
    /// Of those: who starts with another configuration.
    pub(crate) differing: Vec<Difference>,
}

/// How the start of a node ends.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// It is in an installed view.
    In,
    /// It cannot begin yet.
    Waiting(Awaited),
    /// The ring was founded with another configuration.
    Differs(Difference),
    /// This incarnation cannot be in the cluster any more: start another.
    StartAnew,
    /// Two clusters serve under the configured addresses.
    TwoClusters(ClusterId, ClusterId),
    /// It was not let in.
    Refused(JoinRefusal),
}

/// The actor.
pub(crate) struct ViewKeeper;

/// What it is started with.
pub(crate) struct KeeperStart {
    pub(crate) shared: Arc<Shared>,
    pub(crate) orders: Orders,
    pub(crate) member: Member,
    pub(crate) founding: Founding,
    /// Where its vote is kept, and what earlier processes left there.
    pub(crate) votes: Option<Arc<VoteFile>>,
    pub(crate) left: Option<Left>,
    /// The addresses of the cluster file, dialled whatever the view says.
    pub(crate) listed: BTreeSet<String>,
    pub(crate) beginning: mpsc::Sender<Beginning>,
}

/// What earlier processes with this vote left.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) vote: Vote,
    pub(crate) processes: Vec<NodeId>,
}

enum Stage {
    Founding(Box<Founding>),
    Serving(Box<Keeper>),
}

/// When what is waited for is said again.
struct Reminder {
    due: Moment,
    pause: Duration,
}

impl Reminder {
    fn new(now: Moment) -> Self {
        Self { due: now + SAY_AGAIN, pause: SAY_AGAIN }
    }

    fn is_due(&mut self, now: Moment) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.pause = (self.pause * 2).min(SAY_AGAIN_MAX);
            self.due = now + self.pause;
        }
        is_due
    }
}

/// What it keeps.
pub(crate) struct KeeperState {
    shared: Arc<Shared>,
    orders: Orders,
    member: Member,
    stage: Stage,
    beginning: mpsc::Sender<Beginning>,
    votes: Option<Arc<VoteFile>>,
    left: Option<Left>,
    began: Moment,
    told_awaited: Awaited,
    reminder: Reminder,
    listed: BTreeSet<String>,
    /// Members that no line of this node's file tells of; dialled while they are members.
    unlisted: BTreeMap<String, NodeName>,
    /// How many arcs are, and whether all is protected, as it was last told.
    protection: Option<(usize, bool)>,
    watched: BTreeSet<NodeId>,
}

impl Actor for ViewKeeper {
    type Msg = KeeperInput;
    type State = KeeperState;
    type Arguments = KeeperStart;

    async fn pre_start(&self, _: ActorRef<KeeperInput>, start: KeeperStart) -> Result<KeeperState, ActorProcessingErr> {
        Ok(KeeperState {
            shared: start.shared,
            orders: start.orders,
            member: start.member,
            stage: Stage::Founding(Box::new(start.founding)),
            beginning: start.beginning,
            votes: start.votes,
            left: start.left,
            began: clock::now(),
            told_awaited: Awaited::default(),
            reminder: Reminder::new(clock::now()),
            listed: start.listed,
            unlisted: BTreeMap::new(),
            protection: None,
            watched: BTreeSet::new(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<KeeperInput>,
        input: KeeperInput,
        state: &mut KeeperState,
    ) -> Result<(), ActorProcessingErr> {
        let now = clock::now();
        match state.stage {
            Stage::Founding(_) => state.found(input, now),
            Stage::Serving(_) => {
                state.keep(input, now);
                state.look(now);
                state.say_what_it_asks(now);
            }
        }
        Ok(())
    }
}

impl KeeperState {
    fn found(&mut self, input: KeeperInput, now: Moment) {
        if let Some(left) = self.left.take() {
            self.go_on(left, now);
            return;
        }
        let Stage::Founding(founding) = &mut self.stage else { return };
        let mut effects = Vec::new();
        match input {
            KeeperInput::Message(from, KeeperMessage::Founding(message)) => {
                founding.handle(from, message, now, &mut effects);
            }
            KeeperInput::Message(from, KeeperMessage::Chain(ChainMessage::Decided(view))) => {
                founding.handle_decided(from, view, &mut effects);
            }
            KeeperInput::Tick => {
                founding.tick(&self.shared.connected(), now, &mut effects);
                let awaited = Awaited { missing: founding.missing(now), differing: founding.differing(now) };
                if now.since(self.began) >= SAY_AWAITED_AFTER {
                    let again = self.reminder.is_due(now);
                    self.say_awaited(awaited, again);
                }
            }
            KeeperInput::Describe(member) => self.member = member,
            _ => {}
        }
        for effect in effects {
            match effect {
                FoundingEffect::Send(to, message) => self.send(to, message),
                FoundingEffect::Founded(view) | FoundingEffect::Join(view) => {
                    self.begin_to_serve(&view, now);
                    return;
                }
                FoundingEffect::TwoClusters(one, other) => {
                    let _ = self.beginning.try_send(Beginning::TwoClusters(one, other));
                }
                FoundingEffect::Differs(difference) => {
                    let _ = self.beginning.try_send(Beginning::Differs(difference));
                }
                FoundingEffect::StartAnew => {
                    let _ = self.beginning.try_send(Beginning::StartAnew);
                }
            }
        }
    }

    fn say_awaited(&mut self, awaited: Awaited, again: bool) {
        if again || awaited != self.told_awaited {
            self.told_awaited.clone_from(&awaited);
            let _ = self.beginning.try_send(Beginning::Waiting(awaited));
        }
    }

    fn begin_to_serve(&mut self, view: &Arc<View>, now: Moment) {
        self.say_awaited(Awaited::default(), false);
        if let Err(fault) = view.check() {
            tracing::error!(%fault, "a view was refused");
            return;
        }
        let settings = self.keeper_settings();
        let keeper = Keeper::new(self.member.clone(), Arc::clone(view), settings, now);
        self.serve(keeper, vec![KeeperEffect::Keep], now);
    }

    fn keeper_settings(&self) -> KeeperSettings {
        let suspect_after = self.shared.settings.suspect_after;
        let defaults = KeeperSettings::default();
        // Two round trips of a slow network must fit in, or no view would ever be decided.
        let proposal_timeout = defaults.proposal_timeout.max(suspect_after / 4);
        KeeperSettings { suspect_after, proposal_timeout, ..defaults }
    }

    /// Takes up the vote of earlier processes: no founding, for the ring that they were in may still be.
    fn go_on(&mut self, left: Left, now: Moment) {
        let Left { vote, processes } = left;
        tracing::info!(view = vote.view.number.0, "going on with the vote that an earlier process left");
        let mut effects = vec![KeeperEffect::Keep];
        let settings = self.keeper_settings();
        let keeper = Keeper::restored(self.member.clone(), vote, processes, settings, now, &mut effects);
        self.serve(keeper, effects, now);
    }

    fn serve(&mut self, keeper: Keeper, effects: Vec<KeeperEffect>, now: Moment) {
        let view = Arc::clone(keeper.view());
        let view = &view;
        self.stage = Stage::Serving(Box::new(keeper));
        self.install(view);
        let is_kept = self.keep_vote(&effects);
        self.follow(effects, is_kept);
        self.watch();
        if !view.is_member(self.shared.me) {
            let members = view.members.iter().map(|m| m.node.name.as_str()).collect::<Vec<_>>().join(", ");
            tracing::info!("asking to be let in by {members}");
            self.reminder = Reminder::new(now);
        }
        self.keep(KeeperInput::Tick, now);
    }

    /// While this node is not let in: why, every now and then.
    fn say_what_it_asks(&mut self, now: Moment) {
        let Stage::Serving(keeper) = &self.stage else { return };
        if *self.shared.readiness.borrow() != Readiness::Starting || !self.reminder.is_due(now) {
            return;
        }
        let outlook = keeper.outlook(now);
        let names = |names: &[NodeName]| names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        if outlook.has_quorum() {
            let unheard = names(&outlook.unheard);
            tracing::info!(
                unheard,
                "still asking to be let in: a majority of the ring's voters is heard, and has not decided it yet"
            );
        } else {
            let awaited = names(&outlook.awaited);
            tracing::info!(
                awaited,
                "still asking to be let in: too few of the ring's voters are heard from here to decide it"
            );
        }
    }

    fn keep(&mut self, input: KeeperInput, now: Moment) {
        let jitter = chance::jitter(JITTER);
        let Stage::Serving(keeper) = &mut self.stage else { return };
        let mut effects = Vec::new();
        // One that decides alone says nothing before its decision stands, so silence would not hold back what is not stored.
        let before = (self.votes.is_some() && keeper.decides_alone()).then(|| keeper.clone());
        match input {
            KeeperInput::Message(from, KeeperMessage::Founding(message)) => {
                if let Some(answer) = answer_as_serving(keeper.view(), &message) {
                    self.send(from, KeeperMessage::Founding(answer));
                }
                return;
            }
            KeeperInput::Message(from, message) => {
                if let KeeperMessage::Chain(message) = &message
                    && message.views().any(|view| view.cluster != keeper.view().cluster || view.check().is_err())
                {
                    let other = message.views().map(|view| view.cluster).find(|c| *c != keeper.view().cluster);
                    let is_outside = *self.shared.readiness.borrow() == Readiness::Starting;
                    if let Some(other) = other.filter(|_| is_outside) {
                        let _ = self.beginning.try_send(Beginning::TwoClusters(keeper.view().cluster, other));
                    }
                    tracing::warn!(%from, "a view of another cluster, or one that contradicts itself, was refused");
                    return;
                }
                keeper.handle(from, message, now, jitter, &mut effects);
            }
            KeeperInput::Wishes(wishes) => wishes.into_iter().for_each(|wish| keeper.wish(wish)),
            KeeperInput::Fetch(from) => {
                let fetch = ChainMessage::Fetch { have: keeper.view().number };
                self.send(from, KeeperMessage::Chain(fetch));
                return;
            }
            KeeperInput::Hearing(hearing, changes) => {
                keeper.hear(hearing);
                keeper.tick(now, jitter, &mut effects);
                for change in changes {
                    self.shared.tell(match change {
                        Change::Suspect(node) => EventKind::Suspected { node },
                        Change::Trust(node) => EventKind::Trusted { node },
                    });
                }
            }
            KeeperInput::Installed(peer, number) => keeper.handle_installed(peer, number, now, &mut effects),
            KeeperInput::Proof(node) => keeper.handle_proof(node, now, jitter, &mut effects),
            KeeperInput::Describe(member) => {
                self.member = member.clone();
                keeper.describe(member);
            }
            KeeperInput::Tick => {
                keeper.tick(now, jitter, &mut effects);
                if keeper.asks_around(now) {
                    keeper.ask_around(self.shared.connected(), now, &mut effects);
                }
            }
        }
        let is_kept = self.keep_vote(&effects);
        if let Some(mut before) = before
            && effects.iter().any(|effect| matches!(effect, KeeperEffect::Installed(_)))
            && !is_kept
        {
            before.hold_off(now);
            self.stage = Stage::Serving(before);
            return;
        }
        self.follow(effects, is_kept);
        self.watch();
    }

    fn follow(&self, effects: Vec<KeeperEffect>, is_kept: bool) {
        for effect in effects {
            match effect {
                KeeperEffect::Keep => {}
                KeeperEffect::Proved(node) => {
                    self.shared.tell(EventKind::ProvedDead { node });
                    self.shared.tell_workers(|| WorkerInput::Proof(node));
                }
                // What was not stored was not said: the ring goes on as if this voter were silent.
                KeeperEffect::Send(_, KeeperMessage::Chain(message)) if !is_kept && message.is_a_vote() => {}
                KeeperEffect::Send(to, message) => self.send(to, message),
                KeeperEffect::Seek(node) => self.seek(node),
                KeeperEffect::Installed(view) => self.install(&view),
                KeeperEffect::Refused(refusal) => {
                    let _ = self.beginning.try_send(Beginning::Refused(refusal));
                }
            }
        }
    }

    /// Stores the vote where these effects ask for it, if it outlives the process. It waits for the disk: a view is rare, and a vote that is not on it is none.
    fn keep_vote(&self, effects: &[KeeperEffect]) -> bool {
        if !effects.contains(&KeeperEffect::Keep) {
            return true;
        }
        let (Some(file), Stage::Serving(keeper)) = (&self.votes, &self.stage) else { return true };
        let stored = file.store(self.member.voter().incarnation, keeper.vote());
        if let Err(why) = &stored {
            tracing::error!(%why, "the vote cannot be stored: this node does not vote until it can");
        }
        stored.is_ok()
    }

    /// Looks, once, whether a process of this host is dead. The keeper asks again.
    fn seek(&self, node: NodeId) {
        let found = self.shared.run_dir.get().map(|dir| life_lock::look_for(dir, node));
        if found == Some(Proof::Dead) {
            self.shared.prove_dead(node);
        }
    }

    fn install(&self, view: &Arc<View>) {
        let shared = &self.shared;
        shared.granting().stamp = view.number;
        shared.view.store(Some(Arc::clone(view)));
        let goals = Arc::new(targets(view));
        shared.tell_workers(|| WorkerInput::Install(Arc::clone(view), Arc::clone(&goals)));
        shared.views.send_replace(Some(Arc::clone(view)));
        shared.calls.handle_view(view);
        let members = view.members.iter().map(|m| m.node.name.to_string()).collect();
        shared.tell(EventKind::ViewInstalled { number: view.number.0, members });
        if view.is_member(shared.me) && *shared.readiness.borrow() == Readiness::Starting {
            shared.readiness.send_replace(Readiness::Serving);
            let _ = self.beginning.try_send(Beginning::In);
        }
    }

    /// Tells what has changed of what this node sees of the ring.
    fn look(&mut self, now: Moment) {
        let Stage::Serving(keeper) = &self.stage else { return };
        let (view, outlook) = (keeper.view(), keeper.outlook(now));
        let before = self.shared.outlook.borrow().clone();
        if outlook == before {
            return;
        }
        if outlook.awaited != before.awaited {
            if outlook.has_quorum() {
                tracing::info!("a majority of the voters is heard again");
                self.shared.tell(EventKind::QuorumBack);
            } else {
                let awaited = outlook.awaited.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    %awaited,
                    "no quorum: too few voters are heard, so no loss is made good until enough of these processes are heard again"
                );
                let awaited = outlook.awaited.iter().map(NodeName::to_string).collect();
                self.shared.tell(EventKind::QuorumLost { awaited });
            }
        }
        let unprotected = view.unprotected_arcs();
        let protection = (unprotected, outlook.fully_protected);
        if self.protection != Some(protection) {
            self.protection = Some(protection);
            let view = view.number.0;
            self.shared.tell(if outlook.fully_protected {
                EventKind::FullyProtected { view }
            } else {
                EventKind::Unprotected { arcs: unprotected, view }
            });
        }
        self.shared.outlook.send_replace(outlook);
    }

    /// Keeps the monitor watching members and those who ask to come in.
    fn watch(&mut self) {
        let Stage::Serving(keeper) = &self.stage else { return };
        let members = keeper.view().members.iter().map(|m| m.node);
        let watched: BTreeSet<NodeId> = members.chain(keeper.joining().map(|(n, _)| n)).collect();
        if watched != self.watched {
            self.orders.watch(watched.clone());
            self.watched = watched;
            self.dial_unlisted();
        }
    }

    /// Two nodes that joined without being listed know each other only from the view.
    fn dial_unlisted(&mut self) {
        let (Stage::Serving(keeper), Some(transport)) = (&self.stage, self.shared.transport.get()) else { return };
        let others = keeper.view().members.iter().filter(|m| m.node != self.shared.me);
        let members: BTreeMap<String, NodeName> = others
            .filter(|m| !self.listed.contains(&m.cluster_address))
            .map(|m| (m.cluster_address.clone(), m.node.name))
            .collect();
        for address in self.unlisted.keys().filter(|address| !members.contains_key(*address)) {
            transport.forget(address);
        }
        for (address, name) in members.iter().filter(|(address, name)| self.unlisted.get(*address) != Some(name)) {
            transport.dial(*name, address);
        }
        self.unlisted = members;
    }

    fn send(&self, to: NodeId, message: KeeperMessage) {
        // What is not sent is said again: proposals, joins and wishes are repeated, decisions are gossiped.
        let _ = self.shared.send_control(to, Class::View, &ControlMessage::Keeper(message));
    }
}
