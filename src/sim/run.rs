//! One run by seed: a setting drawn from the seed, faults for some seconds, healing, and judgement.
//!
//! Safety is judged on everything that happened; liveness only after the faults have ended, when everything must heal: one
//! view everywhere, every arc served and protected, every client answered.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    check::{FinalState, Verdict, acknowledged_survives, applied_once, linearizable},
    network::Weather,
    node::{SimNode, register_of, session_key, values_of},
    random::Streams,
    world::{Event, Fault, Marks, World},
};
use crate::{
    id::NodeName,
    membership::Agreement,
    replication::{Replica, ReplicationSettings, Rule},
};

/// What one run is like.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How many nodes.
    pub nodes: u8,
    /// How many arcs.
    pub arcs: u16,
    /// How many backups.
    pub backups: u8,
    /// Who may decide.
    pub agreement: Agreement,
    /// How many sessions.
    pub sessions: u32,
    /// How many clients, each with one operation at a time.
    pub clients: u32,
    /// A client's mean pause between operations.
    pub pause: Duration,
    /// When clients begin no more operations.
    pub clients_until: Duration,
    /// How bad the network is until it heals.
    pub weather: Weather,
    /// Every survivor has proof of a death within this; `None`: never.
    pub proof_within: Option<Duration>,
    /// Whether faults may take the last copy of an arc.
    pub may_lose: bool,
    /// Planted: a restarted process keeps its id.
    pub reuse_ids: bool,
    /// Settings of every node, planted bugs included.
    pub replication: ReplicationSettings,
}

impl Setting {
    /// The names of the nodes, in ring order.
    #[must_use]
    pub fn names(&self) -> Vec<NodeName> {
        let name = |n: u8| NodeName::new(&char::from(b'a' + n).to_string()).expect("one letter");
        (0..self.nodes).map(name).collect()
    }
}

/// When faults begin, when they end, and how long healing may take.
const FAULTS_FROM: Duration = Duration::from_millis(1_200);
const FAULTS_UNTIL: Duration = Duration::from_millis(6_500);
const HEALED_BY: Duration = Duration::from_millis(13_500);
const QUIET_BY: Duration = Duration::from_millis(18_000);

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// A rule of replication is switched off.
    Without(Rule),
    /// A restarted process keeps its id, though it forgot what it promised and held.
    ReusedIds,
}

impl Planted {
    /// Every planted bug.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Rule::ALL.map(Self::Without).into_iter().chain([Self::ReusedIds]).collect()
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(rule) => write!(f, "without {rule:?}"),
            Self::ReusedIds => f.write_str("a restart keeps its node id"),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was violated; empty when all is well.
    pub violations: Vec<String>,
    /// Interesting branches reached.
    pub marks: Marks,
    /// Operations clients made.
    pub operations: usize,
    /// Events handled.
    pub events: u64,
    /// A digest of everything that clients were told: the same for the same seed.
    pub digest: u64,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, planted: Option<Planted>) -> Report {
    let setting = draw_setting(seed, planted);
    let mut world = World::new(seed, setting);
    draw_faults(seed, &mut world);
    world.run_until(FAULTS_UNTIL);
    world.at(Duration::ZERO, Event::Fault(Fault::Heal));
    world.run_until(HEALED_BY);
    let mut violations = Vec::new();
    let beyond_healing = world.is_beyond_healing();
    if beyond_healing {
        world.mark("the majority of the voters was lost");
    } else if !world.is_whole() {
        world.run_until(HEALED_BY + Duration::from_secs(2));
        if !world.is_whole() {
            violations.push(format!("liveness: not healed: {}", world.what_is_missing()));
        }
    }
    world.run_until(QUIET_BY);
    judge(&world, !beyond_healing, &mut violations);
    let digest = digest(&world);
    Report {
        seed,
        violations,
        operations: world.history.operations().len(),
        events: world.handled(),
        marks: std::mem::take(&mut world.marks),
        digest,
    }
}

fn draw_setting(seed: u64, planted: Option<Planted>) -> Setting {
    let mut chance = Streams::new(seed).stream("setting");
    let nodes = [3, 4, 4, 4, 5][usize::try_from(chance.range(0, 5)).expect("small")];
    let bad = chance.chance(0.5);
    let weather = Weather {
        delay_min: Duration::from_micros(50),
        delay_mean: Duration::from_micros(chance.range(100, if bad { 8_000 } else { 800 })),
        drop: if bad { 0.03 } else { 0.0 },
        duplicate: if bad { 0.03 } else { 0.0 },
    };
    let agreement = if chance.chance(0.3) { Agreement::MajorityOrProof } else { Agreement::Majority };
    let mut replication =
        ReplicationSettings { chunk_bytes: 64, chunks_in_flight: 2, ..ReplicationSettings::default() };
    if let Some(Planted::Without(rule)) = planted {
        replication.rules = replication.rules.without(rule);
    }
    Setting {
        nodes,
        arcs: 4,
        backups: if chance.chance(0.25) && nodes > 3 { 2 } else { 1 },
        agreement,
        sessions: 8,
        clients: 4,
        pause: Duration::from_millis(chance.range(2, 30)),
        clients_until: HEALED_BY + Duration::from_secs(1),
        weather,
        proof_within: Some(Duration::from_millis(chance.range(2, 1_000))),
        may_lose: chance.chance(0.1),
        reuse_ids: planted == Some(Planted::ReusedIds),
        replication,
    }
}

