//! What a node tells of itself: views, promotions, losses, protection. For people, pages and tests; nothing depends on it.

use serde::Serialize;

use crate::id::NodeId;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since the node was started.
    pub at_ms: u64,
    /// What happened.
    pub what: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A view was installed.
    ViewInstalled {
        /// Its number.
        number: u64,
        /// The members' names, in ring order.
        members: Vec<String>,
    },
    /// This node serves arcs that another served before.
    Promoted {
        /// Which arcs.
        arcs: Vec<u16>,
        /// In which view.
        view: u64,
    },
    /// This node does not hear another any more.
    Suspected {
        /// Whom.
        node: NodeId,
    },
    /// Another node says that it does not hear this one, which hears *it*. When all say so, this node is the one cut off.
    Unheard {
        /// Who says so.
        by: NodeId,
    },
    /// It hears it again.
    Trusted {
        /// Whom.
        node: NodeId,
    },
    /// A process is proved dead.
    ProvedDead {
        /// Which.
        node: NodeId,
    },
    /// A node is linked.
    PeerUp {
        /// Which.
        node: NodeId,
    },
    /// A node's link was lost.
    PeerDown {
        /// Which.
        node: NodeId,
    },
    /// A command runs, or ran, so long that the sessions beside it wait, and its node is in danger of being taken for lost.
    SlowHandler {
        /// The kind of its session.
        kind: String,
        /// The session's id, cut if it is long.
        session: String,
        /// The command.
        command: String,
        /// How long it has run, in milliseconds.
        ms: u64,
        /// Whether it is through.
        ended: bool,
    },
    /// Every arc has its backups, every member is heard, and every one that may vote does.
    FullyProtected {
        /// As of this view.
        view: u64,
    },
    /// Some arcs have no in-sync backup, or none reachable, or a member is not heard.
    Unprotected {
        /// How many arcs, by the view; none while a loss has only been noticed.
        arcs: usize,
        /// As of this view.
        view: u64,
    },
    /// Too few voters are heard to decide a view: no loss is made good until enough of them are heard again.
    QuorumLost {
        /// The voters that are not heard.
        awaited: Vec<String>,
    },
    /// Enough voters are heard again.
    QuorumBack,
    /// A worker panicked and was started again with everything it held.
    WorkerRestarted {
        /// Which worker.
        worker: u16,
    },
    /// The node stops.
    Stopping {
        /// Why.
        why: String,
    },
}
