//! Linearizability: right histories, planted wrong ones, a search without any shortcut to compare with, and the time.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{
    explain::Fault,
    history::{Action, History, HistoryFault, Operation, Outcome, Register, Reply},
    linearizable::{STEPS_MAX, Search, Verdict, check, search},
};
use crate::sim::random::Streams;

const UNKNOWN: Outcome = Outcome::Unknown;

const fn done(value: Option<u64>, version: u64) -> Outcome {
    Outcome::Done(Reply { value, version })
}

const fn write(value: u64) -> Action {
    Action::Write { value }
}

/// A history of session 3; each line is (client, asked, answered, action, outcome).
fn history(lines: &[(u32, u64, u64, Action, Outcome)]) -> History {
    let mut history = History::new(1000);
    for (client, invoked, returned, action, outcome) in lines.iter().copied() {
        let returned = Some(returned);
        history.push(Operation { session: 3, client, invoked, returned, action, outcome }).expect("well formed");
    }
    history
}

fn fault(lines: &[(u32, u64, u64, Action, Outcome)]) -> (Fault, Operation) {
    match check(&history(lines), STEPS_MAX) {
        Verdict::Violation(explanation) => (explanation.fault, explanation.operation),
        other => panic!("a planted violation passed: {other}"),
    }
}

fn holds(lines: &[(u32, u64, u64, Action, Outcome)]) {
    assert_eq!(check(&history(lines), STEPS_MAX), Verdict::Linearizable);
}

#[test]
fn an_unknown_write_may_take_effect_long_after_it_was_given_up_or_never() {
    let late = [
        (1, 0, 5, write(10), UNKNOWN),
        (2, 10, 15, write(20), done(None, 1)),
        (2, 20, 25, Action::Read, done(Some(20), 1)),
        (2, 30, 35, Action::Read, done(Some(10), 2)),
    ];
    holds(&late);
    holds(&late[..3]);
}

#[test]
fn an_unknown_write_that_nobody_saw_still_counts_a_version() {
    // 30 shows at version 3: one of the unseen 10, 20 went before it. Dropping them as unread would cry wolf.
    let lines = [
        (1, 0, 5, write(10), UNKNOWN),
        (2, 0, 5, write(20), UNKNOWN),
        (3, 0, 9, write(40), done(None, 1)),
        (3, 10, 15, write(30), UNKNOWN),
        (4, 20, 25, Action::Read, done(Some(30), 3)),
    ];
    holds(&lines);
    assert!(matches!(fault(&[lines[2], lines[3], lines[4]]).0, Fault::NoPlace { .. }));
}

#[test]
fn a_late_acknowledgement_after_others_were_served_is_no_violation() {
    holds(&[
        (1, 0, 100, write(10), done(None, 1)),
        (2, 20, 30, Action::Read, done(Some(10), 1)),
        (2, 40, 50, write(20), done(Some(10), 2)),
    ]);
}

#[test]
fn a_refused_create_and_a_delete_of_nothing_are_reads() {
    let create = Action::Create { value: 10 };
    holds(&[
        (1, 0, 5, Action::Delete, done(None, 0)),
        (1, 10, 15, create, done(None, 1)),
        (2, 20, 25, Action::Create { value: 20 }, done(Some(10), 1)),
        (2, 30, 35, Action::Delete, done(Some(10), 2)),
        (1, 40, 45, Action::Create { value: 30 }, done(None, 3)),
    ]);
    let stale = [(1, 0, 5, create, done(None, 1)), (2, 10, 15, Action::Delete, done(None, 0))];
    assert_eq!(fault(&stale).0, Fault::Older { shown: 0, known: 1 });
}

#[test]
fn a_lost_acknowledgement_is_found_by_a_read() {
    let lines = [(1, 0, 5, write(10), done(None, 1)), (2, 10, 15, Action::Read, done(None, 0))];
    assert_eq!(fault(&lines), (Fault::Older { shown: 0, known: 1 }, history(&lines).operations()[1]));
}

#[test]
fn a_stale_read_is_found_and_a_concurrent_one_is_none() {
    let mut lines = [
        (1, 0, 5, write(10), done(None, 1)),
        (1, 10, 15, write(20), done(Some(10), 2)),
        (2, 12, 25, Action::Read, done(Some(10), 1)),
    ];
    holds(&lines);
    lines[2].1 = 16;
    assert_eq!(fault(&lines), (Fault::Older { shown: 1, known: 2 }, history(&lines).operations()[2]));
}

