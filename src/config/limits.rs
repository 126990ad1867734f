//! The bounds of one node: what it refuses to hold, send, queue or wait for beyond.
//!
//! Everything in a node that could grow has its bound here, so that memory can be reckoned before the first start. A
//! bound that is reached is an answer (`Busy`, too large, a closed connection), never a wait without end.

use std::time::Duration;

/// What a frame carries beside the value in it: names, numbers, a reply, the envelope.
pub const FRAME_OVERHEAD: usize = 64 << 10;

/// The bounds of one node. `Limits::default()` suits sessions of some kilobytes on a machine with a gigabyte to spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest state of one session, in bytes; a command that would grow it beyond is refused and changes nothing.
    ///
    /// Choose the largest session that you mean to have, not the average. A value travels whole in one frame, so it must be
    /// 64 KiB or more below `frame`. 1 KiB to 15 MiB.
    pub value: usize,
    /// The largest message between nodes or from a caller, in bytes; a longer one closes the connection it came on.
    ///
    /// Follows from `value`. 68 KiB to 16 MiB.
    pub frame: usize,
    /// Bytes sent to one backup and not yet acknowledged; beyond it, its arcs are `Busy`.
    ///
    /// Bandwidth times round trip, several times over. At least `frame`, or a large commit could never leave; at most 1 GiB.
    pub window_bytes: usize,
    /// Calls that wait for one session with an actor of its own while that computes; beyond it a call is `Busy`.
    ///
    /// 16 to 1,048,576.
    pub queue: usize,
    /// Sessions with an actor of their own that compute at once on one node; the others wait for their turn.
    ///
    /// About as many as the machine has cores to spare; more where commands rather wait than compute. 1 to 512.
    pub dedicated: usize,
    /// Pieces of work that commands left behind with `Context::spawn` and that are under way on one node; a command that would
    /// leave more is `Busy`.
    ///
    /// 1 to 1,048,576.
    pub tasks: usize,
    /// Connections of callers and of other nodes together. Three for each other node are left to those, the rest (at least 8)
    /// is what the node's HTTP accepts.
    ///
    /// 16 to 65,536.
    pub connections: usize,
    /// Connections that have not yet proved that they know the secret; the next one is closed unheard.
    ///
    /// Small, since each is a stranger; not more than `connections`. 4 to 4,096.
    pub unauthenticated: usize,
    /// How long a stranger may take to prove that it knows the secret.
    ///
    /// Several round trips of the slowest network in use. 100 ms to 60 s.
    pub handshake: Duration,
    /// Stored replies for one client in one session: how many requests it may have outstanding there and still retry safely.
    ///
    /// They count towards the memory of a session. 1 to 4,096.
    pub replies_per_client: usize,
    /// Clients whose replies one session remembers; a new client beyond them is told to wait.
    ///
    /// Each opaque idempotency key is one. A retry that comes after its client was forgotten is executed anew, so retries
    /// belong well inside `reply_keep`. 1 to 65,536.
    pub clients_per_session: usize,
    /// Calls that one node has under way to other nodes for its callers, and also those that wait for one of its workers.
    ///
    /// The memory of waiting callers; beyond it a call is `Busy` before anything of it is done. 16 to 1,048,576.
    pub calls: usize,
    /// Listeners to a node's events over HTTP; beyond it a new one is refused.
    ///
    /// Each has a buffer and a connection of its own, so they are also at most a quarter of `connections`. 1 to 1,048,576.
    pub subscribers: usize,
    /// How much of a catch-up goes into one message, in bytes.
    ///
    /// Smaller lets live commits in between sooner, larger is faster. 4 KiB to `frame`.
    pub catch_up_chunk: usize,
    /// Catch-up chunks that one node may have on the way to another, over all arcs; the next waits for an acknowledgement.
    ///
    /// With `catch_up_chunk` it bounds what restoring protection takes from live commands. 1 to 256.
    pub catch_up_chunks: usize,
    /// Arcs of one worker that are handed over to other nodes at a time: at a hand-back, a drain, a rebalance.
    ///
    /// Each of them answers nothing for some milliseconds. Fewer keep fewer callers waiting at once, more are done sooner.
    /// 1 to 16,384.
    pub hand_backs: usize,
    /// Commits of one arc that not every backup has acknowledged; beyond it the arc is `Busy`.
    ///
    /// What a backup may have to replay when it is promoted. 16 to 1,048,576.
    pub uncommitted: usize,
    /// Replies of one arc that wait for acknowledgements or leases; beyond it the arc is `Busy`. 16 to 1,048,576.
    pub waiting: usize,
    /// A session that nobody used for this long is kept as bytes alone; the next command decodes it again. 1 s to 7 days.
    pub idle_after: Duration,
    /// Decoded sessions that one node keeps, in bytes of their states; beyond it those unused for longest are kept as bytes alone.
    ///
    /// It saves decoding, and is memory beside that of the bytes. 1 MiB to 1 TiB.
    pub live: usize,
    /// A live backup that acknowledges nothing for this long is dropped, and another takes its place.
    ///
    /// Until then its arcs wait for it: as long as a caller may be kept waiting. 100 ms to 1 min.
    pub ack_after: Duration,
    /// A backup that was dropped is not caught up again before this, so that a slow node does not come and go.
    ///
    /// Several times `ack_after`, at least as long as it. 100 ms to 10 min.
    pub shun: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value: 1 << 20,
            frame: 4 << 20,
            window_bytes: 8 << 20,
            queue: 4_096,
            dedicated: 8,
            tasks: 4_096,
            connections: 1_024,
            unauthenticated: 64,
            handshake: Duration::from_secs(2),
            replies_per_client: 64,
            clients_per_session: 1_024,
            calls: 65_536,
            subscribers: 4_096,
            catch_up_chunk: 256 << 10,
            catch_up_chunks: 4,
            hand_backs: 32,
            uncommitted: 65_536,
            waiting: 65_536,
            idle_after: Duration::from_secs(600),
            live: 256 << 20,
            ack_after: Duration::from_secs(1),
            shun: Duration::from_secs(5),
        }
    }
}
