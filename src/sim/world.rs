//! One simulated run: nodes, clients, a network, faults, and one queue of events over virtual time.
//!
//! It wires and delivers; what a run means is judged in `run`. Everything random comes from named streams of one seed, and
//! nothing else is consulted, so the same seed gives the same run.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    check::{History, OneDecision, Outcome},
    client::{Client, DEADLINE, Next, Running, TRY},
    network::Network,
    node::{Answer, Output, Packet, Request, SimNode},
    random::{Stream, Streams},
    run::Setting,
};
use crate::{
    id::{ClusterId, Incarnation, NodeId, NodeName, ViewNumber},
    membership::{FoundingPlan, Member, Role, Shape, View},
    moment::Moment,
};

/// How often a node looks after what is due.
const TICK: Duration = Duration::from_millis(10);
/// Events of one run; a run that needs more is broken.
const EVENTS_MAX: u64 = 3_000_000;

/// What happens at some time.
#[derive(Debug)]
pub enum Event {
    /// A node looks after what is due.
    Tick(NodeId),
    /// A packet arrives.
    Packet(NodeId, NodeId, Box<Packet>),
    /// A client's request arrives.
    Request(NodeName, Request),
    /// An answer arrives.
    Answer(u32, u64, Answer),
    /// A client begins its next operation.
    Next(u32),
    /// A client's try is given up.
    TryOver(u32, u64),
    /// A node sees that a connection to another was closed.
    Closed(NodeId, NodeId),
    /// A node has proof of another's death.
    Proof(NodeId, NodeId),
    /// A fault, or its end.
    Fault(Fault),
}

/// What goes wrong, by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process ends at once.
    Kill(NodeName),
    /// It starts anew, blank.
    Start(NodeName),
    /// It stops running, its clock goes on.
    Pause(NodeName),
    /// It goes on.
    Resume(NodeName),
    /// Both directions between two groups are cut.
    Split(Vec<NodeName>),
    /// One direction is cut.
    OneWay(NodeName, NodeName),
    /// Every cut is mended.
    Mend,
    /// Everything that is wrong ends; dead nodes are started, paused ones resumed.
    Heal,
}

#[derive(Debug)]
struct Process {
    node: SimNode,
    paused: bool,
    /// What arrived while it was paused.
    waiting: Vec<Event>,
    /// Its clock: this many nanoseconds ahead, and this many parts of a million fast.
    ahead: u64,
    fast: i64,
}

/// Counts of interesting branches that a run reached.
pub type Marks = BTreeMap<&'static str, u64>;

/// One run in progress.
#[derive(Debug)]
pub struct World {
    setting: Setting,
    streams: Streams,
    chance: Stream,
    network: Network,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, Event>,
    scheduled: u64,
    handled: u64,
    processes: BTreeMap<NodeName, Process>,
    alive: BTreeSet<NodeId>,
    starts: u64,
    clients: Vec<Client>,
    /// What clients were told.
    pub history: History,
    /// No view twice.
    pub decisions: OneDecision,
    /// The newest view that anyone installed.
    pub newest: Option<Arc<View>>,
    /// What was wrong during the run, before anything was judged.
    pub wrong: Vec<String>,
    /// Interesting branches reached.
    pub marks: Marks,
    clusters: BTreeSet<ClusterId>,
    order: u64,
}

impl World {
    /// A world where nothing has happened: every node will start, every client will begin.
    #[must_use]
    pub fn new(seed: u64, setting: Setting) -> Self {
        let streams = Streams::new(seed);
        let network = Network::new(Streams::new(seed), setting.weather);
        let mut world = Self {
            chance: streams.stream("world"),
            network,
            now: 0,
            events: BinaryHeap::new(),
            due: BTreeMap::new(),
            scheduled: 0,
            handled: 0,
            processes: BTreeMap::new(),
            alive: BTreeSet::new(),
            starts: 0,
            clients: (0..setting.clients).map(|c| Client::new(c, streams.stream(&format!("client {c}")))).collect(),
            history: History::new(200_000),
            decisions: OneDecision::default(),
            newest: None,
            wrong: Vec::new(),
            marks: Marks::new(),
            clusters: BTreeSet::new(),
            order: 0,
            streams,
            setting,
        };
        for name in world.names() {
            let at = world.chance.duration(Duration::ZERO, Duration::from_millis(300));
            world.at(at, Event::Fault(Fault::Start(name)));
        }
        for client in 0..world.setting.clients {
            let at = Duration::from_millis(700 + u64::from(client));
            world.at(at, Event::Next(client));
        }
        world
    }

