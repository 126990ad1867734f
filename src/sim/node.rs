//! One simulated node: the pure rooms wired together as the runtime wires them, with a clock of its own.
//!
//! It takes packets, ticks and proofs, and gives packets and replies. It holds no queue and knows no other node's clock. The
//! session it hosts is a register that keeps every value ever written, so that a finished run can be judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::check::{Action, Register, Reply};
use crate::{
    id::{ClusterId, NodeId, RequestId, SessionKey},
    membership::{
        ChainMessage, Founding, FoundingEffect, FoundingPlan, Hearing, Keeper, KeeperEffect, KeeperMessage,
        KeeperSettings, Member, Monitor, MonitorSettings, Ping, Pong, View, answer_as_serving, targets,
    },
    moment::Moment,
    replication::{
        Body, Broken, Durability, Effect, Frame, Grants, Host, Known, LinkAck, NotHere, Record, ReplicationSettings,
        ReplyEntry, SessionChange, Token,
    },
};

/// What travels between simulated processes.
#[derive(Clone, Debug)]
pub enum Packet {
    /// Between view keepers.
    Keeper(KeeperMessage),
    /// A heartbeat.
    Ping(Ping),
    /// Its answer.
    Pong(Pong),
    /// Replication.
    Frame(Frame),
    /// Its acknowledgement: which stream, and what.
    Ack(u16, LinkAck),
}

/// A client's request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which client.
    pub client: u32,
    /// Which of its tries; the answer carries it back.
    pub attempt: u64,
    /// Which session.
    pub session: u32,
    /// What to do.
    pub action: Action,
    /// Its identity over retries.
    pub id: RequestId,
}

/// A node's answer to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, with this reply.
    Done(Reply),
    /// Not executed here: ask that node, or anyone a little later.
    Retry(Option<NodeId>),
    /// It may have been executed; ask again with the same identity.
    Unknown,
    /// It may have been executed, and nobody remembers: do not ask again.
    TooOld,
    /// The session was lost with its last copy.
    Lost,
}

/// What a node wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a packet.
    Send(NodeId, Packet),
    /// Answer a client's attempt.
    Answer(u32, u64, Answer),
    /// It installed a view.
    Installed(Arc<View>),
    /// It cannot go on under this id: it starts anew, or was refused.
    Stopped(&'static str),
}

#[derive(Debug)]
struct Serving {
    keeper: Keeper,
    monitor: Monitor,
    host: Host,
    grants: Grants,
}

#[derive(Debug)]
enum Stage {
    Founding(Box<Founding>),
    Serving(Box<Serving>),
}

/// One process.
#[derive(Debug)]
pub struct SimNode {
    member: Member,
    stage: Stage,
    replication: ReplicationSettings,
    pending: BTreeMap<Token, (u32, u64, Reply)>,
    next_token: u64,
}

impl SimNode {
    /// A process that starts blank.
    #[must_use]
    pub fn start(member: Member, plan: FoundingPlan, cluster: ClusterId, replication: ReplicationSettings) -> Self {
        let stage = Stage::Founding(Box::new(Founding::new(member.clone(), plan, cluster)));
        Self { member, stage, replication, pending: BTreeMap::new(), next_token: 0 }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.member.node
    }

    /// The view it has installed.
    #[must_use]
    pub fn view(&self) -> Option<&Arc<View>> {
        match &self.stage {
            Stage::Serving(serving) => Some(serving.keeper.view()),
            _ => None,
        }
    }

