//! Backup prefix: what a backup counts as committed of an arc is a stretch of its primary's committed history, commit by
//! commit, and never more than the primary committed (PacificA's commit invariant, Lin et al. 2008; as log
//! matching in Raft, Ongaro and Ousterhout 2014, section 5.3). Identity counts, not number: two primaries may give one
//! number to two commits.
//!
//! Either list may begin late, where earlier commits were folded into an image; they are laid side by side by number.
//! Compare a backup only with a primary of the same `since`, and leave its uncommitted tail out: a tail may differ, that
//! is what promotion settles. A backup that lags is no fault; liveness is asked elsewhere.

use std::fmt;

use crate::id::{ArcId, CommitId, CommitNumber, NodeId};

/// How a backup's history departs from its primary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// A list is no history: a number left out or repeated, or a `since` that goes down.
    Broken {
        /// The arc.
        arc: ArcId,
        /// Whose list, primary or backup.
        node: NodeId,
        /// The last commit that is in order.
        after: CommitId,
        /// What follows it.
        next: CommitId,
    },
    /// Another commit under the same number.
    Differs {
        /// The arc.
        arc: ArcId,
        /// The backup.
        backup: NodeId,
        /// What it holds.
        held: CommitId,
        /// What the primary committed.
        committed: CommitId,
    },
    /// The backup counts as committed what the primary has not.
    Beyond {
        /// The arc.
        arc: ArcId,
        /// The backup.
        backup: NodeId,
        /// What it holds.
        held: CommitId,
        /// The last number that the primary committed.
        last: CommitNumber,
    },
}

impl fmt::Display for PrefixFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { arc, node, after, next } => {
                write!(f, "arc {arc}: on {node}, commit {next:?} follows {after:?}")
            }
            Self::Differs { arc, backup, held, committed } => {
                write!(f, "arc {arc}: {backup} holds {held:?} where its primary committed {committed:?}")
            }
            Self::Beyond { arc, backup, held, last } => {
                write!(f, "arc {arc}: {backup} holds {held:?} as committed, its primary committed up to {last}")
            }
        }
    }
}

impl std::error::Error for PrefixFault {}

/// Lays a backup's committed list beside its primary's.
///
/// # Errors
/// The first commit at which they part, or at which either list is no history.
pub fn check(
    arc: ArcId,
    (primary, committed): (NodeId, &[CommitId]),
    (backup, held): (NodeId, &[CommitId]),
) -> Result<(), PrefixFault> {
    for (node, list) in [(primary, committed), (backup, held)] {
        for pair in list.windows(2) {
            let (after, next) = (pair[0], pair[1]);
            if next.number != after.number.next() || next.since < after.since {
                return Err(PrefixFault::Broken { arc, node, after, next });
            }
        }
    }
    let last = committed.last().map_or(CommitNumber(0), |commit| commit.number);
    for held in held.iter().copied() {
        if held.number > last {
            return Err(PrefixFault::Beyond { arc, backup, held, last });
        }
        // Below the primary's own beginning there is only its image to compare with, and that is not asked here.
        let place = committed.first().and_then(|first| held.number.0.checked_sub(first.number.0));
        let committed = place.and_then(|place| committed.get(usize::try_from(place).ok()?));
        if let Some(committed) = committed.copied().filter(|committed| *committed != held) {
            return Err(PrefixFault::Differs { arc, backup, held, committed });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeName, ViewNumber};

    fn node(name: &str) -> NodeId {
        NodeId { name: NodeName::new(name).expect("plain"), incarnation: Incarnation(1) }
    }

    fn ids(list: &[(u64, u64)]) -> Vec<CommitId> {
        list.iter().map(|(n, since)| CommitId { since: ViewNumber(*since), number: CommitNumber(*n) }).collect()
    }

    fn compare(committed: &[(u64, u64)], held: &[(u64, u64)]) -> Result<(), PrefixFault> {
        check(ArcId(5), (node("a"), &ids(committed)), (node("b"), &ids(held)))
    }

    #[test]
    fn a_backup_may_lag_and_either_list_may_begin_late() {
        let history = [(1, 1), (2, 1), (3, 4), (4, 4)];
        assert_eq!(compare(&history, &history), Ok(()));
        assert_eq!(compare(&history, &history[..2]), Ok(()));
        assert_eq!(compare(&history, &history[2..3]), Ok(()));
        assert_eq!(compare(&history[2..], &history[..3]), Ok(()));
        assert_eq!(compare(&history, &[]), Ok(()));
    }

    #[test]
    fn another_commit_under_the_same_number_is_found() {
        let (arc, backup) = (ArcId(5), node("b"));
        let (held, committed) = (ids(&[(3, 1)])[0], ids(&[(3, 4)])[0]);
        let found = compare(&[(1, 1), (2, 1), (3, 4)], &[(2, 1), (3, 1)]);
        assert_eq!(found, Err(PrefixFault::Differs { arc, backup, held, committed }));
    }

    #[test]
    fn a_backup_never_folds_above_the_committed_number() {
        let (arc, backup, held) = (ArcId(5), node("b"), ids(&[(3, 1)])[0]);
        let found = compare(&[(1, 1), (2, 1)], &[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(found, Err(PrefixFault::Beyond { arc, backup, held, last: CommitNumber(2) }));
        assert!(compare(&[], &[(3, 1)]).is_err());
    }

    #[test]
    fn a_hole_or_a_since_that_goes_down_is_no_history() {
        assert!(matches!(compare(&[(1, 1), (2, 1), (3, 1)], &[(1, 1), (3, 1)]), Err(PrefixFault::Broken { .. })));
        assert!(matches!(compare(&[(1, 2), (2, 1)], &[]), Err(PrefixFault::Broken { .. })));
    }
}
