//! What a scenario takes place in: its nodes, what lies between them, what callers do, what chance adds.

use std::time::Duration;

use crate::{
    id::NodeName,
    membership::{Agreement, Pin, Role},
    sim::run::Mix,
};

/// One node of a scenario's cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// Its name.
    pub name: NodeName,
    /// What it may hold.
    pub role: Role,
    /// Where it stands.
    pub zone: Option<String>,
}

/// The cluster, as the cluster file would say it, and the network.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// The nodes of the file, in ring order.
    pub nodes: Vec<NodePlan>,
    /// How many arcs.
    pub arcs: u16,
    /// How many backups.
    pub backups: u8,
    /// How many successors share one node's arcs.
    pub spread: u8,
    /// When a live primary gives up what belongs elsewhere.
    pub pin: Pin,
    /// Who may decide.
    pub agreement: Agreement,
    /// At most so many vote.
    pub voters_max: u8,
    /// Whether votes outlive their processes.
    pub data_dirs: bool,
    /// A message takes at least this long.
    pub delay: Duration,
    /// And on average so much longer.
    pub jitter: Duration,
    /// Messages are lost with this probability.
    pub drop: f64,
    /// They arrive twice with this probability.
    pub duplicate: f64,
    /// A death is proved to everybody within this; `None`: never, as between hosts.
    pub proof: Option<Duration>,
    /// Clocks are up to so far apart.
    pub clocks_apart: Duration,
    /// And go up to so many parts of a million fast or slow.
    pub clock_drift: u32,
}

impl Default for ClusterPlan {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            arcs: 4,
            backups: 1,
            spread: 1,
            pin: Pin::None,
            agreement: Agreement::Majority,
            voters_max: 5,
            data_dirs: false,
            delay: Duration::from_micros(100),
            jitter: Duration::from_micros(400),
            drop: 0.0,
            duplicate: 0.0,
            proof: Some(Duration::from_millis(20)),
            clocks_apart: Duration::from_secs(5 * 3600),
            clock_drift: 500,
        }
    }
}

/// What callers do.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// How many sessions there are.
    pub sessions: u32,
    /// How many callers, each with one call at a time.
    pub clients: u32,
    /// A caller's mean pause between calls.
    pub pause: Duration,
    /// A caller tries elsewhere after this.
    pub try_for: Duration,
    /// Of a hundred calls so many write, read, create and delete.
    pub mix: [u32; 4],
    /// How much more often the first sessions are called than the last: 0 not at all, 1 as in a Zipf distribution.
    pub skew: f64,
    /// Sessions end by themselves after this; `None`: never.
    pub lifetimes: Option<Duration>,
    /// Where they do, this part of the writes to sessions with a set end takes it away.
    pub persist: f64,
    /// And this part leaves it as it was.
    pub keep_end: f64,
    /// This part of the calls takes other sessions of its arc along, in one commit.
    pub together: f64,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            sessions: 8,
            clients: 4,
            pause: Duration::from_millis(10),
            try_for: Duration::from_millis(250),
            mix: [55, 37, 5, 3],
            skew: 0.0,
            lifetimes: None,
            persist: 0.0,
            keep_end: 0.0,
            together: 0.0,
        }
    }
}

/// What goes wrong by chance, besides the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// What it leans on; `None`: each seed says its own.
    pub mix: Option<Mix>,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}
