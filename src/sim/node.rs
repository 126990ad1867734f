//! One simulated node: the pure rooms wired together as the runtime wires them, with a clock of its own.
//!
//! It takes packets, ticks and proofs, and gives packets and replies. It holds no queue and knows no other node's clock. The
//! session it hosts is a register that keeps every value ever written, so that a finished run can be judged.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    check::Reply,
    hosting::Hosted,
    lifetimes::Lifetimes,
    packet::{Answer, Output, Packet, Told},
    register::decode_told,
    run::Setting,
    serving::{Asked, Serving},
};
use crate::{
    id::{ClusterId, NodeId, NodeName, SessionKey, ViewNumber},
    kinds::LiveSession,
    membership::{
        ChainMessage, Founding, FoundingEffect, FoundingPlan, Keeper, KeeperEffect, KeeperMessage, KeeperSettings,
        Member, Monitor, MonitorSettings, Standing, View, Vote, targets,
    },
    moment::Moment,
    replication::{Broken, Effect, Grants, Host, ReplicationSettings, Token},
};

mod sessions;
mod together;

use together::Recent;

#[derive(Debug)]
enum Stage {
    Founding(Box<Founding>),
    Serving(Box<Serving>),
}

/// One process.
#[derive(Debug)]
pub(crate) struct SimNode {
    member: Member,
    stage: Stage,
    /// What earlier processes with its vote left.
    left: Option<(Vote, Vec<NodeId>)>,
    replication: ReplicationSettings,
    monitor: MonitorSettings,
    /// How long sessions live, in runs where some of them end.
    lifetimes: Option<Lifetimes>,
    /// Values that this process wrote, in such runs: what another wrote came to it as a copy.
    wrote: BTreeSet<u64>,
    /// Its newest commits of several sessions.
    together: VecDeque<Recent>,
    /// The user's type that its sessions are of, and the decoded objects of those in use: for as long as it is the primary by that view.
    hosted: Option<Hosted>,
    live: BTreeMap<SessionKey, (ViewNumber, LiveSession)>,
    promised: BTreeMap<Token, Promised>,
    next_token: u64,
}

/// What is said once a commit is committed.
#[derive(Debug)]
enum Promised {
    /// To a client: which, which of its tries, what.
    Answer(u32, u64, Told),
    /// To the world: this session has ended, and what it was.
    End(u32, Reply),
}

