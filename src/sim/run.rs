//! One run by seed: a setting drawn from the seed, faults for some seconds, healing, and judgement.
//!
//! Safety is judged on everything that happened; liveness only after the faults have ended, when everything must heal: one
//! view everywhere, every arc served and protected, every client answered.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash as _, Hasher as _},
    time::Duration,
};

use xxhash_rust::xxh3::Xxh3;

use super::{
    check::Violation,
    fault::Fault,
    trace::{Entry, Trace, Violated, What},
    world::{Event, World},
};

mod judge;
mod mix;
mod planted;
mod setting;

pub(crate) use judge::judge;
pub(crate) use mix::Drawing;
pub use mix::Mix;
pub use planted::Planted;
pub(crate) use setting::{Setting, letters};

/// When faults begin, when they end, and how long healing may take.
const FAULTS_FROM: Duration = Duration::from_millis(1_200);
const FAULTS_UNTIL: Duration = Duration::from_millis(6_500);
const HEALED_BY: Duration = Duration::from_millis(13_500);
const QUIET_BY: Duration = Duration::from_millis(18_000);
/// What is committed is told to every backup within this.
const TOLD_WITHIN: Duration = Duration::from_millis(100);
/// Clients begin when most clusters stand.
const CLIENTS_FROM: Duration = Duration::from_millis(700);

/// Counts of interesting branches that runs reached, by what they are.
pub type Marks = BTreeMap<&'static str, u64>;

/// Every mark that a campaign of all mixes reaches within some hundred seeds; one that it misses means that the faults have
/// gone tame.
pub const MARKS: [&str; 32] = [
    "a backup caught up",
    "a backup told a client that its command was done",
    "a caller was told that its session is lost",
    "a catch-up was cut short",
    "a client's try timed out",
    "a commit of several sessions met a cursor between them",
    "a cluster went on as its successor",
    "a deposed primary said: outcome unknown",
    "a frame of a deposed primary was refused",
    "a kill",
    "a decided view that nobody heard of",
    "a kill between a wish and its view",
    "a kill during a founding",
    "a node drained and left",
    "a paused node went on",
    "a primary was cut off from the voters alone",
    "a primary was cut off together with its backup",
    "a promotion",
    "a promotion during a catch-up",
    "a promotion with a commit of several sessions in its tail",
    "a pinned arc came home by a claim",
    "a pinned arc was given up for overload",
    "a session came to its end",
    "a session outlived on another primary an end that was taken back",
    "a session was ended by another primary than its end was said to",
    "an arc lost with its last copy",
    "an operator cleared a loss",
    "an arc was handed over",
    "an old request came again",
    "an outcome stayed unknown",
    "several sessions stood in one commit",
    "start anew",
];

/// Every other mark that a run may reach: too rare for a campaign to insist on, or a sign that something is amiss. With [`MARKS`]
/// these are all the words that a scenario may expect to be reached.
pub const OTHER_MARKS: [&str; 13] = [
    "a founding that nobody survived was repeated",
    "a recovery came to nothing",
    "a recovery was declined: there is a quorum",
    "a recovery was not answered",
    "a recovery was under way",
    "a recovery without whom it was asked of",
    "another configuration",
    "everything was lost",
    "left behind",
    "proof of a death was sought by one that came later",
    "refused",
    "the majority of the voters was lost",
    "two clusters serve",
];

/// Whether a run can reach this branch at all.
#[must_use]
pub fn is_mark(words: &str) -> bool {
    MARKS.contains(&words) || OTHER_MARKS.contains(&words)
}

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed everything is drawn from.
    pub seed: u64,
    /// The mix of faults; `None`: the seed says.
    pub mix: Option<Mix>,
    /// A bug put in on purpose.
    pub planted: Option<Planted>,
    /// Whether every event is printed to stderr: for people who look for a bug.
    pub trace: bool,
    /// How much of it is noted down.
    pub noted: Noted,
}

/// How much of a run is noted down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noted {
    /// Nothing but what callers were told.
    #[default]
    Nothing,
    /// Starts, faults, views, what callers asked and were told.
    Events,
    /// Also every message between nodes.
    Messages,
}

impl Plan {
    /// The run of a seed, as campaigns make it.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self { seed, mix: None, planted: None, trace: false, noted: Noted::Nothing }
    }

    /// The arguments of `ringheir sim` that repeat this run.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mix = self.mix.map(|mix| format!(" --mix {mix}")).unwrap_or_default();
        let planted = self.planted.map(|planted| format!(" --planted {planted}")).unwrap_or_default();
        format!("--seed {}{mix}{planted}", self.seed)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which seed.
    pub seed: u64,
    /// The arguments of `ringheir sim` that repeat it.
    pub repeat: String,
    /// What was violated; empty when all is well.
    pub violations: Vec<Violation>,
    /// Interesting branches reached.
    pub marks: Marks,
    /// Operations clients made.
    pub operations: usize,
    /// Events handled.
    pub events: u64,
    /// Steps of its scenario that changed nothing, and why: no violation, but perhaps not what was meant.
    pub idle: Vec<String>,
    /// A digest of everything that clients were told: the same for the same plan.
    pub digest: u64,
    /// What happened, if it was to be noted down.
    pub trace: Option<Box<Trace>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

