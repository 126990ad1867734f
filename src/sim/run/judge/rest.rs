//! The check `placement` at rest: what was to move has moved.

use crate::{
    membership::targets,
    sim::{check::Violation, world::World},
};

/// Long after everything healed, every arc is where placement wants it: what was to move has moved.
pub(super) fn judge(world: &World, violations: &mut Vec<Violation>) {
    let Some(view) = &world.newest else { return };
    for ((arc, entry), target) in view.entries().zip(targets(view)) {
        if entry.lost_at.is_none() && target.primary != Some(entry.primary) {
            violations.push(Violation::new(
                "placement",
                format_args!(
                    "arc {arc} is still served by {}, and placement wants it at {:?}",
                    entry.primary, target.primary
                ),
            ));
        }
    }
}
