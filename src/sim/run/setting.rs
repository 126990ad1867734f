//! What one simulated run is like: the cluster, its callers and its network. Drawn from the seed; a mix of faults and a
//! planted bug bend it towards where they show.

use std::{collections::BTreeMap, time::Duration};

use super::{Mix, Planted};
use crate::{
    id::NodeName,
    membership::{Agreement, Pin, Role},
    replication::ReplicationSettings,
    sim::{hosting::Hosted, lifetimes::Lifetimes, network::Weather, random::Streams},
};

/// A run's setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The nodes of the cluster file, in ring order.
    pub(crate) names: Vec<NodeName>,
    /// Others, which may join.
    pub(crate) newcomers: Vec<NodeName>,
    /// What they may hold, where they are no hosts.
    pub(crate) roles: BTreeMap<NodeName, Role>,
    /// Where they stand.
    pub(crate) zones: BTreeMap<NodeName, String>,
    /// At most so many of them vote: witnesses first, then hosts in ring order; they found the cluster, the others join it.
    pub(crate) voters: u8,
    /// How many arcs.
    pub(crate) arcs: u16,
    /// How many backups.
    pub(crate) backups: u8,
    /// How many successors share one node's arcs.
    pub(crate) spread: u8,
    /// When a live primary gives up what belongs elsewhere.
    pub(crate) pin: Pin,
    /// Whether processes start with weights of their own, each time another.
    pub(crate) weighs: bool,
    /// Who may decide.
    pub(crate) agreement: Agreement,
    /// How many sessions.
    pub(crate) sessions: u32,
    /// How many clients, each with one operation at a time.
    pub(crate) clients: u32,
    /// What of a hundred operations writes, reads, creates, deletes.
    pub(crate) acts: [u32; 4],
    /// How much more often the first sessions are used than the last.
    pub(crate) skew: f64,
    /// A client's mean pause between operations.
    pub(crate) pause: Duration,
    /// A client gives up one try after this.
    pub(crate) try_for: Duration,
    /// A request is sent once more, much later and to anyone, with this probability.
    pub(crate) ghosts: f64,
    /// An operation takes other sessions of its arc along with this probability, in one commit.
    pub(crate) together: f64,
    /// How long sessions live that end by themselves; `None`: all live for ever.
    pub(crate) lifetimes: Option<Lifetimes>,
    /// When clients begin no more operations.
    pub(crate) clients_until: Duration,
    /// How bad the network is until it heals.
    pub(crate) weather: Weather,
    /// Every survivor has proof of a death within this; `None`: nobody ever has.
    pub(crate) proof_within: Option<Duration>,
    /// Clocks are up to so far apart, and go up to so many parts of a million fast or slow.
    pub(crate) clocks: (Duration, u32),
    /// Whether faults that nothing is promised beyond are left out: the quorum stays, and a copy of every arc.
    pub(crate) guarded: bool,
    /// Whether faults may take all but one of the founders: nothing heals then, and still no second cluster may be founded. Where
    /// all of them are blank at once, and whoever joined is cut off from them, nothing tells them that there was one.
    pub(crate) spares_one: bool,
    /// Whether faults may take the last copy of an arc.
    pub(crate) may_lose: bool,
    /// Whoever wishes, or is wished for, is killed before the next view with this probability.
    pub(crate) kill_on_wish: f64,
    /// Whoever says or hears a word of a founding is killed soon after with this probability.
    pub(crate) kill_on_founding: f64,
    /// Whoever says what was decided vanishes at that moment, and everybody else is killed, with this probability.
    pub(crate) kill_on_vote: f64,
    /// Whether votes outlive their processes.
    pub(crate) keeps_votes: bool,
    /// Whether faults may take the quorum, and an operator has the ring go on without it.
    pub(crate) recovers: bool,
    /// Planted: of a vote, only the view is kept.
    pub(crate) forget_votes: bool,
    /// Planted: any majority of the voters founds a cluster.
    pub(crate) found_by_majority: bool,
    /// Planted: time in which an observer slept counts as the others' silence.
    pub(crate) no_stall_guard: bool,
    /// Planted: a restarted process keeps its id.
    pub(crate) reuse_ids: bool,
    /// The user's type that sessions are of; `None`: registers.
    pub(crate) hosted: Option<Hosted>,
    /// Settings of every node, planted bugs included.
    pub(crate) replication: ReplicationSettings,
}