impl SimNode {
    /// A process that starts blank.
    #[must_use]
    pub(crate) fn start(
        member: Member,
        plan: FoundingPlan,
        cluster: ClusterId,
        setting: &Setting,
        left: Option<(Vote, Vec<NodeId>)>,
    ) -> Self {
        let (replication, lifetimes) = (setting.replication.clone(), setting.lifetimes);
        let mut monitor = MonitorSettings::default();
        if setting.no_stall_guard {
            // No gap is ever long enough to be one.
            monitor.detector.tick_every = Duration::from_secs(3600);
        }
        let stage = Stage::Founding(Box::new(Founding::new(member.clone(), plan, cluster)));
        Self {
            left,
            member,
            stage,
            replication,
            lifetimes,
            wrote: BTreeSet::new(),
            together: VecDeque::new(),
            monitor,
            hosted: setting.hosted.clone(),
            live: BTreeMap::new(),
            promised: BTreeMap::new(),
            next_token: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub(crate) fn id(&self) -> NodeId {
        self.member.node
    }

    /// Says another standing of itself, and claims nothing.
    pub(crate) fn stand(&mut self, standing: Standing) {
        self.member.standing = standing;
        self.claim(false);
    }

    /// Says whether it wants back what is at home with it.
    pub(crate) fn claim(&mut self, claims: bool) {
        self.member.claims = claims;
        if let Stage::Serving(serving) = &mut self.stage {
            serving.keeper.describe(self.member.clone());
        }
    }

    /// Whether it has drained and is out of the ring.
    #[must_use]
    pub(crate) fn has_left(&self) -> bool {
        !self.member.stays() && self.view().is_some_and(|view| view.has_let_go(self.id()))
    }

    /// Whether it has no view yet, or nobody who could give it a newer one, and so wants to know whom it can reach.
    #[must_use]
    pub(crate) fn asks_around(&self, now: Moment) -> bool {
        match &self.stage {
            Stage::Founding(_) => true,
            Stage::Serving(serving) => serving.keeper.asks_around(now),
        }
    }

    /// The view it has installed.
    #[must_use]
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        match &self.stage {
            Stage::Serving(serving) => Some(serving.keeper.view()),
            _ => None,
        }
    }

    /// Whom it suspects now.
    #[must_use]
    pub(crate) fn suspects(&self) -> BTreeSet<NodeId> {
        match &self.stage {
            Stage::Serving(serving) => serving.monitor.suspects(),
            Stage::Founding(_) => BTreeSet::new(),
        }
    }

    /// Its arcs.
    #[must_use]
    pub(crate) fn host(&self) -> Option<&Host> {
        match &self.stage {
            Stage::Serving(serving) => Some(&serving.host),
            _ => None,
        }
    }

    /// Looks after whatever is due.
    pub(crate) fn tick(&mut self, connected: &BTreeSet<NodeId>, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        if let Some((vote, processes)) = self.left.take() {
            self.go_on(vote, processes, now, out);
        }
        match &mut self.stage {
            Stage::Founding(founding) => {
                let mut effects = Vec::new();
                founding.tick(connected, now, &mut effects);
                self.follow_founding(effects, now, out);
            }
            Stage::Serving(serving) => {
                let mut asked = Asked::default();
                serving.tick(now, jitter, &mut asked, out);
                if serving.keeper.asks_around(now) {
                    serving.keeper.ask_around(connected.iter().copied(), now, &mut asked.keeping);
                }
                self.follow_keeper(asked.keeping, now, out);
                self.follow_host(asked.effects, now, out);
                self.end_what_is_over(now, out);
            }
        }
        self.flush(now, out);
    }

    /// A peer is proved dead.
    pub(crate) fn handle_proof(&mut self, node: NodeId, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        let (mut keeping, mut effects) = (Vec::new(), Vec::new());
        serving.keeper.handle_proof(node, now, jitter, &mut keeping);
        serving.host.handle_proof(node, now, &mut effects);
        self.follow_keeper(keeping, now, out);
        self.follow_host(effects, now, out);
        self.flush(now, out);
    }

    /// An operator has it go on with these nodes alone.
    pub(crate) fn recover(
        &mut self,
        named: &BTreeSet<NodeName>,
        successor: ClusterId,
        connected: &BTreeSet<NodeId>,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        let mut effects = Vec::new();
        serving.keeper.recover(named, successor, connected.iter().copied(), now, &mut effects);
        self.follow_keeper(effects, now, out);
    }

    /// An operator is done with what was lost so far.
    pub(crate) fn clear_lost(&mut self, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        let mut effects = Vec::new();
        serving.keeper.clear_losses(now, &mut effects);
        self.follow_keeper(effects, now, out);
    }

    /// An operator says that a node's process has ended.
    pub(crate) fn take_word(&mut self, name: NodeName, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        let mut effects = Vec::new();
        // What is refused changes nothing.
        let _ = serving.keeper.take_word(name, now, jitter, &mut effects);
        self.follow_keeper(effects, now, out);
    }

    /// A connection to a peer was closed.
    pub(crate) fn handle_closed(&mut self, node: NodeId, now: Moment) {
        if let Stage::Serving(serving) = &mut self.stage {
            serving.monitor.hint(node, now);
        }
    }

    /// Takes a packet of a peer.
    pub(crate) fn handle(
        &mut self,
        from: NodeId,
        packet: Packet,
        jitter: Duration,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        match (&mut self.stage, packet) {
            (Stage::Founding(founding), Packet::Keeper(KeeperMessage::Founding(message))) => {
                let mut effects = Vec::new();
                founding.handle(from, message, now, &mut effects);
                self.follow_founding(effects, now, out);
            }
            (Stage::Founding(founding), Packet::Keeper(KeeperMessage::Chain(ChainMessage::Decided(view)))) => {
                let mut effects = Vec::new();
                founding.handle_decided(from, view, &mut effects);
                self.follow_founding(effects, now, out);
            }
            (Stage::Serving(serving), packet) => {
                let mut asked = Asked::default();
                serving.handle(from, packet, jitter, now, &mut asked, out);
                self.follow_keeper(asked.keeping, now, out);
                self.follow_host(asked.effects, now, out);
            }
            _ => {}
        }
        self.flush(now, out);
    }

    fn flush(&mut self, now: Moment, out: &mut Vec<Output>) {
        if let Stage::Serving(serving) = &mut self.stage
            && serving.host.has_outbox()
        {
            let mut effects = Vec::new();
            serving.host.flush(now, &mut effects);
            self.follow_host(effects, now, out);
        }
    }

    fn serve(&mut self, view: Arc<View>, now: Moment, out: &mut Vec<Output>) {
        let keeper = Keeper::new(self.member.clone(), Arc::clone(&view), KeeperSettings::default(), now);
        self.serve_with(keeper, vec![KeeperEffect::Keep], now, out);
    }

    fn go_on(&mut self, vote: Vote, processes: Vec<NodeId>, now: Moment, out: &mut Vec<Output>) {
        let (member, mut effects) = (self.member.clone(), vec![KeeperEffect::Keep]);
        let keeper = Keeper::restored(member, vote, processes, KeeperSettings::default(), now, &mut effects);
        self.serve_with(keeper, effects, now, out);
    }

    fn serve_with(&mut self, keeper: Keeper, effects: Vec<KeeperEffect>, now: Moment, out: &mut Vec<Output>) {
        let (me, view) = (self.member.node, Arc::clone(keeper.view()));
        let mut monitor = Monitor::new(me, self.monitor, now);
        monitor.watch(&view.members.iter().map(|m| m.node).collect(), now);
        let host = Host::new(me, Arc::clone(&view), 0, 1, 8 << 20, self.replication.clone());
        self.stage = Stage::Serving(Box::new(Serving { keeper, monitor, host, grants: Grants::default(), news: true }));
        self.install(&view, now, out);
        self.follow_keeper(effects, now, out);
    }

    fn install(&mut self, view: &Arc<View>, now: Moment, out: &mut Vec<Output>) {
        let promotes = self.promotes_together(view);
        let Stage::Serving(serving) = &mut self.stage else { return };
        serving.watch(now);
        let mut effects = Vec::new();
        serving.host.install(Arc::clone(view), &targets(view), &serving.grants, now, &mut effects);
        out.push(Output::Installed(Arc::clone(view)));
        if promotes {
            out.push(Output::Reached("a promotion with a commit of several sessions in its tail"));
        }
        self.follow_host(effects, now, out);
    }

    fn follow_founding(&mut self, effects: Vec<FoundingEffect>, now: Moment, out: &mut Vec<Output>) {
        for effect in effects {
            match effect {
                FoundingEffect::Send(to, message) => out.push(Output::Send(to, Packet::Keeper(message))),
                FoundingEffect::Founded(view) | FoundingEffect::Join(view) => self.serve(view, now, out),
                FoundingEffect::TwoClusters(..) => out.push(Output::Stopped("two clusters serve")),
                FoundingEffect::Differs(_) => out.push(Output::Stopped("another configuration")),
                FoundingEffect::StartAnew => out.push(Output::Stopped("start anew")),
            }
        }
    }

    fn follow_keeper(&mut self, effects: Vec<KeeperEffect>, now: Moment, out: &mut Vec<Output>) {
        if let Stage::Serving(serving) = &self.stage
            && effects.contains(&KeeperEffect::Keep)
        {
            out.push(Output::Keep(Box::new(serving.keeper.vote())));
        }
        for effect in effects {
            match effect {
                KeeperEffect::Keep => {}
                KeeperEffect::Proved(node) => {
                    let mut effects = Vec::new();
                    if let Stage::Serving(serving) = &mut self.stage {
                        serving.host.handle_proof(node, now, &mut effects);
                    }
                    self.follow_host(effects, now, out);
                }
                KeeperEffect::Seek(node) => out.push(Output::Seek(node)),
                KeeperEffect::Send(to, message) => out.push(Output::Send(to, Packet::Keeper(message))),
                KeeperEffect::Installed(view) => self.install(&view, now, out),
                KeeperEffect::Refused(_) => out.push(Output::Stopped("refused")),
                KeeperEffect::RecoveryEnded(ended) => out.push(Output::Recovered(ended)),
                KeeperEffect::LeftBehind(_) => out.push(Output::Stopped("left behind")),
            }
        }
    }

    fn follow_host(&mut self, effects: Vec<Effect>, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        for effect in effects {
            match effect {
                Effect::Frame { to, frame } => {
                    if self.together.iter().any(|recent| recent.is_parted_in(&frame)) {
                        out.push(Output::Reached("a commit of several sessions met a cursor between them"));
                    }
                    out.push(Output::Send(to, Packet::Frame(frame)));
                }
                Effect::Ack { to, stream, ack } => {
                    serving.grants.give(to, now, serving.host.settings().lease);
                    out.push(Output::Send(to, Packet::Ack(stream, ack)));
                }
                Effect::NeedsView { of, .. } => {
                    let have = serving.keeper.view().number;
                    let fetch = ChainMessage::Fetch { have };
                    out.push(Output::Send(of, Packet::Keeper(KeeperMessage::Chain(fetch))));
                }
                Effect::Release(token) => match self.promised.remove(&token) {
                    Some(Promised::Answer(client, attempt, told)) => {
                        out.push(Output::Answer(client, attempt, Answer::Done(told)));
                    }
                    Some(Promised::End(session, reply)) => out.push(Output::Ended(session, token, reply)),
                    None => {}
                },
                Effect::Told(token) => {
                    self.promised.remove(&token);
                }
                Effect::Done { call, reply, .. } => {
                    let (client, attempt) = sessions::asked(call);
                    out.push(Output::Reached("a backup told a client that its command was done"));
                    out.push(Output::Answer(client, attempt, Answer::Done(decode_told(&reply))));
                }
                Effect::Fail(token, Broken::Deposed) => {
                    if let Some(Promised::Answer(client, attempt, ..)) = self.promised.remove(&token) {
                        out.push(Output::Answer(client, attempt, Answer::Unknown));
                    }
                }
                Effect::Wish(wish) => {
                    out.push(Output::Wished(wish.change));
                    serving.keeper.wish(*wish);
                }
                Effect::Confirm(node) => {
                    if let Some(ping) = serving.monitor.ask(node, now, serving.keeper.view().number) {
                        out.push(Output::Send(node, Packet::Ping(ping)));
                    }
                }
                Effect::ToBackup { .. } | Effect::Serving { .. } | Effect::SteppedDown(_) => {}
            }
        }
    }
}
