//! Runs that a seed alone describes.

use std::process::ExitCode;

use ringheir::sim::{
    campaign::{Campaign, Common, campaign, caught},
    run::{MARKS, Mix, Noted, Plan, Planted, Report, check_of, faults_of, run_only},
};
use serde_json::{Value, json};

use super::{
    Sim,
    telling::{Progress, as_json, per_second, show_failure, shrink_and_tell},
};
use crate::{COULD_NOT_RUN, DOES_NOT_HOLD};

/// A campaign of this many seeds reaches every branch, but for one chance in ten thousand.
const LONG: u64 = 5_000;

/// The run whose page is written: which seed, and which of its faults.
type Shown = (u64, Option<Vec<usize>>);

impl Sim {
    pub(super) fn run_seeds(&self) -> ExitCode {
        let (holds, first) = match self.seed {
            Some(seed) => self.run_seed(seed),
            None => self.run_campaign(),
        };
        let (seed, only) = first;
        let plan = Plan { trace: false, noted: self.noted(), ..self.plan(seed) };
        let written = self.write_page(|| caught(seed, &plan.arguments(), || run_only(&plan, only.as_deref())));
        match (holds, written) {
            (_, false) => ExitCode::from(COULD_NOT_RUN),
            (true, true) => ExitCode::SUCCESS,
            (false, true) => ExitCode::from(DOES_NOT_HOLD),
        }
    }

    /// Each planted bug over seeds of every mix, until one seed catches it.
    pub(super) fn run_every_planted(&self) -> ExitCode {
        let seeds = self.seeds.unwrap_or(3_000);
        let all = Planted::all();
        let most = all.iter().map(|planted| planted.to_string().len()).max().unwrap_or(0);
        let (mut told, mut missed) = (Vec::new(), 0);
        for planted in all {
            let progress = Progress::new(planted.to_string());
            let shown = |done: u64| progress.tell(|| format!("{done} of {seeds} seeds"));
            let common = Common { mix: self.mix, planted: Some(planted) };
            let result = campaign(self.from..self.from.saturating_add(seeds), common, 1, self.threads(), &shown);
            progress.done();
            let name = planted.to_string();
            let Some(first) = result.failed.first() else {
                missed += 1;
                println!("{name:most$}  NOT CAUGHT in {seeds} seeds");
                told.push(json!({ "planted": name, "caught": false, "seeds": seeds }));
                continue;
            };
            let check = check_of(&first.violations[0]);
            let (after, mix) = (first.seed - self.from + 1, self.mix_of(first.seed));
            println!("{name:most$}  after {after:>5} seeds, by {check} (seed {}, mix {mix})", first.seed);
            told.push(json!({ "planted": name, "caught": true, "seeds": after, "by": check, "seed": first.seed }));
        }
        if self.json {
            println!("{}", json!({ "ok": missed == 0, "planted": told }));
        }
        if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) }
    }

    fn plan(&self, seed: u64) -> Plan {
        Plan { seed, mix: self.mix, planted: self.planted, trace: self.trace, noted: Noted::Nothing }
    }

    fn mix_of(&self, seed: u64) -> Mix {
        self.mix.unwrap_or_else(|| Mix::of(seed))
    }

    fn run_seed(&self, seed: u64) -> (bool, Shown) {
        let plan = self.plan(seed);
        let report = caught(seed, &plan.arguments(), || run_only(&plan, self.only()));
        println!(
            "seed {seed}, mix {}: {} operations, {} events, digest {:016x}",
            self.mix_of(seed),
            report.operations,
            report.events,
            report.digest
        );
        for (mark, times) in &report.marks {
            println!("  {times:>6}  {mark}");
        }
        show_failure(&report);
        let only = self.shrink_if_wanted(&report).or_else(|| self.only().map(<[usize]>::to_vec));
        if self.json {
            println!("{}", as_json(&report, self.mix_of(seed).name()));
        }
        (report.violations.is_empty(), (seed, only))
    }

    /// The fewest faults, if they are wanted and were found.
    fn shrink_if_wanted(&self, report: &Report) -> Option<Vec<usize>> {
        if self.shrink && self.only.is_none() && !report.violations.is_empty() {
            let plan = Plan { trace: false, ..self.plan(report.seed) };
            let run = |only: &[usize]| caught(plan.seed, &plan.arguments(), || run_only(&plan, Some(only)));
            return shrink_and_tell(report, &faults_of(&plan), run);
        }
        None
    }

    fn run_campaign(&self) -> (bool, Shown) {
        let (threads, seeds) = (self.threads(), self.seeds.unwrap_or(1_000));
        let progress = Progress::new("seeds");
        let told = |done: u64| {
            progress.tell(|| format!("{done} of {seeds}, {:.0} a second", per_second(done, progress.took())));
        };
        let common = Common { mix: self.mix, planted: self.planted };
        let result = campaign(self.from..self.from.saturating_add(seeds), common, self.failures, threads, &told);
        let took = progress.took();
        progress.done();
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
        let missed = self.missed(&result);
        for mark in &missed {
            println!("NOT REACHED {mark}: what goes wrong in these runs has gone tame");
        }
        let first = result.failed.first();
        let shown =
            (first.map_or(self.from, |report| report.seed), first.and_then(|report| self.shrink_if_wanted(report)));
        if self.json {
            println!("{}", self.campaign_as_json(&result, took, threads, &missed));
        }
        (result.failed.is_empty() && missed.is_empty(), shown)
    }

    /// Branches that a campaign of all mixes is to reach, and this one did not, if it was long enough to say so.
    fn missed(&self, result: &Campaign) -> Vec<&'static str> {
        if result.seeds < LONG || self.mix.is_some() || self.planted.is_some() {
            return Vec::new();
        }
        MARKS.into_iter().filter(|mark| !result.marks.contains_key(mark)).collect()
    }

    fn campaign_as_json(&self, result: &Campaign, took: std::time::Duration, threads: usize, missed: &[&str]) -> Value {
        json!({
            "from": self.from, "seeds": result.seeds, "failed": result.failed.len(), "operations": result.operations,
            "events": result.events, "seconds": took.as_secs_f64(), "seeds_per_s": per_second(result.seeds, took),
            "threads": threads, "marks": result.marks, "not_reached": missed,
            "failures": result.failed.iter().map(|r| as_json(r, self.mix_of(r.seed).name())).collect::<Vec<_>>(),
        })
    }
}
