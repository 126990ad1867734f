//! `Losses`: where sessions lost every copy and began anew, and what of a history belongs to each of their lives.
//!
//! After a loss a session is another one: absent, at version 0. What remembered the answers of before was lost as well, so
//! whatever was asked before may be carried out again when it is said again, even if it was acknowledged. A life is therefore
//! judged by what certainly happened in it. What else may have changed it counts as of unknown outcome there; a read that may
//! belong to either life says nothing. That a lost arc begins without anything is not told from here: whoever sees its copies
//! looks.

use std::{borrow::Cow, collections::BTreeMap};

use super::history::{History, Operation, Outcome};

/// One loss of every copy of a session, in the time of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What was answered by then was answered by the life before.
    pub ended: u64,
    /// What was asked after this is of the life after. `None`: it cannot be told, because one that held a copy lives on
    /// without the ring; the life after is not judged.
    pub began: Option<u64>,
}

/// The losses of each session, in their order.
pub type Losses = BTreeMap<u32, Vec<Loss>>;

/// A history, taken apart into the lives of its sessions.
pub(super) struct Lives<'h> {
    /// Lives that ended with a loss: the first ones, the second ones, and so on.
    pub(super) ended: Vec<History>,
    /// The lives that lasted to the end.
    pub(super) last: Cow<'h, History>,
}

impl<'h> Lives<'h> {
    pub(super) fn of(history: &'h History, losses: &Losses) -> Self {
        if losses.is_empty() {
            return Self { ended: Vec::new(), last: Cow::Borrowed(history) };
        }
        let longest = losses.values().map(Vec::len).max().unwrap_or(0);
        let mut ended: Vec<History> = (0..longest).map(|_| history.emptied()).collect();
        let mut last = history.emptied();
        for operation in history.operations() {
            let losses = losses.get(&operation.session).map_or(&[][..], Vec::as_slice);
            let lives = ended.iter_mut().take(losses.len()).chain([&mut last]);
            for (life, within) in lives.enumerate() {
                let before = life.checked_sub(1).map(|before| losses[before]);
                if let Some(operation) = in_life(operation, before, losses.get(life)) {
                    within.push(operation).expect("what was recorded once is well formed");
                }
            }
        }
        Self { ended, last: Cow::Owned(last) }
    }
}

/// How many changes had been acknowledged when their session lost its last copy.
#[must_use]
pub fn lost_changes(history: &History, losses: &Losses) -> u64 {
    let is_lost = |operation: &&Operation| {
        let losses = losses.get(&operation.session).map_or(&[][..], Vec::as_slice);
        operation.changed() && losses.iter().any(|loss| operation.returned.is_some_and(|at| at <= loss.ended))
    };
    history.operations().iter().filter(is_lost).count() as u64
}

/// Whether the last life of a session with these losses can be judged.
pub(super) fn is_known(losses: Option<&Vec<Loss>>) -> bool {
    losses.and_then(|losses| losses.last()).is_none_or(|loss| loss.began.is_some())
}

