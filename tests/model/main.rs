//! Two models, each checked exhaustively within small bounds.
//!
//! Stateright drives the very structs that the node runs (`membership::Chain`, `replication::Host`), never a rewriting of them.
//! What a model adds is the world: a network that may deliver what was sent at any moment, in any order or never; crashes, and
//! the proofs of them; clients. Every test prints its states and depth.
//!
//! # The view chain alone (`chain_model`)
//!
//! No two different views of one number are ever decided. A message may be delivered any number of times (loss, delay,
//! duplication and reordering at once); where proofs of death count, they arrive at each survivor at any moment after the crash.
//! Time does not exist: whatever a clock could cause is allowed at every moment.
//!
//! | test | voters | proposals | last view | a proposer chooses | refusals, fetches | crashes | states |
//! |---|---|---|---|---|---|---|---|
//! | three voters that shrink | 3 | a: 2, b: 1 | 3 | fewer voters | lost | 1 | 43 thousand |
//! | three voters that stay | 3 | a: 2, b: 1 | 3 | the same voters | lost | 1 | 47 thousand |
//! | three who all propose | 3 | a, b, c: 1 | 3 | fewer voters | lost | 1 | 92 thousand |
//! | with every answer | 3 | a: 2, b: 1 | 3 | fewer voters | delivered | 1 | 159 thousand |
//! | two, of which one survives | 2 | a, b: 3 | 3 | fewer voters | lost | 1, proved | 80 thousand |
//! | the same with every answer | 2 | a, b: 2 | 3 | fewer voters | delivered | 1, proved | 38 thousand |
//! | four, of which two survive | 4 | a, b: 1 | 3 | fewer voters | lost | 2, proved | 262 thousand |
//! | three voters, two attempts each (ignored: up to a minute) | 3 | a, b: 2 | 3 | fewer voters | lost | 1 | 1.3 million |
//!
//! Three bugs are planted, to show that the model can see what it looks for.
//!
//! # One arc (`arc_model`)
//!
//! View chain, promotion, union rule, fencing, leases and the catch-up of one arc with one backup on three nodes, all of them
//! voters. What must hold, in `arc_judge`: the views of one number are one; what a client knows of is in every later serving
//! primary, in its place; a backup's committed history is the beginning of its primary's; no two clients know of different writes
//! in one place; a read shows all that was acknowledged before it was asked. And what each test names must be seen to happen:
//! a promotion, one during a catch-up, a catch-up completed, a deposed primary refused, and so on.
//!
//! "Proposals" is how often `a`, `b`, `c` may each propose a view; a proposer may hold the one under "silent" for unheard. "Time" is
//! how often every lease may run out. "Crash" is how many may be proved dead (that a node stops for ever without proof is in each
//! of them). Only the first goes through every letter of a proposal; in the others a proposer and one voter agree in one step,
//! and the news of it travels.
//!
//! | test | begins with | writes before, meanwhile | proposals | silent | last view | time | crash | states | seconds |
//! |---|---|---|---|---|---|---|---|---|---|
//! | letter by letter | `a`, backup `b` | 1, 1 | b, c: 1 | a | 2 | 0 | 1 | 84 thousand | 3 |
//! | before its turn, two writes: frames arrive early | the same | 1, 2 | b: 1 | a | 2 | 1 | 0 | 71 thousand | 3 |
//! | before its turn, and all is told | the same | 1, 1 | b: 1 | a | 2 | 1 | 0 | 10 thousand | 1 |
//! | a read | the same | 1, 1 and a read | b, c: 1 | a | 2 | 1 | 0 | 75 thousand | 2 |
//! | promoted, then joined | the same | 1, 1 | b, c: 1 | a | 3 | 1 | 1 | 172 thousand | 6 |
//! | alone, time passes | `a` alone, `b` catches up | 2, 1 in two sessions | a, c: 1 | a | 3 | 1 | 0 | 125 thousand | 4 |
//! | alone, one crashes | the same | 2, 1 in two sessions | b, c: 1 | a | 3 | 0 | 1 | 104 thousand | 3 |
//! | two backups | `a`, backups `b`, `c` | 1, 2 | b: 1 | a | 2 | 0 | 1 | 73 thousand | 2 |
//! | meanwhile | `a`, backup `b`, `c` catches up to come home | 2, 1 in two sessions | b: 1 | a | 2 | 0 | 1 | 464 thousand | 15 |
//! | coming home | the same | 1, 1 | a, c: 1 | nobody | 3 | 0 | 0 | 79 thousand | 3 |
//! | told by the backup: writes are asked for through it | `a`, backup `b` | 1, 1 and a read | b, c: 1 | a | 2 | 1 | 0 | 75 thousand | 2 |
//! | the same, joined | `a` alone, `b` catches up | 2, 1 in two sessions | a, c: 1 | a | 3 | 1 | 0 | 125 thousand | 4 |
//! | the same, meanwhile | `a`, backup `b`, `c` catches up to come home | 2, 1 in two sessions | b: 1 | a | 2 | 0 | 1 | 464 thousand | 17 |
//! | a silent backup, dropped by wish | `a`, backup `b` | 1, 1 | a: 1 | nobody | 2 | 1 | 0 | 3 thousand | 1 |
//! | a silent backup replaced (ignored) | the same | 1, 1 | a: 2 | nobody | 3 | 1 | 0 | 16 thousand | 1 |
//! | alone, all propose (ignored) | `a` alone, `b` catches up | 2, 1 in two sessions | a, b, c: 1 | a | 3 | 1 | 0 | 1,058 thousand | 44 |
//! | two backups, time passes (ignored) | `a`, backups `b`, `c` | 1, 2 | b, c: 1 | a | 2 | 1 | 0 | 741 thousand | 24 |
//!
//! Twelve rules of replication are switched off one by one (`arc_planted`): the model sees each of them missed, breadth first,
//! after this many states: `BackupFirst` 2,112, `PromotedWaits` 2,802, `ReadLease` 2,209, `CommittedReads` 3,246, `Quiesce` 5,341,
//! `Fencing` 4,720, `DropByView` 3,011, `CatchUpWhole` 10,662, `Union` 19,919, `CommitIdentity` 17,701, `Enlist` 22,783.
//!
//! What these bounds leave out: the death of a promoted primary after that of the first (four views), processes that come back or
//! join, a second arc, more than one backup wanted, lost frames that are sent again (a frame waits in the network instead), and
//! clocks that differ.

