//! A scenario, played in the simulator: its steps by their times, its expectations looked at, and then judged like every run.
//!
//! What the scenario leaves wrong is mended when it is over; then everything must heal, as after faults by chance.

mod holds;

use std::{collections::BTreeMap, time::Duration};

use super::{
    check::Violation,
    fault::Fault,
    hosting::Hosted,
    lifetimes::Lifetimes,
    network::Weather,
    run::{Drawing, Mix, Noted, Planted, Report, Setting, finish, only_words},
    scenario::{Expectation, Scenario, Swarm, When},
    world::{Event, World},
};
use crate::{id::NodeName, membership::Role, replication::ReplicationSettings};

/// Clients begin when most clusters stand.
const CLIENTS_FROM: Duration = Duration::from_millis(500);
/// Processes start within this.
const STARTED_WITHIN: Duration = Duration::from_millis(100);
/// Healing may take so long, and the quiet before the judgement.
const HEALS_WITHIN: Duration = Duration::from_secs(7);
const QUIET: Duration = Duration::from_millis(4_500);

/// How a scenario is to be played.
#[derive(Clone, Debug, Default)]
pub struct Play {
    /// The seed of all chance: delays, clocks, what callers do, the swarm.
    pub seed: u64,
    /// A bug put in on purpose.
    pub planted: Option<Planted>,
    /// Whether every event is printed to stderr.
    pub print: bool,
    /// How much of it is noted down.
    pub noted: Noted,
    /// Only these steps and faults by chance, by number; `None`: all of them.
    pub only: Option<Vec<usize>>,
}

/// Something that a scenario does: a step of its own, or one by chance.
enum Act {
    Step(super::scenario::Step),
    Chance(Duration, Fault),
}

impl Scenario {
    /// What it does under a seed, in the order of its numbers: the steps, then what chance adds.
    fn acts(&self, seed: u64) -> Vec<Act> {
        let steps = self.steps.iter().cloned().map(Act::Step);
        let drawn = self.swarm.map_or_else(Vec::new, |swarm| {
            let Swarm { mix, from, until } = swarm;
            let names = self.cluster.nodes.iter().map(|node| node.name).collect();
            Drawing::faults(seed, mix.unwrap_or_else(|| Mix::of(seed)), names, self.cluster.arcs, from, until)
        });
        steps.chain(drawn.into_iter().map(|(at, fault)| Act::Chance(at, fault))).collect()
    }

    /// What it does under a seed, in words, by number.
    #[must_use]
    pub fn acts_in_words(&self, seed: u64) -> Vec<String> {
        let words = |act: Act| match act {
            Act::Step(step) => format!("{:?} {}", step.at, step.deed),
            Act::Chance(at, fault) => format!("{at:.1?} {fault}"),
        };
        self.acts(seed).into_iter().map(words).collect()
    }

    fn setting(&self, planted: Option<Planted>) -> Setting {
        let cluster = &self.cluster;
        let names: Vec<NodeName> = cluster.nodes.iter().map(|node| node.name).collect();
        let newcomers = self.names().into_iter().filter(|name| !names.contains(name)).collect();
        let others = cluster.nodes.iter().filter(|node| node.role != Role::Host);
        let roles: BTreeMap<NodeName, Role> = others.map(|node| (node.name, node.role)).collect();
        let zones = cluster.nodes.iter().filter_map(|node| Some((node.name, node.zone.clone()?))).collect();
        let weather = Weather {
            delay_min: cluster.delay,
            delay_mean: cluster.jitter,
            drop: cluster.drop,
            duplicate: cluster.duplicate,
        };
        let setting = Setting {
            names,
            newcomers,
            roles,
            zones,
            voters: cluster.voters_max,
            arcs: cluster.arcs,
            backups: cluster.backups,
            spread: cluster.spread,
            pin: cluster.pin,
            agreement: cluster.agreement,
            sessions: self.work.sessions,
            clients: self.work.clients,
            acts: self.work.mix,
            skew: self.work.skew,
            pause: self.work.pause,
            try_for: self.work.try_for,
            together: self.work.together,
            lifetimes: self.work.lifetimes.map(|lasts| {
                let (persist, keep_end) = (self.work.persist, self.work.keep_end);
                Lifetimes { lasts, persist, keep_end }
            }),
            clients_until: self.lasts + HEALS_WITHIN + Duration::from_secs(1),
            weather,
            proof_within: cluster.proof,
            clocks: (cluster.clocks_apart, cluster.clock_drift),
            keeps_votes: cluster.data_dirs,
            guarded: self.swarm.is_some(),
            may_lose: true,
            replication: ReplicationSettings { chunk_bytes: 256, ..ReplicationSettings::default() },
            ..Setting::calm()
        };
        setting.with(planted)
    }