/// What an operation says of the life between two losses; `None`: nothing.
fn in_life(operation: &Operation, begun_by: Option<Loss>, ended_by: Option<&Loss>) -> Option<Operation> {
    let asked_after = |time: u64| operation.invoked > time;
    let began = match begun_by {
        None => true,
        Some(Loss { began: Some(began), .. }) => asked_after(began),
        Some(Loss { began: None, .. }) => return None,
    };
    if ended_by.and_then(|loss| loss.began).is_some_and(asked_after) {
        return None;
    }
    let answered_in_time = |loss: &Loss| operation.returned.is_some_and(|returned| returned <= loss.ended);
    if (began && ended_by.is_none_or(answered_in_time)) || operation.outcome == Outcome::NotDone {
        return Some(*operation);
    }
    let perhaps = Operation { returned: None, outcome: Outcome::Unknown, ..*operation };
    perhaps.may_change().then_some(perhaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::check::{Action, FinalState, Reply, Violation, of_callers};

    const SESSION: u32 = 5;

    fn losses(ended: u64, began: Option<u64>) -> Losses {
        Losses::from([(SESSION, vec![Loss { ended, began }])])
    }

    /// Each is asked at its time and answered at the other.
    fn history(operations: &[(u64, u64, Action, Option<u64>, u64)]) -> History {
        let mut history = History::new(100);
        for (asked, answered, action, value, version) in operations {
            let number = history.invoke(SESSION, 1, *asked, *action).expect("room");
            let reply = Reply { value: *value, version: *version };
            history.answer(number, *answered, Outcome::Done(reply)).expect("open");
        }
        history
    }

    fn last(value: u64, applied: &[u64]) -> BTreeMap<u32, FinalState> {
        let version = applied.len() as u64;
        BTreeMap::from([(SESSION, FinalState { value: Some(value), version, applied: applied.to_vec() })])
    }

    const TWO_LIVES: [(u64, u64, Action, Option<u64>, u64); 4] = [
        (1, 2, Action::Write { value: 10 }, None, 1),
        (3, 4, Action::Write { value: 20 }, Some(10), 2),
        (11, 12, Action::Create { value: 30 }, None, 1),
        (13, 14, Action::Read, Some(30), 1),
    ];

    #[test]
    fn a_session_may_begin_anew_where_it_was_lost_and_nowhere_else() {
        let told = history(&TWO_LIVES);
        assert_eq!(of_callers(&told, &losses(8, Some(9)), Some(&last(30, &[30]))), []);
        assert_eq!(lost_changes(&told, &losses(8, Some(9))), 2);
        assert!(!of_callers(&told, &Losses::new(), Some(&last(30, &[30]))).is_empty());
    }

    #[test]
    fn what_was_told_before_a_loss_is_judged_though_it_was_lost() {
        let mut stale = TWO_LIVES.to_vec();
        stale.insert(2, (5, 6, Action::Read, Some(10), 1));
        let found = of_callers(&history(&stale), &losses(8, Some(9)), Some(&last(30, &[30])));
        assert!(found.len() == 1 && found[0].to_string().starts_with("linearizability: before a loss: "), "{found:?}");
        assert_eq!(found[0].operation.map(|number| number.index()), Some(2));
    }

    #[test]
    fn what_was_acknowledged_after_a_loss_survives_and_is_there_once() {
        let told = history(&TWO_LIVES);
        let check = |finals| {
            of_callers(&told, &losses(8, Some(9)), Some(&finals)).iter().map(Violation::to_string).collect::<String>()
        };
        assert!(check(BTreeMap::new()).contains("acknowledged survives"));
        assert!(check(last(30, &[30, 30])).contains("applied once"));
        // What was said again to those who had forgotten it.
        assert_eq!(check(last(10, &[30, 10])), "");
    }

    #[test]
    fn what_was_on_its_way_during_a_loss_may_belong_to_either_life() {
        for (value, before, version) in [(40, Some(20), 3), (40, None, 1)] {
            let mut told = TWO_LIVES[..2].to_vec();
            told.push((7, 11, Action::Write { value }, before, version));
            let end = if before.is_some() { BTreeMap::new() } else { last(40, &[40]) };
            assert_eq!(of_callers(&history(&told), &losses(8, Some(9)), Some(&end)), []);
        }
        let mut told = TWO_LIVES.to_vec();
        told.push((7, 20, Action::Read, Some(20), 2));
        assert_eq!(of_callers(&history(&told), &losses(8, Some(9)), Some(&last(30, &[30]))), []);
    }

    #[test]
    fn of_a_life_whose_beginning_cannot_be_told_nothing_is_said() {
        let mut told = TWO_LIVES.to_vec();
        // One that was left behind goes on with the first life.
        told.push((15, 16, Action::Write { value: 50 }, Some(20), 3));
        assert_eq!(of_callers(&history(&told), &losses(8, None), Some(&last(30, &[30]))), []);
        assert!(!of_callers(&history(&told), &losses(8, Some(9)), Some(&last(30, &[30]))).is_empty());
    }
}
