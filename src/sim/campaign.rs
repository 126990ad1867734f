//! A campaign: many seeds, one verdict, and what was reached on the way.
//!
//! A panic of the code under test is a violation like any other. With more than one thread each takes every n-th seed; a run
//! never shares anything with another, so the threads change nothing but the time.

use std::{
    ops::Range,
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

/// Failed runs kept whole; more are only counted by stopping.
const FAILED_MAX: usize = 20;

/// What all runs of a campaign have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The mix of faults; `None`: each seed says its own.
    pub mix: Option<Mix>,
    /// A bug put in on purpose.
    pub planted: Option<Planted>,
}

/// Runs seeds until all are done, or until `stop_at` runs have failed. `progress` is called now and then with the number of
/// seeds done.
pub fn campaign(
    seeds: Range<u64>,
    common: Common,
    stop_at: usize,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Campaign {
    let run = |seed| run_caught(&Plan { mix: common.mix, planted: common.planted, ..Plan::of(seed) });
    campaign_of(seeds, &run, stop_at, threads, progress)
}

/// The same for runs of any kind.
pub fn campaign_of(
    seeds: Range<u64>,
    run: &(dyn Fn(u64) -> Report + Sync),
    stop_at: usize,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
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
                    result.take(report);
                    if result.failed.len() >= stop_at.min(FAILED_MAX) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    drop(result);
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
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
