//! Runs that a seed alone describes.

use std::process::ExitCode;

use ringheir::sim::{
    campaign::{Campaign, Common, Told, campaign, caught},
    run::{MARKS, Mix, Noted, Plan, Planted, Report, faults_of, run_only},
};
use serde_json::{Value, json};

use super::{
    Sim,
    breaking::{Breaking, go_on},
    telling::{Progress, as_json, many, per_second, show_failure, shrink_and_tell},
};
use crate::{COULD_NOT_RUN, DOES_NOT_HOLD, INTERRUPTED, ask::line};

/// A campaign of this many seeds reaches every branch, but for one chance in ten thousand.
const LONG: u64 = 5_000;

/// The run whose page is written: which seed, and which of its faults.
type Shown = (u64, Option<Vec<usize>>);

impl Sim {
    pub(super) fn run_seeds(&self) -> ExitCode {
        let breaking = Breaking::watch();
        let (holds, first) = match self.seed {
            Some(seed) if !self.has_those(faults_of(&self.plan(seed)).len(), &format!("seed {seed}")) => {
                return ExitCode::from(COULD_NOT_RUN);
            }
            Some(seed) => self.run_seed(seed),
            None => self.run_campaign(&breaking),
        };
        if breaking.is_wanted() {
            return ExitCode::from(INTERRUPTED);
        }
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
        let (all, breaking) = (Planted::all(), Breaking::watch());
        let most = all.iter().map(|planted| planted.to_string().len()).max().unwrap_or(0);
        let (mut told, mut missed) = (Vec::new(), 0);
        for planted in all {
            let progress = Progress::new(planted.to_string());
            let shown = |told: Told<'_>| {
                if let Told::Done(done) = told {
                    progress.tell(|| format!("{done} of {seeds} seeds"));
                }
                go_on(&breaking)
            };
            let common = Common { mix: self.mix, planted: Some(planted) };
            let result = campaign(self.from..self.from.saturating_add(seeds), common, 1, self.threads(), &shown);
            progress.done();
            if breaking.is_wanted() {
                return ExitCode::from(INTERRUPTED);
            }
            let name = planted.to_string();
            let Some(first) = result.failed.first() else {
                missed += 1;
                line(format_args!("{name:most$}  NOT CAUGHT in {seeds} seeds"));
                told.push(json!({ "planted": name, "caught": false, "seeds": seeds }));
                continue;
            };
            let check = first.violations[0].check;
            let (after, mix) = (first.seed - self.from + 1, self.mix_of(first.seed));
            line(format_args!("{name:most$}  after {after:>5} seeds, by {check} (seed {}, mix {mix})", first.seed));
            told.push(json!({ "planted": name, "caught": true, "seeds": after, "by": check, "seed": first.seed }));
        }
        if self.json {
            line(json!({ "ok": missed == 0, "planted": told }));
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
        line(format_args!(
            "seed {seed}, mix {}: {} operations, {} events, digest {:016x}",
            self.mix_of(seed),
            report.operations,
            report.events,
            report.digest
        ));
        for (mark, times) in &report.marks {
            line(format_args!("  {times:>6}  {mark}"));
        }
        show_failure(&report);
        let fewest = self.shrink_if_wanted(&report);
        if self.json {
            let mut told = as_json(&report, ("mix", self.mix_of(seed).name()));
            told["fewest"] = json!(fewest);
            line(told);
        }
        let only = fewest.or_else(|| self.only().map(<[usize]>::to_vec));
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

    fn run_campaign(&self, breaking: &Breaking) -> (bool, Shown) {
        let (threads, seeds) = (self.threads(), self.seeds.unwrap_or(1_000));
        let progress = Progress::new("seeds");
        let told = |told: Told<'_>| {
            match told {
                Told::Done(done) => {
                    progress.tell(|| format!("{done} of {seeds}, {:.0} a second", per_second(done, progress.took())));
                }
                Told::Failed(report) => {
                    progress.done();
                    show_failure(report);
                }
            }
            go_on(breaking)
        };
        let common = Common { mix: self.mix, planted: self.planted };
        let result =
            campaign(self.from..self.from.saturating_add(seeds), common, usize::from(self.failures), threads, &told);
        let took = progress.took();
        progress.done();
        line(format_args!(
            "{} from {}{}, {} failed; {} operations, {} events; {:.1} s, {:.1} seeds/s on {}",
            many(result.seeds, "seed"),
            self.from,
            if result.seeds < seeds { format!(" of {seeds}") } else { String::new() },
            result.failed.len(),
            result.operations,
            result.events,
            took.as_secs_f64(),
            per_second(result.seeds, took),
            many(threads as u64, "thread"),
        ));
        for (mark, runs) in &result.marks {
            line(format_args!("  {runs:>6}  {mark}"));
        }
        let missed = self.missed(&result);
        for mark in &missed {
            line(format_args!("NOT REACHED {mark}: what goes wrong in these runs has gone tame"));
        }
        let first = result.failed.first();
        let fewest = first.filter(|_| !breaking.is_wanted()).and_then(|report| self.shrink_if_wanted(report));
        if self.json {
            let mut told = self.campaign_as_json(&result, took, threads, &missed);
            told["fewest"] = json!(fewest);
            line(told);
        }
        let shown = (first.map_or(self.from, |report| report.seed), fewest);
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
            "ok": result.failed.is_empty() && missed.is_empty(), "from": self.from, "seeds": result.seeds, "failed": result.failed.len(), "operations": result.operations,
            "events": result.events, "seconds": took.as_secs_f64(), "seeds_per_s": per_second(result.seeds, took),
            "threads": threads, "marks": result.marks, "not_reached": missed,
            "failures": result.failed.iter().map(|r| as_json(r, ("mix", self.mix_of(r.seed).name()))).collect::<Vec<_>>(),
        })
    }
}
