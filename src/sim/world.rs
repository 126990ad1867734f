//! One simulated run: nodes, clients, a network, faults, and one queue of events over virtual time.
//!
//! It wires and delivers; what a run means is judged in `run`. Everything random comes from named streams of one seed, and
//! nothing else is consulted, so the same seed gives the same run. `clients`, `faults`, `deeds`, `cuts`, `operator` and `watch` are
//! its sub-behaviours: what callers do, what goes wrong, and what is noted about views.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Write as _, stderr},
    sync::Arc,
    time::Duration,
};

use super::{
    check::{History, Loss, OneDecision, OperationNumber, Violation},
    client::Client,
    clock::Clock,
    fault::{Fault, Whom},
    hosting::{Answered, CallNumber},
    network::Network,
    node::SimNode,
    packet::{Answer, Output, Packet, Request},
    queue::Queue,
    random::{Stream, Streams},
    record::Record,
    register::session_key,
    run::{Marks, Noted, Setting, is_mark},
    scenario::{Deed, Holds},
    trace::Trace,
};
use crate::{
    id::{ArcId, ClusterId, Incarnation, NodeId, NodeName, RequestId, ViewNumber},
    membership::{ChainMessage, FoundingMessage, KeeperMessage, RecoveryFault, View, Vote, WishedChange},
    moment::Moment,
    replication::Token,
};

use expiries::{Ending, Written};

mod clients;
mod cuts;
mod deeds;
mod expiries;
mod faults;
mod operator;
mod watch;

/// How often a node looks after what is due.
const TICK: Duration = Duration::from_millis(10);
/// Events of one run; a run that needs more is broken.
const EVENTS_MAX: u64 = 3_000_000;
/// Packets kept for a paused process, as a socket would keep them.
const WAITING_MAX: usize = 10_000;

/// What happens at some time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node looks after what is due.
    Tick(NodeId),
    /// A packet arrives.
    Packet(NodeId, NodeId, Box<Packet>),
    /// A client's request arrives.
    Request(NodeName, Box<Request>),
    /// An answer arrives.
    Answer(u32, u64, Answer),
    /// A client begins its next operation.
    Next(u32),
    /// A client's try is given up.
    TryOver(u32, u64),
    /// A client's try was refused: it asks somebody else.
    Elsewhere(u32, u64),
    /// A node sees that a connection to another was closed.
    Closed(NodeId, NodeId),
    /// A node has proof of another's death.
    Proof(NodeId, NodeId),
    /// A fault, or its end.
    Fault(Fault),
    /// A step of a scenario.
    Deed(Box<Deed>),
}

#[derive(Debug)]
struct Process {
    node: SimNode,
    paused: bool,
    /// What arrived while it was paused.
    waiting: Vec<Event>,
    /// When it stopped, and who lived within its reach then, until it has looked about after that.
    slept: Option<(u64, BTreeSet<NodeId>)>,
    clock: Clock,
    /// Chance of its own, so that what happens to others changes nothing here.
    chance: Stream,
}

impl Process {
    /// What its own clock shows.
    fn local(&self, now: u64) -> Moment {
        self.clock.shows(now)
    }

    fn jitter(&mut self) -> Duration {
        Duration::from_micros(self.chance.range(0, 20_000))
    }
}

/// One node's data directory.
#[derive(Debug)]
struct Disk {
    voter: Incarnation,
    processes: Vec<NodeId>,
    vote: Option<Vote>,
}

