use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Call, Simulation};
use crate::{
    Answer, Command, Context, Decide, EventSourced, Handle, Refused, Session, SessionId, Types,
    sim::scenario::{Deed, Holds, Scenario, ScenarioBuilder},
};

const SECOND: Duration = Duration::from_secs(1);

/// A till that can be asked for its sum. `seen` is a cache: it is not copied.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Till {
    cents: u64,
    payments: u64,
    #[serde(skip)]
    seen: BTreeSet<u64>,
}

impl Session for Till {
    const KIND: &'static str = "till";
    const UNREPLICATED: &'static [&'static str] = &["seen"];

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

macro_rules! command {
    ($name:ident, $text:literal, $reply:ty) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $name(u64);
        impl Command for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}

command!(PayIn, "pay_in", u64);
command!(PayOnce, "pay_once", u64);
command!(PayByClock, "pay_by_clock", u64);
command!(PayByChance, "pay_by_chance", u64);
command!(PayOrPanic, "pay_or_panic", u64);
command!(Sum, "sum", (u64, u64));

impl Till {
    fn pay(&mut self, cents: u64) -> u64 {
        self.cents += cents;
        self.payments += 1;
        self.cents
    }
}

impl Handle<PayIn> for Till {
    fn handle(&mut self, PayIn(cents): PayIn, _: &mut Context<Self>) -> Result<u64, Refused> {
        if cents == 0 { Err("nothing to pay in".into()) } else { Ok(self.pay(cents)) }
    }
}

impl Handle<PayOnce> for Till {
    /// Its memory of what was paid is a field that is not copied.
    fn handle(&mut self, PayOnce(receipt): PayOnce, _: &mut Context<Self>) -> Result<u64, Refused> {
        Ok(if self.seen.insert(receipt) { self.pay(5) } else { self.cents })
    }
}

impl Handle<PayByClock> for Till {
    fn handle(&mut self, _: PayByClock, cx: &mut Context<Self>) -> Result<u64, Refused> {
        Ok(self.pay(cx.now().as_nanos() % 7))
    }
}

static CHANCE: AtomicU64 = AtomicU64::new(1);