    /// Its arcs.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match &self.stage {
            Stage::Serving(serving) => Some(&serving.host),
            _ => None,
        }
    }

    /// Looks after whatever is due.
    pub fn tick(&mut self, connected: &BTreeSet<NodeId>, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        match &mut self.stage {
            Stage::Founding(founding) => {
                let mut effects = Vec::new();
                founding.tick(connected, now, &mut effects);
                self.follow_founding(effects, now, out);
            }
            Stage::Serving(serving) => {
                let number = serving.keeper.view().number;
                let beat = serving.monitor.tick(now, number, true);
                for (peer, ping) in beat.pings {
                    out.push(Output::Send(peer, Packet::Ping(ping)));
                }
                serving.hear();
                let mut keeping = Vec::new();
                serving.keeper.tick(now, jitter, &mut keeping);
                let mut effects = Vec::new();
                serving.host.tick(now, &mut effects);
                self.follow_keeper(keeping, now, out);
                self.follow_host(effects, now, out);
            }
        }
        self.flush(now, out);
    }

    /// A peer is proved dead.
    pub fn handle_proof(&mut self, node: NodeId, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        let (mut keeping, mut effects) = (Vec::new(), Vec::new());
        serving.keeper.handle_proof(node, now, jitter, &mut keeping);
        serving.host.handle_proof(node, now, &mut effects);
        self.follow_keeper(keeping, now, out);
        self.follow_host(effects, now, out);
        self.flush(now, out);
    }

    /// A connection to a peer was closed.
    pub fn handle_closed(&mut self, node: NodeId, now: Moment) {
        if let Stage::Serving(serving) = &mut self.stage {
            serving.monitor.hint(node, now);
        }
    }

    /// Takes a packet of a peer.
    pub fn handle(&mut self, from: NodeId, packet: Packet, jitter: Duration, now: Moment, out: &mut Vec<Output>) {
        match (&mut self.stage, packet) {
            (Stage::Founding(founding), Packet::Keeper(KeeperMessage::Founding(message))) => {
                let mut effects = Vec::new();
                founding.handle(from, message, now, &mut effects);
                self.follow_founding(effects, now, out);
            }
            (Stage::Founding(founding), Packet::Keeper(KeeperMessage::Chain(ChainMessage::Decided(view)))) => {
                let mut effects = Vec::new();
                founding.handle_decided(view, &mut effects);
                self.follow_founding(effects, now, out);
            }
            (Stage::Serving(serving), packet) => {
                let (mut keeping, mut effects) = (Vec::new(), Vec::new());
                serving.handle(from, packet, jitter, now, &mut keeping, &mut effects, out);
                self.follow_keeper(keeping, now, out);
                self.follow_host(effects, now, out);
            }
            _ => {}
        }
        self.flush(now, out);
    }

    /// Takes a client's request.
    pub fn handle_request(&mut self, request: &Request, now: Moment, out: &mut Vec<Output>) {
        let answer = |answer| Output::Answer(request.client, request.attempt, answer);
        let Stage::Serving(serving) = &mut self.stage else {
            out.push(answer(Answer::Retry(None)));
            return;
        };
        let key = session_key(request.session);
        let arc = key.arc(serving.keeper.view().shape.arcs);
        let primary = match serving.host.serve(arc) {
            Ok(primary) => primary,
            Err(NotHere::Elsewhere { primary, .. }) => {
                out.push(answer(Answer::Retry(Some(primary))));
                return;
            }
            Err(_) => {
                out.push(answer(Answer::Retry(None)));
                return;
            }
        };
        let record = primary.store().get(&key);
        let lost = primary.lost_at().is_some() && record.is_none();
        let replies = record.and_then(|r| r.replies.as_ref());
        let limits = &self.replication.replies;
        let known = replies.map_or(Known::New, |table| table.look_up(&request.id, limits, now));
        let token = Token(self.next_token);
        self.next_token += 1;
        let mut effects = Vec::new();
        match known {
            Known::Answered(number, reply) => {
                self.pending.insert(token, (request.client, request.attempt, decode_reply(&reply)));
                serving.host.answer(arc, number, token, now, &mut effects);
            }
            Known::TooOld => out.push(answer(Answer::TooOld)),
            Known::Full => out.push(answer(Answer::Retry(None))),
            Known::New if lost => out.push(answer(Answer::Lost)),
            Known::New => {
                let values = record.map(values_of).unwrap_or_default();
                let before = register_of(&values);
                let version = record.map(|r| r.version).unwrap_or_default();
                let (after, reply) = request.action.apply(before);
                self.pending.insert(token, (request.client, request.attempt, reply));
                if request.action == Action::Read {
                    serving.host.answer(arc, version, token, now, &mut effects);
                } else {
                    // A command that changed nothing is remembered too: its repetition might find something to change.
                    let entry = ReplyEntry { request: request.id, reply: encode_reply(reply) };
                    let body = if after == before { Body::Unchanged } else { body_for(&values, after.value) };
                    let change = SessionChange { key, body, reply: Some(entry) };
                    serving.host.append(arc, vec![change], token, Durability::Sync, now, &mut effects);
                }
            }
        }
        self.follow_host(effects, now, out);
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
        let me = self.member.node;
        let mut monitor = Monitor::new(me, MonitorSettings::default(), now);
        monitor.watch(&view.members.iter().map(|m| m.node).collect(), now);
        let host = Host::new(me, Arc::clone(&view), 0, 1, 8 << 20, self.replication.clone());
        let keeper = Keeper::new(self.member.clone(), Arc::clone(&view), KeeperSettings::default(), now);
        self.stage = Stage::Serving(Box::new(Serving { keeper, monitor, host, grants: Grants::default() }));
        self.install(&view, now, out);
    }

    fn install(&mut self, view: &Arc<View>, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        serving.watch(now);
        let mut effects = Vec::new();
        serving.host.install(Arc::clone(view), &targets(view), &serving.grants, now, &mut effects);
        out.push(Output::Installed(Arc::clone(view)));
        self.follow_host(effects, now, out);
    }

    fn follow_founding(&mut self, effects: Vec<FoundingEffect>, now: Moment, out: &mut Vec<Output>) {
        for effect in effects {
            match effect {
                FoundingEffect::Send(to, message) => out.push(Output::Send(to, Packet::Keeper(message))),
                FoundingEffect::Founded(view) | FoundingEffect::Join(view) => self.serve(view, now, out),
                FoundingEffect::TwoClusters(..) => out.push(Output::Stopped("two clusters serve")),
                FoundingEffect::StartAnew => out.push(Output::Stopped("start anew")),
            }
        }
    }

    fn follow_keeper(&mut self, effects: Vec<KeeperEffect>, now: Moment, out: &mut Vec<Output>) {
        for effect in effects {
            match effect {
                KeeperEffect::Send(to, message) => out.push(Output::Send(to, Packet::Keeper(message))),
                KeeperEffect::Installed(view) => self.install(&view, now, out),
                KeeperEffect::Refused(_) => out.push(Output::Stopped("refused")),
            }
        }
    }

    fn follow_host(&mut self, effects: Vec<Effect>, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        for effect in effects {
            match effect {
                Effect::Frame { to, frame } => out.push(Output::Send(to, Packet::Frame(frame))),
                Effect::Ack { to, stream, ack } => {
                    serving.grants.give(to, now, serving.host.settings().lease);
                    out.push(Output::Send(to, Packet::Ack(stream, ack)));
                }
                Effect::NeedsView { of, .. } => {
                    let have = serving.keeper.view().number;
                    let fetch = ChainMessage::Fetch { have };
                    out.push(Output::Send(of, Packet::Keeper(KeeperMessage::Chain(fetch))));
                }
                Effect::Release(token) => {
                    if let Some((client, attempt, reply)) = self.pending.remove(&token) {
                        out.push(Output::Answer(client, attempt, Answer::Done(reply)));
                    }
                }
                Effect::Fail(token, Broken::Deposed) => {
                    if let Some((client, attempt, _)) = self.pending.remove(&token) {
                        out.push(Output::Answer(client, attempt, Answer::Unknown));
                    }
                }
                Effect::Wish(wish) => serving.keeper.wish(wish),
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

impl Serving {
    fn hear(&mut self) {
        let members = self.keeper.view().members.iter().map(|m| m.node);
        let joining = self.keeper.joining().map(|(n, _)| n);
        let heard = members.chain(joining);
        let installed = heard.filter_map(|n| Some((n, self.monitor.installed_of(n)?.0))).collect();
        self.keeper.hear(Hearing { hears: self.monitor.hears(), suspects: self.monitor.suspects(), installed });
    }

    fn watch(&mut self, now: Moment) {
        let members = self.keeper.view().members.iter().map(|m| m.node);
        let watched = members.chain(self.keeper.joining().map(|(n, _)| n)).collect();
        self.monitor.watch(&watched, now);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one delivery")]
    fn handle(
        &mut self,
        from: NodeId,
        packet: Packet,
        jitter: Duration,
        now: Moment,
        keeping: &mut Vec<KeeperEffect>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        let number = self.keeper.view().number;
        match packet {
            Packet::Keeper(KeeperMessage::Founding(message)) => {
                if let Some(answer) = answer_as_serving(self.keeper.view(), &message) {
                    out.push(Output::Send(from, Packet::Keeper(KeeperMessage::Founding(answer))));
                }
            }
            Packet::Keeper(message) => {
                let joins = matches!(message, KeeperMessage::Join(_));
                self.hear();
                self.keeper.handle(from, message, now, jitter, keeping);
                if joins {
                    self.watch(now);
                }
            }
            Packet::Ping(ping) => {
                if let Some(pong) = self.monitor.handle_ping(from, &ping, now, number, number) {
                    self.grants.give(from, now, self.host.settings().lease);
                    out.push(Output::Send(from, Packet::Pong(pong)));
                }
                self.keeper.handle_installed(from, ping.installed, now, keeping);
            }
            Packet::Pong(pong) => {
                if let Some(answered) = self.monitor.handle_pong(from, &pong, now) {
                    self.host.handle_grant(from, answered.sent, answered.stamp, now, effects);
                    self.host.handle_installed(from, answered.installed, now, effects);
                }
                self.keeper.handle_installed(from, pong.installed, now, keeping);
            }
            Packet::Frame(frame) => self.host.handle_frame(from, frame, now, effects),
            Packet::Ack(stream, ack) => self.host.handle_ack(from, stream, &ack, now, effects),
        }
    }
}

/// The key of a simulated session.
#[must_use]
pub fn session_key(session: u32) -> SessionKey {
    SessionKey::new("register", session.to_string().as_bytes()).expect("short")
}

/// Every value ever written to a session, in order; a deletion is written as zero.
#[must_use]
pub fn values_of(record: &Record) -> Vec<u64> {
    let bytes = record.image.iter().chain(&record.events).flat_map(|b| b.chunks_exact(8));
    bytes.map(|b| u64::from_be_bytes(b.try_into().expect("chunks of eight"))).collect()
}

/// What a session with these values shows.
#[must_use]
pub fn register_of(values: &[u64]) -> Register {
    Register { value: values.last().copied().filter(|v| *v != 0), version: values.len() as u64 }
}

/// Events most of the time, and an image now and then, so that both ways of keeping state are exercised.
fn body_for(values: &[u64], value: Option<u64>) -> Body {
    let event = Bytes::copy_from_slice(&value.unwrap_or(0).to_be_bytes());
    let whole = || values.iter().flat_map(|v| v.to_be_bytes()).chain(event.iter().copied()).collect::<Bytes>();
    match values.len() % 5 {
        0 => Body::Image { bytes: whole(), state_version: 1 },
        3 => Body::Events { events: vec![event.clone()], image: Some(whole()), state_version: 1 },
        _ => Body::Events { events: vec![event], image: None, state_version: 1 },
    }
}

fn encode_reply(reply: Reply) -> Bytes {
    [reply.value.unwrap_or(0).to_be_bytes(), reply.version.to_be_bytes()].concat().into()
}

fn decode_reply(bytes: &Bytes) -> Reply {
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("sixteen bytes"));
    Reply { value: Some(number(0)).filter(|v| *v != 0), version: number(8) }
}