#[test]
fn a_dirty_read_is_found() {
    let lines = [(1, 0, 5, write(10), Outcome::NotDone), (2, 3, 9, Action::Read, done(Some(10), 1))];
    assert_eq!(fault(&lines).0, Fault::NotDoneButSeen { value: 10 });
}

#[test]
fn a_write_applied_twice_is_found() {
    let read = |at, version| (2, at, at + 5, Action::Read, done(Some(10), version));
    assert_eq!(fault(&[(1, 0, 5, write(10), done(None, 1)), read(10, 2)]).0, Fault::TwoVersions { value: 10 });
    assert_eq!(fault(&[(1, 0, 5, write(10), UNKNOWN), read(10, 1), read(20, 2)]).0, Fault::TwoVersions { value: 10 });
    // Applied twice with another write between: its value comes back from the past.
    let between = (3, 12, 18, write(20), done(Some(10), 2));
    assert_eq!(fault(&[(1, 0, 5, write(10), UNKNOWN), between, read(20, 3)]).0, Fault::TwoVersions { value: 10 });
    // Or nobody looked in between, and the count alone tells.
    let hidden = [(1, 0, 5, write(10), done(None, 1)), (1, 10, 15, write(20), done(Some(10), 3))];
    assert_eq!(fault(&hidden).0, Fault::TwoVersions { value: 10 });
}

#[test]
fn acknowledgements_of_two_primaries_that_contradict_each_other_are_found() {
    let lines = [(1, 0, 5, write(10), done(None, 1)), (2, 3, 9, write(20), done(None, 1))];
    assert_eq!(fault(&lines), (Fault::BothMade { version: 1 }, history(&lines).operations()[1]));
    let lines = [
        (1, 0, 5, write(10), UNKNOWN),
        (1, 0, 5, write(20), UNKNOWN),
        (2, 10, 15, Action::Read, done(Some(10), 1)),
        (3, 10, 15, Action::Read, done(Some(20), 1)),
    ];
    assert_eq!(fault(&lines).0, Fault::TwoValues { version: 1 });
}

#[test]
fn a_value_from_nowhere_or_from_the_future_is_found() {
    let read = (2, 10, 15, Action::Read, done(Some(10), 1));
    assert_eq!(fault(&[read]).0, Fault::NeverWritten { value: 10 });
    assert_eq!(fault(&[read, (1, 20, 25, write(10), done(None, 1))]).0, Fault::SeenBeforeAsked { value: 10 });
    // Not before 10 was asked, but before what must have gone before it.
    let lines =
        [(1, 5, 30, write(10), UNKNOWN), (3, 20, 25, write(20), UNKNOWN), (2, 10, 15, Action::Read, done(Some(10), 2))];
    assert!(matches!(fault(&lines).0, Fault::NoPlace { .. }));
}

#[test]
fn no_session_answers_a_change_with_version_zero() {
    assert!(matches!(fault(&[(1, 0, 5, write(10), done(None, 0))]).0, Fault::NoPlace { .. } | Fault::TwoValues { .. }));
}

#[test]
fn a_violation_reads_as_session_reason_and_the_two_operations() {
    let lines = [(1, 0, 5, write(10), done(None, 1)), (2, 10, 15, Action::Read, done(None, 0))];
    let told = check(&history(&lines), STEPS_MAX).to_string();
    let expected = "session 3: version 1 was answered before, this shows 0: stale
  client 2 read [10..15] done: absent at version 0
  against: client 1 write 10 [0..5] done: absent before, now version 1";
    assert_eq!(told, expected);
}

#[test]
fn sessions_are_judged_apart_and_the_first_wrong_one_is_named() {
    let mut history = history(&[(1, 0, 5, write(10), done(None, 1))]);
    let mut read = |session, outcome| {
        let number = history.invoke(session, 1, 10, Action::Read).expect("room");
        history.answer(number, 15, outcome).expect("open");
    };
    read(9, done(None, 4));
    read(4, done(None, 0));
    match check(&history, STEPS_MAX) {
        Verdict::Violation(explanation) => assert_eq!(explanation.session, 9),
        other => panic!("version 4 of nothing passed: {other}"),
    }
}

