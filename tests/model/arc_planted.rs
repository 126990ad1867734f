//! The rules of replication switched off one by one: the model of one arc has to see what each of them prevents.
//!
//! Not among them: `LeaseFromAll`, which takes more than three nodes to show; `PrimaryExpires` and `RepliesReplicated`,
//! for here no session ends by itself and no command is repeated. The simulator shows all of them.

use ringheir::replication::Rule;

use super::{
    arc_judge::{FRESH, PREFIX, SURVIVES},
    arc_model::ArcModel,
    arc_runs::{alone, both, protected, returning},
    is_broken,
};

fn without(rule: Rule, model: ArcModel) -> ArcModel {
    ArcModel { rules: model.rules.without(rule), seen: vec![], ..model }
}

#[test]
fn acknowledging_before_the_backup_has_it_loses_commands() {
    is_broken("without BackupFirst", without(Rule::BackupFirst, protected()), SURVIVES);
}

#[test]
fn acknowledging_without_the_newcomer_while_it_is_wished_for_loses_commands() {
    is_broken("without Union", without(Rule::Union, ArcModel { proposals: [1, 1, 1], ..alone() }), SURVIVES);
}

#[test]
fn wishing_for_a_newcomer_that_lacks_something_loses_commands() {
    is_broken(
        "without CatchUpWhole",
        without(Rule::CatchUpWhole, ArcModel { proposals: [1, 1, 1], ..alone() }),
        SURVIVES,
    );
}

#[test]
fn counting_on_a_newcomer_only_from_the_wish_on_loses_commands() {
    is_broken("without Enlist", without(Rule::Enlist, ArcModel { proposals: [1, 1, 1], ..alone() }), SURVIVES);
}

#[test]
fn knowing_commits_by_their_number_alone_makes_copies_differ() {
    let proved = ArcModel { writes: 2, times: 0, crashes: 1, proposals: [0, 1, 0], ..both() };
    is_broken("without CommitIdentity", without(Rule::CommitIdentity, proved), PREFIX);
}

#[test]
fn taking_for_committed_what_another_backup_may_lack_is_seen_at_once() {
    is_broken("without ToldAlone", without(Rule::ToldAlone, both()), PREFIX);
}

#[test]
fn heeding_a_deposed_primary_loses_commands() {
    is_broken("without Fencing", without(Rule::Fencing, returning()), SURVIVES);
}

#[test]
fn handing_over_what_is_not_quiet_makes_copies_differ() {
    let home = ArcModel {
        sessions: 1,
        before: 1,
        proposals: [1, 0, 1],
        unheard: vec![],
        times: 0,
        last_view: 3,
        ..returning()
    };
    is_broken("without Quiesce", without(Rule::Quiesce, home), PREFIX);
}

#[test]
fn dropping_a_silent_backup_on_ones_own_loses_commands() {
    is_broken("without DropByView", without(Rule::DropByView, ArcModel { tells: true, ..protected() }), SURVIVES);
}

#[test]
fn reading_what_is_not_committed_shows_what_is_lost() {
    is_broken("without CommittedReads", without(Rule::CommittedReads, ArcModel { reads: 1, ..protected() }), SURVIVES);
}

#[test]
fn reading_without_a_lease_is_stale() {
    is_broken("without ReadLease", without(Rule::ReadLease, ArcModel { reads: 1, ..protected() }), FRESH);
}

#[test]
fn serving_before_the_lease_of_the_deposed_is_over_makes_its_reads_stale() {
    is_broken(
        "without PromotedWaits",
        without(Rule::PromotedWaits, ArcModel { reads: 1, times: 0, ..protected() }),
        FRESH,
    );
}
