//! Applied once (guarantees G3 and G4): what was acknowledged changed its session exactly once, however often it was
//! retried; what was refused never did; what nobody knows did so at most once. Stored replies that outlive a failover
//! make retries safe, as in RIFL (Lee et al., "Implementing linearizability at large scale and low latency", 2015).
//!
//! Versions are counts, so the final version is a sum to be audited: at least the acknowledged changes, at most those
//! and the unknown ones. With an unknown outcome about, a double application could hide in that slack; the list of
//! applied values leaves it no place.
//!
//! It does not ask whether acknowledged values are *in* that list: that is `acknowledged_survives`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::history::{Action, History, Operation, Outcome};

/// What one session is when the run is over, the network healed, and everything in flight has landed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalState {
    /// What it holds; `None` when it is absent.
    pub value: Option<u64>,
    /// How many changes were applied to it.
    pub version: u64,
    /// Every value written to it, in the order of application.
    pub applied: Vec<u64>,
}

/// How the count fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedFault {
    /// A value is in the final history twice.
    Twice {
        /// The session.
        session: u32,
        /// The value.
        value: u64,
    },
    /// A value is in the final history that no caller asked for, or whose caller was told "not done".
    Uncalled {
        /// The session.
        session: u32,
        /// The value.
        value: u64,
    },
    /// Two acknowledged changes claim to have made the same version.
    SameVersion {
        /// The session.
        session: u32,
        /// The version claimed twice.
        version: u64,
    },
    /// The final version is below the acknowledged changes, or above them and the unknown ones together.
    Count {
        /// The session.
        session: u32,
        /// The final version.
        version: u64,
        /// How many changes were acknowledged.
        acknowledged: u64,
        /// How many more nobody knows of.
        unknown: u64,
    },
    /// The final state contradicts itself: its version, its list, its value.
    Itself {
        /// The session.
        session: u32,
    },
}

impl fmt::Display for AppliedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { session, value } => write!(f, "session {session}: value {value} was applied twice"),
            Self::Uncalled { session, value } => {
                write!(f, "session {session}: value {value} was applied, and nobody asked or \"not done\" was answered")
            }
            Self::SameVersion { session, version } => {
                write!(f, "session {session}: two acknowledged changes both made version {version}")
            }
            Self::Count { session, version, acknowledged, unknown } => write!(
                f,
                "session {session}: final version {version} with {acknowledged} changes acknowledged, {unknown} unknown"
            ),
            Self::Itself { session } => write!(f, "session {session}: its final value, version and list disagree"),
        }
    }
}

impl std::error::Error for AppliedFault {}

/// Audits every session that was called or that is there at the end. A session without a final state is absent.
///
/// # Errors
/// The first fault, by session.
pub fn check(history: &History, finals: &BTreeMap<u32, FinalState>) -> Result<(), AppliedFault> {
    let sessions = history.sessions();
    let all: BTreeSet<u32> = sessions.keys().chain(finals.keys()).copied().collect();
    let gone = FinalState::default();
    for session in all {
        let operations = sessions.get(&session).map_or(&[][..], Vec::as_slice);
        audit(session, operations, history, finals.get(&session).unwrap_or(&gone))?;
    }
    Ok(())
}