/// One run in progress.
#[derive(Debug)]
pub(crate) struct World {
    setting: Setting,
    streams: Streams,
    /// For what the setting does to everybody: kills on a wish, on a founding, on a vote.
    chance: Stream,
    network: Network,
    now: u64,
    queue: Queue<Event>,
    handled: u64,
    trace: bool,
    names: Vec<NodeName>,
    processes: BTreeMap<NodeName, Process>,
    /// How many processes each name has had.
    started: BTreeMap<NodeName, u32>,
    alive: BTreeSet<NodeId>,
    /// What is left of processes whose votes outlive them.
    disks: BTreeMap<NodeName, Disk>,
    /// Kills and pauses that found their victim.
    struck: u64,
    clients: Vec<Client>,
    /// The sessions of each arc, where some are called together.
    of_arc: BTreeMap<ArcId, Vec<u32>>,
    /// Calls of several sessions: their operations.
    pub(crate) together: Vec<Vec<OperationNumber>>,
    order: u64,
    /// What clients were told.
    pub(crate) history: History,
    /// When each session was last used by an operation that was answered: the time it was asked.
    uses: BTreeMap<u32, u64>,
    /// When each value was asked to be written, and when that was answered, where sessions end.
    written: BTreeMap<u64, Written>,
    /// Ends of sessions on their way, by who appended them.
    endings: BTreeMap<(NodeId, Token), Ending>,
    /// When arcs lost every copy, and which of them was seen to begin anew, by the view that called it lost.
    losses: BTreeMap<ArcId, Vec<Loss>>,
    begun_anew: BTreeSet<(ArcId, ViewNumber)>,
    /// No view twice.
    decisions: OneDecision,
    /// The clusters that any process was in: who, and whether a caller was answered there.
    clusters: BTreeMap<ClusterId, BTreeSet<NodeId>>,
    /// Which cluster went on as which.
    successors: BTreeMap<ClusterId, ClusterId>,
    answered: bool,
    /// Processes that gave up their founding and started anew.
    gave_up: BTreeSet<NodeId>,
    /// The newest view that anyone installed.
    pub(crate) newest: Option<Arc<View>>,
    /// What is noted down of it, for people and for expectations.
    pub(crate) record: Record,
    /// Which call of a user's type wrote a value, and what callers of them were told.
    pub(crate) called: BTreeMap<u64, (CallNumber, RequestId)>,
    pub(crate) told: Vec<Answered>,
    /// When copies are laid beside their primaries next.
    copies_due: u64,
    /// What was wrong during the run, before anything was judged.
    pub(crate) wrong: Vec<Violation>,
    /// Interesting branches reached.
    pub(crate) marks: Marks,
}

impl World {
    /// A world where nothing has happened and nothing runs yet.
    #[must_use]
    pub(crate) fn new(seed: u64, setting: Setting, trace: bool) -> Self {
        let streams = Streams::new(seed);
        let names = setting.names();
        Self {
            streams,
            chance: streams.stream("world"),
            network: Network::new(streams, names.clone(), setting.weather),
            now: 0,
            queue: Queue::new(),
            handled: 0,
            trace,
            names,
            processes: BTreeMap::new(),
            started: BTreeMap::new(),
            alive: BTreeSet::new(),
            disks: BTreeMap::new(),
            struck: 0,
            clients: (0..setting.clients).map(|number| client(number, streams)).collect(),
            of_arc: of_arc(&setting),
            together: Vec::new(),
            order: 0,
            history: History::new(200_000),
            uses: BTreeMap::new(),
            written: BTreeMap::new(),
            endings: BTreeMap::new(),
            losses: BTreeMap::new(),
            begun_anew: BTreeSet::new(),
            decisions: OneDecision::default(),
            clusters: BTreeMap::new(),
            successors: BTreeMap::new(),
            answered: false,
            gave_up: BTreeSet::new(),
            newest: None,
            record: Record::default(),
            called: BTreeMap::new(),
            told: Vec::new(),
            copies_due: 0,
            wrong: Vec::new(),
            marks: Marks::new(),
            setting,
        }
    }

    /// From now on, so much of the run is noted down under this title.
    pub(crate) fn begin_record(&mut self, noted: Noted, title: &str, about: &str) {
        self.record.messages = noted == Noted::Messages;
        self.record.trace = (noted != Noted::Nothing).then(|| {
            Box::new(Trace {
                title: title.to_owned(),
                about: about.to_owned(),
                engine: "simulator".to_owned(),
                nodes: self.names.iter().map(NodeName::to_string).collect(),
                arcs: self.setting.arcs,
                ..Trace::default()
            })
        });
    }

