//! How runs are told: progress on a terminal, violations with the line that repeats them, JSON.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ringheir::sim::{
    run::{Report, check_of},
    shrink::shrink,
};
use serde_json::{Value, json};

use crate::ask::tell;

/// Runs that a search for the fewest faults may take.
const PATIENCE: usize = 400;

/// Progress of long work, told at most once a second and only to people.
pub(super) struct Progress {
    began: Instant,
    shown: AtomicU64,
    is_terminal: bool,
    what: String,
}

#[expect(clippy::disallowed_methods, reason = "figures for people: how long it took")]
impl Progress {
    pub(super) fn new(what: impl Into<String>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), shown: AtomicU64::new(0), is_terminal, what: what.into() }
    }

    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn tell(&self, words: impl FnOnce() -> String) {
        let second = self.began.elapsed().as_secs();
        if self.is_terminal && self.shown.swap(second, Ordering::Relaxed) != second {
            eprint!("\r{}: {}   ", self.what, words());
            std::io::stderr().flush().ok();
        }
    }

    pub(super) fn done(&self) {
        if self.is_terminal {
            eprint!("\r{:70}\r", "");
        }
    }
}

pub(super) fn per_second(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64().max(1e-9)
}

pub(super) fn show_failure(report: &Report) {
    for violation in &report.violations {
        println!("VIOLATION {violation}");
    }
    if !report.violations.is_empty() {
        println!("repeat it: ringheir sim {}", report.repeat);
    }
}

pub(super) fn as_json(report: &Report, of: &str) -> Value {
    json!({
        "seed": report.seed, "mix": of,
        "violations": report.violations, "operations": report.operations, "events": report.events,
        "digest": format!("{:016x}", report.digest), "marks": report.marks,
        "repeat": format!("ringheir sim {}", report.repeat),
    })
}

/// Finds the fewest faults with which a run still fails by the same check, and tells them.
pub(super) fn shrink_and_tell(
    failed: &Report,
    faults: &[String],
    run: impl Fn(&[usize]) -> Report,
) -> Option<Vec<usize>> {
    // What a step was to bring about does not come without it; whatever else is violated is looked at first.
    let checks: Vec<&str> = failed.violations.iter().map(|violation| check_of(violation)).collect();
    let Some(check) = checks.iter().find(|check| **check != "expect") else {
        tell("an expectation does not hold, and what it expects depends on the steps: there is nothing to leave out");
        return None;
    };
    let progress = Progress::new(format!("seed {}: looking for the fewest of {} faults", failed.seed, faults.len()));
    let fails = |only: &[usize]| run(only).violations.iter().any(|violation| check_of(violation) == *check);
    let needed =
        shrink(faults.len(), PATIENCE, fails, |asked, left| progress.tell(|| format!("{asked} runs, {left} left")));
    progress.done();
    let fewest = run(&needed);
    println!("of {} faults {} are needed for `{check}` to fail:", faults.len(), needed.len());
    for number in &needed {
        println!("  {number:>3}  {}", faults[*number]);
    }
    show_failure(&fewest);
    Some(needed)
}
