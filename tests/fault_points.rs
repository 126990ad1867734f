//! A kill or a stop after every single event of a commit, a promotion and a catch-up: nothing acknowledged is lost, nothing
//! is contradicted, everything heals. `simulation.rs` has the campaigns by chance.
#![cfg(feature = "sim")]

use ringheir::{
    replication::Rule,
    sim::{
        fault_points::{Blow, Life, Points, Victim, every_point},
        run::{Plan, Planted},
    },
};

/// Every point of some seeds of delays; blows fell at least this often, so that no test passes by hitting nobody.
fn holds(life: Life, victim: Victim, blow: Blow, seeds: std::ops::Range<u64>, stride: u64, struck_min: u64) {
    let mut all = Points::default();
    for seed in seeds {
        let points = every_point(&Plan::of(seed), life, victim, blow, stride);
        assert!(points.violations.is_empty(), "{life:?} {victim:?} {blow:?} seed {seed}: {:#?}", points.violations);
        all.points += points.points;
        all.struck += points.struck;
        all.acknowledged += points.acknowledged;
        all.unknown += points.unknown;
    }
    println!("{life:?} {victim:?} {blow:?}: {all:?}");
    assert!(all.struck >= struck_min, "too few blows fell: {all:?}");
    assert!(all.acknowledged > 0, "no command was ever acknowledged: {all:?}");
}

#[test]
fn acknowledged_commits_survive_a_kill_of_the_primary_after_any_event_of_a_commit() {
    holds(Life::Commit, Victim::Primary, Blow::Kill, 0..3, 1, 75);
}

#[test]
fn acknowledged_commits_survive_the_end_of_the_primary_and_of_its_last_words_after_any_event_of_a_commit() {
    holds(Life::Commit, Victim::Primary, Blow::Vanish, 0..3, 1, 75);
}

#[test]
fn acknowledged_commits_survive_a_kill_of_the_backup_after_any_event_of_a_commit() {
    holds(Life::Commit, Victim::Backup, Blow::Kill, 0..3, 1, 75);
}

#[test]
fn a_deposed_primary_that_goes_on_after_any_event_of_a_commit_never_contradicts_what_others_were_told() {
    holds(Life::Commit, Victim::Primary, Blow::Stop, 0..3, 1, 75);
}

#[test]
fn a_second_kill_after_any_event_of_a_promotion_loses_nothing() {
    holds(Life::Promotion, Victim::Primary, Blow::Vanish, 0..1, 2, 50);
    holds(Life::Promotion, Victim::Backup, Blow::Kill, 2..3, 2, 50);
}

#[test]
fn a_promoted_primary_that_stops_after_any_event_of_its_promotion_never_contradicts_the_next() {
    holds(Life::Promotion, Victim::Primary, Blow::Stop, 4..5, 2, 50);
}

#[test]
fn a_kill_after_any_event_of_a_catch_up_loses_nothing() {
    holds(Life::CatchUp, Victim::Primary, Blow::Kill, 0..1, 7, 25);
    holds(Life::CatchUp, Victim::Learner, Blow::Kill, 1..2, 5, 10);
}

#[test]
fn fault_points_see_an_acknowledgement_that_did_not_wait_for_the_backup() {
    let caught = (0..4).any(|seed| {
        let plan = Plan { planted: Some(Planted::Without(Rule::BackupFirst)), ..Plan::of(seed) };
        !every_point(&plan, Life::Commit, Victim::Primary, Blow::Vanish, 1).violations.is_empty()
    });
    assert!(caught);
}
