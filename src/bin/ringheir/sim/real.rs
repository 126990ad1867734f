//! Runs of scenario files on real processes, one after the other: each takes as long as it says.

use std::process::ExitCode;

use ringheir::sim::run::only_words;
use serde_json::{Value, json};

use super::{
    Sim,
    files::File,
    process::{EngineError, cannot, play},
    telling::{Progress, as_json, many, show_failure, show_idle},
};
use crate::{
    COULD_NOT_RUN, DOES_NOT_HOLD, INTERRUPTED,
    ask::{line, tell},
};

impl Sim {
    pub(super) fn run_on_processes(&self, files: &[File]) -> ExitCode {
        if !self.are_all_possible(files) {
            return ExitCode::from(COULD_NOT_RUN);
        }
        let most = files.iter().map(|file| file.scenario.name.len()).max().unwrap_or(0);
        let (mut held, mut told, mut shown) = (true, Vec::new(), None);
        for (number, file) in files.iter().enumerate() {
            if !self.has_those(file.scenario.steps.len(), &file.scenario.name) {
                return ExitCode::from(COULD_NOT_RUN);
            }
            if file.scenario.simulated_only {
                let name = &file.scenario.name;
                line(format_args!("left out  {name}: it says engine = \"sim\""));
                told.push(json!({ "scenario": name, "path": file.path, "left_out": true }));
                continue;
            }
            let mut failed = Vec::new();
            let (mut operations, mut marks) = (0, std::collections::BTreeMap::<_, u64>::new());
            let (first, seeds) = self.first_and_count();
            let progress = Progress::new(&file.scenario.name);
            let (mut ran, mut idle) = (0, Vec::new());
            for seed in first..first.saturating_add(seeds) {
                let lasts = file.scenario.lasts.as_secs_f64();
                progress.tell(|| format!("file {} of {}, seed {seed}, about {lasts:.0} s", number + 1, files.len()));
                let report = match play(&file.scenario, seed, self.only(), self.repeats(file, seed)) {
                    Ok(report) => report,
                    Err(EngineError::Interrupted) => {
                        progress.done();
                        tell("interrupted: its nodes are stopped");
                        return ExitCode::from(INTERRUPTED);
                    }
                    Err(why) => {
                        progress.done();
                        tell(format_args!("{}: {why}", file.path));
                        return ExitCode::from(COULD_NOT_RUN);
                    }
                };
                ran += 1;
                operations += report.operations;
                report.marks.iter().for_each(|(mark, _)| *marks.entry(*mark).or_default() += 1);
                let fails = !report.violations.is_empty();
                if ran == 1 {
                    idle.clone_from(&report.idle);
                }
                if shown.is_none() || (held && fails) {
                    shown = Some(report.clone());
                }
                held &= !fails;
                if fails {
                    failed.push(report);
                }
                if failed.len() >= usize::from(self.failures) {
                    break;
                }
            }
            let took = progress.took();
            progress.done();
            let verdict = if failed.is_empty() { "holds" } else { "FAILS" };
            let (name, seconds) = (&file.scenario.name, took.as_secs_f64());
            line(format_args!(
                "{verdict}  {name:most$}  {}, {} failed; {operations} operations, {seconds:.1} s",
                many(ran, "run"),
                failed.len()
            ));
            show_idle(&idle);
            failed.iter().for_each(show_failure);
            let failures: Vec<Value> = failed.iter().map(|report| as_json(report, ("scenario", name))).collect();
            told.push(json!({
                "scenario": name, "path": file.path, "engine": "process", "seeds": ran, "failed": failed.len(),
                "operations": operations, "seconds": seconds, "marks": marks, "idle": idle,
                "failures": failures,
            }));
        }
        if self.json {
            line(json!({ "ok": held, "scenarios": told }));
        }
        if !shown.is_none_or(|report| self.write_page(|| report)) {
            return ExitCode::from(COULD_NOT_RUN);
        }
        if held { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) }
    }

    /// Whether processes can play all of these; says what they cannot.
    fn are_all_possible(&self, files: &[File]) -> bool {
        let only_simulated = [
            (self.planted.is_some(), "--planted"),
            (self.trace, "--trace"),
            (self.shrink, "--shrink"),
            (self.messages, "--messages"),
            (self.threads.is_some(), "--threads"),
        ];
        let mut possible = true;
        for (_, option) in only_simulated.into_iter().filter(|(given, _)| *given) {
            tell(format_args!("{option} needs the simulator: leave it out, or leave out --engine process"));
            possible = false;
        }
        for file in files.iter().filter(|file| !file.scenario.simulated_only) {
            for what in cannot(&file.scenario) {
                tell(format_args!("{}: real processes cannot play it: {what}", file.path));
                possible = false;
            }
        }
        if files.iter().all(|file| file.scenario.simulated_only) {
            tell("each of these says engine = \"sim\": only the simulator can play it");
            possible = false;
        }
        possible
    }

    fn repeats(&self, file: &File, seed: u64) -> String {
        format!("{} --engine process --seed {seed}{}", file.path, only_words(self.only()))
    }
}
