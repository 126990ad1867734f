//! What a keeper takes from its monitor, and what it asks of its owner.

use super::{Arc, BTreeMap, BTreeSet, ClusterId, JoinRefusal, KeeperMessage, NodeId, RecoveryFault, View, ViewNumber};

/// What this node's monitor knows of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hearing {
    /// Nodes heard both ways.
    pub hears: BTreeSet<NodeId>,
    /// Nodes watched and no longer heard. A member that the monitor does not watch yet is in neither set, and counts as heard.
    pub suspects: BTreeSet<NodeId>,
    /// The view each said it has installed.
    pub installed: BTreeMap<NodeId, ViewNumber>,
}

/// What the keeper asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "few, and taken apart at once")]
pub enum KeeperEffect {
    /// The vote (`Keeper::vote`) changed. Where it outlives the process, it is stored before anything else of the same batch is
    /// sent; if it cannot be, no word of the view chain is sent.
    Keep,
    /// A process is proved dead, by its successor's word.
    Proved(NodeId),
    /// Look whether this process is dead: an arc's copies are only where no view has members any more.
    Seek(NodeId),
    /// Send this.
    Send(NodeId, KeeperMessage),
    /// Install this view.
    Installed(Arc<View>),
    /// This node is not let in; it should stop and say why.
    Refused(JoinRefusal),
    /// The recovery that this node was asked for: the first view of the successor, or why there is none.
    RecoveryEnded(Result<Arc<View>, RecoveryFault>),
    /// An operator had this cluster go on as another, without this process.
    LeftBehind(ClusterId),
}
