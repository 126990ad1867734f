//! What an operator of a world says, to whichever node is asked.

use std::collections::BTreeSet;

use super::{Process, World};
use crate::{
    id::{ClusterId, NodeId, NodeName},
    moment::Moment,
    sim::{node::SimNode, packet::Output},
};

impl World {
    /// The node asked, which can reach those `connected`, goes on with those named alone, as a successor of its cluster.
    pub(super) fn go_on_with(&mut self, asked: NodeId, named: &BTreeSet<NodeName>, connected: &BTreeSet<NodeId>) {
        let successor = ClusterId(u128::from(self.chance.bits()));
        self.tell(asked, |process, now, out| process.node.recover(named, successor, connected, now, out));
    }

    /// Whoever of those named knows most goes on with all of them.
    pub(super) fn recover_with(&mut self, names: &[NodeName]) {
        let known = |name: &NodeName| self.node(*name).and_then(SimNode::view).map(|view| view.number);
        let asked = names.iter().max_by_key(|name| known(name)).and_then(|name| self.node(*name)).map(SimNode::id);
        if let Some(asked) = asked {
            let connected = self.reachable_from(asked);
            self.go_on_with(asked, &names.iter().copied().collect(), &connected);
        }
    }

    /// Of what is lost so far nobody wants to hear any more.
    pub(super) fn clear_lost(&mut self) {
        if let Some(asked) = self.one_who_knows() {
            self.tell(asked, |process, now, out| process.node.clear_lost(now, out));
        }
    }

    /// The process of this name has ended.
    pub(super) fn declare_dead(&mut self, name: NodeName) {
        if let Some(asked) = self.one_who_knows() {
            self.tell(asked, |process, now, out| {
                let jitter = process.jitter();
                process.node.take_word(name, jitter, now, out);
            });
        }
    }

    /// A process that is awake and has the newest view.
    fn one_who_knows(&self) -> Option<NodeId> {
        let newest = self.newest.as_ref().map(|view| view.number);
        let knows = |p: &&Process| !p.paused && p.node.view().map(|view| view.number) == newest;
        self.processes.values().find(knows).map(|p| p.node.id())
    }

    fn tell(&mut self, asked: NodeId, word: impl FnOnce(&mut Process, Moment, &mut Vec<Output>)) {
        let mut out = Vec::new();
        if let Some(process) = self.processes.get_mut(&asked.name) {
            let now = process.local(self.now);
            word(process, now, &mut out);
        }
        self.follow(asked, out);
    }
}
