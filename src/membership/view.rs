//! A view: the numbered, agreed statement of what *is*: members, voters, and for every arc its primary, its in-sync
//! backups, who is catching up, and since which view its present primary serves.
//!
//! A view says nothing of what would be best (that is `placement`) and decides nothing (that is `next_view`). A decided
//! view never changes; entries that did not change are shared between successive views. The shape is Vertical Paxos'
//! configuration (Lamport, Malkhi, Zhou 2009) with PacificA's replica groups inside (Lin et al. 2008).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU16,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::shape::{Agreement, Shape};
use crate::id::{ArcId, ClusterId, Incarnation, NodeId, NodeName, ViewNumber};

/// What a node may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Primaries and backups.
    #[default]
    Host,
    /// Backups only; never promoted while a host is in sync, and hands over when one is.
    BackupOnly,
    /// Nothing: it only forwards.
    Edge,
    /// Nothing, but it votes.
    Witness,
}

impl Role {
    /// Whether such a node may hold copies.
    #[must_use]
    pub const fn holds_copies(self) -> bool {
        matches!(self, Self::Host | Self::BackupOnly)
    }

    /// Whether such a node may vote on views.
    #[must_use]
    pub const fn may_vote(self) -> bool {
        matches!(self, Self::Host | Self::Witness)
    }
}

/// Whether a member may be given more to hold. It says so of itself, on its operator's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes what placement gives it.
    #[default]
    Open,
    /// It keeps what it holds and is given no more.
    Cordoned,
    /// It hands over all it holds, and then leaves.
    Draining,
}

/// A session kind that a member can host, and the newest version of its state that it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KindVersion {
    /// `Session::KIND`.
    pub kind: String,
    /// `Session::VERSION`.
    pub version: u32,
}

/// One node as the view knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The process.
    pub node: NodeId,
    /// What it may hold.
    pub role: Role,
    /// Where it stands; copies are kept in different zones where there are several.
    pub zone: Option<String>,
    /// Where other nodes dial it.
    pub cluster_address: String,
    /// Its HTTP address, if it has one.
    pub http_address: Option<String>,
    /// How many workers share its arcs; a power of two, so that links between two nodes can be shared out.
    pub workers: u16,
    /// The incarnation under which it votes, if its votes are kept in a file and outlive the process; else it votes as itself.
    pub votes_as: Option<Incarnation>,
    /// Whether it may be given more.
    pub standing: Standing,
    /// How much it is to serve, beside the others: what its share of the arcs is reckoned by.
    pub weight: NonZeroU16,
    /// Whether it wants back, pin or not, all arcs whose home it is. Its operator's word, which it takes back when it has them.
    pub claims: bool,
    /// The session kinds it can host.
    pub kinds: Vec<KindVersion>,
}

impl Member {
    /// The voter that it is, or would be.
    #[must_use]
    pub fn voter(&self) -> NodeId {
        NodeId { name: self.node.name, incarnation: self.votes_as.unwrap_or(self.node.incarnation) }
    }

    /// Whether it is not about to leave: what is to be kept is kept by those that stay.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.standing != Standing::Draining
    }

    /// Whether arcs whose home it is come to it whatever else speaks for their staying where they are.
    #[must_use]
    pub fn may_claim(&self) -> bool {
        self.claims && self.role == Role::Host && self.standing == Standing::Open
    }
}

/// Where one arc's sessions are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArcEntry {
    /// The name this arc belongs to when that name is up.
    pub home: NodeName,
    /// The only node that may serve it. When it is no member, it holds the last copy and the arc is `Recovering`.
    pub primary: NodeId,
    /// Backups that hold every acknowledged commit; only these may be promoted.
    pub in_sync: Vec<NodeId>,
    /// The node that is receiving everything, to become a backup.
    pub catching_up: Option<NodeId>,
    /// The view that installed the present primary.
    pub since: ViewNumber,
    /// The view in which anything of this entry last changed; leases of older views do not cover it.
    pub changed: ViewNumber,
    /// The view in which every copy was proved gone. Unknown ids then answer `Lost`, not "never existed".
    pub lost_at: Option<ViewNumber>,
    /// An operator knows of that loss and is done with it: unknown ids answer as if they had never existed.
    pub loss_cleared: bool,
}

