//! The check `backups`: in the quiet, every in-sync backup holds exactly what its primary holds.

use crate::{
    id::{ArcId, NodeId},
    replication::{Backup, Primary, Replica},
    sim::{check::Violation, node::SimNode, register::values_of, world::World},
};

/// An arc as its nodes hold it.
struct Held<'w> {
    arc: ArcId,
    by: NodeId,
    primary: &'w Primary,
    /// Who is called an in-sync backup, and what it holds as one.
    copies: Vec<(NodeId, Option<&'w Backup>)>,
}

/// Every arc of the newest view that has a primary.
fn held(world: &World) -> impl Iterator<Item = Held<'_>> {
    let arcs = world.newest.iter().flat_map(|view| view.entries());
    arcs.filter_map(|(arc, entry)| {
        let replica = |node: NodeId| world.node(node.name).and_then(SimNode::host).and_then(|h| h.replica(arc));
        let primary = replica(entry.primary).and_then(Replica::as_primary)?;
        let copies = entry.in_sync.iter().map(|backup| (*backup, replica(*backup).and_then(Replica::as_backup)));
        Some(Held { arc, by: entry.primary, primary, copies: copies.collect() })
    })
}

/// Whether every in-sync backup has in its sessions all that its primary has committed.
pub(in crate::sim::run) fn have_all(world: &World) -> bool {
    held(world).all(|held| {
        let mut copies = held.copies.iter().filter_map(|(_, copy)| *copy);
        copies.all(|copy| copy.folded() == held.primary.last())
    })
}

/// In a quiet world every in-sync backup holds exactly what its primary holds.
pub(super) fn judge(world: &World, violations: &mut Vec<Violation>) {
    for Held { arc, by, primary, copies } in held(world) {
        for (backup, copy) in copies {
            let Some(copy) = copy else {
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
                let here = copy.store().get(key).map(|h| (h.version, values_of(h)));
                let there = (record.version, values_of(record));
                let (folded, last) = (copy.folded(), copy.last());
                violations.push(Violation::new("backups", format_args!(
                    "{backup} holds another {key} than {by} of arc {arc}: {here:?} instead of {there:?}; folded {folded}, last {last}"
                )));
            }
        }
    }
}
