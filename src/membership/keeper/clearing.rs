//! An operator's word that a loss is known and done with: said again until a view says so, or that loss is no more.

use super::{Arc, ArcId, BTreeMap, Keeper, KeeperEffect, KeeperMessage, Moment, REPEAT, ViewNumber};

impl Keeper {
    /// An operator is done with every loss that the view tells of; which those are, comes back. The next view clears them.
    pub fn clear_losses(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) -> BTreeMap<ArcId, ViewNumber> {
        let losses = self.view().open_losses();
        self.take_cleared(losses.clone());
        self.say_cleared(now, out);
        losses
    }

    /// Only losses that the newest view tells of: the word was never for any other.
    pub(super) fn take_cleared(&mut self, losses: impl IntoIterator<Item = (ArcId, ViewNumber)>) {
        self.calm_until = None;
        let view = Arc::clone(self.view());
        for (arc, at) in losses.into_iter().filter(|(arc, at)| view.has_open_loss(*arc, *at)) {
            self.stirred |= self.cleared.insert(arc, at) != Some(at);
        }
    }

    pub(super) fn say_cleared(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if self.cleared.is_empty() || self.cleared_said.is_some_and(|at| now.since(at) < REPEAT) {
            return;
        }
        self.cleared_said = Some(now);
        let losses: Vec<(ArcId, ViewNumber)> = self.cleared.iter().map(|(arc, at)| (*arc, *at)).collect();
        for voter in self.view().carriers().filter(|voter| *voter != self.member.node) {
            out.push(KeeperEffect::Send(voter, KeeperMessage::ClearLost(losses.clone())));
        }
    }

    pub(super) fn forget_cleared(&mut self) {
        let view = Arc::clone(self.view());
        self.cleared.retain(|arc, at| view.has_open_loss(*arc, *at));
        self.cleared_said = None;
    }
}
