//! Runs that scenario files describe.
//!
//! Every file is read before the first is played: a wrong one runs nothing.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use miette::{GraphicalReportHandler, GraphicalTheme};
use ringheir::sim::{
    campaign::{Campaign, Told, campaign_of, caught},
    play::{Play, play},
    run::{Noted, Report},
    scenario::{FILE_MAX, Scenario, ScenarioError},
};
use serde_json::{Value, json};
use std::io::IsTerminal as _;

use super::{
    Engine, Sim,
    breaking::{Breaking, go_on},
    telling::{Progress, as_json, many, per_second, show_failure, show_idle, shrink_and_tell},
};
use crate::{
    COULD_NOT_RUN, DOES_NOT_HOLD, INTERRUPTED,
    ask::{line, tell},
};

/// A scenario and where it was read.
pub(super) struct File {
    pub(super) path: String,
    pub(super) scenario: Scenario,
}

impl Sim {
    pub(super) fn run_files(&self) -> ExitCode {
        let Some(files) = self.read_files() else { return ExitCode::from(COULD_NOT_RUN) };
        if self.engine == Engine::Process {
            return self.run_on_processes(&files);
        }
        let breaking = Breaking::watch();
        let (mut held, mut shown) = (true, None);
        let mut told = Vec::new();
        let most = files.iter().map(|file| file.scenario.name.len()).max().unwrap_or(0);
        for file in &files {
            if !self.has_those(file.scenario.acts_in_words(self.first_and_count().0).len(), &file.scenario.name) {
                return ExitCode::from(COULD_NOT_RUN);
            }
            let (holds, json, run) = self.run_file(file, most, &breaking);
            // The first that fails, else the first of all.
            if shown.is_none() || (held && !holds) {
                shown = Some((file, run));
            }
            held &= holds;
            told.push(json);
            if breaking.is_wanted() {
                return ExitCode::from(INTERRUPTED);
            }
        }
        if self.json {
            line(json!({ "ok": held, "scenarios": told }));
        }
        let page = |(file, (seed, only)): (&File, (u64, Option<Vec<usize>>))| {
            self.write_page(|| self.play(file, seed, only.as_deref(), self.noted()))
        };
        if !shown.is_none_or(page) {
            return ExitCode::from(COULD_NOT_RUN);
        }
        if held { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) }
    }

    /// The first seed of each file, and how many there are.
    pub(super) fn first_and_count(&self) -> (u64, u64) {
        match self.seed {
            Some(seed) => (seed, 1),
            None => (self.from, self.seeds.unwrap_or(1)),
        }
    }

    fn run_file(&self, file: &File, most: usize, breaking: &Breaking) -> (bool, Value, (u64, Option<Vec<usize>>)) {
        let (first, seeds) = self.first_and_count();
        let progress = Progress::new(&file.scenario.name);
        let shown = |told: Told<'_>| {
            if let Told::Done(done) = told {
                progress.tell(|| format!("{done} of {seeds} seeds"));
            }
            go_on(breaking)
        };
        // Steps do nothing in the first run, or it is chance that was there before them.
        let idle = Mutex::new(Vec::new());
        let run = |seed| {
            let report = self.play(file, seed, self.only(), Noted::Nothing);
            if seed == first {
                idle.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&report.idle);
            }
            report
        };
        let result =
            campaign_of(first..first.saturating_add(seeds), &run, usize::from(self.failures), self.threads(), &shown);
        let took = progress.took();
        progress.done();
        let Campaign { operations, failed, seeds: ran, marks, .. } = &result;
        let verdict = if failed.is_empty() { "holds" } else { "FAILS" };
        line(format_args!(
            "{verdict}  {:most$}  {}{}, {} failed; {operations} operations, {:.1} s",
            file.scenario.name,
            many(*ran, "seed"),
            if *ran < seeds { format!(" of {seeds}") } else { String::new() },
            failed.len(),
            took.as_secs_f64()
        ));
        failed.iter().for_each(show_failure);
        let idle = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
        show_idle(&idle);
        let fewest = failed.first().filter(|_| self.shrink && self.only.is_none()).and_then(|first| {
            let faults = file.scenario.acts_in_words(first.seed);
            shrink_and_tell(first, &faults, |only| self.play(file, first.seed, Some(only), Noted::Nothing))
        });
        let only = fewest.clone().or_else(|| self.only().map(<[usize]>::to_vec));
        let shown = (failed.first().map_or(first, |report| report.seed), only);
        let failures: Vec<_> = failed.iter().map(|report| as_json(report, ("scenario", &file.scenario.name))).collect();
        let told = json!({
            "scenario": file.scenario.name, "path": file.path, "seeds": ran, "failed": failed.len(), "operations": operations,
            "seconds": took.as_secs_f64(), "seeds_per_s": per_second(*ran, took), "marks": marks, "idle": idle,
            "fewest": fewest, "failures": failures,
        });
        (failed.is_empty(), told, shown)
    }

    fn play(&self, file: &File, seed: u64, only: Option<&[usize]>, noted: Noted) -> Report {
        let how = Play { seed, planted: self.planted, print: self.trace, noted, only: only.map(<[usize]>::to_vec) };
        caught(seed, &format!("{} --seed {seed}", file.path), || play(&file.scenario, &file.path, &how))
    }

    /// All files, read; `None` if any cannot be, which has been told.
    fn read_files(&self) -> Option<Vec<File>> {
        let mut paths = Vec::new();
        for path in &self.paths {
            match listed(path) {
                Ok(found) if found.is_empty() => {
                    tell(format_args!("{}: no scenario (*.toml) is in this folder", path.display()));
                    return None;
                }
                Ok(found) => paths.extend(found),
                Err(why) => {
                    tell(format_args!("{}: {why}", path.display()));
                    return None;
                }
            }
        }
        let read = paths.iter().map(|path| read(path)).collect::<Vec<_>>();
        read.into_iter().collect()
    }
}

/// The scenario files under a path: itself, or those of a folder, by name.
fn listed(path: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Option<File> {
    let shown = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than may be, so that a file which is too long is seen to be.
    let reading = fs::File::open(path).and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
    if let Err(why) = reading {
        tell(format_args!("{shown}: {why}"));
        return None;
    }
    // One that is too long may be cut within a letter, and is told to be too long.
    let text = if bytes.len() > FILE_MAX {
        String::from_utf8_lossy(&bytes).into_owned()
    } else if let Ok(text) = String::from_utf8(bytes) {
        text
    } else {
        tell(format_args!("{shown} is no text; a scenario is a TOML file, see simulations/README.md"));
        return None;
    };
    let name = path.file_stem().map_or_else(|| shown.clone(), |stem| stem.to_string_lossy().into_owned());
    match Scenario::from_text(&name, &shown, &text) {
        Ok(scenario) => Some(File { path: shown, scenario }),
        Err(error) => {
            tell(explained(&error));
            None
        }
    }
}

/// The faults of a file with the lines that they are in, in colour only on a terminal.
fn explained(error: &ScenarioError) -> String {
    let theme =
        if std::io::stderr().is_terminal() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut text = String::new();
    match GraphicalReportHandler::new_themed(theme).with_width(110).render_report(&mut text, error) {
        Ok(()) => text.trim_end().to_owned(),
        Err(_) => error.to_string(),
    }
}