#[test]
fn a_search_over_its_bound_is_too_hard_and_not_well() {
    let lines = [(1, 0, 5, write(10), done(None, 1)), (1, 10, 15, write(20), done(Some(10), 2))];
    assert_eq!(check(&history(&lines), 1), Verdict::TooHard { sessions: vec![3] });
    holds(&lines);
}

#[test]
fn a_history_refuses_what_it_could_not_judge() {
    let mut history = History::new(2);
    let number = history.invoke(1, 1, 10, write(5)).expect("room");
    assert_eq!(history.invoke(1, 2, 11, write(5)), Err(HistoryFault::RepeatedValue(5)));
    assert_eq!(history.answer(number, 9, UNKNOWN), Err(HistoryFault::Returned));
    assert_eq!(history.answer(number, 12, Outcome::NotDone), Ok(()));
    assert_eq!(history.answer(number, 13, UNKNOWN), Err(HistoryFault::Answered));
    let open =
        Operation { session: 2, client: 1, invoked: 1, returned: None, action: write(5), outcome: Outcome::NotDone };
    assert_eq!(history.push(open), Err(HistoryFault::Returned));
    assert!(history.push(Operation { outcome: UNKNOWN, ..open }).is_ok());
    assert_eq!(history.invoke(3, 1, 10, Action::Read), Err(HistoryFault::Full));
    assert_eq!(history.operations().len(), 2);
}

/// Tries every order, with no shortcut: not even the pruning of what changes nothing.
fn brute_force(remaining: &[Operation], register: Register) -> bool {
    if remaining.iter().all(|o| o.reply().is_none()) {
        return true;
    }
    (0..remaining.len()).any(|index| {
        let next = remaining[index];
        if next.outcome == Outcome::NotDone || remaining.iter().any(|other| other.precedes(&next)) {
            return false;
        }
        let (after, reply) = next.action.apply(register);
        let mut rest = remaining.to_vec();
        rest.remove(index);
        next.reply().is_none_or(|told| told == reply) && brute_force(&rest, after)
    })
}

/// What proptest draws for one operation: action, when asked, how long, when it takes effect in that time, outcome.
type Drawn = (u8, u64, u64, u64, u8);

/// A true history of a true session: effects in the order of their instants. An outcome of 0 to 4 is done, 5 and 6
/// unknown and in effect (perhaps long after), 7 unknown and never, 8 not done.
fn truthful(drawn: &[Drawn]) -> Vec<Operation> {
    let mut effects: Vec<(u64, usize)> = drawn
        .iter()
        .enumerate()
        .map(|(index, (_, asked, long, part, outcome))| {
            let late = if (5..=6).contains(outcome) { *part * 4 } else { *part % (*long + 1) };
            (asked + late, index)
        })
        .collect();
    effects.sort_unstable();
    let mut register = Register::default();
    let mut operations = vec![None; drawn.len()];
    for (_, index) in effects {
        let (action, invoked, long, _, outcome) = drawn[index];
        let value = 10 * (index as u64 + 1);
        let action = match action {
            0..=3 => write(value),
            4..=6 => Action::Read,
            7 => Action::Create { value },
            _ => Action::Delete,
        };
        let (after, reply) = action.apply(register);
        if outcome <= 6 {
            register = after;
        }
        let outcome = match outcome {
            0..=4 => Outcome::Done(reply),
            5..=7 => UNKNOWN,
            _ => Outcome::NotDone,
        };
        let returned = Some(invoked + long);
        operations[index] = Some(Operation { session: 1, client: index as u32, invoked, returned, action, outcome });
    }
    operations.into_iter().flatten().collect()
}

/// Plants a lie: one reply's version or value, or one outcome, is changed.
fn lie(operations: &mut [Operation], (which, how): (usize, u8)) {
    let index = which % operations.len();
    let values: Vec<u64> = operations.iter().filter_map(|o| o.action.writes()).collect();
    let operation = &mut operations[index];
    operation.outcome = match (operation.outcome, how) {
        (Outcome::Done(reply), 0) => done(reply.value, reply.version + 1),
        (Outcome::Done(reply), 1) => done(reply.value, reply.version.saturating_sub(1)),
        (Outcome::Done(reply), 2) => done(values.get(which % 3).copied(), reply.version),
        (Outcome::Done(_), 3) => Outcome::NotDone,
        (Outcome::Done(reply), 4) => done(None, reply.version),
        (Outcome::Done(_), _) => UNKNOWN,
        (_, how) => done(values.get(which % 3).copied(), u64::from(how)),
    };
}

