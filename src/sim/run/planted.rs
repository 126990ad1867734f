//! Bugs put in on purpose: a campaign that does not catch one of these would not catch its like.

use std::fmt;

use super::Mix;
use crate::replication::Rule;

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// A rule of replication is switched off.
    Without(Rule),
    /// A restarted process keeps its id, though it forgot what it promised and held.
    ReusedIds,
    /// A cluster is founded by any majority of the configured voters.
    FoundingByMajority,
    /// An observer that has slept takes its own silence for that of the others.
    NoStallGuard,
    /// A vote that outlives its process forgets what it promised and accepted.
    ForgottenVotes,
}

impl Planted {
    const OTHERS: [Self; 4] = [Self::ReusedIds, Self::ForgottenVotes, Self::FoundingByMajority, Self::NoStallGuard];

    /// Every planted bug.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Rule::ALL.map(Self::Without).into_iter().chain(Self::OTHERS).collect()
    }

    /// The planted bug of this name, as `Display` writes it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|planted| planted.to_string() == name)
    }

    /// The mix of faults in which it shows soonest, measured.
    #[must_use]
    pub const fn shows_in(self) -> Mix {
        match self {
            Self::Without(Rule::CommitIdentity | Rule::CommittedReads | Rule::CatchUpWhole) => Mix::Losses,
            Self::Without(Rule::ReadLease | Rule::LeaseFromAll | Rule::ToldAlone) => Mix::Islands,
            Self::Without(Rule::Union) => Mix::Drains,
            Self::Without(Rule::PromotedWaits | Rule::Fencing) => Mix::Voters,
            Self::Without(Rule::RepliesReplicated) => Mix::Retries,
            Self::Without(Rule::BackupFirst) => Mix::Restarts,
            Self::ForgottenVotes => Mix::Stops,
            Self::FoundingByMajority => Mix::Founding,
            Self::NoStallGuard | Self::Without(Rule::DropByView) => Mix::Pauses,
            Self::Without(Rule::PrimaryExpires | Rule::EndsCopied | Rule::EndsReplaced) => Mix::Expiries,
            Self::Without(Rule::CommitWhole) => Mix::Losses,
            Self::Without(Rule::CatchUpParts) => Mix::CatchUp,
            Self::Without(Rule::Enlist | Rule::Quiesce) | Self::ReusedIds => Mix::Wishes,
        }
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(rule) => {
                f.write_str("without")?;
                let name = format!("{rule:?}");
                name.chars().try_for_each(|c| {
                    if c.is_ascii_uppercase() { write!(f, "-{}", c.to_ascii_lowercase()) } else { write!(f, "{c}") }
                })
            }
            Self::ReusedIds => f.write_str("reused-ids"),
            Self::ForgottenVotes => f.write_str("forgotten-votes"),
            Self::FoundingByMajority => f.write_str("founding-by-majority"),
            Self::NoStallGuard => f.write_str("no-stall-guard"),
        }
    }
}
