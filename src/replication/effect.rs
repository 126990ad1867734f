//! What the replication rooms ask of their owner.

use super::{
    Frame,
    message::{ArcMessage, LinkAck},
};
use crate::{
    blob::Blob,
    id::{ArcId, CommitNumber, NodeId, ViewNumber},
    membership::Wish,
};

/// Names a reply that waits; drawn by the owner, unique among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Who waits for a reply, where it is not this node: a call of that node's, under a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker {
    /// The node.
    pub node: NodeId,
    /// What it calls the call.
    pub call: u64,
}

/// Why a waiting reply will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Broken {
    /// This node is no longer the arc's primary. A command's outcome is unknown, for its commit may have reached the next
    /// primary; a read was simply not answered. Ask there.
    Deposed,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Put this on the link to a backup.
    ToBackup {
        /// The backup.
        to: NodeId,
        /// What to put there.
        message: ArcMessage,
    },
    /// Send this frame.
    Frame {
        /// The backup node.
        to: NodeId,
        /// The frame.
        frame: Frame,
    },
    /// Send this acknowledgement; it grants a lease.
    Ack {
        /// The primary node.
        to: NodeId,
        /// Which of its links.
        stream: u16,
        /// What to say.
        ack: LinkAck,
    },
    /// A peer has a newer view than this host: fetch it.
    NeedsView {
        /// Who has it.
        of: NodeId,
        /// At least this one.
        number: ViewNumber,
    },
    /// This reply may leave.
    Release(Token),
    /// This reply may leave, and has left already: the backup that its asker called through has told it.
    Told(Token),
    /// A call that this node sent on is done: its commit is stored here, and nobody else has to have it.
    Done {
        /// The call.
        call: u64,
        /// Who executed it.
        by: NodeId,
        /// The commit.
        number: CommitNumber,
        /// What was answered.
        reply: Blob,
    },
    /// This reply will not come.
    Fail(Token, Broken),
    /// Have this put into the next view.
    Wish(Box<Wish>),
    /// A lease of this node ran out while a reply waits for it: ask it now, do not wait for the next heartbeat.
    Confirm(NodeId),
    /// A promoted primary answers from now on.
    Serving {
        /// Which arc.
        arc: ArcId,
        /// The view that installed it.
        since: ViewNumber,
    },
    /// This node no longer has the arc as primary: drop live objects.
    SteppedDown(ArcId),
}
