//! PURE: the judges of a finished run, one invariant a file.
//!
//! | file | holds | guarantee |
//! |---|---|---|
//! | [`linearizable`] | each session's answers fit one order that respects real time | G2 |
//! | [`applied_once`] | what was acknowledged changed state once, what was refused never | G3, G4 |
//! | [`acknowledged_survives`] | what was acknowledged is in the final history, in its place | G1 |
//! | [`one_decision`] | no view number has two contents | the view chain |
//! | [`backup_prefix`] | what a backup has folded is the beginning of what its primary holds | the data path |
//!
//! [`of_callers`] asks those of them that need nothing but what callers were told.
//!
//! They say nothing of liveness: a cluster that never answers passes all of them. The campaign heals the network and asks
//! for answers itself.

pub mod acknowledged_survives;
pub mod applied_once;
pub mod backup_prefix;
mod explain;
pub mod history;
pub mod linearizable;
pub mod one_decision;

pub use acknowledged_survives::AcknowledgedLost;
pub use applied_once::{AppliedFault, FinalState};
pub use backup_prefix::PrefixFault;
pub use explain::{Explanation, Fault};
pub use history::{Action, History, HistoryFault, Operation, OperationNumber, Outcome, Register, Reply};
pub use linearizable::Verdict;
pub use one_decision::{OneDecision, TwoDecisions};

use std::collections::BTreeMap;

/// What is wrong with what callers were told, each begun with the name of its check. `finals` is what the sessions are in the end;
/// `None` where there is no end to judge.
#[must_use]
pub fn of_callers(history: &History, finals: Option<&BTreeMap<u32, FinalState>>) -> Vec<String> {
    let mut violations = Vec::new();
    match linearizable::check(history, linearizable::STEPS_MAX) {
        Verdict::Linearizable => {}
        Verdict::Violation(explanation) => violations.push(format!("linearizability: {explanation}")),
        Verdict::TooHard { sessions } => {
            violations.push(format!("linearizability: too hard for sessions {sessions:?}"));
        }
    }
    let Some(finals) = finals else { return violations };
    if let Err(fault) = applied_once::check(history, finals) {
        violations.push(format!("applied once: {fault}"));
    }
    if let Err(fault) = acknowledged_survives::check(history, finals) {
        violations.push(format!("acknowledged survives: {fault}"));
    }
    violations
}

#[cfg(test)]
mod tests;