    /// Every session that may have been called.
    pub(crate) fn sessions(&self) -> Vec<u32> {
        match self.setting.hosted {
            None => (0..self.setting.sessions).collect(),
            // Whoever draws the calls says which sessions there are.
            Some(_) => {
                let called: BTreeSet<u32> = self.history.operations().iter().map(|o| o.session).collect();
                called.into_iter().collect()
            }
        }
    }

    /// An expectation was looked at.
    pub(crate) fn note_expected(&mut self, holds: &Holds, met: bool) {
        self.record.expected(self.now, holds.to_string(), met);
    }

    /// What the run was set to.
    #[must_use]
    pub(crate) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Virtual time.
    #[must_use]
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Events handled so far.
    #[must_use]
    pub(crate) fn handled(&self) -> u64 {
        self.handled
    }

    /// The node that runs under a name.
    #[must_use]
    pub(crate) fn node(&self, name: NodeName) -> Option<&SimNode> {
        self.processes.get(&name).map(|p| &p.node)
    }

    /// Counts an interesting branch.
    pub(crate) fn mark(&mut self, what: &'static str) {
        debug_assert!(is_mark(what), "`{what}` is in neither list of marks, so no scenario could expect it");
        self.record.mark(self.now, what);
        *self.marks.entry(what).or_default() += 1;
    }

    /// Schedules an event `after` now.
    pub(crate) fn at(&mut self, after: Duration, event: Event) {
        self.queue.push(self.now + nanos(after), event);
    }

    /// Runs until this much virtual time has passed.
    pub(crate) fn run_until(&mut self, until: Duration) {
        while self.step(until) {}
        self.now = self.now.max(nanos(until));
    }

