//! The explorations of one arc: what each is bounded by, and what it must have seen. The table in `main.rs` says how many states
//! each of them had.
//!
//! Most let a view be decided in one step (`at_once`): that leaves room for what comes after it.

use ringheir::replication::Rules;

use super::{
    arc_judge::{
        BROKEN, CAME_HOME, CAUGHT_UP, DISMISSED, GOES_ON, HEIR_CAUGHT_UP, PROMOTED, PROMOTED_MEANWHILE, REFUSED,
    },
    arc_model::ArcModel,
    arc_start::Start,
    holds,
};

/// What every exploration in which a primary is deposed has to see.
const DEPOSED: [&str; 4] = [PROMOTED, GOES_ON, REFUSED, BROKEN];

/// `a` serves and `b` is in sync; `b` and `c` may each find `a` silent once. One write before, one meanwhile.
pub(crate) fn protected() -> ArcModel {
    ArcModel {
        start: Start::Protected,
        sessions: 1,
        before: 1,
        writes: 1,
        reads: 0,
        proposals: [0, 1, 1],
        unheard: vec![0],
        last_view: 2,
        crashes: 0,
        times: 1,
        parks: false,
        at_once: true,
        tells: false,
        through: false,
        impatient: false,
        rules: Rules::default(),
        seen: DEPOSED.into(),
    }
}

/// `a` serves alone and `b` catches up, two sessions one after the other; then `b` may be promoted.
pub(crate) fn alone() -> ArcModel {
    ArcModel {
        start: Start::Alone,
        sessions: 2,
        before: 2,
        last_view: 3,
        seen: with(&[CAUGHT_UP, HEIR_CAUGHT_UP]),
        ..protected()
    }
}

/// `a` has two backups.
pub(crate) fn both() -> ArcModel {
    ArcModel { start: Start::Both, ..protected() }
}

/// `c` comes home while `a` serves its arc and `b` is in sync.
pub(crate) fn returning() -> ArcModel {
    ArcModel { start: Start::Returning, sessions: 2, before: 2, ..protected() }
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&DEPOSED[..], more].concat()
}

#[test]
fn an_arc_goes_on_whatever_two_proposers_do_letter_by_letter() {
    holds("letter by letter", ArcModel { at_once: false, times: 0, crashes: 1, ..protected() });
}

#[test]
fn an_arc_goes_on_whatever_comes_before_its_turn() {
    let early = ArcModel { parks: true, proposals: [0, 1, 0], ..protected() };
    holds("before its turn, two writes", ArcModel { writes: 2, ..early.clone() });
    holds("before its turn, and all is told", ArcModel { tells: true, ..early });
}

#[test]
fn a_read_is_fresh_and_what_it_showed_survives() {
    holds("a read", ArcModel { reads: 1, ..protected() });
}

#[test]
fn an_arc_survives_its_primary_and_gains_another_backup() {
    let seen = with(&[CAUGHT_UP]);
    holds("promoted, then joined", ArcModel { last_view: 3, crashes: 1, seen, ..protected() });
}

#[test]
fn a_node_that_caught_up_holds_all_it_needs_when_it_is_promoted() {
    holds("alone, time passes", ArcModel { proposals: [1, 0, 1], ..alone() });
    holds("alone, one crashes", ArcModel { times: 0, crashes: 1, ..alone() });
}

#[test]
fn of_two_backups_the_heir_settles_what_the_other_holds() {
    holds("two backups", ArcModel { writes: 2, proposals: [0, 1, 0], times: 0, crashes: 1, ..both() });
}

#[test]
fn a_promotion_during_a_catch_up_loses_nothing() {
    let seen = with(&[PROMOTED_MEANWHILE, CAUGHT_UP]);
    holds("meanwhile", ArcModel { proposals: [0, 1, 0], times: 0, crashes: 1, seen, ..returning() });
}

#[test]
fn an_arc_that_goes_home_loses_nothing_on_the_way() {
    let seen = vec![CAUGHT_UP, HEIR_CAUGHT_UP, CAME_HOME, GOES_ON, REFUSED];
    let nobody = ArcModel { proposals: [1, 0, 1], unheard: vec![], times: 0, last_view: 3, ..returning() };
    holds("coming home", ArcModel { sessions: 1, before: 1, seen, ..nobody });
}

#[test]
fn what_a_backup_tells_in_its_primarys_place_survives() {
    let through = |model: ArcModel| ArcModel { through: true, ..model };
    holds("told by the backup", through(ArcModel { reads: 1, ..protected() }));
    holds("told by the backup, joined", through(ArcModel { proposals: [1, 0, 1], ..alone() }));
    let seen = with(&[PROMOTED_MEANWHILE, CAUGHT_UP]);
    let meanwhile = ArcModel { proposals: [0, 1, 0], times: 0, crashes: 1, seen, ..returning() };
    holds("told by the backup, meanwhile", through(meanwhile));
}

#[test]
fn a_silent_backup_is_dropped_only_by_a_view() {
    let seen = vec![DISMISSED, REFUSED];
    let wishes = ArcModel { impatient: true, unheard: vec![], ..protected() };
    holds("a silent backup", ArcModel { proposals: [1, 0, 0], seen, ..wishes });
}

#[test]
#[ignore = "up to a minute: another catches up in the place of the silent one"]
fn a_silent_backup_is_replaced() {
    let seen = vec![DISMISSED, CAUGHT_UP, REFUSED];
    let wishes = ArcModel { impatient: true, unheard: vec![], last_view: 3, ..protected() };
    holds("a silent backup replaced", ArcModel { proposals: [2, 0, 0], seen, ..wishes });
}

#[test]
#[ignore = "up to a minute: all three propose"]
fn a_node_that_caught_up_is_promoted_whoever_proposes() {
    holds("alone, all propose", ArcModel { proposals: [1, 1, 1], ..alone() });
}

#[test]
#[ignore = "up to a minute: time passes too"]
fn of_two_backups_the_heir_settles_what_the_other_holds_in_time() {
    holds("two backups, time passes", ArcModel { writes: 2, ..both() });
}
