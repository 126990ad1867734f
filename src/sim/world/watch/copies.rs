//! The check `backup prefix`, while a run goes on: twice a second every copy in sync is laid beside its primary.

use super::super::World;
use crate::{
    replication::{Primary, Record, Replica},
    sim::{check::backup_prefix, node::SimNode, register::values_of},
};

/// Between two looks, in nanoseconds.
const EVERY: u64 = 500_000_000;

/// Whether a record is made of the very bytes with which the primary's begins; most are, and nothing else need be compared then.
fn begins_with(primary: &Record, held: &Record) -> bool {
    let same_image = match (&primary.image, &held.image) {
        (Some(there), Some(here)) => there.is_same(here),
        (None, None) => true,
        _ => false,
    };
    let mut events = primary.events.iter();
    same_image && held.events.iter().all(|held| events.next().is_some_and(|there| there.is_same(held)))
}

impl World {
    /// Looks, if it is time to.
    pub(in crate::sim::world) fn look_at_copies(&mut self) {
        if self.now < self.copies_due {
            return;
        }
        self.copies_due = self.now + EVERY;
        let Some(view) = self.newest.clone() else { return };
        for (arc, entry) in view.entries() {
            let part = |name| self.node(name).and_then(SimNode::host).and_then(|host| host.replica(arc));
            let serving = |primary: &&Primary| primary.is_serving() && primary.since() == entry.since;
            let Some(primary) = part(entry.primary.name).and_then(Replica::as_primary).filter(serving) else {
                continue;
            };
            let mut wrong = Vec::new();
            for backup in &entry.in_sync {
                let Some(copy) = part(backup.name).and_then(Replica::as_backup) else { continue };
                for (key, record) in copy.store().iter() {
                    let there = primary.store().get(key);
                    if there.is_some_and(|there| begins_with(there, record)) {
                        continue;
                    }
                    let there = there.map(values_of).unwrap_or_default();
                    if let Err(fault) = backup_prefix::check(&values_of(record), &there) {
                        wrong.push(format!("{backup}, a backup of arc {arc}, and {key}: {fault}"));
                    }
                }
            }
            wrong.into_iter().for_each(|words| self.violated("backup prefix", words));
        }
    }
}
