//! `[cluster]`: what holds for the whole cluster, as a plain struct.
//!
//! Filling it in checks nothing; `ClusterFile::new` does, with the same rules as a file.

use std::time::Duration;

use crate::membership::{Agreement, Pin};

use super::{limits::Limits, secret::Secret};

/// How a read is known to be fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// The primary answers while its lease runs.
    #[default]
    Leased,
    /// Every read is confirmed by a backup in sync; slower, and right even where a hypervisor freezes guests. Not yet: a node
    /// refuses to start with it.
    Confirmed,
}

/// What becomes of a session that has no backup in sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenSolo {
    /// It is served; what is acknowledged then lives on one node only, and is counted.
    #[default]
    Serve,
    /// Commands are refused until there is a backup in sync again. Not yet: a node refuses to start with it.
    Refuse,
}

/// What a starting node does when `startup_timeout` has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStartupTimeout {
    /// It gives up and says who is missing.
    #[default]
    Exit,
    /// It says who is missing and goes on waiting, as long as it takes.
    Wait,
}

/// What holds for the whole cluster. The same on every node; what nodes must not differ in is in `ClusterFile::digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's name; 1 to 64 bytes. Nodes of another name are refused, so two clusters on one network never mix.
    pub name: String,
    /// What every node must know to be let in.
    ///
    /// Long and random, as from `openssl rand -hex 32`: it is the key of the handshake. At most 4,096 bytes.
    pub secret: Secret,
    /// What clients of every node's Redis port must say; `None`: nothing.
    ///
    /// Another than the cluster's secret: whoever knows that is let in as a node. At most 4,096 bytes.
    pub redis_password: Option<Secret>,
    /// How many slices the session-id space has; fixed for the cluster's life.
    ///
    /// Load moves between nodes an arc at a time: choose some tens for each node that you will ever have. More cost memory
    /// in every view. 1 to 16,384.
    pub arcs: u16,
    /// Copies of every session beside its primary; as many losses at once are survived.
    ///
    /// Each costs its memory and one more acknowledgement to wait for. With `backups` or fewer nodes that can hold copies,
    /// there are fewer copies. 0 to 3.
    pub backups: u8,
    /// How many successors share one node's arcs.
    ///
    /// 1 is the classic ring: the successor of a lost node carries double. With more each carries a part, and more pairs
    /// of nodes hold some session between them. 1 to 64.
    pub spread: u8,
    /// When a live node gives up, live, arcs whose home is another.
    ///
    /// `None` has every node serve its own arcs whenever it is up. The others leave sessions where they are when a node comes
    /// back, so that nothing moves at a bad moment and it stays idle, a backup, until a loss, a drain or an operator's word.
    /// The same everywhere.
    pub pin: Pin,
    /// Who may decide a new view.
    pub agreement: Agreement,
    /// How often a node shows that it lives.
    ///
    /// A third of `suspect_after` or less, so that two lost ones are no suspicion; half of `lease` or less, so that an idle
    /// primary keeps its lease. 10 ms to 10 s.
    pub heartbeat: Duration,
    /// Silence after which a node is suspected.
    ///
    /// The longest pause (a scheduler's, a collector's, a network's) that should *not* cost a node its place. A hang is
    /// noticed no sooner; a killed process is, by its closed connections. Longer than `lease`. Agreement on a view takes two
    /// round trips, and an attempt is given up after a quarter of this, 150 ms at least: on a network whose round trips
    /// take more than 70 ms, at least ten of them. 50 ms to 5 min.
    pub suspect_after: Duration,
    /// How long a primary may answer reads on its own after its backups last heard of it.
    ///
    /// A promoted backup waits this long before it serves, unless the old primary is proved dead: short makes failover
    /// quick, long makes idle reads quick. The same on every node, at least two heartbeats, shorter than `suspect_after`.
    /// 20 ms to 1 min.
    pub lease: Duration,
    /// How a read is known to be fresh.
    pub reads: Reads,
    /// Whether sessions without a backup in sync are served.
    pub when_solo: WhenSolo,
    /// Whether each question about a session is answered only once a commit made for it is held by every in-sync backup, as if
    /// it had changed something. A commit already says exactly what changed, so this copies nothing anew; it shows with each
    /// read that the copies are there, without resting on leases. A question then costs as much as a command.
    pub replicate_on_read: bool,
    /// How many nodes vote on views: witnesses first, then hosts in file order.
    ///
    /// 3 survive the loss of one, 5 of two, 7 of three; more voters make views slower. Odd, 1 to 7.
    pub voters_max: u8,
    /// How long a starting node looks for the others.
    ///
    /// As long as the slowest node takes to come up. A smaller cluster is never founded for lack of patience. 1 s to 1 h.
    pub startup_timeout: Duration,
    /// What it does then.
    pub on_startup_timeout: OnStartupTimeout,
    /// How often a call is sent on at once by nodes whose view is old; then it waits for a newer view. 1 to 16.
    pub max_hops: u8,
    /// How long the reply to an idempotency key, and the memory of a deleted session, is kept.
    ///
    /// Longer than any caller goes on retrying, and longer than `suspect_after`. The same on every node: a copy that forgot
    /// sooner would run a retry anew once it is promoted. 1 s to 7 days.
    pub reply_keep: Duration,
    /// Allows addresses outside loopback without TLS.
    ///
    /// The secret still proves who is who, but anyone on the way can read and, once past the handshake, change what passes.
    /// Only for networks that nobody else can reach.
    pub insecure: bool,
    /// The bounds of one node.
    pub limits: Limits,
}

impl ClusterConfig {
    /// A cluster with every default.
    #[must_use]
    pub fn new(name: &str, secret: Secret) -> Self {
        Self {
            name: name.to_owned(),
            secret,
            redis_password: None,
            arcs: 1_024,
            backups: 1,
            spread: 1,
            pin: Pin::None,
            agreement: Agreement::Majority,
            heartbeat: Duration::from_millis(100),
            suspect_after: Duration::from_millis(600),
            lease: Duration::from_millis(200),
            reads: Reads::Leased,
            when_solo: WhenSolo::Serve,
            replicate_on_read: false,
            voters_max: 5,
            startup_timeout: Duration::from_secs(30),
            on_startup_timeout: OnStartupTimeout::Exit,
            max_hops: 3,
            reply_keep: Duration::from_secs(600),
            insecure: false,
            limits: Limits::default(),
        }
    }
}