    /// The configured names.
    #[must_use]
    pub fn names(&self) -> Vec<NodeName> {
        self.setting.names()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Events handled so far.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// The node that runs under a name.
    #[must_use]
    pub fn node(&self, name: NodeName) -> Option<&SimNode> {
        self.processes.get(&name).map(|p| &p.node)
    }

    /// Whether a process lives.
    #[must_use]
    pub fn lives(&self, node: NodeId) -> bool {
        self.alive.contains(&node)
    }

    /// Schedules an event `after` now.
    pub fn at(&mut self, after: Duration, event: Event) {
        let at = self.now + u64::try_from(after.as_nanos()).expect("short");
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled)));
        self.due.insert(self.scheduled, event);
    }

    /// Runs until this much virtual time has passed.
    pub fn run_until(&mut self, until: Duration) {
        let until = u64::try_from(until.as_nanos()).expect("short");
        while let Some(Reverse((at, number))) = self.events.peek().copied()
            && at <= until
        {
            self.events.pop();
            self.now = at;
            self.handled += 1;
            if self.handled > EVENTS_MAX {
                self.wrong.push(format!("more than {EVENTS_MAX} events: something sends without end"));
                return;
            }
            if let Some(event) = self.due.remove(&number) {
                if tracing() && !matches!(event, Event::Tick(_) | Event::Next(_) | Event::TryOver(..)) {
                    eprintln!("{:>10.3} {event:?}", at as f64 / 1e6);
                }
                self.handle(event);
            }
        }
        self.now = until;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Tick(id) => self.tick(id),
            Event::Packet(from, to, packet) => {
                self.with(to, Event::Packet(from, to, packet));
            }
            Event::Closed(at, of) => self.with(at, Event::Closed(at, of)),
            Event::Proof(at, of) => self.with(at, Event::Proof(at, of)),
            Event::Request(name, request) => {
                let Some(process) = self.processes.get_mut(&name) else { return };
                if process.paused {
                    process.waiting.push(Event::Request(name, request));
                    return;
                }
                let now = local(process, self.now);
                let mut out = Vec::new();
                process.node.handle_request(&request, now, &mut out);
                let id = process.node.id();
                self.follow(id, out);
            }
            Event::Next(client) => self.next(client),
            Event::TryOver(client, attempt) => {
                let waits = |r: &Running| r.request.attempt == attempt;
                if self.clients[client as usize].running.as_ref().is_some_and(waits) {
                    self.mark("a client's try timed out");
                    self.send_request(client, None);
                }
            }
            Event::Answer(client, attempt, answer) => self.answer(client, attempt, answer),
            Event::Fault(fault) => self.fault(&fault),
        }
    }

    /// Hands a process what is meant for it, unless it is gone or another; keeps it while it is paused.
    fn with(&mut self, to: NodeId, event: Event) {
        let Some(process) = self.processes.get_mut(&to.name).filter(|p| p.node.id() == to) else { return };
        if process.paused {
            if process.waiting.len() < 10_000 {
                process.waiting.push(event);
            }
            return;
        }
        let now = local(process, self.now);
        let jitter = Duration::from_micros(self.chance.range(0, 20_000));
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
        let connected: BTreeSet<NodeId> = self
            .alive
            .iter()
            .copied()
            .filter(|n| *n != id && self.network.connected(id.name, n.name) && self.network.connected(n.name, id.name))
            .collect();
        let Some(process) = self.processes.get_mut(&id.name).filter(|p| p.node.id() == id) else { return };
        let jitter = Duration::from_micros(self.chance.range(0, 20_000));
        let mut out = Vec::new();
        if !process.paused {
            let now = local(process, self.now);
            process.node.tick(&connected, jitter, now, &mut out);
        }
        self.follow(id, out);
        self.at(TICK, Event::Tick(id));
    }

    fn follow(&mut self, from: NodeId, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(to, packet) => {
                    if let Packet::Ack(_, ack) = &packet
                        && ack.refused
                    {
                        self.mark("a frame of a deposed primary was refused");
                    }
                    for delay in self.network.arrivals(from.name, to.name) {
                        self.at(delay, Event::Packet(from, to, Box::new(packet.clone())));
                    }
                }
                Output::Answer(client, attempt, answer) => {
                    let delay = Duration::from_micros(self.chance.range(50, 2_000));
                    self.at(delay, Event::Answer(client, attempt, answer));
                }
                Output::Installed(view) => self.installed(from, view),
                Output::Stopped(why) => {
                    self.mark(why);
                    self.kill(from.name);
                    self.at(Duration::from_millis(200), Event::Fault(Fault::Start(from.name)));
                }
            }
        }
    }

    fn installed(&mut self, node: NodeId, view: Arc<View>) {
        let mut hasher = DefaultHasher::new();
        view.hash(&mut hasher);
        if let Err(two) = self.decisions.report(node, view.number, hasher.finish()) {
            self.wrong.push(two.to_string());
        }
        if self.clusters.insert(view.cluster) && self.clusters.len() > 1 {
            self.wrong.push(format!("{node} installed a view of a second cluster {:?}", view.cluster));
        }
        if let Err(fault) = view.check() {
            self.wrong.push(format!("{node} installed {fault}"));
        }
        if self.newest.as_ref().is_none_or(|n| n.number < view.number) {
            self.judge_step(&view);
            self.newest = Some(view);
        }
    }

    /// What one view may do to the one before.
    fn judge_step(&mut self, view: &View) {
        let Some(before) = self.newest.clone() else { return };
        for (arc, entry) in view.entries() {
            let Some(old) = before.arc(arc) else { continue };
            if entry.since != old.since && view.number == before.number.next() && entry.lost_at != Some(view.number) {
                self.mark("a promotion");
                if old.catching_up.is_some() {
                    self.mark("a promotion during a catch-up");
                }
                if !old.in_sync.contains(&entry.primary) {
                    self.wrong
                        .push(format!("view {} promotes {} of arc {arc}, not in sync", view.number, entry.primary));
                }
            }
            if entry.lost_at == Some(view.number) {
                self.mark("an arc lost with its last copy");
                let alive: Vec<NodeId> =
                    [old.primary].iter().chain(&old.in_sync).copied().filter(|n| self.alive.contains(n)).collect();
                if view.number == before.number.next() && !alive.is_empty() {
                    self.wrong.push(format!("arc {arc} was called lost while {alive:?} held it"));
                }
            }
            if entry.in_sync.len() > old.in_sync.len() {
                self.mark("a backup caught up");
            }
        }
    }

    fn next(&mut self, client: u32) {
        if self.now() >= self.setting.clients_until {
            return;
        }
        let request = self.clients[client as usize].draw(self.setting.sessions);
        self.order += 1;
        match self.history.invoke(request.session, client, self.order, request.action) {
            Ok(operation) => {
                let running = Running { operation, request, invoked: self.now, first_attempt: request.attempt };
                self.clients[client as usize].running = Some(running);
                self.send_request(client, None);
            }
            Err(fault) => self.wrong.push(fault.to_string()),
        }
    }

    fn send_request(&mut self, client: u32, told: Option<NodeName>) {
        let names = self.names();
        let now = self.now;
        let it = &mut self.clients[client as usize];
        let Some(running) = &it.running else { return };
        if Duration::from_nanos(now - running.invoked) >= DEADLINE {
            self.end(client, Outcome::Unknown);
            return;
        }
        if let Some((request, contact)) = it.retry(&names, told) {
            let delay = Duration::from_micros(self.chance.range(50, 2_000));
            if !self.chance.chance(self.setting.weather.drop) {
                self.at(delay, Event::Request(contact, request));
            }
            if self.chance.chance(self.setting.weather.duplicate) {
                self.at(delay * 3, Event::Request(contact, request));
            }
            self.at(TRY, Event::TryOver(client, request.attempt));
        }
    }

    fn answer(&mut self, client: u32, attempt: u64, answer: Answer) {
        if answer == Answer::Lost {
            self.mark("a caller was told that its session is lost");
        }
        match self.clients[client as usize].judge(attempt, answer) {
            Next::Ignore => {}
            Next::End(outcome) => self.end(client, outcome),
            Next::Again(Some(told)) => self.send_request(client, Some(told.name)),
            Next::Again(None) => {
                if answer == Answer::Unknown {
                    self.mark("a deposed primary said: outcome unknown");
                }
                // The time-out of this try sends it again.
            }
        }
    }

    fn end(&mut self, client: u32, outcome: Outcome) {
        let it = &mut self.clients[client as usize];
        let Some(running) = it.running.take() else { return };
        let pause = it.pause(self.setting.pause);
        if outcome == Outcome::Unknown {
            self.mark("an outcome stayed unknown");
        }
        self.order += 1;
        if let Err(fault) = self.history.answer(running.operation, self.order, outcome) {
            self.wrong.push(fault.to_string());
        }
        self.at(pause, Event::Next(client));
    }

    /// Counts an interesting branch.
    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    fn fault(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(name) => {
                if self.may_kill(*name) {
                    self.mark("a kill");
                    self.kill(*name);
                }
            }
            Fault::Start(name) => self.start(*name),
            Fault::Pause(name) => {
                if let Some(process) = self.processes.get_mut(name) {
                    process.paused = true;
                }
            }
            Fault::Resume(name) => self.resume(*name),
            Fault::Split(group) => {
                let others: Vec<NodeName> = self.names().into_iter().filter(|n| !group.contains(n)).collect();
                for one in group {
                    for other in &others {
                        self.network.cut(*one, *other);
                        self.network.cut(*other, *one);
                    }
                }
            }
            Fault::OneWay(from, to) => self.network.cut(*from, *to),
            Fault::Mend => self.network.heal(),
            Fault::Heal => {
                self.network.heal();
                self.network.weather.drop = 0.0;
                for name in self.names() {
                    self.resume(name);
                    self.start(name);
                }
            }
        }
    }

    /// Whether the cluster can be expected to go on without a process: a majority of the voters lives, and, unless the run is
    /// one that may lose arcs, so does a copy of every arc.
    fn may_kill(&self, name: NodeName) -> bool {
        let Some(view) = &self.newest else { return true };
        let stays = |n: &NodeId| n.name != name && self.alive.contains(n);
        let voters = view.voters.iter().filter(|v| stays(v)).count();
        let copy_stays = view.arcs.iter().all(|e| stays(&e.primary) || e.in_sync.iter().any(stays));
        voters * 2 > view.voters.len() && (copy_stays || self.setting.may_lose)
    }

    fn start(&mut self, name: NodeName) {
        if self.processes.contains_key(&name) {
            return;
        }
        self.starts += 1;
        let drawn = (u128::from(self.chance.bits()) << 64) | u128::from(self.chance.bits());
        let incarnation = if self.setting.reuse_ids { Incarnation(7) } else { Incarnation(drawn) };
        let member = Member {
            node: NodeId { name, incarnation },
            role: Role::Host,
            zone: None,
            cluster_address: String::new(),
            http_address: None,
            workers: 1,
            kinds: vec![],
        };
        let plan = FoundingPlan { digest: 1, shape: self.shape(), voters: self.names() };
        let cluster = ClusterId(u128::from(self.chance.bits()));
        let node = SimNode::start(member, plan, cluster, self.setting.replication.clone());
        let drift = i64::try_from(self.chance.range(0, 1_000)).expect("small") - 500;
        let ahead = self.chance.range(1, 1 << 44);
        self.alive.insert(node.id());
        let id = node.id();
        self.processes.insert(name, Process { node, paused: false, waiting: Vec::new(), ahead, fast: drift });
        let first = Duration::from_micros(self.chance.range(0, 10_000));
        self.at(first, Event::Tick(id));
    }

    fn shape(&self) -> Shape {
        Shape {
            arcs: self.setting.arcs,
            backups: self.setting.backups,
            spread: 1,
            voters_max: 5,
            agreement: self.setting.agreement,
            ring: self.names(),
        }
    }

    fn kill(&mut self, name: NodeName) {
        let Some(process) = self.processes.remove(&name) else { return };
        let dead = process.node.id();
        self.alive.remove(&dead);
        let others: Vec<NodeId> = self.alive.iter().copied().collect();
        for other in others {
            let seen = self.chance.duration(Duration::from_micros(500), Duration::from_millis(5));
            if self.network.connected(dead.name, other.name) {
                self.at(seen, Event::Closed(other, dead));
            }
            if let Some(proof_within) = self.setting.proof_within {
                let proved = self.chance.duration(Duration::from_millis(1), proof_within);
                self.at(proved, Event::Proof(other, dead));
            }
        }
    }

    fn resume(&mut self, name: NodeName) {
        let Some(process) = self.processes.get_mut(&name) else { return };
        if std::mem::take(&mut process.paused) {
            self.mark("a paused node went on");
            let Some(process) = self.processes.get_mut(&name) else { return };
            for event in std::mem::take(&mut process.waiting) {
                self.at(Duration::from_micros(10), event);
            }
        }
    }

    /// Whether nothing is asked and everything stands: one view everywhere, every arc served and fully protected.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Some(newest) = &self.newest else { return false };
        let everywhere = self.processes.values().all(|p| p.node.view().is_some_and(|v| v.number == newest.number));
        let all_in = self.processes.values().all(|p| newest.is_member(p.node.id()));
        let served = newest.entries().all(|(arc, entry)| {
            let primary = self.node(entry.primary.name).filter(|n| n.id() == entry.primary);
            primary.and_then(SimNode::host).is_some_and(|h| h.serve(arc).is_ok())
        });
        everywhere && all_in && served && newest.fully_protected()
    }

    /// Whether the faults took the majority that could have decided the next view: a view that a killed voter was in may be
    /// decided after the kill was allowed. Nothing can heal then but the operator's word.
    #[must_use]
    pub fn is_beyond_healing(&self) -> bool {
        let Some(view) = &self.newest else { return false };
        let living = view.voters.iter().filter(|v| self.alive.contains(v)).count();
        living * 2 <= view.voters.len()
    }

    /// A short description of what does not stand, for a liveness failure.
    #[must_use]
    pub fn what_is_missing(&self) -> String {
        let views: Vec<(NodeId, Option<ViewNumber>)> =
            self.processes.values().map(|p| (p.node.id(), p.node.view().map(|v| v.number))).collect();
        format!("newest {:?}; installed {views:?}", self.newest)
    }

    /// Random numbers of the run's own, for whoever draws faults.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// What the run was set to.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The processes that live now.
    pub fn living(&self) -> impl Iterator<Item = NodeId> {
        self.alive.iter().copied()
    }

    /// Whether a name's process is paused.
    #[must_use]
    pub fn is_paused(&self, name: NodeName) -> bool {
        self.processes.get(&name).is_some_and(|p| p.paused)
    }
}

/// A process's own clock: hours apart from the others' and a little fast or slow.
fn local(process: &Process, now: u64) -> Moment {
    let drift = i128::from(now) * i128::from(process.fast) / 1_000_000;
    let bent = i128::from(now) + i128::from(process.ahead) + drift;
    Moment::from_nanos(u64::try_from(bent).expect("ahead of its origin"))
}

/// Prints every event of a run when the environment asks for it: for people who look for a bug.
fn tracing() -> bool {
    std::env::var_os("RINGHEIR_TRACE").is_some()
}
