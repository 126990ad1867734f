//! Pipes between nodes: opaque bytes in, the same bytes out at the other node, in order, or a peer that is known to be lost.
//!
//! It knows nothing of views, arcs, sessions or commands. It does not decide that a node is dead: that a connection closed
//! is a hint which is passed on at once. It promises, for one pair of nodes, one lane and one class: what arrives is a prefix
//! of what was sent between `peer_up` and `peer_down`, without holes or repetitions. It never waits on a sender's behalf:
//! what does not fit is refused. Nothing survives a lost link; numbering and resending belong to whoever sends.
//!
//! [`cluster`] carries it over sockets, [`memory`] between nodes of one process with faults that a test sets;
//! [`life_lock`] proves that a process on this host is gone.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;

use crate::id::{NodeId, NodeName};

pub(crate) use crate::wire::handshake::{LockName, Refusal};

pub(crate) mod cluster;
pub(crate) mod life_lock;
pub(crate) mod memory;
mod outbox;
#[cfg(test)]
mod testing;

/// Which of a pair's two streams: so that a short control message never waits behind a long data one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Views, forwarded calls and their replies.
    Control,
    /// Commits, acks, catch-up.
    Data,
}

/// What a message is for. A lower class never waits for a higher one: the writer of a lane takes them in this order, and each
/// has its own bounds. Messages of one class keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// Agreement on views.
    View,
    /// Acknowledgements of what was replicated.
    Ack,
    /// Commits on their way to a backup, and chunks of a catch-up: one stream has one order, and their credit bounds them.
    Replicate,
    /// Replies to forwarded calls.
    Reply,
    /// Forwarded calls.
    Forwarded,
}

/// A node that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Who it proved to be.
    pub(crate) node: NodeId,
    /// Where it is dialled and where its heartbeats go.
    pub(crate) address: String,
    /// Its life lock.
    pub(crate) lock: LockName,
}

/// Why a message was not taken. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// No link to that node; `peer_up` will tell when there is one.
    NoPeer,
    /// The class has no room; try later.
    Full,
    /// Longer than a frame may be; it can never be sent, so cut it up.
    TooLong,
}

/// What the layer above gives to be told. Called from the tasks that read, so it must not block; it may call the transport.
pub(crate) trait Inbound: Send + Sync + 'static {
    /// May this node be linked? Asked for each attempt on both sides: by the acceptor once the dialler has proved itself, by
    /// the dialler before the acceptor has, so a yes must not change anything. `peer_up` follows only if both proved it.
    fn admit(&self, node: NodeId) -> Result<(), Refusal> {
        let _ = node;
        Ok(())
    }
    /// Both lanes of the pair are usable. Never twice for a node without `peer_down` between.
    fn peer_up(&self, peer: &Peer);
    /// A lane was lost, and with it the pair. What was sent and has not arrived is gone. A message that was being delivered
    /// in that instant may still be.
    fn peer_down(&self, node: NodeId);
    /// One message, after `peer_up`. The bytes are a slice of a larger block: copy what is kept for long.
    fn message(&self, from: NodeId, lane: Lane, message: Bytes);
    /// What was read at once was delivered, message by message: a good moment to do what they ask for.
    fn read_through(&self) {}
    /// A node that we dialled refused us or could not be reached, or we refused one that had proved the secret.
    fn refused(&self, address: &str, refusal: &Refusal);
}

/// The pipes of one node.
pub(crate) trait Transport: Send + Sync + Debug + 'static {
    /// Queues a message. Never blocks; what is pending is written together.
    fn send(&self, to: NodeId, lane: Lane, class: Class, message: Bytes) -> Result<(), NotSent>;
    /// Queues a message on the data lane, to be written by the next `push`. Never blocks.
    fn queue(&self, to: NodeId, class: Class, message: Bytes) -> Result<(), NotSent> {
        self.send(to, Lane::Data, class, message)
    }
    /// Writes what is queued for a node on the data lane, on this thread as far as it goes without waiting.
    fn push(&self, to: NodeId) {
        let _ = to;
    }
    /// Keeps a connection to that node from now on, dialling again after 20 ms and up to 1 s, until [`Transport::forget`].
    fn dial(&self, name: NodeName, address: &str);
    /// Dials that address no longer. A link that exists stays.
    fn forget(&self, address: &str);
    /// Closes the link to that node now; `peer_down` follows. It is dialled again if its address is not forgotten.
    #[cfg_attr(not(test), expect(dead_code, reason = "a link ends with its peer or with the node"))]
    fn drop_peer(&self, node: NodeId);
    /// Whom `send` reaches now, in the order of their ids.
    fn peers(&self) -> Vec<Peer>;
    /// Closes everything; the peers see it at once. What is queued is lost. Cannot be undone.
    fn stop(&self);
}

/// Signs of life, apart from the lanes. Used by one plain thread of the operating system.
pub(crate) trait Heartbeats: Send + 'static {
    /// Sends at most 512 bytes; lost without a word if the node is unknown, the body too long, or the network says no.
    fn send(&mut self, to: NodeId, body: &[u8]);
    /// The next authentic one, or `None` after about that long.
    fn receive(&mut self, timeout: Duration) -> Option<(NodeId, Vec<u8>)>;
}
