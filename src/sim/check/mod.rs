//! PURE: the judges of a finished run, one invariant a file.
//!
//! | file | holds | guarantee |
//! |---|---|---|
//! | [`linearizable`] | each session's answers fit one order that respects real time | G2 |
//! | [`applied_once`] | what was acknowledged changed state once, what was refused never | G3, G4 |
//! | [`acknowledged_survives`] | what was acknowledged is in the final history, in its place | G1 |
//! | [`one_decision`] | no view number has two contents | the view chain |
//! | [`together`] | of a commit of several sessions all shows or nothing | G2 |
//! | [`backup_prefix`] | what a backup has folded is the beginning of what its primary holds | the data path |
//!
//! [`of_callers`] asks those of them that need nothing but what callers were told; where a session lost every copy, of each of its
//! lives ([`Losses`]).
//!
//! They say nothing of liveness: a cluster that never answers passes all of them. The campaign heals the network and asks
//! for answers itself.

pub mod acknowledged_survives;
pub mod applied_once;
pub mod backup_prefix;
mod explain;
pub mod history;
pub mod linearizable;
mod lives;
pub mod one_decision;
pub mod together;
mod violation;

pub use acknowledged_survives::AcknowledgedLost;
pub use applied_once::{AppliedFault, FinalState};
pub use backup_prefix::PrefixFault;
pub use explain::{Explanation, Fault};
pub use history::{Action, History, HistoryFault, Operation, OperationNumber, Outcome, Register, Reply};
pub use linearizable::Verdict;
pub use lives::{Loss, Losses, lost_changes};
pub use one_decision::{OneDecision, TwoDecisions};
pub use together::Torn;
pub use violation::Violation;

use std::collections::BTreeMap;

use self::lives::{Lives, is_known};

/// What is wrong with what callers were told. `losses` says which sessions lost every copy, and
/// when; `finals` is what the sessions are in the end, `None` where there is no end to judge.
#[must_use]
pub fn of_callers(whole: &History, losses: &Losses, finals: Option<&BTreeMap<u32, FinalState>>) -> Vec<Violation> {
    let lives = Lives::of(whole, losses);
    let in_order = |history: &History, when: &str| match linearizable::check(history, linearizable::STEPS_MAX) {
        Verdict::Linearizable => None,
        Verdict::Violation(explanation) => {
            Some((format!("{when}{explanation}"), whole.number_of(&explanation.operation)))
        }
        Verdict::TooHard { sessions } => Some((format!("{when}too hard for sessions {sessions:?}"), None)),
    };
    let ended = lives.ended.iter().filter_map(|history| in_order(history, "before a loss: "));
    let found = ended.chain(in_order(&lives.last, ""));
    let mut violations: Vec<_> =
        found.map(|(words, number)| Violation::new("linearizability", words).of(number)).collect();
    let Some(finals) = finals else { return violations };
    let known = finals.iter().filter(|(session, _)| is_known(losses.get(session)));
    let finals = known.map(|(session, last)| (*session, last.clone())).collect();
    if let Err(fault) = applied_once::check(&lives.last, &finals) {
        violations.push(Violation::new("applied once", fault));
    }
    if let Err(fault) = acknowledged_survives::check(&lives.last, &finals) {
        let number = whole.number_of(&fault.operation);
        violations.push(Violation::new("acknowledged survives", fault).of(number));
    }
    violations
}

#[cfg(test)]
mod tests;
