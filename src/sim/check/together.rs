//! Together: of a commit of several sessions all shows or nothing, in their histories and to everybody who looks at several at once
//! (atomicity and isolation of one-shot transactions; Bernstein, Hadzilacos and Goodman 1987, chapter 1).
//!
//! Each session's own order is judged elsewhere. Here two sessions are laid beside each other: whoever came to both in one commit
//! came to both on the same side of everybody else who did. And where nobody was told what became of a commit, what it would write
//! is in all of its sessions or in none.
//!
//! Sessions that lost every copy count their versions anew, so calls that name one of them are left out.

use std::{collections::BTreeMap, fmt};

use super::{
    history::{Action, History, Operation, OperationNumber},
    lives::Losses,
};

/// A commit of which a part shows and a part does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// What it wrote to the one is there, and what it wrote to the other is not.
    Half {
        /// There.
        there: Operation,
        /// Not there.
        missing: Operation,
    },
    /// It came before another in one session, and after it in the other.
    Order {
        /// What it did to the one session.
        one: Operation,
        /// What the other did to that session, later.
        later: Operation,
        /// The other session, where that one was earlier.
        session: u32,
    },
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Half { there, missing } => write!(
                f,
                "in one commit were: {there} of session {}, which is there, and: {missing} of session {}, which is not",
                there.session, missing.session
            ),
            Self::Order { one, later, session } => write!(
                f,
                "two commits came to session {} and session {session}; there first: {one}, then: {later}; here the other way round",
                one.session
            ),
        }
    }
}

impl std::error::Error for Torn {}

/// Which versions of its session an operation lies between: two numbers apart if it changed it, the same if it did not.
type Place = (u64, u64);

/// Looks at every call of several sessions. `finals` has the values of each session in order, deletions as zero; it may be empty where
/// there is no end to judge, and then less is seen.
///
/// # Errors
/// The first commit found torn.
pub fn check(
    history: &History,
    calls: &[Vec<OperationNumber>],
    finals: &BTreeMap<u32, &[u64]>,
    losses: &Losses,
) -> Result<(), Box<Torn>> {
    let mut met = BTreeMap::<(u32, u32), Vec<(Place, Place, Operation)>>::new();
    for call in calls {
        let operations: Vec<Operation> = call.iter().map(|number| history.operations()[number.index()]).collect();
        if operations.iter().any(|operation| losses.contains_key(&operation.session)) {
            continue;
        }
        is_whole(&operations, finals)?;
        let placed: Vec<(Place, Operation)> =
            operations.iter().filter_map(|o| Some((place_of(o, finals)?, *o))).collect();
        for (one, other) in placed.iter().flat_map(|one| placed.iter().map(move |other| (one, other))) {
            if one.1.session < other.1.session {
                met.entry((one.1.session, other.1.session)).or_default().push((one.0, other.0, one.1));
            }
        }
    }
    for ((_, session), mut met) in met {
        met.sort_by_key(|(one, other, _)| (*one, *other));
        if let Some((first, then)) = met.iter().zip(met.iter().skip(1)).find(|(first, then)| then.1 < first.1) {
            return Err(Box::new(Torn::Order { one: first.2, later: then.2, session }));
        }
    }
    Ok(())
}

/// Where a value stands in the end of its session.
fn found(operation: &Operation, finals: &BTreeMap<u32, &[u64]>) -> Option<u64> {
    let value = operation.action.writes()?;
    finals.get(&operation.session)?.iter().position(|there| *there == value).map(|at| at as u64)
}

fn place_of(operation: &Operation, finals: &BTreeMap<u32, &[u64]>) -> Option<Place> {
    match (operation.before(), operation.after()) {
        (Some(before), Some(after)) => Some((before.version, after.version)),
        _ => found(operation, finals).map(|at| (at, at + 1)),
    }
}

