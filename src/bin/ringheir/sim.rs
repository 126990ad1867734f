//! `ringheir sim`: seeded runs of the protocol over virtual time, with faults, judged.
//!
//! The same seed gives the same run on every machine. Exit 1 when something was violated, with the one line that repeats it.

use std::{
    io::{IsTerminal as _, Write as _},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::Args;
use ringheir::sim::{
    campaign::{Campaign, Common, campaign, run_caught},
    run::{Mix, Plan, Planted, Report},
};
use serde_json::{Value, json};

use crate::{COULD_NOT_RUN, DOES_NOT_HOLD};

/// More than any machine runs; and the last of them can still be counted.
const SEEDS_MAX: u64 = 1 << 62;

#[derive(Args)]
pub(crate) struct Sim {
    /// Scenario files; none can be run yet.
    #[arg(hide = true)]
    paths: Vec<PathBuf>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000, conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(..=SEEDS_MAX))]
    from: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event of the run to stderr.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// The mix of faults; otherwise each seed says its own.
    #[arg(long, value_parser = read_mix)]
    mix: Option<Mix>,
    /// Put in a bug, to see it caught.
    #[arg(long, value_parser = read_planted)]
    planted: Option<Planted>,
    /// How many runs at a time; one a core when not given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Stop after this many failing seeds.
    #[arg(long, default_value_t = 5)]
    failures: usize,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

fn read_mix(name: &str) -> Result<Mix, String> {
    let known = || Mix::ALL.map(Mix::name).join(", ");
    Mix::named(name).ok_or_else(|| format!("no mix of that name; there are: {}", known()))
}

fn read_planted(name: &str) -> Result<Planted, String> {
    let known = || Planted::all().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Planted::named(name).ok_or_else(|| format!("no planted bug of that name; there are: {}", known()))
}

impl Sim {
    pub(crate) fn run(&self) -> ExitCode {
        if let Some(path) = self.paths.first() {
            eprintln!(
                "{}: scenario files cannot be run yet; runs by seed can: ringheir sim --seeds 1000",
                path.display()
            );
            return ExitCode::from(COULD_NOT_RUN);
        }
        // A planted bug makes the code's own assertions speak; the report has what they said.
        if self.planted.is_some() {
            std::panic::set_hook(Box::new(|_| {}));
        }
        let holds = match self.seed {
            Some(seed) => self.run_one(seed),
            None => self.run_many(),
        };
        if holds { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) }
    }

    fn run_one(&self, seed: u64) -> bool {
        let plan = Plan { seed, mix: self.mix, planted: self.planted, trace: self.trace };
        let report = run_caught(&plan);
        println!(
            "seed {seed}, mix {}: {} operations, {} events, digest {:016x}",
            plan.mix.unwrap_or_else(|| Mix::of(seed)),
            report.operations,
            report.events,
            report.digest
        );
        for (mark, times) in &report.marks {
            println!("  {times:>6}  {mark}");
        }
        show_failure(&report);
        if self.json {
            println!("{}", report_as_json(&report));
        }
        report.violations.is_empty()
    }

    #[expect(clippy::disallowed_methods, reason = "figures for people: seeds per second")]
    fn run_many(&self) -> bool {
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let began = Instant::now();
        let shown = AtomicU64::new(0);
        let terminal = std::io::stderr().is_terminal();
        let progress = |done: u64| {
            let second = began.elapsed().as_secs();
            if terminal && shown.swap(second, Ordering::Relaxed) != second {
                eprint!("\r{done} of {} seeds", self.seeds);
                std::io::stderr().flush().ok();
            }
        };
        let common = Common { mix: self.mix, planted: self.planted };
        let result =
            campaign(self.from..self.from.saturating_add(self.seeds), common, self.failures, threads, &progress);
        let took = began.elapsed();
        if terminal {
            eprint!("\r{:40}\r", "");
        }
        println!(
            "{} seeds from {}, {} failed; {} operations, {} events; {:.1} s, {:.1} seeds/s on {threads} thread(s)",
            result.seeds,
            self.from,
            result.failed.len(),
            result.operations,
            result.events,
            took.as_secs_f64(),
            per_second(result.seeds, took),
        );
        for (mark, runs) in &result.marks {
            println!("  {runs:>6}  {mark}");
        }
        result.failed.iter().for_each(show_failure);
        if self.json {
            println!("{}", self.as_json(&result, took, threads));
        }
        result.failed.is_empty()
    }

    fn as_json(&self, result: &Campaign, took: Duration, threads: usize) -> Value {
        json!({
            "from": self.from, "seeds": result.seeds, "failed": result.failed.len(), "operations": result.operations,
            "events": result.events, "seconds": took.as_secs_f64(), "seeds_per_s": per_second(result.seeds, took),
            "threads": threads, "marks": result.marks,
            "failures": result.failed.iter().map(report_as_json).collect::<Vec<_>>(),
        })
    }
}

fn per_second(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64().max(1e-9)
}

fn show_failure(report: &Report) {
    for violation in &report.violations {
        println!("VIOLATION {violation}");
    }
    if !report.violations.is_empty() {
        println!("repeat it: ringheir sim {}", report.plan.arguments());
    }
}

fn report_as_json(report: &Report) -> Value {
    json!({
        "seed": report.plan.seed, "mix": report.plan.mix.unwrap_or_else(|| Mix::of(report.plan.seed)).name(),
        "violations": report.violations, "operations": report.operations, "events": report.events,
        "digest": format!("{:016x}", report.digest), "marks": report.marks,
        "repeat": format!("ringheir sim {}", report.plan.arguments()),
    })
}