impl Setting {
    /// Four nodes, one backup, a good network, one client that is told what to do: for runs whose every step is chosen.
    #[must_use]
    pub(crate) fn calm() -> Self {
        Self {
            names: letters(4),
            newcomers: vec![],
            roles: BTreeMap::new(),
            zones: BTreeMap::new(),
            voters: 4,
            arcs: 4,
            backups: 1,
            spread: 1,
            pin: Pin::None,
            weighs: false,
            agreement: Agreement::Majority,
            sessions: 8,
            clients: 2,
            acts: [55, 37, 5, 3],
            skew: 0.0,
            pause: Duration::from_millis(5),
            try_for: Duration::from_millis(100),
            ghosts: 0.0,
            together: 0.0,
            lifetimes: None,
            clients_until: Duration::ZERO,
            weather: Weather {
                delay_min: Duration::from_micros(50),
                delay_mean: Duration::from_micros(500),
                drop: 0.0,
                duplicate: 0.0,
            },
            proof_within: Some(Duration::from_millis(20)),
            clocks: (Duration::from_secs(5 * 3600), 500),
            guarded: true,
            spares_one: false,
            may_lose: false,
            kill_on_wish: 0.0,
            kill_on_founding: 0.0,
            kill_on_vote: 0.0,
            keeps_votes: false,
            recovers: false,
            forget_votes: false,
            reuse_ids: false,
            hosted: None,
            found_by_majority: false,
            no_stall_guard: false,
            replication: ReplicationSettings { chunk_bytes: 64, chunks_in_flight: 2, ..ReplicationSettings::default() },
        }
    }

    /// What the seed says, bent by the mix and the planted bug.
    #[must_use]
    pub(crate) fn draw(seed: u64, mix: Mix, planted: Option<Planted>) -> Self {
        let mut chance = Streams::new(seed).stream("setting");
        let nodes = [3, 4, 4, 4, 5][usize::try_from(chance.range(0, 5)).expect("small")];
        let bad = chance.chance(0.5);
        let slowest = if bad { 8_000 } else { 800 };
        let weather = Weather {
            delay_min: Duration::from_micros(50),
            delay_mean: Duration::from_micros(chance.range(100, slowest)),
            drop: if bad { 0.03 } else { 0.0 },
            duplicate: if bad { 0.03 } else { 0.0 },
        };
        let mut setting = Self {
            names: letters(nodes),
            voters: nodes,
            agreement: if chance.chance(0.3) { Agreement::MajorityOrProof } else { Agreement::Majority },
            backups: if chance.chance(0.25) && nodes > 3 { 2 } else { 1 },
            clients: 4,
            pause: Duration::from_millis(chance.range(2, 30)),
            try_for: Duration::from_millis(250),
            clients_until: super::HEALED_BY + Duration::from_secs(1),
            weather,
            proof_within: Some(Duration::from_millis(chance.range(2, 1_000))),
            may_lose: chance.chance(0.1),
            ..Self::calm()
        };
        mix.bend(&mut setting, &mut chance);
        // Streams of their own: what they draw shifts nothing else.
        if Streams::new(seed).stream("frames").chance(0.3) {
            setting.replication.frame_bytes = 200;
        }
        let mut placing = Streams::new(seed).stream("placing");
        if mix == Mix::Pins || placing.chance(0.15) {
            setting.pin = placing.choose(&Pin::ALL[1..]).copied().unwrap_or_default();
            setting.weighs = placing.chance(0.4);
        }
        let mut lasting = Streams::new(seed).stream("lifetimes");
        if mix == Mix::Expiries || lasting.chance(0.1) {
            let lasts = lasting.duration(Duration::from_millis(60), Duration::from_millis(700));
            let said_otherwise = if lasting.chance(0.5) { 0.15 } else { 0.0 };
            setting.lifetimes = Some(Lifetimes { lasts, persist: said_otherwise, keep_end: said_otherwise });
        }
        if Streams::new(seed).stream("together").chance(0.4) {
            setting.together = 0.3;
        }
        setting.with(planted)
    }

    /// The same with a bug put in.
    #[must_use]
    pub(crate) fn with(mut self, planted: Option<Planted>) -> Self {
        match planted {
            Some(Planted::Without(rule)) => self.replication.rules = self.replication.rules.without(rule),
            Some(Planted::ReusedIds) => self.reuse_ids = true,
            Some(Planted::ForgottenVotes) => self.forget_votes = true,
            Some(Planted::FoundingByMajority) => self.found_by_majority = true,
            Some(Planted::NoStallGuard) => self.no_stall_guard = true,
            None => {}
        }
        self
    }

    /// Everybody who may run: the nodes of the file in ring order, then newcomers.
    #[must_use]
    pub(crate) fn names(&self) -> Vec<NodeName> {
        self.names.iter().chain(&self.newcomers).copied().collect()
    }

    /// Who founds the cluster.
    #[must_use]
    pub(crate) fn founders(&self) -> Vec<NodeName> {
        let of = |role| self.names.iter().copied().filter(move |name| self.role(*name) == role);
        of(Role::Witness).chain(of(Role::Host)).take(usize::from(self.voters)).collect()
    }

    /// What a node may hold.
    #[must_use]
    pub(crate) fn role(&self, name: NodeName) -> Role {
        self.roles.get(&name).copied().unwrap_or_default()
    }
}

/// So many nodes, named by the letters.
#[must_use]
pub(crate) fn letters(nodes: u8) -> Vec<NodeName> {
    let name = |n: u8| NodeName::new(&char::from(b'a' + n).to_string()).expect("one letter");
    (0..nodes).map(name).collect()
}