    /// The arguments of `ringheir sim` that play it like this.
    fn repeat(&self, path: &str, play: &Play) -> String {
        let planted = play.planted.map(|planted| format!(" --planted {planted}")).unwrap_or_default();
        format!("{path} --seed {}{planted}{}", play.seed, only_words(play.only.as_deref()))
    }
}

/// Plays a scenario. `path` is how its file is called where it is told how to repeat the run.
#[must_use]
pub fn play(scenario: &Scenario, path: &str, play: &Play) -> Report {
    carry_out(scenario, play, scenario.setting(play.planted), scenario.repeat(path, play))
}

/// Plays a scenario over sessions of a user's type.
pub(crate) fn play_hosted(scenario: &Scenario, play: &Play, hosted: Hosted) -> Report {
    let setting = Setting { hosted: Some(hosted), ..scenario.setting(play.planted) };
    carry_out(scenario, play, setting, String::new())
}

fn carry_out(scenario: &Scenario, play: &Play, setting: Setting, repeat: String) -> Report {
    let mut world = World::new(play.seed, setting, play.print);
    world.begin_record(play.noted, &scenario.name, &scenario.about);
    let names: Vec<NodeName> = scenario.cluster.nodes.iter().map(|node| node.name).collect();
    for (at, name) in names.iter().enumerate() {
        let after = STARTED_WITHIN * u32::try_from(at).unwrap_or(0) / u32::try_from(names.len()).unwrap_or(1).max(1);
        world.at(after, Event::Fault(Fault::Start(*name)));
    }
    let is_played = |number: usize| play.only.as_ref().is_none_or(|only| only.contains(&number));
    let acts = scenario.acts(play.seed).into_iter().enumerate();
    for (_, act) in acts.filter(|(number, _)| is_played(*number)) {
        match act {
            Act::Step(step) => world.at(step.at, Event::Deed(Box::new(step.deed))),
            Act::Chance(at, fault) => world.at(at, Event::Fault(fault)),
        }
    }
    world.begin_clients(CLIENTS_FROM);
    let mut unmet = Vec::new();
    let mut moments: Vec<(Duration, &Expectation)> =
        scenario.expects.iter().filter_map(|expect| Some((expect.when.time()?, expect))).collect();
    moments.sort_by_key(|(at, _)| *at);
    for (at, expect) in moments {
        // What is expected at the time of a step is expected before it.
        world.run_until(at.saturating_sub(Duration::from_nanos(1)));
        look(&mut world, expect, &mut unmet);
    }
    world.run_until(scenario.lasts.saturating_sub(Duration::from_nanos(1)));
    let finally = || scenario.expects.iter().filter(|expect| expect.when == When::Finally);
    for expect in finally().filter(|expect| !expect.holds.is_of_the_whole()) {
        look(&mut world, expect, &mut unmet);
    }
    let marks_told = world.marks.clone();
    let healed_by = scenario.lasts + HEALS_WITHIN;
    let mut report = finish(&mut world, healed_by, healed_by + QUIET);
    for expect in finally().filter(|expect| expect.holds.is_of_the_whole()) {
        let instead = holds::of_the_whole(&world, &report, &marks_told, &expect.holds);
        tell(&mut world, expect, instead, &mut unmet);
    }
    report.violations.splice(0..0, unmet);
    report.seed = play.seed;
    report.repeat = repeat;
    report.finish_trace(&mut world);
    report
}

fn look(world: &mut World, expect: &Expectation, unmet: &mut Vec<Violation>) {
    let instead = holds::now(world, &expect.holds);
    tell(world, expect, instead, unmet);
}

fn tell(world: &mut World, expect: &Expectation, instead: Option<String>, unmet: &mut Vec<Violation>) {
    world.note_expected(&expect.holds, instead.is_none());
    unmet.extend(instead.map(|instead| expect.unmet(&instead, world.now())));
}
