//! How runs are told: progress on a terminal, violations with the line that repeats them, JSON.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ringheir::sim::{run::Report, shrink::shrink};
use serde_json::{Value, json};

use crate::ask::{line, tell};

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
            let _ = write!(std::io::stderr(), "\r{}: {}   ", self.what, words());
        }
    }

    pub(super) fn done(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r{:70}\r", "");
        }
    }
}

pub(super) fn per_second(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64().max(1e-9)
}

pub(super) fn show_failure(report: &Report) {
    for violation in &report.violations {
        line(format_args!("VIOLATION {violation}"));
    }
    if !report.violations.is_empty() {
        line(format_args!("repeat it: ringheir sim {}", report.repeat));
    }
}

/// Steps that changed nothing: perhaps not what their writer meant.
pub(super) fn show_idle(idle: &[String]) {
    for idle in idle {
        line(format_args!("  note: at {idle}"));
    }
}

/// As many as that: `1 seed`, `2 seeds`.
pub(super) fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(super) fn as_json(report: &Report, of: (&str, &str)) -> Value {
    json!({
        "ok": report.violations.is_empty(), "seed": report.seed, of.0: of.1, "idle": report.idle,
        "violations": report.violations.iter().map(ToString::to_string).collect::<Vec<_>>(), "operations": report.operations, "events": report.events,
        "digest": (report.digest != 0).then(|| format!("{:016x}", report.digest)), "marks": report.marks,
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
    let Some(check) = failed.violations.iter().map(|violation| violation.check).find(|check| *check != "expect") else {
        tell("an expectation does not hold, and what it expects depends on the steps: there is nothing to leave out");
        return None;
    };
    let progress = Progress::new(format!("seed {}: looking for the fewest of {} faults", failed.seed, faults.len()));
    let fails = |only: &[usize]| run(only).violations.iter().any(|violation| violation.check == check);
    let needed =
        shrink(faults.len(), PATIENCE, fails, |asked, left| progress.tell(|| format!("{asked} runs, {left} left")));
    progress.done();
    let fewest = run(&needed);
    line(format_args!("of {} faults {} are needed for `{check}` to fail:", faults.len(), needed.len()));
    for number in &needed {
        line(format_args!("  {number:>3}  {}", faults[*number]));
    }
    show_failure(&fewest);
    Some(needed)
}
