//! The check `false alarm`: who has slept suspects nobody for it.

use super::super::World;
use crate::id::NodeId;

/// A sleep that nobody can take for a late timer, in nanoseconds.
const LONG_SLEEP: u64 = 150_000_000;

impl World {
    /// Whoever has slept accuses nobody of the silence that it caused itself: nobody who lived within its reach when it fell asleep
    /// and does so now. It forgives each silence once, so what was silent before is left out.
    pub(in crate::sim::world) fn judge_waking(&mut self, id: NodeId) {
        let Some(process) = self.processes.get_mut(&id.name).filter(|p| p.node.id() == id && !p.paused) else { return };
        let Some((since, around)) = process.slept.take() else { return };
        let accused = process.node.suspects();
        if accused.is_empty() || self.now - since < LONG_SLEEP {
            return;
        }
        let wrongly = self.within_reach(id);
        for living in accused.into_iter().filter(|node| around.contains(node) && wrongly.contains(node)) {
            self.violated("false alarm", format_args!("{id} woke and suspects {living}, which lives"));
        }
    }
}