mod arc_judge;
mod arc_model;
// Rules can be switched off with the simulator only.
#[cfg(feature = "sim")]
mod arc_planted;
mod arc_runs;
mod arc_start;
mod arc_world;
mod chain_model;
mod outsider;
mod ring;

use std::{collections::BTreeSet, fmt::Debug, hash::Hash};

use chain_model::{AGREEMENT, ChainModel, Change, Plant};
use ringheir::membership::Agreement;
use stateright::{Checker, HasDiscoveries, Model};

/// A model whose states and steps can be shown and remembered.
trait Explored: Model<State: Stated, Action: Clone + Debug + PartialEq> + Send + Sync + 'static {}

impl<M: Model<State: Stated, Action: Clone + Debug + PartialEq> + Send + Sync + 'static> Explored for M {}

/// What the checker asks of a state.
trait Stated: Clone + Debug + Hash + PartialEq + Send + Sync + 'static {}

impl<S: Clone + Debug + Hash + PartialEq + Send + Sync + 'static> Stated for S {}

/// Explores everything within the bounds; the properties must hold, and what may happen must have been seen to happen.
#[expect(clippy::disallowed_methods, reason = "tells the reader how long it took; nothing is decided by it")]
fn holds(what: &str, model: impl Explored) {
    let began = std::time::Instant::now();
    let checker = model.checker().spawn_dfs().join();
    println!(
        "{what}: {} states, {} transitions, depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    assert!(checker.is_done(), "{what}: not everything was explored");
    checker.assert_properties();
}

/// Looks for a violation of an invariant, and must find one.
fn is_broken(what: &str, model: impl Explored, invariant: &'static str) {
    let checker = model.checker().finish_when(HasDiscoveries::AnyOf(BTreeSet::from([invariant]))).spawn_bfs().join();
    println!("{what}: broken after {} states", checker.unique_state_count());
    let path = checker.discovery(invariant).unwrap_or_else(|| panic!("{what}: the model does not see it"));
    println!("  {:?}", path.into_actions());
}

fn proofs() -> ChainModel {
    ChainModel { agreement: Agreement::MajorityOrProof, ..ChainModel::small() }
}

#[test]
fn three_voters_that_shrink_decide_one_view_a_number() {
    holds("three that shrink", ChainModel { proposals: vec![2, 1], ..ChainModel::small() });
}

#[test]
fn three_voters_that_stay_decide_one_view_a_number() {
    holds("three that stay", ChainModel { proposals: vec![2, 1], change: Change::Mark, ..ChainModel::small() });
}

#[test]
fn three_voters_who_all_propose_decide_one_view_a_number() {
    holds("three who all propose", ChainModel { proposals: vec![1, 1, 1], ..ChainModel::small() });
}

#[test]
fn with_every_refusal_and_fetch_three_voters_decide_one_view_a_number() {
    holds("three with every answer", ChainModel { proposals: vec![2, 1], answers: true, ..ChainModel::small() });
}

#[test]
#[ignore = "up to a minute: two attempts of each of two proposers"]
fn three_voters_with_two_attempts_each_decide_one_view_a_number() {
    holds("three, two attempts each", ChainModel { proposals: vec![2, 2], ..ChainModel::small() });
}

#[test]
fn of_two_voters_the_survivor_decides_with_proof() {
    holds("two with proof", ChainModel { voters: 2, proposals: vec![3, 3], ..proofs() });
    holds("two, every answer", ChainModel { voters: 2, proposals: vec![2, 2], answers: true, ..proofs() });
}

#[test]
fn of_four_voters_two_survivors_decide_with_proof() {
    holds("four with proof", ChainModel { voters: 4, crashes: 2, ..proofs() });
}

#[test]
fn an_acceptor_that_forgets_its_promises_breaks_agreement() {
    is_broken("forgetting", ChainModel { plant: Plant::Forget(1), ..ChainModel::small() }, AGREEMENT);
}

#[test]
fn a_proposer_without_a_vote_of_its_own_breaks_agreement_by_half() {
    let two = ChainModel { voters: 2, proposals: vec![], crashes: 2, ..proofs() };
    is_broken("outsiders", ChainModel { plant: Plant::Outsiders, ..two.clone() }, AGREEMENT);
    // The control: the same outsiders do no harm where half is never enough.
    let majority = ChainModel { agreement: Agreement::Majority, plant: Plant::Outsiders, ..two };
    let checker = majority.checker().spawn_dfs().join();
    println!("outsiders under majority: {} states", checker.unique_state_count());
    assert!(checker.discovery(AGREEMENT).is_none());
}

#[test]
fn a_refused_connection_taken_for_a_proof_breaks_agreement() {
    is_broken("false proofs", ChainModel { voters: 2, plant: Plant::FalseProof, ..proofs() }, AGREEMENT);
}