impl ArcEntry {
    /// Whether `node` is the primary or an in-sync backup.
    #[must_use]
    pub fn holds(&self, node: NodeId) -> bool {
        self.primary == node || self.in_sync.contains(&node)
    }

    /// The view in which every copy was lost, if no operator has cleared that since.
    #[must_use]
    pub fn open_loss(&self) -> Option<ViewNumber> {
        self.lost_at.filter(|_| !self.loss_cleared)
    }

    /// Whether `node` holds the arc or is to hold it.
    #[must_use]
    pub fn needs(&self, node: NodeId) -> bool {
        self.holds(node) || self.catching_up == Some(node)
    }
}

/// What an arc is, as far as a view can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArcState {
    /// A primary and at least one in-sync backup.
    Protected,
    /// A primary alone.
    Solo,
    /// The only copy is on a node that nobody reaches but that is not proved dead.
    Recovering,
}

/// A decided configuration of the cluster. It travels in a packed form (`packed_view`), checked when it arrives.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Its place in the chain.
    pub number: ViewNumber,
    /// What all agree on for the cluster's life.
    pub shape: Arc<Shape>,
    /// The nodes in the ring, in ring order.
    pub members: Vec<Arc<Member>>,
    /// The acceptors of the next view, sorted: voter ids. Each has a member that votes as it, but at most one, whose vote is
    /// kept while it is away.
    pub voters: Vec<NodeId>,
    /// By `ArcId`.
    pub arcs: Vec<Arc<ArcEntry>>,
    /// The clusters that this one goes on for, newest first, at most 16: of each an operator had it recovered.
    pub succeeds: Vec<ClusterId>,
}

/// So many recoveries ago a process may have been cut off and still know whose successor the ring is.
pub(super) const PREDECESSORS_MAX: usize = 16;

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view {} of {:?}: members [", self.number, self.cluster)?;
        for member in &self.members {
            let vote = if self.voters.contains(&member.voter()) { "*" } else { "" };
            write!(f, " {}{vote}", member.node)?;
        }
        f.write_str(" ]")?;
        if let Some(absent) = self.absent_voter() {
            write!(f, " absent {absent}*")?;
        }
        for (arc, entry) in self.arcs.iter().enumerate().take(8) {
            write!(f, " {arc}:{}{:?}+{:?}@{}", entry.primary, entry.in_sync, entry.catching_up, entry.since)?;
        }
        Ok(())
    }
}

/// What a view read from the network breaks. Such a view is refused; nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewFault {
    /// No member, or no voter.
    Empty,
    /// A node or a name twice among members, a voter twice, or more than one voter that is no member.
    Members,
    /// Not as many entries as the shape has arcs, or none.
    Arcs,
    /// An entry with one node in two roles, a backup that is no member, or a `since` above its number.
    Entry(ArcId),
}

impl fmt::Display for ViewFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a view without members or voters"),
            Self::Members => f.write_str("a view whose members or voters repeat or disagree"),
            Self::Arcs => f.write_str("a view whose arcs do not fit its shape"),
            Self::Entry(arc) => write!(f, "a view whose entry for arc {arc} contradicts itself"),
        }
    }
}

impl std::error::Error for ViewFault {}

