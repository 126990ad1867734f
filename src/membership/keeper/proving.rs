//! Proof that processes have ended, by whatever shows it, and an operator's word that takes its place.

use super::{
    Duration, EARLIER_MAX, FRESH_PROOFS_MAX, Keeper, KeeperEffect, KeeperMessage, Moment, NodeId, RecoveryFault,
};
use crate::{id::NodeName, membership::recovery::unheard_processes};
use std::sync::Arc;

impl Keeper {
    /// A process is proved dead. Proof is a fact, so it holds whoever else still seems to hear the process.
    pub fn handle_proof(&mut self, node: NodeId, now: Moment, jitter: Duration, out: &mut Vec<KeeperEffect>) {
        if !self.note_proof(node) {
            return;
        }
        let mut effects = Vec::new();
        self.chain.handle_proof(&self.dead, &mut effects);
        self.follow(effects, now, out);
        self.choose_if_free(now, out);
        self.tick(now, jitter, out);
    }

    /// An operator says that these processes have ended. One that is heard has not, whatever anybody says.
    pub(super) fn handle_word(&mut self, nodes: &[NodeId], now: Moment, jitter: Duration, out: &mut Vec<KeeperEffect>) {
        for node in nodes.iter().take(EARLIER_MAX) {
            if *node != self.member.node && !self.heard(now).contains(node) && !self.dead.contains(node) {
                out.push(KeeperEffect::Proved(*node));
                self.handle_proof(*node, now, jitter, out);
            }
        }
    }

    /// Takes an operator's word that the processes of this name have ended, and hands it on. Which those are, comes back.
    ///
    /// # Errors
    /// One of them is heard, or the view tells of none.
    pub fn take_word(
        &mut self,
        name: NodeName,
        now: Moment,
        jitter: Duration,
        out: &mut Vec<KeeperEffect>,
    ) -> Result<Vec<NodeId>, RecoveryFault> {
        let view = Arc::clone(self.view());
        let heard = self.heard(now);
        let nodes: Vec<NodeId> = unheard_processes(&view, name, |node| heard.contains(node))?.into_iter().collect();
        for member in view.members.iter().filter(|m| m.node != self.member.node) {
            out.push(KeeperEffect::Send(member.node, KeeperMessage::Word(nodes.clone())));
        }
        self.handle_word(&nodes, now, jitter, out);
        Ok(nodes)
    }

    pub(super) fn note_proof(&mut self, node: NodeId) -> bool {
        if !self.dead.insert(node) {
            return false;
        }
        self.calm_until = None;
        self.fresh_proofs.push_back(node);
        if self.fresh_proofs.len() > FRESH_PROOFS_MAX {
            self.fresh_proofs.pop_front();
        }
        self.ended_told = None;
        self.stirred = true;
        true
    }
}