/// Draws faults so that a majority of the voters always lives, and mostly one copy of every arc too.
fn draw_faults(seed: u64, world: &mut World) {
    let mut chance = Streams::new(seed).stream("faults");
    let names = world.names();
    let mut at = FAULTS_FROM;
    let calm = Duration::from_millis(chance.range(100, 1_500));
    while at < FAULTS_UNTIL {
        let Some(name) = chance.choose(&names).copied() else { return };
        let Some(other) = chance.choose(&names).copied() else { return };
        let lasts = chance.duration(Duration::from_millis(50), Duration::from_millis(2_000));
        match chance.range(0, 10) {
            0..4 => {
                world.at(at, Event::Fault(Fault::Kill(name)));
                world.at(at + lasts, Event::Fault(Fault::Start(name)));
            }
            4..6 => {
                world.at(at, Event::Fault(Fault::Pause(name)));
                world.at(at + lasts, Event::Fault(Fault::Resume(name)));
            }
            6..8 => {
                let group = if chance.chance(0.7) { vec![name] } else { vec![name, other] };
                world.at(at, Event::Fault(Fault::Split(group)));
                world.at(at + lasts, Event::Fault(Fault::Mend));
            }
            _ => {
                world.at(at, Event::Fault(Fault::OneWay(name, other)));
                world.at(at + lasts, Event::Fault(Fault::Mend));
            }
        }
        at += calm + chance.exponential(Duration::from_millis(500), Duration::from_secs(3));
    }
}

fn judge(world: &World, healed: bool, violations: &mut Vec<String>) {
    violations.extend(world.wrong.iter().cloned());
    let finals = finals(world);
    let lost: Vec<u32> = (0..world.setting().sessions).filter(|s| !finals.contains_key(s)).collect();
    let history = world.history.without_sessions(&lost);
    match linearizable::check(&history, linearizable::STEPS_MAX) {
        Verdict::Linearizable => {}
        Verdict::Violation(explanation) => violations.push(format!("linearizability: {explanation}")),
        Verdict::TooHard { sessions } => {
            violations.push(format!("linearizability: too hard for sessions {sessions:?}"))
        }
    }
    if !healed {
        return;
    }
    if let Err(fault) = applied_once::check(&history, &finals) {
        violations.push(format!("applied once: {fault}"));
    }
    if let Err(fault) = acknowledged_survives::check(&history, &finals) {
        violations.push(format!("acknowledged survives: {fault}"));
    }
    judge_backups(world, violations);
}

/// The final state of every session whose arc never lost its last copy.
fn finals(world: &World) -> BTreeMap<u32, FinalState> {
    let mut finals = BTreeMap::new();
    let Some(view) = &world.newest else { return finals };
    for session in 0..world.setting().sessions {
        let key = session_key(session);
        let Some(entry) = view.arc(key.arc(view.shape.arcs)).filter(|e| e.lost_at.is_none()) else { continue };
        let host = world.node(entry.primary.name).and_then(SimNode::host);
        let Some(primary) = host.and_then(|h| h.replica(key.arc(view.shape.arcs))).and_then(Replica::as_primary) else {
            continue;
        };
        let values = primary.store().get(&key).map(values_of).unwrap_or_default();
        let register = register_of(&values);
        let applied = values.iter().copied().filter(|v| *v != 0).collect();
        finals.insert(session, FinalState { value: register.value, version: register.version, applied });
    }
    finals
}

/// In a quiet world every in-sync backup holds exactly what its primary holds.
fn judge_backups(world: &World, violations: &mut Vec<String>) {
    let Some(view) = &world.newest else { return };
    for (arc, entry) in view.entries() {
        let replica = |name| world.node(name).and_then(SimNode::host).and_then(|h| h.replica(arc));
        let Some(primary) = replica(entry.primary.name).and_then(Replica::as_primary) else { continue };
        for backup in &entry.in_sync {
            let Some(copy) = replica(backup.name).and_then(Replica::as_backup) else {
                violations.push(format!("{backup} is called an in-sync backup of arc {arc} and is none"));
                continue;
            };
            let differs = primary.store().iter().find(|(key, record)| {
                let held = copy.store().get(key);
                held.is_none_or(|h| h.version != record.version || values_of(h) != values_of(record))
            });
            if let Some((key, record)) = differs {
                let held = copy.store().get(key).map(|h| (h.version, values_of(h)));
                let (there, here) = ((record.version, values_of(record)), held);
                violations.push(format!(
                    "{backup} holds another {key} than {} of arc {arc}: {here:?} instead of {there:?}; folded {}, last {}",
                    entry.primary,
                    copy.folded(),
                    copy.last(),
                ));
            }
        }
    }
}

fn digest(world: &World) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for operation in world.history.operations() {
        format!("{operation:?}").hash(&mut hasher);
    }
    world.handled().hash(&mut hasher);
    hasher.finish()
}
