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

#[cfg(test)]
mod tests;
