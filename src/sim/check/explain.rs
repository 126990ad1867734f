//! Why a session's answers fit no order, in the fewest operations that a person needs to see it.
//!
//! `linearizable` has already decided that there is none; this only looks for the plainest reason: first a contradiction
//! between two answers, and if no two contradict each other, the place where the longest attempt at an order ended. It
//! never decides, so a reason missing here can make a report longer, not a verdict wrong.

use std::{collections::BTreeMap, fmt};

use super::history::{Operation, Outcome, Register};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value was seen that no operation of this session writes.
    NeverWritten {
        /// The value.
        value: u64,
    },
    /// Dirty read: a value was seen whose writer was told that nothing happened.
    NotDoneButSeen {
        /// The value.
        value: u64,
    },
    /// A value was seen by an operation that was over before the writing was asked for.
    SeenBeforeAsked {
        /// The value.
        value: u64,
    },
    /// Two acknowledgements claim the same change number: two histories.
    BothMade {
        /// The version claimed twice.
        version: u64,
    },
    /// Two answers give the session two values at one version.
    TwoValues {
        /// The version.
        version: u64,
    },
    /// One write shows at two versions: it was applied twice.
    TwoVersions {
        /// The value it wrote.
        value: u64,
    },
    /// An answer shows an older version than one given before it was asked: a stale read, or a lost acknowledgement.
    Older {
        /// The version it shows.
        shown: u64,
        /// The version that was known to a caller before.
        known: u64,
    },
    /// No two answers contradict each other, but together they fit no order; this is the first that finds no place.
    NoPlace {
        /// What the session was in the longest order found.
        at: Register,
    },
}

/// Why one session's history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The session.
    pub session: u32,
    /// What is wrong.
    pub fault: Fault,
    /// The operation that fits nowhere.
    pub operation: Operation,
    /// The operation it contradicts, or that made the session what it was; `None` if that is the beginning, absent at
    /// version 0, or if there is no such operation.
    pub against: Option<Operation>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}: ", self.session)?;
        match self.fault {
            Fault::NeverWritten { value } => write!(f, "value {value} was seen and never written"),
            Fault::NotDoneButSeen { value } => write!(f, "value {value} was seen, and its writer told \"not done\""),
            Fault::SeenBeforeAsked { value } => write!(f, "value {value} was seen before it was asked for"),
            Fault::BothMade { version } => write!(f, "two acknowledged changes both made version {version}"),
            Fault::TwoValues { version } => write!(f, "two values at version {version}"),
            Fault::TwoVersions { value } => write!(f, "value {value} shows at two versions: applied twice"),
            Fault::Older { shown, known } if self.operation.changed() => {
                write!(f, "version {known} was answered before, and this change was made on version {shown}: lost")
            }
            Fault::Older { shown, known } => {
                write!(f, "version {known} was answered before, this shows {shown}: stale")
            }
            Fault::NoPlace { at } => write!(f, "nothing leads from {at} to this answer"),
        }?;
        write!(f, "\n  {}", self.operation)?;
        match self.against {
            Some(against) => write!(f, "\n  against: {against}"),
            None => Ok(()),
        }
    }
}

/// Finds the plainest reason. `at` and `operation` say where the search ended.
pub(super) fn explain(session: u32, operations: &[Operation], at: Register, operation: Operation) -> Explanation {
    let mut done: Vec<_> = operations.iter().filter(|o| o.reply().is_some()).collect();
    done.sort_by_key(|o| o.returned);
    let found = foreign_value(operations, &done).or_else(|| contradiction(&done)).or_else(|| older(&done));
    let (fault, operation, against) = found.unwrap_or_else(|| {
        let made_by = operations.iter().find(|o| o.action.writes().is_some_and(|value| at.value == Some(value)));
        (Fault::NoPlace { at }, operation, made_by.copied())
    });
    Explanation { session, fault, operation, against }
}

type Found = Option<(Fault, Operation, Option<Operation>)>;

/// A value seen whose writer does not exist, did nothing, or had not begun.
fn foreign_value(operations: &[Operation], done: &[&Operation]) -> Found {
    let writers: BTreeMap<_, _> = operations.iter().filter_map(|o| o.action.writes().map(|value| (value, o))).collect();
    done.iter().find_map(|operation| {
        let value = operation.reply()?.value?;
        let Some(writer) = writers.get(&value) else {
            return Some((Fault::NeverWritten { value }, **operation, None));
        };
        let fault = if writer.outcome == Outcome::NotDone {
            Fault::NotDoneButSeen { value }
        } else if operation.precedes(writer) {
            Fault::SeenBeforeAsked { value }
        } else {
            return None;
        };
        Some((fault, **operation, Some(**writer)))
    })
}

/// Two answers that cannot both be true, in whatever order they were given.
fn contradiction(done: &[&Operation]) -> Found {
    let mut makers = BTreeMap::<u64, Operation>::new();
    let mut values = BTreeMap::<u64, (Option<u64>, Option<Operation>)>::from([(0, (None, None))]);
    let mut versions = BTreeMap::<u64, (u64, Operation)>::new();
    for operation in done.iter().map(|o| **o) {
        let Some(after) = operation.after() else { continue };
        if operation.changed()
            && let Some(other) = makers.insert(after.version, operation)
        {
            return Some((Fault::BothMade { version: after.version }, operation, Some(other)));
        }
        for Register { value, version } in [operation.before(), operation.after()].into_iter().flatten() {
            // A write seen at two versions also puts two values at one of them; applied twice is the plainer word.
            if let Some(value) = value {
                let (first, other) = *versions.entry(value).or_insert((version, operation));
                if first != version {
                    return Some((Fault::TwoVersions { value }, operation, Some(other)));
                }
            }
            let (first, other) = *values.entry(version).or_insert((value, Some(operation)));
            if first != value {
                return Some((Fault::TwoValues { version }, operation, other));
            }
        }
    }
    None
}

/// An answer that shows less than an answer which was over before it was asked. `done` is in the order of returns.
fn older(done: &[&Operation]) -> Found {
    let mut by_invocation = done.to_vec();
    by_invocation.sort_by_key(|o| o.invoked);
    let mut returns = done.iter().peekable();
    let mut newest: Option<&Operation> = None;
    let mut found: Option<(&Operation, &Operation)> = None;
    for operation in by_invocation {
        while let Some(earlier) = returns.next_if(|earlier| earlier.precedes(operation)) {
            if newest.is_none_or(|newest| version_after(newest) < version_after(earlier)) {
                newest = Some(earlier);
            }
        }
        let shown = operation.before().map_or(0, |before| before.version);
        let first = found.is_none_or(|(found, _)| operation.returned < found.returned);
        if let Some(newest) = newest.filter(|newest| shown < version_after(newest) && first) {
            found = Some((operation, newest));
        }
    }
    found.map(|(operation, newest)| {
        let shown = operation.before().map_or(0, |before| before.version);
        (Fault::Older { shown, known: version_after(newest) }, *operation, Some(*newest))
    })
}

fn version_after(operation: &Operation) -> u64 {
    operation.after().map_or(0, |after| after.version)
}
