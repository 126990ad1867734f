//! What one node holds of one arc, for people, pages and tests.

use serde::Serialize;

use crate::id::NodeId;

/// What this node is to an arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArcPart {
    /// It serves it.
    Active,
    /// It is its primary and does not answer yet.
    Promoting,
    /// It serves it, and every copy of what was there before `lost_at` is gone: unknown ids are answered `Lost`.
    Lost,
    /// It holds every acknowledged commit, read-only.
    Backup,
    /// It is receiving everything.
    CatchingUp,
    /// Nobody serves it: the only copy is out of reach.
    Recovering,
    /// It is served elsewhere, and nothing of it is here.
    Away,
}

/// One arc as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArcReport {
    /// Which arc.
    pub arc: u16,
    /// What this node is to it.
    pub part: ArcPart,
    /// The view that installed its present primary.
    pub since: u64,
    /// Its primary.
    pub primary: NodeId,
    /// Its in-sync backups.
    pub in_sync: Vec<NodeId>,
    /// Who is receiving everything.
    pub catching_up: Option<NodeId>,
    /// The view in which every copy was lost.
    pub lost_at: Option<u64>,
    /// Sessions held here.
    pub sessions: u64,
    /// The newest commit held here.
    pub last: u64,
    /// How far the history is committed, as known here.
    pub committed: u64,
    /// Commits held here and not known committed.
    pub lag: u64,
}
