//! `ringheir sim`: runs of the protocol with faults, judged: scenario files, or seeds of the simulator alone.
//!
//! The same seed gives the same run on every machine. Exit 1 when something was violated, with the one line that repeats it.

mod breaking;
mod files;
mod process;
mod real;
mod seeds;
mod telling;

use std::{
    fs::OpenOptions,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use ringheir::sim::{
    campaign::FAILED_MAX,
    run::{Mix, Noted, Planted, Report},
    timeline::{diff, page},
    trace::Trace,
};

use crate::{
    COULD_NOT_RUN, DOES_NOT_HOLD,
    ask::{line, print, tell},
};

/// More than any machine runs; and the last of them can still be counted.
const SEEDS_MAX: u64 = 1 << 62;
/// More than any machine that is known has cores.
const THREADS_MAX: i64 = 1_024;

/// Runs scenario files, or seeds of the simulator: nodes, clients, faults and judgement over virtual time
#[derive(Args)]
pub(crate) struct Sim {
    /// Scenario files, or folders of them. Without any, seeds alone say what goes wrong.
    paths: Vec<PathBuf>,
    /// By what scenario files are played.
    #[arg(long, value_enum, default_value_t = Engine::Sim, requires = "paths")]
    engine: Engine,
    /// How many seeds to run: 1 of each file, 1,000 without files, when not given.
    #[arg(long, conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(..=SEEDS_MAX))]
    from: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Of a run that fails, find the fewest faults with which it still does.
    #[arg(long)]
    shrink: bool,
    /// Write what happened to this file, as one page of HTML: of the first run that fails, else of the first of all.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the same to this file as JSON, for programs and for `--diff`.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// With every message between nodes.
    #[arg(long)]
    messages: bool,
    /// Say in what two runs differ, which `--events` wrote; runs nothing.
    #[arg(long, num_args = 2, value_names = ["FILE", "FILE"], exclusive = true)]
    diff: Option<Vec<PathBuf>>,
    /// Only these faults of one run, by number, or none: as `--shrink` tells.
    #[arg(long, value_name = "NUMBERS", value_parser = read_numbers)]
    only: Option<Numbers>,
    /// Print every event of one run to stderr.
    #[arg(long)]
    trace: bool,
    /// The mix of faults; otherwise each seed says its own.
    #[arg(long, value_parser = read_mix, conflicts_with = "paths")]
    mix: Option<Mix>,
    /// Put in a bug, to see it caught.
    #[arg(long, value_parser = read_planted)]
    planted: Option<Planted>,
    /// Put in each bug in turn, and say which check catches it and after how many seeds; exit 1 if one is not caught.
    #[arg(long, conflicts_with_all = ["paths", "planted", "seed", "shrink", "html", "events"])]
    every_planted: bool,
    /// How many runs at a time; one a core when not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Option<u16>,
    /// Stop after this many failing seeds; those under way on other threads are finished.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=FAILED_MAX as i64))]
    failures: u16,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// What plays a scenario file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The simulator: virtual time, one process.
    Sim,
    /// Real node processes with a proxy between every two of them: real time.
    Process,
}

/// Numbers of faults.
#[derive(Clone, Debug)]
struct Numbers(Vec<usize>);

fn read_numbers(words: &str) -> Result<Numbers, String> {
    if words == "none" {
        return Ok(Numbers(Vec::new()));
    }
    let each =
        words.split(',').map(|word| word.trim().parse().map_err(|_| format!("{word:?} is no number of a fault")));
    each.collect::<Result<_, _>>().map(Numbers)
}

fn read_mix(name: &str) -> Result<Mix, String> {
    let known = || Mix::ALL.map(Mix::name).join(", ");
    Mix::named(name).ok_or_else(|| format!("no mix of that name; there are: {}", known()))
}

fn read_planted(name: &str) -> Result<Planted, String> {
    let known = || Planted::all().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Planted::named(name).ok_or_else(|| format!("no planted bug of that name; there are: {}", known()))
}

/// A run as JSON, an entry a line, so that other tools compare it line by line.
fn json_of(trace: &Trace) -> String {
    let head = Trace { entries: Vec::new(), ..trace.clone() };
    let text = |value: serde_json::Result<String>| value.expect("plain data can be written");
    let head = text(serde_json::to_string(&head));
    let entries: Vec<String> = trace.entries.iter().map(|entry| text(serde_json::to_string(entry))).collect();
    head.replacen("\"entries\":[]", &format!("\"entries\":[\n{}\n]", entries.join(",\n")), 1) + "\n"
}

fn read_trace(path: &Path) -> Result<Trace, String> {
    let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    serde_json::from_str(&text).map_err(|why| format!("{}: no run that --events wrote: {why}", path.display()))
}

/// Exit 0: they are the same.
fn tell_difference(one: &Path, other: &Path) -> ExitCode {
    match (read_trace(one), read_trace(other)) {
        (Ok(left), Ok(right)) if left == right => {
            line(format_args!("the same: {} entries", left.entries.len()));
            ExitCode::SUCCESS
        }
        (Ok(left), Ok(right)) => {
            print(diff(&left, &right));
            ExitCode::from(DOES_NOT_HOLD)
        }
        (one, other) => {
            [one.err(), other.err()].into_iter().flatten().for_each(tell);
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

impl Sim {
    pub(crate) fn run(&self) -> ExitCode {
        // A planted bug makes the code's own assertions speak, and so does every run of a search; the report has what they said.
        if self.planted.is_some() || self.every_planted || self.shrink {
            std::panic::set_hook(Box::new(|_| {}));
        }
        if let Some([one, other]) = self.diff.as_deref() {
            return tell_difference(one, other);
        }
        if self.messages && self.html.is_none() && self.events.is_none() {
            tell("--messages is about what is written down: say where, with --html FILE or --events FILE");
            return ExitCode::from(COULD_NOT_RUN);
        }
        // A run of files is one run of each when nothing is said.
        let is_one = self.seed.is_some() || (!self.paths.is_empty() && self.seeds.is_none());
        let of_one = [(self.trace, "--trace"), (self.only.is_some(), "--only")];
        if let Some((_, option)) = of_one.into_iter().find(|(given, _)| *given && !is_one) {
            tell(format_args!("{option} is about one run: say which, with --seed N"));
            return ExitCode::from(COULD_NOT_RUN);
        }
        if !self.can_be_written() {
            return ExitCode::from(COULD_NOT_RUN);
        }
        if self.every_planted {
            return self.run_every_planted();
        }
        if self.paths.is_empty() { self.run_seeds() } else { self.run_files() }
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(cores, usize::from)
    }

    fn only(&self) -> Option<&[usize]> {
        self.only.as_ref().map(|Numbers(numbers)| &numbers[..])
    }

    /// How much of a run is noted down for its page.
    const fn noted(&self) -> Noted {
        if self.messages { Noted::Messages } else { Noted::Events }
    }

    /// Whether what is wanted as a file can be written, before the work is done.
    fn can_be_written(&self) -> bool {
        if self.html.is_some() && self.html == self.events {
            tell("--html and --events name the same file: give each its own");
            return false;
        }
        self.html.iter().chain(&self.events).all(|path| {
            let is_new = !path.exists();
            let opened = OpenOptions::new().create(true).append(true).open(path);
            if is_new && opened.is_ok() {
                // An interrupted run leaves no empty file.
                let _ = std::fs::remove_file(path);
            }
            opened.map_err(|why| tell(format_args!("{}: {why}", path.display()))).is_ok()
        })
    }

    /// Whether a run has all the faults that are wanted of it; says which there are.
    fn has_those(&self, faults: usize, run: &str) -> bool {
        let missing = self.only().and_then(|only| only.iter().find(|number| **number >= faults));
        if let Some(number) = missing {
            let there = if faults == 0 { "none".to_owned() } else { format!("{faults}, counted from 0") };
            tell(format_args!("--only {number}: {run} has no fault of that number; there are {there}"));
        }
        missing.is_none()
    }

    /// Writes the page of a run, if one is wanted; says whether that went well.
    fn write_page(&self, run: impl FnOnce() -> Report) -> bool {
        if self.html.is_none() && self.events.is_none() {
            return true;
        }
        let Some(trace) = run().trace else {
            tell("the run ended by an assertion of the code itself, before it could be written down: see --trace");
            return true;
        };
        let html = self.html.as_ref().map(|path| (path, page(&trace)));
        let events = self.events.as_ref().map(|path| (path, json_of(&trace)));
        html.into_iter().chain(events).all(|(path, text)| match std::fs::write(path, text) {
            Ok(()) => {
                tell(format_args!("what happened is in {}", path.display()));
                true
            }
            Err(why) => {
                tell(format_args!("{}: {why}", path.display()));
                false
            }
        })
    }
}