    /// Handles the next event, unless none is due until then.
    pub(crate) fn step(&mut self, until: Duration) -> bool {
        let Some((at, event)) = self.queue.pop(nanos(until)) else { return false };
        self.now = at;
        self.handled += 1;
        if self.handled > EVENTS_MAX {
            self.violated("event cap", format_args!("more than {EVENTS_MAX}; something sends without end"));
            return false;
        }
        if self.trace && !matches!(event, Event::Tick(_) | Event::Next(_) | Event::TryOver(..)) {
            // Who reads only the beginning, as `head` does, has closed the pipe on purpose.
            let _ = writeln!(stderr(), "{:>10.3} {event:?}", at as f64 / 1e6);
        }
        self.handle(event);
        self.look_at_copies();
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Tick(id) => {
                self.tick(id);
                self.end_if_left(id);
                self.look_after_losses();
            }
            Event::Packet(_, to, _) => self.deliver(to, event),
            Event::Closed(at, _) | Event::Proof(at, _) => self.deliver(at, event),
            Event::Request(name, request) => {
                let Some(process) = self.processes.get_mut(&name) else {
                    // Nobody listens there, and the caller's connection is refused.
                    let delay = self.clients[request.client as usize].delay();
                    self.at(delay, Event::Answer(request.client, request.attempt, Answer::Refused));
                    return;
                };
                if process.paused {
                    process.waiting.push(Event::Request(name, request));
                    return;
                }
                let now = process.local(self.now);
                let mut out = Vec::new();
                process.node.handle_request(&request, now, &mut out);
                let id = process.node.id();
                self.follow(id, out);
            }
            Event::Next(client) => self.begin_drawn(client),
            Event::TryOver(client, attempt) => {
                if self.tries(client, attempt) {
                    self.mark("a client's try timed out");
                    self.send_request(client, None);
                }
            }
            Event::Elsewhere(client, attempt) => {
                if self.tries(client, attempt) {
                    self.send_request(client, None);
                }
            }
            Event::Answer(client, attempt, answer) => self.answer(client, attempt, answer),
            Event::Fault(fault) => self.strike(fault),
            Event::Deed(deed) => self.perform(&deed),
        }
    }

    /// Hands a process what is meant for it, unless it is gone or another; keeps it while it is paused.
    fn deliver(&mut self, to: NodeId, event: Event) {
        let Some(process) = self.processes.get_mut(&to.name).filter(|p| p.node.id() == to) else { return };
        if process.paused {
            if process.waiting.len() < WAITING_MAX {
                process.waiting.push(event);
            }
            return;
        }
        let now = process.local(self.now);
        let jitter = process.jitter();
        let mut out = Vec::new();
        match event {
            Event::Packet(from, _, packet) => process.node.handle(from, *packet, jitter, now, &mut out),
            Event::Closed(_, of) => process.node.handle_closed(of, now),
            Event::Proof(_, of) => process.node.handle_proof(of, jitter, now, &mut out),
            _ => {}
        }
        self.follow(to, out);
    }

    fn tick(&mut self, id: NodeId) {
        let Some(process) = self.processes.get(&id.name).filter(|p| p.node.id() == id) else { return };
        let asks = process.node.asks_around(process.local(self.now));
        let connected = if asks { self.reachable_from(id) } else { BTreeSet::new() };
        let mut out = Vec::new();
        if let Some(process) = self.processes.get_mut(&id.name).filter(|p| !p.paused) {
            let now = process.local(self.now);
            let jitter = process.jitter();
            process.node.tick(&connected, jitter, now, &mut out);
        }
        self.follow(id, out);
        self.judge_waking(id);
        self.at(TICK, Event::Tick(id));
    }

    /// A process stops, and its clock goes on.
    fn put_to_sleep(&mut self, name: NodeName) {
        let Some(id) = self.processes.get(&name).map(|p| p.node.id()) else { return };
        let around = self.within_reach(id);
        let Some(process) = self.processes.get_mut(&name) else { return };
        let suspected = process.node.suspects();
        process.paused = true;
        process.slept = Some((self.now, around.difference(&suspected).copied().collect()));
        self.record.paused(self.now, name, true);
    }

    /// Who lives, is awake, and can be talked to both ways.
    fn within_reach(&mut self, id: NodeId) -> BTreeSet<NodeId> {
        let awake =
            |n: &NodeId, processes: &BTreeMap<NodeName, Process>| processes.get(&n.name).is_some_and(|p| !p.paused);
        self.reachable_from(id).into_iter().filter(|n| awake(n, &self.processes)).collect()
    }

    fn reachable_from(&mut self, id: NodeId) -> BTreeSet<NodeId> {
        let network = &mut self.network;
        self.alive.iter().copied().filter(|n| *n != id && network.connected(id.name, n.name)).collect()
    }

    /// Carries out what a process asks for.
    fn follow(&mut self, from: NodeId, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(to, packet) => {
                    if matches!(&packet, Packet::Ack(_, ack) if ack.refused) {
                        self.mark("a frame of a deposed primary was refused");
                    }
                    self.overhear(from, to, &packet);
                    let (first, again) = self.network.arrivals(from.name, to.name, || packet.size(), self.now);
                    self.record.sent(self.now, from.name, to.name, &packet, first);
                    if let Some(delay) = again {
                        self.at(delay, Event::Packet(from, to, Box::new(packet.clone())));
                    }
                    if let Some(delay) = first {
                        self.at(delay, Event::Packet(from, to, Box::new(packet)));
                    }
                }
                Output::Answer(client, attempt, answer) => {
                    let delay = self.clients[client as usize].delay();
                    self.at(delay, Event::Answer(client, attempt, answer));
                }
                Output::Ending(session, token, decided) => self.ending(from, session, token, decided),
                Output::Ended(session, token, reply) => self.ended(from, session, token, reply),
                Output::Found(session, decided, by_copy) => self.found(from, session, decided, by_copy),
                Output::Reached(branch) => self.mark(branch),
                Output::Wished(change) => self.wished(from, change),
                Output::Installed(view) => self.installed(from, view),
                Output::Keep(vote) => self.keep(from, *vote),
                Output::Seek(of) => self.look_for(from, of),
                Output::Recovered(Ok(_)) => self.mark("a cluster went on as its successor"),
                Output::Recovered(Err(why)) => self.mark(match why {
                    RecoveryFault::Declined(..) => "a recovery was declined: there is a quorum",
                    RecoveryFault::NotReached(_) => "a recovery was not answered",
                    RecoveryFault::UnderWay => "a recovery was under way",
                    RecoveryFault::NotNamed(_) => "a recovery without whom it was asked of",
                    _ => "a recovery came to nothing",
                }),
                Output::Stopped(why) => {
                    self.mark(why);
                    self.gave_up.insert(from);
                    self.end_process(from.name, "gave up");
                    self.at(Duration::from_millis(200), Event::Fault(Fault::Start(from.name)));
                }
            }
        }
    }

    fn keep(&mut self, of: NodeId, vote: Vote) {
        if let Some(disk) = self.disks.get_mut(&of.name) {
            let vote = if self.setting.forget_votes { Vote { promised: None, accepted: None, ..vote } } else { vote };
            disk.vote = Some(vote);
        }
    }

    /// A proposer says what was decided; in some runs nobody hears it: it is gone at that moment, for long, and all who accepted
    /// die with it and come back at once. Only what they have stored can tell them that a view is decided already.
    fn disturb_vote(&mut self, proposer: NodeId) {
        if !self.chance.chance(self.setting.kill_on_vote) {
            return;
        }
        self.mark("a decided view that nobody heard of");
        for name in self.names.clone() {
            if name == proposer.name {
                let down = self.chance.duration(Duration::from_millis(1_500), Duration::from_millis(3_000));
                self.at(Duration::ZERO, Event::Fault(Fault::Vanish(Whom::Named(name), down)));
            } else {
                let soon = self.chance.duration(Duration::ZERO, Duration::from_millis(1));
                let down = self.chance.duration(Duration::from_millis(1), Duration::from_millis(100));
                self.at(soon, Event::Fault(Fault::Kill(Whom::Named(name), down)));
            }
        }
    }

    /// A packet is sent; in some runs a founding is disturbed by the death of whoever says or hears a word of it.
    fn overhear(&mut self, from: NodeId, to: NodeId, packet: &Packet) {
        use FoundingMessage::{Found, FoundAccepted, Founded};
        if let Packet::Keeper(KeeperMessage::Chain(ChainMessage::Decided(_))) = packet {
            self.disturb_vote(from);
        }
        let Packet::Keeper(KeeperMessage::Founding(Found(_) | FoundAccepted(_) | Founded(_))) = packet else { return };
        if !self.chance.chance(self.setting.kill_on_founding) {
            return;
        }
        let victim = if self.chance.chance(0.5) { from } else { to };
        let soon = self.chance.duration(Duration::ZERO, Duration::from_millis(10));
        let down = self.chance.duration(Duration::from_millis(1), Duration::from_millis(600));
        self.mark("a kill during a founding");
        self.at(soon, Event::Fault(Fault::Kill(Whom::Named(victim.name), down)));
    }

    /// A primary has just wished; in some runs somebody dies before the view that would grant it.
    fn wished(&mut self, by: NodeId, change: WishedChange) {
        if !self.chance.chance(self.setting.kill_on_wish) {
            return;
        }
        let concerned = match change {
            WishedChange::Add(node) | WishedChange::Drop { node, .. } | WishedChange::Move(node) => node,
        };
        let victim = if self.chance.chance(0.5) { by } else { concerned };
        let soon = self.chance.duration(Duration::ZERO, Duration::from_millis(60));
        let down = self.chance.duration(Duration::from_millis(100), Duration::from_millis(1_500));
        self.mark("a kill between a wish and its view");
        self.at(soon, Event::Fault(Fault::Kill(Whom::Named(victim.name), down)));
    }
}

/// A caller with streams of chance of its own.
fn client(number: u32, streams: Streams) -> Client {
    Client::new(
        number,
        streams.stream(&format!("client {number}")),
        streams.stream(&format!("taken along by client {number}")),
    )
}

/// The sessions of each arc, if any are to be called together.
fn of_arc(setting: &Setting) -> BTreeMap<ArcId, Vec<u32>> {
    let mut of_arc = BTreeMap::<ArcId, Vec<u32>>::new();
    for session in (0..setting.sessions).filter(|_| setting.together > 0.0) {
        of_arc.entry(session_key(session).arc(setting.arcs)).or_default().push(session);
    }
    of_arc
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("no run is that long")
}