fn audit(session: u32, operations: &[Operation], history: &History, last: &FinalState) -> Result<(), AppliedFault> {
    let mut applied = BTreeSet::new();
    for value in last.applied.iter().copied() {
        if !applied.insert(value) {
            return Err(AppliedFault::Twice { session, value });
        }
        if history.writer(session, value).is_none_or(|writer| writer.outcome == Outcome::NotDone) {
            return Err(AppliedFault::Uncalled { session, value });
        }
    }

    let mut made = BTreeSet::new();
    for version in operations.iter().filter(|o| o.changed()).filter_map(|o| o.after()).map(|after| after.version) {
        if !made.insert(version) {
            return Err(AppliedFault::SameVersion { session, version });
        }
    }

    let acknowledged = made.len() as u64;
    let unknown = operations.iter().filter(|o| o.may_change()).count() as u64;
    let version = last.version;
    if version < acknowledged || version > acknowledged + unknown {
        return Err(AppliedFault::Count { session, version, acknowledged, unknown });
    }

    let written = last.applied.len() as u64;
    let may_delete = |o: &&Operation| o.action == Action::Delete && (o.changed() || o.may_change());
    let deletes = operations.iter().filter(may_delete).count() as u64;
    let sums = written <= version && version <= written + deletes;
    let holds = match last.value {
        Some(value) => last.applied.last() == Some(&value),
        None => written < version || version == 0,
    };
    if sums && holds { Ok(()) } else { Err(AppliedFault::Itself { session }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::check::history::Reply;

    /// Writes 10, 20, ... with these outcomes, one after the other; `true` is done.
    fn writes(outcomes: &[Outcome]) -> History {
        let mut history = History::new(100);
        for (now, outcome) in (0u64..).zip(outcomes) {
            let number = history.invoke(1, 1, now * 10, Action::Write { value: (now + 1) * 10 }).expect("room");
            history.answer(number, now * 10 + 5, *outcome).expect("open");
        }
        history
    }

    fn done(value: Option<u64>, version: u64) -> Outcome {
        Outcome::Done(Reply { value, version })
    }

    fn ends(value: u64, version: u64, applied: &[u64]) -> BTreeMap<u32, FinalState> {
        BTreeMap::from([(1, FinalState { value: Some(value), version, applied: applied.to_vec() })])
    }

    #[test]
    fn acknowledged_changes_and_some_of_the_unknown_make_the_final_version() {
        let history = writes(&[done(None, 1), Outcome::Unknown, Outcome::NotDone, done(Some(10), 2)]);
        assert_eq!(check(&history, &ends(40, 2, &[10, 40])), Ok(()));
        assert_eq!(check(&history, &ends(20, 3, &[10, 40, 20])), Ok(()));
    }

    #[test]
    fn a_retry_applied_twice_is_found_in_the_count_and_in_the_list() {
        let sure = writes(&[done(None, 1)]);
        let count = AppliedFault::Count { session: 1, version: 2, acknowledged: 1, unknown: 0 };
        assert_eq!(check(&sure, &ends(10, 2, &[10])), Err(count));
        let slack = writes(&[done(None, 1), Outcome::Unknown]);
        assert_eq!(check(&slack, &ends(10, 2, &[10, 10])), Err(AppliedFault::Twice { session: 1, value: 10 }));
        assert_eq!(check(&slack, &ends(10, 2, &[10])), Err(AppliedFault::Itself { session: 1 }));
    }

    #[test]
    fn a_lost_change_is_found_in_the_count_even_if_the_whole_session_is_gone() {
        let history = writes(&[done(None, 1), done(Some(10), 2)]);
        let count = |version| AppliedFault::Count { session: 1, version, acknowledged: 2, unknown: 0 };
        assert_eq!(check(&history, &ends(10, 1, &[10])), Err(count(1)));
        assert_eq!(check(&history, &BTreeMap::new()), Err(count(0)));
    }

    #[test]
    fn what_was_refused_or_never_asked_must_not_be_applied() {
        let history = writes(&[done(None, 1), Outcome::NotDone, Outcome::Unknown]);
        assert_eq!(check(&history, &ends(20, 2, &[10, 20])), Err(AppliedFault::Uncalled { session: 1, value: 20 }));
        assert_eq!(check(&history, &ends(99, 2, &[10, 99])), Err(AppliedFault::Uncalled { session: 1, value: 99 }));
    }

    #[test]
    fn two_acknowledgements_of_one_version_contradict_each_other() {
        let history = writes(&[done(None, 1), done(None, 1)]);
        assert_eq!(check(&history, &ends(20, 2, &[10, 20])), Err(AppliedFault::SameVersion { session: 1, version: 1 }));
    }
}
