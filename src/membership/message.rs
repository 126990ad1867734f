//! What nodes say to each other about views. Plain data: who may say what, and when, is in `chain`, `keeper` and `founding`.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ArcEntry, Member, RecoveryMessage, Shape, View};
use crate::id::{ArcId, ClusterId, NodeId, NodeName, ViewNumber};

/// The order of proposals for one view: round first, then who proposes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Grows with every attempt that met a higher one.
    pub round: u64,
    /// The proposing voter.
    pub voter: NodeId,
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.voter.name)
    }
}

/// The view chain: one single-decree Paxos instance for each next view, and the news of what was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChainMessage {
    /// May I propose the view after `base`? Carries that view whole, so that a lagging voter jumps.
    Prepare {
        /// The newest view the proposer knows decided.
        base: Arc<View>,
        /// Its ballot.
        ballot: Ballot,
    },
    /// Yes; nothing lower will be accepted.
    Promise {
        /// The instance is the one after this view.
        base: ViewNumber,
        /// The ballot promised.
        ballot: Ballot,
        /// Who promises.
        voter: NodeId,
        /// What this voter accepted before, if anything.
        accepted: Option<(Ballot, Arc<View>)>,
        /// Whom this voter hears both ways now, itself included.
        hears: BTreeSet<NodeId>,
    },
    /// No: a higher ballot was promised, or the proposer's base is old.
    Refuse {
        /// The base that was asked for.
        base: ViewNumber,
        /// The ballot refused.
        ballot: Ballot,
        /// The highest ballot promised for that instance.
        promised: Option<Ballot>,
        /// The newest decided view, when the proposer's is older.
        newest: Option<Arc<View>>,
    },
    /// Accept this as the view after `base`.
    Accept {
        /// The instance is the one after this view.
        base: ViewNumber,
        /// The ballot a quorum promised.
        ballot: Ballot,
        /// The proposed view.
        value: Arc<View>,
    },
    /// Accepted.
    Accepted {
        /// The instance is the one after this view.
        base: ViewNumber,
        /// The ballot accepted.
        ballot: Ballot,
        /// Who accepts.
        voter: NodeId,
    },
    /// This view is decided.
    Decided(Arc<View>),
    /// Send me a view newer than this one, if there is one.
    Fetch {
        /// The newest view the asker knows.
        have: ViewNumber,
    },
}

impl ChainMessage {
    /// Whether it is a voter's own word, which must not be forgotten: a proposal, a promise, an acceptance.
    #[must_use]
    pub const fn is_a_vote(&self) -> bool {
        matches!(self, Self::Prepare { .. } | Self::Promise { .. } | Self::Accept { .. } | Self::Accepted { .. })
    }

    /// The views it carries; each is checked before it is believed.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        match self {
            Self::Prepare { base: view, .. } | Self::Accept { value: view, .. } | Self::Decided(view) => Some(view),
            Self::Promise { accepted, .. } => accepted.as_ref().map(|(_, view)| view),
            Self::Refuse { newest, .. } => newest.as_ref(),
            Self::Accepted { .. } | Self::Fetch { .. } => None,
        }
        .into_iter()
    }
}

/// A conditional change of one arc, made by its primary against one view; it may enter the next view and no later one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wish {
    /// Which arc.
    pub arc: ArcId,
    /// The arc's primary, who alone may wish for it.
    pub from: NodeId,
    /// The view that installed that primary.
    pub since: ViewNumber,
    /// The view the wish was made against.
    pub base: ViewNumber,
    /// The in-sync backups at that view.
    pub expected: Vec<NodeId>,
    /// What is wished.
    pub change: WishedChange,
}

/// What a primary may wish for its arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WishedChange {
    /// The node has everything: make it an in-sync backup.
    Add(NodeId),
    /// A backup that lives but does not acknowledge, or is no longer wanted; with whom to catch up instead.
    Drop {
        /// The backup to drop.
        node: NodeId,
        /// Whom to catch up in its place.
        instead: Option<NodeId>,
    },
    /// Hand the arc to an in-sync backup, and be in sync instead of it; the primary has quiesced the arc before.
    Move(NodeId),
}

impl WishedChange {
    /// Whether the wish still makes sense for an entry.
    #[must_use]
    pub fn fits(&self, entry: &ArcEntry) -> bool {
        match self {
            Self::Add(node) => !entry.holds(*node),
            Self::Drop { node, .. } | Self::Move(node) => entry.in_sync.contains(node),
        }
    }
}

/// What a starting process says and hears until it is in a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FoundingMessage {
    /// I am starting, blank, with this configuration. Who are you?
    Blank {
        /// The digest of what founding must agree on.
        digest: u64,
        /// Most of what is in the digest, so that whoever reads another file than mine can say in which key.
        shape: Box<Shape>,
        /// Who I would be in a view.
        member: Member,
    },
    /// I serve in a cluster: join me.
    Serving {
        /// The cluster.
        cluster: ClusterId,
        /// Its newest view that I know.
        view: ViewNumber,
    },
    /// The first in file order proposes view 1, naming exactly the voters that were blank.
    Found(Arc<View>),
    /// I accepted that founding; I accept no other in my life.
    FoundAccepted(ClusterId),
    /// I have accepted another founding, or am listed under another incarnation.
    FoundRefused(ClusterId),
    /// Everyone accepted: view 1 stands.
    Founded(Arc<View>),
}

/// Everything said between view keepers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeeperMessage {
    /// The view chain.
    Chain(ChainMessage),
    /// Founding.
    Founding(FoundingMessage),
    /// Primaries' wishes, all made against one view.
    Wishes(Vec<Wish>),
    /// Let me in, or know my new kinds.
    Join(Member),
    /// I have drained: nothing is left here, let me go.
    Leave,
    /// These processes have ended. Earlier ones of mine: I hold the lock of the folder that they had. Others, which no view
    /// has as members any more: I have proof, or was told by one who has.
    Ended(Vec<NodeId>),
    /// You cannot come in.
    JoinRefused(JoinRefusal),
    /// Going on without a quorum, on an operator's word.
    Recovery(RecoveryMessage),
    /// An operator says that these processes have ended, whatever else is known of them.
    Word(Vec<NodeId>),
    /// An operator is done with these losses: of which arc, and in which view it was lost.
    ClearLost(Vec<(ArcId, ViewNumber)>),
}

/// Why a node is not let in. The asker's state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinRefusal {
    /// Another process has this name and lives. Stop it, or start under another name.
    NameLives(NodeName),
}