impl Report {
    /// A run that ended by an assertion of the code under test.
    #[must_use]
    pub(crate) fn of_panic(seed: u64, repeat: String, words: &str) -> Self {
        Self {
            seed,
            repeat,
            violations: vec![Violation::new("assertion", format_args!("of the code itself: {words}"))],
            marks: Marks::new(),
            operations: 0,
            events: 0,
            idle: Vec::new(),
            digest: 0,
            trace: None,
        }
    }

    /// Takes over what a world has noted down, with what was found of it.
    pub(crate) fn finish_trace(&mut self, world: &mut World) {
        let Some(mut trace) = world.record.trace.take() else { return };
        trace.lasted_us = u64::try_from(world.now().as_micros()).unwrap_or(u64::MAX);
        self.attach(trace);
    }

    /// Keeps what was noted down of the run, with what was found of it and the line that repeats it.
    pub fn attach(&mut self, mut trace: Box<Trace>) {
        trace.repeat = match &self.repeat[..] {
            "" => format!("seed {} of the same program", self.seed),
            arguments => format!("ringheir sim {arguments}"),
        };
        trace.violations = self.violations.iter().map(|violation| shown(violation, &trace)).collect();
        self.trace = Some(trace);
    }
}

/// A violation as a trace tells it. One of an operation shows when that was answered.
fn shown(violation: &Violation, trace: &Trace) -> Violated {
    let operation = violation.operation.map(|number| number.index() as u64);
    let is_its_answer = |entry: &&Entry| match &entry.what {
        What::Answered { operation: answered, .. } => Some(*answered) == operation,
        _ => false,
    };
    let answered = || trace.entries.iter().find(is_its_answer).map(|entry| entry.at_us);
    let at_us = violation.at.map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX)).or_else(answered);
    Violated { check: violation.check.to_owned(), words: violation.words.clone(), at_us, operation }
}

/// Makes one run.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    run_only(plan, None)
}

/// How many things go wrong in a run.
#[must_use]
pub fn faults_of(plan: &Plan) -> Vec<String> {
    let mix = plan.mix.unwrap_or_else(|| Mix::of(plan.seed));
    let setting = Setting::draw(plan.seed, mix, plan.planted);
    mix.faults(plan.seed, &setting).into_iter().map(|(at, fault)| format!("{at:.1?} {fault}")).collect()
}

/// Makes one run in which only these of its faults happen, by number.
#[must_use]
pub fn run_only(plan: &Plan, only: Option<&[usize]>) -> Report {
    let mix = plan.mix.unwrap_or_else(|| Mix::of(plan.seed));
    let mut world = World::new(plan.seed, Setting::draw(plan.seed, mix, plan.planted), plan.trace);
    world.begin_record(plan.noted, &format!("seed {}, mix {mix}", plan.seed), "");
    mix.schedule(plan.seed, &mut world, only);
    world.begin_clients(CLIENTS_FROM);
    world.run_until(FAULTS_UNTIL);
    let mut report = finish(&mut world, HEALED_BY, QUIET_BY);
    (report.seed, report.repeat) = (plan.seed, format!("{}{}", plan.arguments(), only_words(only)));
    report.finish_trace(&mut world);
    report
}

/// The argument that says which of a run's faults happen.
#[must_use]
pub fn only_words(only: Option<&[usize]>) -> String {
    match only {
        None => String::new(),
        Some([]) => " --only none".to_owned(),
        Some(numbers) => {
            format!(" --only {}", numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
        }
    }
}

/// Ends the faults of a world, waits until it must have healed, and judges it.
pub(crate) fn finish(world: &mut World, healed_by: Duration, quiet_by: Duration) -> Report {
    world.at(Duration::ZERO, Event::Fault(Fault::Heal));
    world.run_until(healed_by);
    let mut violations = Vec::new();
    let beyond_healing = world.is_beyond_healing();
    if beyond_healing {
        world.mark("the majority of the voters was lost");
    } else if !world.is_whole() {
        world.run_until(healed_by + Duration::from_secs(2));
        if !world.is_whole() {
            violations.push(Violation::new("liveness", world.what_is_missing()).at(world.now()));
        }
    }
    world.run_until(quiet_by);
    // A session may have come to its end a moment ago; that this is committed is told once nothing else is.
    let told_by = quiet_by + TOLD_WITHIN;
    while !judge::backups::have_all(world) && world.now() < told_by {
        world.run_until(world.now() + Duration::from_millis(10));
    }
    judge(world, !beyond_healing, &mut violations);
    Report {
        seed: 0,
        repeat: String::new(),
        violations,
        operations: world.history.operations().len(),
        events: world.handled(),
        idle: std::mem::take(&mut world.record.idle),
        digest: digest(world),
        trace: None,
        marks: std::mem::take(&mut world.marks),
    }
}

fn digest(world: &World) -> u64 {
    let mut digest = Xxh3::new();
    world.history.operations().hash(&mut digest);
    world.handled().hash(&mut digest);
    digest.finish()
}

#[cfg(test)]
mod tests;