#[test]
fn the_search_with_its_shortcuts_agrees_with_trying_every_order() {
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 6000, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let (ordered_seen, stuck_seen) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let drawn = vec((0u8..9, 0u64..12, 0u64..8, 0u64..9, 0u8..9), 1..=7);
    let lies = vec((0usize..64, 0u8..6), 0..=2);
    runner
        .run(&(drawn, lies), |(drawn, lies)| {
            let mut operations = truthful(&drawn);
            for planted in &lies {
                lie(&mut operations, *planted);
            }
            let expected = brute_force(&operations, Register::default());
            if lies.is_empty() && !expected {
                return Err(TestCaseError::fail("a true history was called wrong"));
            }
            let found = search(&operations, STEPS_MAX);
            prop_assert_eq!(matches!(found, Search::Ordered), expected, "{:#?}", operations);
            let counter = if expected { &ordered_seen } else { &stuck_seen };
            counter.set(counter.get() + 1);
            Ok(())
        })
        .expect("both searches agree");
    let (ordered, stuck) = (ordered_seen.get(), stuck_seen.get());
    println!("{ordered} histories with an order, {stuck} without");
    assert!(ordered > 1000 && stuck > 1000, "both answers must have been tried: {ordered}, {stuck}");
}

/// `count` operations of ten clients on one session, one in ten of unknown outcome, most of those in effect, half of
/// these long after they were given up.
fn long_history(seed: u64, count: usize) -> Vec<Operation> {
    let mut stream = Streams::new(seed).stream("history");
    let mut effects = Vec::new();
    let mut free = [0u64; 10];
    for index in 0..count {
        let client = index % 10;
        let invoked = free[client] + stream.range(0, 10);
        let returned = invoked + stream.range(1, 100);
        free[client] = returned + 1;
        let unknown = stream.chance(0.1);
        let effect = if unknown && stream.chance(0.5) {
            invoked + stream.range(0, 2000)
        } else {
            stream.range(invoked, returned)
        };
        let action = if stream.chance(0.6) { write(index as u64 + 1) } else { Action::Read };
        let happens = !unknown || stream.chance(0.6);
        effects.push((
            effect,
            index,
            happens,
            unknown,
            Operation {
                session: 1,
                client: client as u32,
                invoked,
                returned: Some(returned),
                action,
                outcome: UNKNOWN,
            },
        ));
    }
    effects.sort_by_key(|(effect, index, ..)| (*effect, *index));
    let mut register = Register::default();
    let mut operations = Vec::new();
    for (_, _, happens, unknown, mut operation) in effects {
        if happens {
            let (after, reply) = operation.action.apply(register);
            register = after;
            if !unknown {
                operation.outcome = Outcome::Done(reply);
            }
        }
        operations.push(operation);
    }
    operations
}

#[test]
#[allow(clippy::disallowed_methods, reason = "only the printed time comes from it")]
fn long_histories_are_decided_and_one_lie_among_760_is_found() {
    for seed in 0..20 {
        let mut operations = long_history(seed, 760);
        let unknown = operations.iter().filter(|o| o.may_change()).count();
        assert!(unknown > 24, "dozens of unknown outcomes: {unknown}");
        let start = std::time::Instant::now();
        assert_eq!(search(&operations, STEPS_MAX), Search::Ordered);
        let well = start.elapsed();
        let reads = operations.iter_mut().filter(|o| o.action == Action::Read);
        let Some((read, reply)) = reads.filter_map(|o| o.reply().map(|reply| (o, reply))).nth(100) else {
            panic!("more than a hundred reads");
        };
        read.outcome = done(reply.value, reply.version + 40);
        let start = std::time::Instant::now();
        assert!(matches!(search(&operations, STEPS_MAX), Search::Stuck { .. }));
        let wrong = start.elapsed();
        println!("760 operations, {unknown} unknown: linearizable in {well:?}; with a lie, refused in {wrong:?}");
    }
}