impl Handle<PayByChance> for Till {
    fn handle(&mut self, _: PayByChance, _: &mut Context<Self>) -> Result<u64, Refused> {
        Ok(self.pay(CHANCE.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Handle<PayOrPanic> for Till {
    fn handle(&mut self, _: PayOrPanic, _: &mut Context<Self>) -> Result<u64, Refused> {
        assert!(self.payments < 5, "the till is full");
        Ok(self.pay(1))
    }
}

impl Answer<Sum> for Till {
    fn answer(&self, _: Sum) -> (u64, u64) {
        (self.cents, self.payments)
    }
}

fn types() -> Types {
    let mut types = Types::new();
    types
        .add::<Till>()
        .handles::<PayIn>()
        .handles::<PayOnce>()
        .handles::<PayByClock>()
        .handles::<PayByChance>()
        .handles::<PayOrPanic>()
        .answers::<Sum>();
    types
}

fn tills(command: fn(u64) -> Call<Till>) -> Simulation<Till> {
    Simulation::new(types(), move |chance| command(chance.bits())).expect("types that do not clash")
}

fn violations(simulation: &Simulation<Till>, seeds: u64) -> Vec<String> {
    let violations = simulation.seeds(0..seeds).failed.into_iter().flat_map(|report| report.violations);
    violations.map(|violation| violation.to_string()).collect()
}

#[test]
fn a_right_handler_holds_through_faults_of_every_kind_and_is_asked_much() {
    let simulation = tills(|drawn| match drawn % 4 {
        0 => Call::question((drawn >> 8) as u32 % 6, Sum(0)),
        _ => Call::command((drawn >> 8) as u32 % 6, PayIn(drawn >> 16 & 3)),
    })
    .invariant(|till| if till.cents >= till.payments { Ok(()) } else { Err("a payment of nothing".to_owned()) });
    let ran = simulation.seeds(0..12);
    assert!(ran.failed.is_empty(), "{:?}", ran.failed[0].violations);
    assert!(ran.operations > 12 * 500 && ran.marks.contains_key("a promotion"), "{} {:?}", ran.operations, ran.marks);
}

#[test]
fn what_is_not_copied_and_yet_decides_is_found_and_told_in_the_words_of_the_commands() {
    let found = violations(&tills(|drawn| Call::command((drawn >> 8) as u32 % 3, PayOnce(drawn >> 16 & 7))), 10);
    let told = found.iter().find(|words| words.starts_with("sessions: ")).unwrap_or_else(|| panic!("{found:?}"));
    assert!(told.contains("PayOnce(") && told.contains("an object that never moved says"), "{told}");
}

#[test]
fn a_handler_that_goes_by_its_clock_or_by_chance_of_its_own_is_found() {
    for command in [(|drawn| Call::command((drawn >> 8) as u32 % 3, PayByClock(0))) as fn(u64) -> Call<Till>, |drawn| {
        Call::command((drawn >> 8) as u32 % 3, PayByChance(0))
    }] {
        let found = violations(&tills(command), 1);
        assert!(found.iter().any(|words| words.starts_with("sessions: ")), "{found:?}");
    }
    let chance = violations(&tills(|drawn| Call::command((drawn >> 8) as u32 % 3, PayByChance(0))), 1);
    assert!(chance.iter().any(|words| words.contains("do not do the same twice")), "{chance:?}");
}

#[test]
fn a_panic_an_invariant_and_a_command_that_nobody_handles_are_violations_with_their_words() {
    let panics = tills(|drawn| Call::command((drawn >> 8) as u32 % 3, PayOrPanic(0)));
    assert!(violations(&panics, 1).iter().any(|words| words.contains("the till is full")));
    let few = |till: &Till| if till.payments < 4 { Ok(()) } else { Err(format!("{} payments", till.payments)) };
    let simulation = tills(|drawn| Call::command((drawn >> 8) as u32 % 3, PayIn(1))).invariant(few);
    let found = violations(&simulation, 1);
    let told = found.iter().find(|words| words.starts_with("invariant: ")).expect("it does not hold");
    assert!(told.contains("after change 4 (PayIn(1)): 4 payments"), "{told}");
    let mut without = Types::new();
    without.add::<Till>().handles::<PayIn>();
    let nobody = Simulation::<Till>::new(without, |_| Call::command(0, PayOnce(1))).expect("no clash");
    assert!(violations(&nobody, 1).iter().any(|words| words.contains("NoSuchCommand")));
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Diary(Vec<u64>);
impl Session for Diary {
    const KIND: &'static str = "diary";
    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}
impl EventSourced for Diary {
    type Event = u64;
    fn apply(&mut self, event: &u64) {
        self.0.push(*event);
    }
}
command!(Note, "note", usize);
impl Decide<Note> for Diary {
    fn decide(&self, Note(what): Note, _: &mut Context<Self>) -> Result<(Vec<u64>, usize), Refused> {
        Ok((vec![what], self.0.len() + 1))
    }
}

#[test]
fn sessions_that_keep_events_are_simulated_as_well() {
    let mut types = Types::new();
    types.add::<Diary>().decides::<Note>();
    let simulation =
        Simulation::<Diary>::new(types, |chance| Call::command(chance.range(0, 3) as u32, Note(chance.range(0, 100))));
    let ran = simulation.expect("no clash").seeds(0..6);
    assert!(ran.failed.is_empty(), "{:?}", ran.failed[0].violations);
}

fn four() -> ScenarioBuilder {
    Scenario::with_nodes("a dies", ["a", "b", "c", "d"])
}

fn named(text: &str) -> crate::id::NodeName {
    crate::id::NodeName::new(text).expect("plain")
}

#[test]
fn a_scenario_made_in_rust_is_played_and_its_expectations_count() {
    let scenario = four()
        .about("Nobody is cut off; a dies. b must serve what a served.")
        .at(SECOND * 2, Deed::Kill(vec![named("a")]))
        .expect_at(SECOND * 4, Holds::Members(["b", "c", "d"].map(named).to_vec()))
        .expect(Holds::PromotedWithin(SECOND))
        .build()
        .expect("right");
    let pays = || tills(|drawn| Call::command((drawn >> 8) as u32 % 6, PayIn(1)));
    let report = pays().scenario(scenario).play(3);
    assert_eq!(report.violations, []);
    let trace = report.trace.expect("noted down");
    assert!(trace.entries.iter().any(|entry| format!("{entry:?}").contains("PayIn(1)")), "commands in their own words");
    let strict = four().at(SECOND * 2, Deed::Kill(vec![named("a")])).expect(Holds::PromotedWithin(Duration::ZERO));
    let report = pays().scenario(strict.build().expect("right")).play(3);
    assert!(
        report.violations.iter().any(|found| found.words.contains("after the loss of a")),
        "{:?}",
        report.violations
    );
}

#[test]
fn a_scenario_made_in_rust_is_checked_and_everything_that_is_wrong_is_told() {
    let wrong = Scenario::with_nodes("wrong", ["a", "b", "b", "no name"])
        .at(SECOND * 3, Deed::Kill(vec![named("x")]))
        .expect_at(SECOND, Holds::Lost(0))
        .expect(Holds::Members(vec![named("y")]))
        .lasts(SECOND)
        .build()
        .expect_err("wrong in many ways")
        .to_string();
    for words in
        ["\"no name\"", "two nodes have one name", "node `x`", "node `y`", "about the whole run", "it ends at 1s"]
    {
        assert!(wrong.contains(words), "{words} is not in: {wrong}");
    }
}

#[test]
fn the_faults_that_a_bug_needs_are_found_and_the_same_seed_is_the_same_run() {
    let simulation = tills(|drawn| Call::command((drawn >> 8) as u32 % 3, PayOnce(drawn >> 16 & 7)));
    let failed = simulation.seeds(0..10).failed;
    let seed = failed.first().expect("found").seed;
    let needed = simulation.fewest_faults(seed).expect("it fails");
    assert!(needed.len() < simulation.faults(seed).len());
    let [one, other] = [0, 1].map(|_| simulation.play_only(seed, &needed));
    assert!(!one.violations.is_empty() && one.violations == other.violations && one.digest == other.digest);
}
