//! Acknowledged survives (guarantee G1): every change that a caller was told is done is in its session's final history,
//! at the place its acknowledgement named. This is durability in the sense of PacificA's commit invariant (Lin et al.
//! 2008): what the primary committed is a prefix of every later primary's list.
//!
//! It catches what no later read happened to look at, which linearizability alone would let pass. It is meant for runs in
//! which an in-sync copy always lived; a run that kills both copies leaves those arcs out.

use std::{collections::BTreeMap, fmt};

use super::{
    applied_once::FinalState,
    history::{Action, History, Operation},
};

/// An acknowledged change that the final history does not have, or has elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcknowledgedLost {
    /// What was acknowledged.
    pub operation: Operation,
    /// What the final history has at that version instead; `None` if it has nothing there, or if there were deletions, so
    /// that places cannot be told.
    pub instead: Option<u64>,
}

impl fmt::Display for AcknowledgedLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}: acknowledged and lost: {}", self.operation.session, self.operation)?;
        match self.instead {
            Some(value) => write!(f, "; value {value} has its place"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AcknowledgedLost {}

/// Looks up every acknowledged change. A session without a final state has lost all of them.
///
/// # Errors
/// The first one lost, in the order they were asked.
pub fn check(history: &History, finals: &BTreeMap<u32, FinalState>) -> Result<(), AcknowledgedLost> {
    // A deletion takes a version and no place in the list of values: then only presence can be asked.
    let deletion = |o: &&Operation| o.action == Action::Delete && (o.changed() || o.may_change());
    let with_deletions: Vec<u32> = history.operations().iter().filter(deletion).map(|o| o.session).collect();
    for operation in history.operations().iter().filter(|o| o.changed()) {
        let applied = finals.get(&operation.session).map_or(&[][..], |last| &last.applied);
        let Some((value, version)) = operation.action.writes().zip(operation.after().map(|after| after.version)) else {
            continue;
        };
        let place = version.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        let there = place.and_then(|place| applied.get(place)).copied();
        if with_deletions.contains(&operation.session) {
            if !applied.contains(&value) {
                return Err(AcknowledgedLost { operation: *operation, instead: None });
            }
        } else if there != Some(value) {
            return Err(AcknowledgedLost { operation: *operation, instead: there });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::check::history::{Outcome, Reply};

    fn two_writes(with_delete: bool) -> History {
        let mut history = History::new(10);
        let mut push = |action, value, version| {
            let number = history.invoke(7, 1, version * 10, action).expect("room");
            let reply = Reply { value, version };
            history.answer(number, version * 10 + 5, Outcome::Done(reply)).expect("open");
        };
        push(Action::Write { value: 10 }, None, 1);
        push(Action::Write { value: 20 }, Some(10), 2);
        if with_delete {
            push(Action::Delete, Some(20), 3);
        }
        history
    }

    fn applied(values: &[u64]) -> BTreeMap<u32, FinalState> {
        BTreeMap::from([(7, FinalState { applied: values.to_vec(), ..FinalState::default() })])
    }

    #[test]
    fn acknowledged_changes_stand_where_they_were_acknowledged() {
        assert_eq!(check(&two_writes(false), &applied(&[10, 20, 30])), Ok(()));
        assert_eq!(check(&two_writes(true), &applied(&[10, 20])), Ok(()));
    }

    #[test]
    fn an_acknowledged_change_that_no_reader_missed_is_still_lost() {
        let history = two_writes(false);
        let lost = check(&history, &applied(&[10])).expect_err("20 is not there");
        assert_eq!((lost.operation, lost.instead), (history.operations()[1], None));
        let lost = check(&history, &applied(&[10, 30])).expect_err("30 has the place of 20");
        assert_eq!((lost.operation, lost.instead), (history.operations()[1], Some(30)));
        assert_eq!(check(&history, &applied(&[20, 10])).expect_err("reordered").instead, Some(20));
        assert_eq!(check(&history, &BTreeMap::new()).expect_err("all gone").operation, history.operations()[0]);
    }

    #[test]
    fn a_loss_is_found_among_deletions_too() {
        assert_eq!(check(&two_writes(true), &applied(&[20])).expect_err("10 is not there").instead, None);
    }
}
