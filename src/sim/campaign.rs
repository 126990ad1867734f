//! A campaign: many seeds, one verdict, and what was reached on the way.
//!
//! A panic of the code under test is a violation like any other. With more than one thread each takes every n-th seed; a run
//! never shares anything with another, so the threads change nothing but the time.

use std::{
    ops::{ControlFlow, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::run::{Marks, Mix, Plan, Planted, Report, run};

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Seeds run.
    pub seeds: u64,
    /// Operations that clients made in all of them.
    pub operations: u64,
    /// Events handled in all of them.
    pub events: u64,
    /// Runs that violated something, by seed.
    pub failed: Vec<Report>,
    /// Interesting branches, and in how many runs each was reached.
    pub marks: Marks,
}

/// The most failed runs after which a campaign stops, for each is kept whole.
pub const FAILED_MAX: usize = 20;

/// What all runs of a campaign have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The mix of faults; `None`: each seed says its own.
    pub mix: Option<Mix>,
    /// A bug put in on purpose.
    pub planted: Option<Planted>,
}

/// What a campaign tells while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// So many runs are done.
    Done(u64),
    /// This one violated something. A campaign on several threads tells in no order.
    Failed(&'a Report),
}

/// Whoever is told how a campaign goes; breaks it off by what it gives back.
pub type Listener<'a> = dyn Fn(Told<'_>) -> ControlFlow<()> + Sync + 'a;

/// Runs seeds until all are done, until `stop_at` runs have failed (on several threads, those under way are finished), or until the
/// listener breaks it off.
pub fn campaign(
    seeds: Range<u64>,
    common: Common,
    stop_at: usize,
    threads: usize,
    listener: &Listener<'_>,
) -> Campaign {
    let run = |seed| run_caught(&Plan { mix: common.mix, planted: common.planted, ..Plan::of(seed) });
    campaign_of(seeds, &run, stop_at, threads, listener)
}

/// The same for runs of any kind.
pub fn campaign_of(
    seeds: Range<u64>,
    run: &(dyn Fn(u64) -> Report + Sync),
    stop_at: usize,
    threads: usize,
    listener: &Listener<'_>,
) -> Campaign {
    let result = Mutex::new(Campaign::default());
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let next = AtomicU64::new(seeds.start);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed);
                    let mut result = result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let mut go_on = ControlFlow::Continue(());
                    if !report.violations.is_empty() {
                        go_on = listener(Told::Failed(&report));
                    }
                    result.take(report);
                    let enough = result.failed.len() >= stop_at.min(FAILED_MAX);
                    drop(result);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if enough || go_on.is_break() || listener(Told::Done(done)).is_break() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut result = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    result.failed.sort_by_key(|r| r.seed);
    result
}

/// One run, a panic of the code under test taken for a violation.
#[must_use]
pub fn run_caught(plan: &Plan) -> Report {
    caught(plan.seed, &plan.arguments(), || run(plan))
}

/// A run, a panic of the code under test taken for a violation.
#[must_use]
pub fn caught(seed: u64, repeat: &str, run: impl FnOnce() -> Report) -> Report {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        Report::of_panic(seed, repeat.to_owned(), &words)
    })
}

impl Campaign {
    fn take(&mut self, report: Report) {
        self.seeds += 1;
        self.operations += report.operations as u64;
        self.events += report.events;
        for mark in report.marks.keys() {
            *self.marks.entry(mark).or_default() += 1;
        }
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}
