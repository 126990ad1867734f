//! Every bound of the pipes between nodes, with its default (guarantee G5).
//!
//! A limit that is missing here is a bug: what arrives from a socket is allocated only after it was compared with one of
//! these. The cluster file sets them; nothing here reads a file.

use std::time::Duration;

/// How much one class of one lane may hold before `send` answers `Full`. Either bound alone suffices to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueBound {
    /// Messages waiting.
    pub(crate) messages: usize,
    /// Bytes waiting. A message larger than this still enters an empty queue, for else it could never be sent.
    pub(crate) bytes: usize,
}

/// The bounds of one node's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest message, in bytes, that is sent or received on either lane.
    pub(crate) frame: usize,
    /// The longest frame of a handshake; whoever speaks here is not yet authenticated.
    pub(crate) handshake_frame: usize,
    /// From accepting (or dialling) a connection until it is authenticated, and again until the pair has both lanes.
    pub(crate) handshake_deadline: Duration,
    /// Connections that are not yet authenticated. One more, and the oldest of them is closed.
    pub(crate) unauthenticated: usize,
    /// The same, from one IP address.
    pub(crate) unauthenticated_per_source: usize,
    /// Peers linked at one time; an authenticated peer above it is refused.
    pub(crate) peers: usize,
    /// Each class of each lane of each peer.
    pub(crate) view: QueueBound,
    /// See [`Limits::view`].
    pub(crate) ack: QueueBound,
    /// See [`Limits::view`].
    pub(crate) replicate: QueueBound,
    /// See [`Limits::view`].
    pub(crate) reply: QueueBound,
    /// See [`Limits::view`].
    pub(crate) forwarded: QueueBound,
    /// Bytes given to the control lane's carrier that the peer has not yet confirmed: the carrier itself has no back-pressure.
    pub(crate) control_window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        let bound = |messages, bytes| QueueBound { messages, bytes };
        Self {
            frame: 4 * MIB,
            handshake_frame: 4096,
            handshake_deadline: Duration::from_secs(2),
            unauthenticated: 64,
            unauthenticated_per_source: 32,
            peers: 128,
            view: bound(1_024, 4 * MIB),
            ack: bound(16_384, 4 * MIB),
            replicate: bound(65_536, 16 * MIB),
            reply: bound(16_384, 8 * MIB),
            forwarded: bound(16_384, 8 * MIB),
            control_window: MIB,
        }
    }
}
