//! The view keeper's actor: gives the pure `Founding` and `Keeper` their time, their chance and their messages, and hands on
//! what they decide.
//!
//! It is the only writer of the node's view. Its order on a new view matters: first it stops granting leases under older
//! views, then it publishes the view, then it hands it to the workers.

mod beginning;
mod telling;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};

use beginning::Reminder;
use telling::Protection;

use super::{
    chance, clock,
    monitor::Orders,
    shared::{Readiness, Shared},
    vote_file::VoteFile,
    worker::WorkerInput,
};
use crate::{
    event::EventKind,
    id::{ArcId, ClusterId, NodeId, NodeName, ViewNumber},
    membership::{
        ChainMessage, Change, Difference, Founding, Hearing, JoinRefusal, Keeper, KeeperEffect, KeeperMessage, Member,
        RecoveryFault, View, Vote, Wish, answer_as_serving, targets,
    },
    moment::Moment,
    runtime::message::ControlMessage,
    transport::{
        Class,
        life_lock::{self, Proof},
    },
};

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
    /// An operator has these nodes go on without a quorum.
    Recover(BTreeSet<NodeName>, oneshot::Sender<Result<Arc<View>, RecoveryFault>>),
    /// An operator says that the processes of this name have ended; of which processes that is, is told.
    Word(NodeName, oneshot::Sender<Result<Vec<NodeId>, RecoveryFault>>),
    /// An operator is done with the losses that the view tells of; which those are, is told.
    ClearLost(oneshot::Sender<BTreeMap<ArcId, ViewNumber>>),
    /// An operator has this node, which was left behind, follow the ring; whether it was, is told.
    GoOver(oneshot::Sender<bool>),
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
    /// The same as the log said it last.
    said_protection: Option<Protection>,
    watched: BTreeSet<NodeId>,
    /// Who waits for the end of a recovery.
    recovering: Option<oneshot::Sender<Result<Arc<View>, RecoveryFault>>>,
    /// Of which other cluster a view was refused last.
    refused_cluster: Option<ClusterId>,
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
            said_protection: None,
            watched: BTreeSet::new(),
            recovering: None,
            refused_cluster: None,
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
                    && (!keeper.may_heed(message) || message.views().any(|view| view.check().is_err()))
                {
                    let other = message.views().map(|view| view.cluster).find(|c| *c != keeper.view().cluster);
                    let is_outside = *self.shared.readiness.borrow() == Readiness::Starting;
                    if let Some(other) = other.filter(|_| is_outside) {
                        let _ = self.beginning.try_send(Beginning::TwoClusters(keeper.view().cluster, other));
                    }
                    // Gossip repeats itself: said once for each other cluster.
                    if other.is_none() || other != self.refused_cluster {
                        self.refused_cluster = other.or(self.refused_cluster);
                        tracing::warn!(%from, "a view of another cluster, or one that contradicts itself, was refused");
                    }
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
            KeeperInput::Recover(named, answer) => {
                if self.recovering.is_some() {
                    let _ = answer.send(Err(RecoveryFault::UnderWay));
                    return;
                }
                self.recovering = Some(answer);
                let successor = ClusterId(chance::draw());
                keeper.recover(&named, successor, self.shared.connected(), now, &mut effects);
            }
            KeeperInput::Word(name, answer) => {
                let _ = answer.send(keeper.take_word(name, now, jitter, &mut effects));
            }
            KeeperInput::ClearLost(answer) => {
                let _ = answer.send(keeper.clear_losses(now, &mut effects));
                keeper.tick(now, jitter, &mut effects);
            }
            KeeperInput::GoOver(answer) => {
                let _ = answer.send(keeper.go_over(self.shared.connected(), &mut effects));
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

    fn follow(&mut self, effects: Vec<KeeperEffect>, is_kept: bool) {
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
                KeeperEffect::RecoveryEnded(ended) => {
                    if let Ok(view) = &ended {
                        telling::say_recovered(view);
                    }
                    if let Some(answer) = self.recovering.take() {
                        let _ = answer.send(ended);
                    }
                }
                KeeperEffect::LeftBehind(by) => {
                    tracing::error!(
                        cluster = %by,
                        "on an operator's word the ring went on without this process, which answers for none of its sessions any \
                         more and keeps what it holds: `ringheir recover --copies NAME` has it follow and brings back what was \
                         lost there; started anew it follows with nothing"
                    );
                }
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
        if let Some(before) = &*shared.view.load() {
            telling::say_who_moved(before, view);
        }
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
            telling::say_quorum(&outlook.awaited);
            if outlook.has_quorum() {
                self.shared.tell(EventKind::QuorumBack);
            } else {
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
        if view.is_member(self.shared.me) {
            let now = Protection::of(outlook.fully_protected, view);
            let before = self.said_protection.replace(now);
            // That it is not full yet is no news at the start.
            if before != Some(now) && (before.is_some() || now != Protection::Passing) {
                now.say(view);
            }
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
