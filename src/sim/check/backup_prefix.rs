//! Backup prefix: what a backup in sync has folded of a session is the beginning of what its primary holds, in the same order, at
//! every moment (PacificA's commit invariant, Lin et al. 2008; as log matching in Raft, Ongaro and Ousterhout 2014, section 5.3).
//!
//! Values are written once, so a history is known by them. Only a primary that serves is asked: one that was just promoted may not
//! know yet what the backup of another has been told is committed. A backup that lags is no fault; liveness is asked elsewhere.

use std::fmt;

/// A backup holds what its primary does not, or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixFault {
    /// After how many values they part.
    pub after: usize,
    /// What the backup holds there.
    pub held: u64,
    /// What its primary holds there; `None`: it has no more.
    pub instead: Option<u64>,
}

impl fmt::Display for PrefixFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, held, instead } = self;
        write!(f, "after {after} changes it holds {held}, and its primary ")?;
        match instead {
            Some(instead) => write!(f, "{instead}"),
            None => f.write_str("nothing more"),
        }
    }
}

impl std::error::Error for PrefixFault {}

/// Lays what a backup has folded beside what its primary holds.
///
/// # Errors
/// Where they part first.
pub fn check(held: &[u64], primary: &[u64]) -> Result<(), PrefixFault> {
    let parting = held.iter().enumerate().find(|(at, value)| primary.get(*at) != Some(value));
    parting
        .map_or(Ok(()), |(after, held)| Err(PrefixFault { after, held: *held, instead: primary.get(after).copied() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_may_lag_and_hold_nothing_and_may_not_hold_more_or_other_than_its_primary() {
        for right in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(check(right, &[1, 2, 3]), Ok(()));
        }
        let fault = |after, held, instead| Err(PrefixFault { after, held, instead });
        assert_eq!(check(&[1, 2, 3, 4], &[1, 2, 3]), fault(3, 4, None));
        assert_eq!(check(&[1, 3], &[1, 2, 3]), fault(1, 3, Some(2)));
        assert_eq!(check(&[9], &[]), fault(0, 9, None));
        assert!(check(&[1, 3], &[1, 2]).expect_err("they part").to_string().contains("after 1 changes it holds 3"));
    }
}
