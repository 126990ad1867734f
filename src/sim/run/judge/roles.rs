//! The check `ring links`: in the quiet, each process holds the part of each arc that the view says, and no other: so whom a primary
//! copies to, and who guards whom, is what everybody can read in the view.

use crate::{
    membership::ArcEntry,
    replication::Replica,
    sim::{check::Violation, node::SimNode, world::World},
};

pub(super) fn judge(world: &World, violations: &mut Vec<Violation>) {
    let Some(view) = &world.newest else { return };
    for member in &view.members {
        let Some(host) = world.node(member.node.name).and_then(SimNode::host) else { continue };
        for (arc, entry) in view.entries() {
            let (holds, should) = (part_of(host.replica(arc)), expected(entry, member.node));
            if holds != should {
                violations.push(Violation::new(
                    "ring links",
                    format_args!("{} is {holds} of arc {arc}, and view {} calls it {should}", member.node, view.number),
                ));
            }
        }
    }
}

const fn part_of(replica: Option<&Replica>) -> &'static str {
    match replica {
        None => "nothing",
        Some(Replica::Primary(_)) => "the primary",
        Some(Replica::Backup(_)) => "a backup in sync",
        Some(Replica::Learner(_)) => "a learner",
    }
}

fn expected(entry: &ArcEntry, node: crate::id::NodeId) -> &'static str {
    if entry.primary == node {
        "the primary"
    } else if entry.in_sync.contains(&node) {
        "a backup in sync"
    } else if entry.catching_up == Some(node) {
        "a learner"
    } else {
        "nothing"
    }
}
