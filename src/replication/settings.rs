//! What the replication rooms are told about their surroundings: settings that hold for the node's life, and what is known
//! of the others now. Plain data, filled by the owner.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Grants, Leases, ReplyLimits, rules::Rules};
use crate::{
    id::{NodeId, ViewNumber},
    membership::View,
    moment::Moment,
};

/// Frames are no larger than this, even where the transport would carry larger ones: a commit waits behind the whole of its frame.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Bounds and times of replication; each comes from the cluster file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicationSettings {
    /// What a grant is worth.
    pub lease: Duration,
    /// A live backup that acknowledges nothing for this long is dropped.
    pub ack_after: Duration,
    /// A backup that was dropped is not caught up again before this.
    pub shun: Duration,
    /// Bytes of a catch-up chunk.
    pub chunk_bytes: usize,
    /// A frame takes no more messages once it has so many bytes of user content: at most half of the largest message that the
    /// transport carries, for messages have heads.
    pub frame_bytes: usize,
    /// Chunks on their way to one node at a time, over all arcs of one host.
    pub chunks_in_flight: usize,
    /// Arcs of one host that are handed over to another node at a time.
    pub hand_backs_max: usize,
    /// Replies of one arc that wait for acknowledgements or leases.
    pub waiting_max: usize,
    /// Commits of one arc that are not yet acknowledged.
    pub uncommitted_max: u64,
    /// What each session remembers of its replies.
    pub replies: ReplyLimits,
    /// All rules, but for tests of the checkers.
    pub rules: Rules,
}

impl Default for ReplicationSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_millis(200),
            ack_after: Duration::from_secs(1),
            shun: Duration::from_secs(5),
            chunk_bytes: 256 * 1024,
            frame_bytes: FRAME_BYTES,
            chunks_in_flight: 4,
            hand_backs_max: 32,
            waiting_max: 65_536,
            uncommitted_max: 65_536,
            replies: ReplyLimits::default(),
            rules: Rules::default(),
        }
    }
}

/// What a node knows of the others now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// This node.
    pub me: NodeId,
    /// The view it has installed.
    pub view: Arc<View>,
    /// The leases it holds.
    pub leases: Leases,
    /// The grants it has given.
    pub grants: Grants,
    /// Nodes proved dead.
    pub dead: BTreeSet<NodeId>,
    /// The view each peer said it has installed; it has stepped down from whatever that view took from it.
    pub installed: BTreeMap<NodeId, ViewNumber>,
}

impl Surroundings {
    /// A node that has installed `view` and knows nothing of the others yet.
    #[must_use]
    pub fn new(me: NodeId, view: Arc<View>) -> Self {
        Self {
            me,
            view,
            leases: Leases::default(),
            grants: Grants::default(),
            dead: BTreeSet::new(),
            installed: BTreeMap::new(),
        }
    }
}

/// What every decision about one arc is made with.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Settings of the node.
    pub settings: &'a ReplicationSettings,
    /// What the node knows, the newest view included.
    pub surroundings: &'a Surroundings,
    /// Now, by the node's own clock.
    pub now: Moment,
}