impl View {
    /// The member that is this process.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&Arc<Member>> {
        self.members.iter().find(|m| m.node == node)
    }

    /// Whether this process is in the ring.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        self.member(node).is_some()
    }

    /// Whether this voter is one of those who decide the next view.
    #[must_use]
    pub fn is_voter(&self, voter: NodeId) -> bool {
        self.voters.contains(&voter)
    }

    /// The member that votes as this voter.
    fn member_of(&self, voter: NodeId) -> Option<&Arc<Member>> {
        self.members.iter().find(|m| m.voter() == voter)
    }

    /// Whether this process votes on the next view.
    #[must_use]
    pub fn votes(&self, node: NodeId) -> bool {
        self.is_voter(self.member(node).map_or(node, |member| member.voter()))
    }

    /// The process that votes as this voter, as far as the view knows.
    #[must_use]
    pub fn carrier(&self, voter: NodeId) -> NodeId {
        self.member_of(voter).map_or(voter, |member| member.node)
    }

    /// The processes that vote.
    pub fn carriers(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().map(|voter| self.carrier(*voter))
    }

    /// Whether a voter comes back when its process dies. Its death then says nothing of how it will vote.
    #[must_use]
    pub fn outlives_its_process(&self, voter: NodeId) -> bool {
        self.member_of(voter).is_some_and(|member| member.votes_as.is_some())
    }

    /// How many of the voters are members.
    fn present_voters(&self) -> usize {
        self.voters.iter().filter(|v| self.member_of(**v).is_some()).count()
    }

    /// The voter that is no member but keeps its vote while it is away: it still accepts views and may come back.
    #[must_use]
    pub fn absent_voter(&self) -> Option<NodeId> {
        self.voters.iter().copied().find(|v| self.member_of(*v).is_none())
    }

    /// The member that has this name now.
    #[must_use]
    pub fn named(&self, name: NodeName) -> Option<&Arc<Member>> {
        self.members.iter().find(|m| m.node.name == name)
    }

    /// Where a name stands on the ring; names that never had a place come last.
    #[must_use]
    pub fn position(&self, name: NodeName) -> usize {
        self.shape.ring.iter().position(|n| *n == name).unwrap_or(self.shape.ring.len())
    }

    /// The entry of an arc; `None` if the cluster has no such arc.
    #[must_use]
    pub fn arc(&self, arc: ArcId) -> Option<&Arc<ArcEntry>> {
        self.arcs.get(usize::from(arc.0))
    }

    /// Every arc with its entry.
    pub fn entries(&self) -> impl Iterator<Item = (ArcId, &Arc<ArcEntry>)> {
        (0..=u16::MAX).map(ArcId).zip(&self.arcs)
    }

    /// What an arc is, as far as this view can tell.
    #[must_use]
    pub fn state_of(&self, entry: &ArcEntry) -> ArcState {
        if !self.is_member(entry.primary) {
            ArcState::Recovering
        } else if entry.in_sync.is_empty() {
            ArcState::Solo
        } else {
            ArcState::Protected
        }
    }

    /// Whether an arc was lost in this view, and no operator has cleared that since.
    #[must_use]
    pub fn has_open_loss(&self, arc: ArcId, at: ViewNumber) -> bool {
        self.arc(arc).is_some_and(|entry| entry.open_loss() == Some(at))
    }

    /// The arcs that answer `Lost` for what they do not know, and since which view.
    #[must_use]
    pub fn open_losses(&self) -> BTreeMap<ArcId, ViewNumber> {
        self.entries().filter_map(|(arc, entry)| Some((arc, entry.open_loss()?))).collect()
    }

    /// How many arcs have no in-sync backup, or nobody who serves them.
    #[must_use]
    pub fn unprotected_arcs(&self) -> usize {
        self.arcs.iter().filter(|entry| self.state_of(entry) != ArcState::Protected).count()
    }

    /// Whether these voters are enough to decide the next view on a proposal of the voter `me`: a majority, or under
    /// `MajorityOrProof` half of them with `me`, when every other is proved dead and will not vote again.
    #[must_use]
    pub fn is_quorum(&self, votes: &BTreeSet<NodeId>, me: NodeId, dead: &BTreeSet<NodeId>) -> bool {
        if votes.len() * 2 > self.voters.len() {
            return true;
        }
        self.shape.agreement == Agreement::MajorityOrProof
            && votes.len() * 2 >= self.voters.len()
            && votes.contains(&me)
            && self.voters.iter().all(|v| votes.contains(v) || (dead.contains(v) && !self.outlives_its_process(*v)))
    }

    /// Whether every arc has a live primary and as many in-sync backups as the shape wants and the members that stay allow,
    /// and every one of those that may vote does, as far as the shape has room: else the next loss might find no quorum.
    #[must_use]
    pub fn fully_protected(&self) -> bool {
        let can_hold = self.members.iter().filter(|m| m.stays() && m.role.holds_copies()).count();
        let wanted = usize::from(self.shape.backups).min(can_hold.saturating_sub(1));
        let may_vote = self.members.iter().filter(|m| m.stays() && m.role.may_vote()).count();
        self.arcs.iter().all(|e| self.is_member(e.primary) && e.in_sync.len() >= wanted)
            && (can_hold > 1 || self.shape.backups == 0)
            && self.present_voters() >= may_vote.min(usize::from(self.shape.voters_max))
    }

    /// Whether any arc's entry names this process: as one that holds it, or that is to.
    #[must_use]
    pub fn needs(&self, node: NodeId) -> bool {
        self.arcs.iter().any(|entry| entry.needs(node))
    }

    /// The processes of this name that the view tells of: as a member, a voter, or a holder of copies.
    #[must_use]
    pub fn known_as(&self, name: NodeName) -> BTreeSet<NodeId> {
        let members = self.members.iter().map(|m| m.node);
        let holders = self.arcs.iter().flat_map(|entry| entry.in_sync.iter().copied().chain([entry.primary]));
        members.chain(self.carriers()).chain(holders).filter(|node| node.name == name).collect()
    }

    /// Processes that hold copies and are no members: what they hold nobody else has.
    #[must_use]
    pub fn strays(&self) -> BTreeSet<NodeId> {
        let holders = self.arcs.iter().flat_map(|entry| entry.in_sync.iter().chain([&entry.primary]));
        holders.copied().filter(|node| !self.is_member(*node)).collect()
    }

    /// Whether this process has no part in the ring any more: no member, and not the holder of a last copy that is sought.
    #[must_use]
    pub fn has_let_go(&self, node: NodeId) -> bool {
        !self.is_member(node) && !self.needs(node)
    }

    /// Checks what every decided view keeps; a view from the network is checked before it is believed.
    ///
    /// # Errors
    /// The first thing that contradicts itself.
    pub fn check(&self) -> Result<(), ViewFault> {
        if self.members.is_empty() || self.voters.is_empty() {
            return Err(ViewFault::Empty);
        }
        let distinct_names = self
            .members
            .iter()
            .enumerate()
            .all(|(i, m)| self.members[..i].iter().all(|other| other.node.name != m.node.name));
        let distinct_voters = self.voters.windows(2).all(|pair| pair[0] < pair[1]);
        if !distinct_names || !distinct_voters || self.voters.len() > self.present_voters() + 1 {
            return Err(ViewFault::Members);
        }
        if self.arcs.is_empty() || self.arcs.len() != usize::from(self.shape.arcs) {
            return Err(ViewFault::Arcs);
        }
        for (arc, entry) in self.entries() {
            let backups_distinct = entry.in_sync.iter().enumerate().all(|(i, b)| !entry.in_sync[..i].contains(b));
            let apart = !entry.in_sync.contains(&entry.primary)
                && entry.catching_up.is_none_or(|c| !entry.holds(c) && self.is_member(c));
            // When nobody reaches the primary, the entry stays as it was: it names the processes that hold the last copies.
            let live = !self.is_member(entry.primary) || entry.in_sync.iter().all(|b| self.is_member(*b));
            if !(backups_distinct && apart && live && entry.since <= self.number && entry.changed <= self.number) {
                return Err(ViewFault::Entry(arc));
            }
        }
        Ok(())
    }
}
