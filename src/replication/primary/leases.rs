//! Whom an acknowledgement needs, and until when this primary may answer what no acknowledgement vouches for.

use std::time::Duration;

use super::Primary;
use crate::{
    id::NodeId,
    membership::{Wish, WishedChange},
    moment::Moment,
    replication::{
        effect::Effect,
        message::ArcContent,
        rules::{Rule, Rules},
        settings::Around,
    },
};

/// Those whose lease ran out are asked for another at most this often.
const ASK_AGAIN: Duration = Duration::from_millis(5);

impl Primary {
    /// Whom an acknowledgement needs: the in-sync backups, and the node that is to become one, from before the wish for it is
    /// made until a view has settled the wish. Before, because what was acknowledged without that node an instant before the
    /// wish would be missing in it.
    pub(super) fn union(&self, rules: Rules) -> impl Iterator<Item = NodeId> + use<'_> {
        let wished = match self.wish.as_deref() {
            Some(Wish { change: WishedChange::Add(node), .. }) => Some(*node),
            _ => None,
        };
        let enlisted = self.catch_up.as_ref().filter(|c| c.arrived() && rules.hold(Rule::Enlist)).map(|c| c.to);
        let joining = wished.or(enlisted).filter(|n| rules.hold(Rule::Union) && !self.in_sync.contains(n));
        self.in_sync.iter().copied().chain(joining)
    }

    /// Until when this primary may answer what no acknowledgement vouches for.
    pub(super) fn lease_until(&self, around: &Around<'_>) -> Moment {
        let rules = around.settings.rules;
        let forever = Moment::from_nanos(u64::MAX);
        if !rules.hold(Rule::ReadLease) {
            return forever;
        }
        let installed = around.surroundings.view.number;
        let needed = if rules.hold(Rule::LeaseFromAll) { usize::MAX } else { 1 };
        let backups = self.union(around.settings.rules).take(needed);
        let granted =
            backups.map(|b| around.surroundings.leases.until(b, self.changed, installed)).min().unwrap_or(forever);
        if self.in_sync.is_empty() {
            // Nobody else holds the arc; only the voters could give it away.
            let voters: Vec<NodeId> = around.surroundings.view.carriers().collect();
            let majority =
                around.surroundings.leases.majority_until(&voters, around.surroundings.me, self.changed, installed);
            return granted.min(majority);
        }
        granted
    }

    pub(super) fn ask_for_leases(&mut self, around: &Around<'_>, out: &mut Vec<Effect>) {
        if self.asked.is_some_and(|at| around.now.since(at) < ASK_AGAIN) {
            return;
        }
        self.asked = Some(around.now);
        let lacking = |node: &NodeId| {
            let held = around.surroundings.leases.until(*node, self.changed, around.surroundings.view.number);
            *node != around.surroundings.me && held <= around.now
        };
        // A backup answers anything on its link with a lease: one round trip, for every reply that waits.
        let backups: Vec<NodeId> = self.union(around.settings.rules).filter(lacking).collect();
        for backup in backups {
            self.send(backup, ArcContent::Committed, out);
        }
        if self.in_sync.is_empty() {
            out.extend(around.surroundings.view.carriers().filter(lacking).map(Effect::Confirm));
        }
    }
}
