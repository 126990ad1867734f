//! Who asks to come in: kept while the ask is repeated, refused when the asker's name still lives. Whether one is let in, the
//! next view says.

use super::{Arc, ChainMessage, JOIN_KEPT, JoinRefusal, Keeper, KeeperEffect, KeeperMessage, Member, Moment, NodeId};

/// At most this many processes may be waiting to come in.
const JOINS_MAX: usize = 256;

/// One process that asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Joining {
    pub(super) member: Member,
    asked_first: Moment,
    asked_last: Moment,
}

impl Keeper {
    /// Processes that ask to come in; the monitor watches them too, for only one that is heard is let in.
    pub fn joining(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.joins.iter().map(|(node, j)| (*node, &j.member))
    }

    pub(super) fn handle_join(&mut self, from: NodeId, member: Member, now: Moment, out: &mut Vec<KeeperEffect>) {
        if member.node != from || self.dead.contains(&from) {
            return;
        }
        if self.view().member(from).is_some_and(|known| **known == member) {
            out.push(KeeperEffect::Send(from, KeeperMessage::Chain(ChainMessage::Decided(Arc::clone(self.view())))));
            return;
        }
        if self.joins.len() >= JOINS_MAX && !self.joins.contains_key(&from) {
            return;
        }
        let asked =
            self.joins.entry(from).or_insert(Joining { member: member.clone(), asked_first: now, asked_last: now });
        asked.asked_last = now;
        asked.member = member;
        self.stirred = true;
    }

    pub(super) fn refuse_joins(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        if self.joins.is_empty() {
            return;
        }
        let view = Arc::clone(self.chain.view());
        let (dead, hears) = (&self.dead, &self.hearing.hears);
        let patience = self.settings.suspect_after * 2;
        self.joins.retain(|node, joining| {
            if now.since(joining.asked_last) > JOIN_KEPT {
                return false;
            }
            // A quick restart finds its old self in the view; only one that is still heard this long after truly lives.
            let other = view.named(node.name).filter(|m| m.node != *node);
            let lives = other.is_some_and(|m| hears.contains(&m.node) && !dead.contains(&m.node));
            if lives && now.since(joining.asked_first) > patience {
                let refusal = KeeperMessage::JoinRefused(JoinRefusal::NameLives(node.name));
                out.push(KeeperEffect::Send(*node, refusal));
                return false;
            }
            true
        });
    }
}
