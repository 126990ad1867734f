//! What a scenario does to a world: each deed carried out as it is written, whatever comes of it.

use std::time::Duration;

use super::{Event, World};
use crate::{
    id::{ArcId, NodeId, NodeName},
    membership::Standing,
    replication::{Primary, Replica},
    sim::{network::LinkChange, node::SimNode, record::Loss, scenario::Deed},
};

impl World {
    /// Carries out a step of a scenario.
    pub(super) fn perform(&mut self, deed: &Deed) {
        self.record.step(self.now, deed.to_string(), &deed.nodes());
        let process = |name| self.processes.get(&name);
        let is_lost = self.newest.as_ref().is_some_and(|view| !view.open_losses().is_empty());
        let idle = deed.idle(|name| process(name).is_some(), |name| process(name).is_some_and(|p| p.paused), is_lost);
        for why in idle {
            self.record.idle(self.now, deed, why);
        }
        match deed {
            Deed::Kill(names) => names.iter().for_each(|name| self.kill(*name)),
            Deed::PowerOff(names) => {
                for name in names {
                    let gone = self.node(*name).map(SimNode::id);
                    self.kill(*name);
                    self.queue.cancel(|event| matches!(event, Event::Packet(from, ..) if Some(*from) == gone));
                }
            }
            Deed::Restart(names) => {
                for name in names {
                    self.kill(*name);
                    self.start(*name);
                }
            }
            Deed::Join(names) => names.iter().for_each(|name| self.start(*name)),
            Deed::Pause(names) => {
                for name in names {
                    self.note_loss(*name);
                    self.put_to_sleep(*name);
                }
            }
            Deed::Resume(names) => names.iter().for_each(|name| self.resume(*name)),
            Deed::Heal => {
                self.mend();
                self.network.clear_up();
            }
            Deed::ClockRate(name, ppm) => {
                let now = self.now;
                if let Some(process) = self.processes.get_mut(name) {
                    process.clock.go(i64::from(*ppm), now);
                }
            }
            Deed::Cordon(names) => self.stand(names, Standing::Cordoned),
            Deed::Uncordon(names) => names.iter().for_each(|name| self.stand_up(*name)),
            Deed::Drain(names) | Deed::Leave(names) => self.stand(names, Standing::Draining),
            Deed::HandBack(names) => {
                for name in names {
                    if let Some(process) = self.processes.get_mut(name) {
                        process.node.claim(true);
                    }
                }
            }
            Deed::Recover(names) => self.recover_with(names),
            Deed::Dead(name) => self.declare_dead(*name),
            Deed::ClearLost => self.clear_lost(),
            on_links => {
                for (from, to, change) in on_links.on_links(&self.names.clone()) {
                    match change {
                        LinkChange::Cut => self.part(from, to),
                        LinkChange::Mend => self.join(from, to),
                        LinkChange::Close => self.close(from, to),
                        worse => _ = self.network.change(from, to, worse),
                    }
                }
            }
        }
    }

    fn kill(&mut self, name: NodeName) {
        self.note_loss(name);
        self.end_process(name, "killed");
    }

    fn stand(&mut self, names: &[NodeName], standing: Standing) {
        for name in names {
            if let Some(process) = self.processes.get_mut(name) {
                process.node.stand(standing);
            }
        }
    }

    /// From now on it is counted how long callers and arcs do without this node.
    fn note_loss(&mut self, name: NodeName) {
        let (Some(node), Some(view)) = (self.node(name).map(SimNode::id), &self.newest) else { return };
        let arcs = view.entries().filter(|(_, entry)| entry.primary == node).map(|(arc, _)| arc).collect();
        if view.is_member(node) {
            self.record.losses.push(Loss { at: self.now, node, arcs, promoted: None, protected: None });
        }
    }

    /// Looks which losses have been made good.
    pub(super) fn look_after_losses(&mut self) {
        if self.record.losses.iter().all(|loss| loss.protected.is_some() && loss.promoted.is_some()) {
            return;
        }
        let Some(view) = self.newest.clone() else { return };
        let now = self.now;
        let mut losses = std::mem::take(&mut self.record.losses);
        for loss in &mut losses {
            let since = Duration::from_nanos(now - loss.at);
            let again = |arc: &ArcId| {
                let Some(entry) = view.arc(*arc).filter(|entry| entry.primary != loss.node) else { return false };
                self.is_served(*arc, entry.primary)
            };
            if loss.promoted.is_none() && loss.arcs.iter().all(again) {
                loss.promoted = Some(since);
            }
            let is_out = !view.is_member(loss.node);
            if loss.protected.is_none() && is_out && view.fully_protected() && loss.promoted.is_some() {
                loss.protected = Some(since);
            }
        }
        self.record.losses = losses;
    }

    /// Whether a process serves an arc, and is not stopped.
    pub(crate) fn is_served(&self, arc: ArcId, by: NodeId) -> bool {
        let process = self.processes.get(&by.name).filter(|p| p.node.id() == by && !p.paused);
        let replica = process.and_then(|p| p.node.host()).and_then(|host| host.replica(arc));
        replica.and_then(Replica::as_primary).is_some_and(Primary::is_serving)
    }
}
