//! Campaigns of the simulator that are short enough for every change: no violation over every mix of faults, every planted
//! bug caught, exactly one cluster ever founded, and the same seed the same run. Long ones: `ringheir sim`.
#![cfg(feature = "sim")]

use std::ops::ControlFlow;

use ringheir::sim::{
    campaign::{Common, campaign, run_caught},
    play::{Play, play},
    run::{MARKS, Mix, Plan, Planted, run},
    scenario::Scenario,
};

const THREADS: usize = 2;
/// A planted bug that needs more seeds than this, in the mix that it shows in, would not be noticed by a short campaign.
const SEEDS_TO_CATCH: u64 = 150;

#[test]
fn a_short_campaign_over_all_mixes_holds_and_reaches_every_interesting_branch() {
    let result = campaign(0..500, Common::default(), 3, THREADS, &|_| ControlFlow::Continue(()));
    for report in &result.failed {
        println!("ringheir sim {}\n{report}", report.repeat);
    }
    assert!(result.failed.is_empty(), "{} seeds violated something", result.failed.len());
    let missed: Vec<_> = MARKS.iter().filter(|mark| !result.marks.contains_key(*mark)).collect();
    assert!(missed.is_empty(), "the faults have gone tame: never reached {missed:?}");
}

#[test]
fn every_planted_bug_is_caught_within_some_seeds() {
    // Some of them are caught by the code's own assertions, which would print.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for planted in Planted::all() {
        let common = Common { mix: Some(planted.shows_in()), planted: Some(planted) };
        let result = campaign(0..SEEDS_TO_CATCH, common, 1, THREADS, &|_| ControlFlow::Continue(()));
        match result.failed.first() {
            Some(report) => {
                let checker = report.violations[0].check;
                println!("{planted} in {}: {} seeds, by {checker}", planted.shows_in(), report.seed + 1);
            }
            None => missed.push(planted),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught within {SEEDS_TO_CATCH} seeds: {missed:?}");
}

#[test]
fn however_processes_start_die_and_are_parted_exactly_one_cluster_is_founded() {
    let result = campaign(10_000..10_300, Common { mix: Some(Mix::Founding), planted: None }, 3, THREADS, &|_| {
        ControlFlow::Continue(())
    });
    for report in &result.failed {
        println!("ringheir sim {}\n{report}", report.repeat);
    }
    assert!(result.failed.is_empty());
    assert!(result.marks.contains_key("start anew"), "no founding was ever given up");
}

#[test]
fn seeds_that_once_found_a_bug_hold() {
    let listed =
        include_str!("../simulations/seeds.txt").lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let mut tried = 0;
    for line in listed {
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|w| w.parse().ok()).unwrap_or_else(|| panic!("no seed in: {line}"));
        let mix = words.next().and_then(Mix::named).unwrap_or_else(|| panic!("no mix in: {line}"));
        let report = run_caught(&Plan { mix: Some(mix), ..Plan::of(seed) });
        assert!(report.violations.is_empty(), "ringheir sim {}: {:#?}", report.repeat, report.violations);
        tried += 1;
    }
    assert!(tried > 0, "the list is empty");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 4, 5] {
        let (one, other) = (run(&Plan::of(seed)), run(&Plan::of(seed)));
        assert_eq!((one.digest, one.events, one.marks), (other.digest, other.events, other.marks), "seed {seed}");
        assert_ne!(one.digest, run(&Plan::of(seed + 100)).digest);
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_same_seed_is_the_same_run_in_another_process() {
    let report = run(&Plan::of(7));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringheir")).args(["sim", "--seed", "7"]).output();
    let output = output.expect("the binary of this package starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("digest {:016x}", report.digest)), "{told} and here {:016x}", report.digest);
}

/// The scenarios of the project, by name.
fn scenarios() -> Vec<(String, Scenario)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/simulations");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("it is there").map(|e| e.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let (text, shown) = (std::fs::read_to_string(path).expect("readable"), path.display().to_string());
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let scenario = Scenario::from_text(&name, &shown, &text).unwrap_or_else(|why| panic!("{:?}", why.faults()));
        (shown, scenario)
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_scenario_of_the_project_holds_in_the_simulator() {
    let all = scenarios();
    assert!(all.len() >= 25, "the library is there");
    for (path, scenario) in &all {
        for seed in 0..3 {
            let report = play(scenario, path, &Play { seed, ..Play::default() });
            assert!(report.violations.is_empty(), "ringheir sim {}: {:#?}", report.repeat, report.violations);
            assert!(report.operations > 100, "{path}: callers do something");
        }
    }
}

/// Every scenario that is about ends, or about commits of several sessions, and what it must not let pass.
const MUST_CATCH: [(&str, &[&str]); 11] = [
    ("an-end-taken-back", &["without-ends-replaced", "without-ends-copied"]),
    ("ends-by-clocks-that-drift", &["without-primary-expires", "without-ends-copied"]),
    ("ends-due-behind-a-partition", &["without-primary-expires", "without-ends-copied"]),
    ("ends-due-in-a-drain", &["without-primary-expires", "without-ends-copied"]),
    ("ends-due-when-the-primary-dies", &["without-primary-expires", "without-ends-copied"]),
    ("ends-due-while-a-node-comes-home", &["without-primary-expires", "without-ends-copied"]),
    ("ends-due-while-the-primary-sleeps", &["without-primary-expires", "without-ends-copied"]),
    ("ends-in-a-catch-up-that-is-interrupted", &["without-primary-expires", "without-ends-copied"]),
    ("ends-past-when-an-old-copy-returns", &["without-primary-expires", "without-ends-copied"]),
    ("several-in-one-commit", &["without-commit-whole", "without-catch-up-parts"]),
    ("several-in-one-commit-two-backups", &["without-commit-whole"]),
];

#[test]
fn each_scenario_of_ends_and_of_several_sessions_fails_with_the_bugs_that_it_is_there_for() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let all = scenarios();
    for (name, bugs) in MUST_CATCH {
        let (path, scenario) = all.iter().find(|(_, scenario)| scenario.name == name).expect("it is there");
        for bug in bugs {
            let planted = Planted::named(bug);
            assert!(planted.is_some(), "{bug}");
            let fails = |seed: u64| {
                let how = Play { seed, planted, ..Play::default() };
                // One that the code's own assertions catch is caught as well.
                std::panic::catch_unwind(|| play(scenario, path, &how))
                    .map_or(true, |report| !report.violations.is_empty())
            };
            if !(0..5).any(fails) {
                missed.push((name, bug));
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught within 5 seeds: {missed:?}");
}

#[test]
fn an_expectation_that_does_not_hold_is_a_violation_that_says_what_is_instead() {
    let text = "about = \"a dies\"\n[cluster]\nnodes = [\"a\", \"b\", \"c\"]\n[[step]]\nat = \"3s\"\nkill = \"a\"\n\
                [[expect]]\nat = \"5s\"\nmembers = [\"a\", \"b\"]\n[[expect]]\nfinally = true\npromoted_within = \"1ms\"\n";
    let scenario = Scenario::from_text("wrong", "wrong.toml", text).expect("it can be read");
    let report = play(&scenario, "wrong.toml", &Play::default());
    let [members, promoted] = &report.violations[..] else { panic!("two do not hold: {:?}", report.violations) };
    assert!(members.words.contains("line 9, at 5s") && members.words.contains("but the members are b, c"), "{members}");
    assert!(promoted.words.contains("after the loss of a it took"), "{promoted}");
}

#[test]
fn a_scenario_with_one_step_less_is_the_same_run_up_to_that_step() {
    let (path, scenario) = scenarios().into_iter().find(|(_, s)| s.name == "restart-storm").expect("it is there");
    let traced = |only: Option<Vec<usize>>| {
        let how = Play { seed: 4, noted: ringheir::sim::run::Noted::Messages, only, ..Play::default() };
        play(&scenario, &path, &how).trace.expect("it was noted down")
    };
    let (whole, again, fewer) = (traced(None), traced(None), traced(Some(vec![0, 1, 2, 3])));
    assert_eq!(whole, again, "the same seed is the same run, message by message");
    let last = u64::try_from(scenario.steps[4].at.as_micros()).expect("soon");
    let before = |trace: &ringheir::sim::trace::Trace| {
        trace.entries.iter().filter(|entry| entry.at_us < last).cloned().collect::<Vec<_>>()
    };
    assert_eq!(before(&whole), before(&fewer));
    assert_ne!(whole.entries, fewer.entries);
}