/// Whether all that was to be written is there, or nothing.
fn is_whole(operations: &[Operation], finals: &BTreeMap<u32, &[u64]>) -> Result<(), Box<Torn>> {
    let Some(there) = operations.iter().find(|operation| found(operation, finals).is_some()) else { return Ok(()) };
    // A session that is there is not created, and one that is not is not deleted: only a write leaves its mark for certain.
    let is_missing = |operation: &&Operation| {
        matches!(operation.action, Action::Write { .. })
            && finals.contains_key(&operation.session)
            && found(operation, finals).is_none()
    };
    match operations.iter().find(is_missing) {
        Some(missing) => Err(Box::new(Torn::Half { there: *there, missing: *missing })),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::check::{Loss, Outcome, Reply};

    /// What was asked of one session, and what was told: the value before and the version after.
    type Asked = (Action, Option<(Option<u64>, u64)>);
    type Call = [Asked; 2];

    /// Calls of sessions 1 and 2, each told these replies, or nothing.
    fn calls(told: &[Call]) -> (History, Vec<Vec<OperationNumber>>) {
        let mut history = History::new(100);
        let mut calls = Vec::new();
        for (at, parts) in (0u64..).zip(told) {
            let asked = |(session, (action, told)): (u32, Asked)| {
                let number = history.invoke(session, 1, at * 10, action).expect("room");
                if let Some((value, version)) = told {
                    history.answer(number, at * 10 + 5, Outcome::Done(Reply { value, version })).expect("open");
                }
                number
            };
            calls.push((1..).zip(*parts).map(asked).collect());
        }
        (history, calls)
    }

    fn write(value: u64) -> Action {
        Action::Write { value }
    }

    fn judge(told: &[Call], finals: [&[u64]; 2]) -> Result<(), Box<Torn>> {
        let (history, calls) = calls(told);
        check(&history, &calls, &(1..).zip(finals).collect(), &Losses::new())
    }

    #[test]
    fn a_commit_that_nobody_heard_of_is_there_whole_or_not_at_all() {
        let unknown = [[(write(7), None), (write(8), None)]];
        assert_eq!(judge(&unknown, [&[5, 7], &[8]]), Ok(()));
        assert_eq!(judge(&unknown, [&[5], &[]]), Ok(()));
        let torn = judge(&unknown, [&[5], &[8]]).expect_err("half of it");
        assert!(matches!(*torn, Torn::Half { missing, .. } if missing.action == write(7)), "{torn}");
        let creates = [[(write(7), None), (Action::Create { value: 8 }, None)]];
        assert_eq!(judge(&creates, [&[7], &[5]]), Ok(()), "it was there already, so nothing was created");
    }

    #[test]
    fn whoever_looks_at_two_sessions_at_once_sees_both_changed_or_neither() {
        let changes = [(write(7), Some((None, 1))), (write(8), Some((None, 1)))];
        let sees = |one, other| [changes, [(Action::Read, Some(one)), (Action::Read, Some(other))]];
        let (old, new) = ((None, 0), |value| (Some(value), 1));
        assert_eq!(judge(&sees(new(7), new(8)), [&[7], &[8]]), Ok(()));
        assert_eq!(judge(&sees(old, old), [&[7], &[8]]), Ok(()));
        let torn = judge(&sees(new(7), old), [&[7], &[8]]).expect_err("half of it");
        assert!(matches!(*torn, Torn::Order { session: 2, .. }), "{torn}");
        assert!(judge(&sees(old, new(8)), [&[7], &[8]]).is_err());
    }

    #[test]
    fn two_commits_come_to_their_sessions_in_one_order() {
        let told = |one, other| {
            [
                [(write(7), Some((None, 1))), (write(8), None)],
                [(write(17), Some((Some(7), 2))), (write(18), Some(other))],
            ]
            .map(|call| call.map(|(action, told)| (action, told.or(one))))
        };
        assert_eq!(judge(&told(Some((None, 1)), (Some(8), 2)), [&[7, 17], &[8, 18]]), Ok(()));
        assert!(judge(&told(Some((Some(18), 2)), (None, 1)), [&[7, 17], &[18, 8]]).is_err());
        assert!(judge(&told(None, (None, 1)), [&[7, 17], &[18, 8]]).is_err(), "its place is known from the end");
    }

    #[test]
    fn sessions_that_began_anew_are_not_laid_beside_others() {
        let (history, calls) = calls(&[[(write(7), None), (write(8), None)]]);
        let losses = Losses::from([(2, vec![Loss { ended: 1, began: Some(1) }])]);
        assert_eq!(check(&history, &calls, &(1..).zip([&[7][..], &[][..]]).collect(), &losses), Ok(()));
    }
}
