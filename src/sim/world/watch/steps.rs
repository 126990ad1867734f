//! The checks `in-sync promotion`, `honest loss` and `placement`: what one view may do to the one before it.

use super::super::World;
use crate::{
    id::{ArcId, NodeId},
    membership::{ArcEntry, Pin, View, target},
};

impl World {
    /// What one view may do to the one before.
    pub(super) fn judge_step(&mut self, view: &View) {
        let Some(before) = self.newest.clone() else { return };
        let adjacent = view.number == before.number.next();
        for (arc, entry) in view.entries() {
            let Some(old) = before.arc(arc) else { continue };
            if entry.since != old.since && adjacent && entry.lost_at != Some(view.number) {
                let handed_over = view.is_member(old.primary);
                self.mark(if handed_over { "an arc was handed over" } else { "a promotion" });
                if handed_over {
                    self.judge_hand_over(&before, arc, entry);
                }
                if old.catching_up.is_some() && !handed_over {
                    self.mark("a promotion during a catch-up");
                }
                if !old.in_sync.contains(&entry.primary) {
                    self.violated(
                        "in-sync promotion",
                        format_args!("view {} promotes {} of arc {arc}, not in sync", view.number, entry.primary),
                    );
                }
            }
            if entry.lost_at != old.lost_at {
                self.note_lost(arc, old, view);
            }
            if entry.lost_at == Some(view.number) {
                self.mark("an arc lost with its last copy");
                let alive: Vec<NodeId> =
                    [old.primary].iter().chain(&old.in_sync).copied().filter(|n| self.alive.contains(n)).collect();
                if adjacent && !alive.is_empty() {
                    self.violated("honest loss", format_args!("arc {arc} was called lost while {alive:?} held it"));
                }
            }
            if entry.loss_cleared && old.open_loss().is_some() {
                self.mark("an operator cleared a loss");
                if entry.lost_at != old.lost_at {
                    self.violated(
                        "honest loss",
                        format_args!("view {} clears a loss of arc {arc} that nobody could mean", view.number),
                    );
                }
            }
            if entry.in_sync.len() > old.in_sync.len() {
                self.mark("a backup caught up");
            }
            if adjacent && old.catching_up.is_some_and(|c| !view.is_member(c)) {
                self.mark("a catch-up was cut short");
            }
        }
    }

    /// An arc leaves a live primary only for where placement wanted it, by the view in which that was wished.
    fn judge_hand_over(&mut self, before: &View, arc: ArcId, entry: &ArcEntry) {
        let wanted = target(before, arc).primary;
        if wanted != Some(entry.primary) {
            self.violated(
                "placement",
                format_args!(
                    "after view {} arc {arc} was handed over to {}, and placement wanted it at {wanted:?}",
                    before.number, entry.primary
                ),
            );
        }
        let (Some(heir), Some(old)) = (before.member(entry.primary), before.arc(arc)) else { return };
        let gives = before.member(old.primary).is_some_and(|member| member.stays());
        match before.shape.pin {
            Pin::None => {}
            // The home of before: a newcomer of another weight may be given its share in the same view.
            _ if heir.may_claim() && old.home == entry.primary.name => self.mark("a pinned arc came home by a claim"),
            Pin::OnOverload if gives => self.mark("a pinned arc was given up for overload"),
            Pin::OnDrain | Pin::NeverMove if gives => {
                self.violated(
                    "placement",
                    format_args!("after view {} the pinned arc {arc} left {}", before.number, old.primary),
                );
            }
            _ => {}
        }
    }
}
