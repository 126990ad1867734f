//! Leases: what lets a primary answer reads without asking, and what a promoted node must wait out.
//!
//! A grant is given by one node to another with each pong and each link acknowledgement, for all arcs at once, stamped with
//! the view the grantor has installed. The holder counts it from when it *sent* what was answered, shortened by the clock
//! drift allowed; the grantor from when it answered, lengthened by it. So the holder always stops first, whatever both clocks
//! do within the bound (Gray, Cheriton, "Leases", 1989; the stamp and the newcomer's share are A5 of the interleavings).
//!
//! A grant of an older view covers the arcs whose entry has not changed since; a grant of a newer view than the holder has
//! installed covers nothing until the holder has installed it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    id::{NodeId, ViewNumber},
    moment::Moment,
};

/// Allowed difference of clock *rates*, in parts of a thousand.
const DRIFT_PER_MILLE: u32 = 1;
/// Grants of this many different views are remembered for one grantor.
const STAMPS_MAX: usize = 3;

/// A duration by the holder's clock that is surely over before `lease` is over by the grantor's.
#[must_use]
pub fn shortened(lease: Duration) -> Duration {
    lease - lease * DRIFT_PER_MILLE / 1000
}

/// A duration by the grantor's clock in which the holder's has surely run out.
#[must_use]
pub fn lengthened(lease: Duration) -> Duration {
    lease + lease * DRIFT_PER_MILLE / 1000
}

/// The grants a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leases {
    held: BTreeMap<NodeId, Vec<(ViewNumber, Moment)>>,
}

impl Leases {
    /// Takes a grant: `by` had `stamp` installed when it answered what this node sent at `sent`.
    pub fn take(&mut self, by: NodeId, sent: Moment, stamp: ViewNumber, lease: Duration) {
        let until = sent + shortened(lease);
        let grants = self.held.entry(by).or_default();
        match grants.iter_mut().find(|(s, _)| *s == stamp) {
            Some((_, held)) => *held = until.max(*held),
            None => {
                grants.push((stamp, until));
                grants.sort_unstable();
                if grants.len() > STAMPS_MAX {
                    grants.remove(0);
                }
            }
        }
    }

    /// Until when `by`'s grants cover an entry that last changed in `changed`, for a holder that has installed `installed`.
    #[must_use]
    pub fn until(&self, by: NodeId, changed: ViewNumber, installed: ViewNumber) -> Moment {
        let Some(grants) = self.held.get(&by) else { return Moment::START };
        let covers = |stamp: ViewNumber| changed <= stamp && stamp <= installed;
        grants.iter().filter(|(stamp, _)| covers(*stamp)).map(|(_, until)| *until).max().unwrap_or(Moment::START)
    }

    /// Until when a majority of the voters covers an entry; this node counts as granting to itself for ever.
    #[must_use]
    pub fn majority_until(&self, voters: &[NodeId], me: NodeId, changed: ViewNumber, installed: ViewNumber) -> Moment {
        let mut untils: Vec<Moment> = voters
            .iter()
            .map(|v| if *v == me { Moment::from_nanos(u64::MAX) } else { self.until(*v, changed, installed) })
            .collect();
        untils.sort_unstable_by(|a, b| b.cmp(a));
        untils.get(voters.len() / 2).copied().unwrap_or(Moment::START)
    }

    /// Forgets nodes that are not among `known`.
    pub fn keep_only(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.held.retain(|node, _| known(node));
    }
}

/// The grants a node has given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    given: BTreeMap<NodeId, Moment>,
}

impl Grants {
    /// Notes that something of `to` was answered at `now`.
    pub fn give(&mut self, to: NodeId, now: Moment, lease: Duration) {
        let until = now + lengthened(lease);
        let given = self.given.entry(to).or_insert(until);
        *given = until.max(*given);
    }

    /// When the grants to one node have run out.
    #[must_use]
    pub fn run_out(&self, to: NodeId) -> Moment {
        self.given.get(&to).copied().unwrap_or(Moment::START)
    }

    /// When the grants to every node but the excepted ones have run out.
    #[must_use]
    pub fn all_run_out(&self, excepted: impl Fn(&NodeId) -> bool) -> Moment {
        self.given.iter().filter(|(n, _)| !excepted(n)).map(|(_, until)| *until).max().unwrap_or(Moment::START)
    }

    /// Forgets grants that have run out.
    pub fn sweep(&mut self, now: Moment) {
        self.given.retain(|_, until| *until > now);
    }
}
