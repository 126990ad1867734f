//! What a keeper knows: whom it hears, what speaks for a next view, when its turn to propose is.

use super::{BTreeMap, BTreeSet, Duration, Keeper, Knowledge, Member, Moment, NodeId, Outlook};

impl Keeper {
    /// What this node can say of the ring now.
    #[must_use]
    pub fn outlook(&self, now: Moment) -> Outlook {
        let left_behind_by = self.left_behind_by;
        Outlook { left_behind_by, ..Outlook::of(self.view(), self.member.node, &self.heard(now), &self.dead) }
    }

    /// Whom this node counts as heard: both ways, not proved dead, and not stuck on an old view.
    pub(super) fn heard(&self, now: Moment) -> BTreeSet<NodeId> {
        let newest = self.view().number;
        let patience_over = now.since(self.installed_at) > self.settings.suspect_after;
        let stuck = |node: &NodeId| {
            patience_over
                && self.view().is_member(*node)
                && self.hearing.installed.get(node).is_some_and(|installed| *installed < newest)
        };
        let members = self.view().members.iter().map(|m| m.node).filter(|n| !self.hearing.suspects.contains(n));
        let known = members.chain(self.hearing.hears.iter().copied());
        let mut heard: BTreeSet<NodeId> =
            known.filter(|n| !self.dead.contains(n) && !self.gone_over.contains(n) && !stuck(n)).collect();
        heard.insert(self.member.node);
        heard
    }

    /// How long a proposal of this node may take now.
    pub(super) fn patience(&self) -> Duration {
        self.settings.proposal_timeout * (1 << self.timeouts)
    }

    pub(super) fn unreachable(&self, heard: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let gone = |n: &NodeId| !heard.contains(n) || self.dead.contains(n);
        self.view().members.iter().map(|m| m.node).filter(gone).collect()
    }

    pub(super) fn knowledge(&self, unreachable: BTreeSet<NodeId>, heard: &BTreeSet<NodeId>) -> Knowledge {
        let newest = self.view().number;
        let mut joins: BTreeMap<NodeId, Member> = self
            .joins
            .iter()
            .filter(|(node, _)| heard.contains(node) || self.view().is_member(**node))
            .map(|(node, j)| (*node, j.member.clone()))
            .collect();
        let known = self.view().member(self.member.node);
        if known.is_some_and(|known| **known != self.member) || (known.is_none() && !self.earlier.is_empty()) {
            joins.insert(self.member.node, self.member.clone());
        }
        let up_to_date = self.hearing.installed.iter().filter(|(_, installed)| **installed >= newest).map(|(n, _)| *n);
        Knowledge {
            unreachable,
            dead: self.dead.clone(),
            leaving: self.leaving.keys().copied().collect(),
            joins,
            wishes: self.wishes.values().cloned().collect(),
            cleared: self.cleared.clone(),
            up_to_date: up_to_date.chain([self.member.node]).collect(),
        }
    }

    /// How many live voters come before this one: counted from the successor of a lost node, else from the ring's start.
    pub(super) fn rank(&self, unreachable: &BTreeSet<NodeId>, heard: &BTreeSet<NodeId>) -> u32 {
        let view = self.view();
        let silent = view.carriers().filter(|v| !heard.contains(v)).collect();
        let lost = unreachable.iter().map(|n| n.name).min_by_key(|name| view.position(*name));
        let turn = view.turn_after(lost, self.member.node, &silent).unwrap_or(view.voters.len());
        u32::try_from(turn).unwrap_or(u32::MAX)
    }

    /// The process that votes as this voter now: one that came back asks to be let in, and is in no view yet.
    pub(super) fn process_of(&self, voter: NodeId) -> NodeId {
        let newcomers = self.joins.values().map(|j| &j.member).filter(|m| m.voter() == voter && m.node != voter);
        newcomers.map(|m| m.node).next_back().unwrap_or_else(|| self.view().carrier(voter))
    }
}
