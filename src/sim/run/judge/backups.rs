//! The check `backups`: in the quiet, every in-sync backup holds exactly what its primary holds.

use crate::{
    replication::Replica,
    sim::{check::Violation, node::SimNode, register::values_of, world::World},
};

/// Whether every in-sync backup has in its sessions all that its primary has committed.
pub(in crate::sim::run) fn have_all(world: &World) -> bool {
    let Some(view) = &world.newest else { return true };
    view.entries().all(|(arc, entry)| {
        let replica = |name| world.node(name).and_then(SimNode::host).and_then(|h| h.replica(arc));
        let Some(primary) = replica(entry.primary.name).and_then(Replica::as_primary) else { return true };
        let copies = entry.in_sync.iter().filter_map(|backup| replica(backup.name).and_then(Replica::as_backup));
        copies.into_iter().all(|copy| copy.folded() == primary.last())
    })
}

/// In a quiet world every in-sync backup holds exactly what its primary holds.
pub(super) fn judge(world: &World, violations: &mut Vec<Violation>) {
    let Some(view) = &world.newest else { return };
    for (arc, entry) in view.entries() {
        let replica = |name| world.node(name).and_then(SimNode::host).and_then(|h| h.replica(arc));
        let Some(primary) = replica(entry.primary.name).and_then(Replica::as_primary) else { continue };
        for backup in &entry.in_sync {
            let Some(copy) = replica(backup.name).and_then(Replica::as_backup) else {
                violations.push(Violation::new(
                    "backups",
                    format_args!("{backup} is called an in-sync backup of arc {arc} and is none"),
                ));
                continue;
            };
            let differs = primary.store().iter().find(|(key, record)| {
                let held = copy.store().get(key);
                held.is_none_or(|h| h.version != record.version || values_of(h) != values_of(record))
            });
            if let Some((key, record)) = differs {
                let held = copy.store().get(key).map(|h| (h.version, values_of(h)));
                let (there, here) = ((record.version, values_of(record)), held);
                violations.push(Violation::new("backups", format_args!("{backup} holds another {key} than {} of arc {arc}: {here:?} instead of {there:?}; folded {}, last {}",
                    entry.primary,
                    copy.folded(),
                    copy.last(),
                )));
            }
        }
    }
}
