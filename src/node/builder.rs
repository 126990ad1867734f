//! `NodeBuilder`: what a node is made from, and its start up to the moment when its parts run. `starting` waits for the rest.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    Inner, Node, StartError,
    starting::{Patience, Starting},
};
use crate::{
    config::{ClusterFile, NodeConfig, OnStartupTimeout, Reads, WhenSolo},
    id::{ClusterId, Incarnation, NodeId, NodeName},
    kinds::{Registry, Types, Unreplicated},
    membership::{Founding, FoundingPlan, Role, Vote},
    memory_network::MemoryNetwork,
    replication::{FRAME_BYTES, ReplicationSettings, ReplyLimits, WORKERS_MAX},
    runtime::{
        chance, clock,
        inbound::Gateway,
        monitor,
        shared::{NodeSettings, Shared},
        supervisor::{Supervised, SupervisorStart},
        view_keeper::{KeeperStart, Left},
        vote_file::VoteFile,
    },
    transport::{
        cluster::{ClusterTransport, Settings as TransportSettings, StartError as TransportError},
        life_lock::{LifeLock, LifeLockError, default_run_dir},
        memory::Taken,
    },
    wire::limits::Limits,
};

/// How long a node that founds on the operator's word listens for a cluster that serves: time to dial every node twice.
const FOUND_LISTEN: Duration = Duration::from_secs(2);

/// Where a node's vote is kept, and what an earlier process left there.
type KeptVote = (Arc<VoteFile>, Option<Vote>);

/// Starts a [`Node`].
#[derive(Debug, Default)]
pub struct NodeBuilder {
    file: Option<ClusterFile>,
    name: Option<String>,
    types: Types,
    run_dir: Option<PathBuf>,
    found: Option<Vec<NodeName>>,
    unlisted: Option<NodeConfig>,
    data_dir: Option<PathBuf>,
    network: Option<MemoryNetwork>,
}

fn listed(file: &ClusterFile) -> Vec<NodeName> {
    file.nodes().iter().map(|node| node.name).collect()
}

impl NodeBuilder {
    /// The cluster file; the same on every node.
    #[must_use]
    pub fn config(mut self, file: ClusterFile) -> Self {
        self.file = Some(file);
        self
    }

    /// This node's name in the file.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The session types it hosts.
    #[must_use]
    pub fn types(mut self, types: Types) -> Self {
        self.types = types;
        self
    }

    /// Where its life lock lies; every node of one host must use the same. Default: a directory of the user's and the cluster's.
    #[must_use]
    pub fn run_dir(mut self, run_dir: impl Into<PathBuf>) -> Self {
        self.run_dir = Some(run_dir.into());
        self
    }

    /// The operator's word: found a cluster of these names alone. Only when the others will never serve the old one again.
    /// Where a cluster is heard to serve within two seconds, the node joins that and founds none.
    #[must_use]
    pub fn found(mut self, names: Vec<NodeName>) -> Self {
        self.found = Some(names);
        self
    }

    /// This node's own entry, when the cluster file lists none of its name: it dials the nodes listed and joins the ring that
    /// they serve, behind all names that the ring knows. It never founds. Name it in `name` or not at all.
    #[must_use]
    pub fn unlisted(mut self, entry: NodeConfig) -> Self {
        self.unlisted = Some(entry);
        self
    }

    /// Keeps this node's vote in this directory, made if need be, so that it outlives the process: a node that comes back votes
    /// as it did, and a ring whose nodes were all stopped goes on when more than half of its voters are back. No session is
    /// kept: what had its copies on these processes alone is `Lost`, not unknown. On a local disk, one directory a node; once a
    /// node has used one it should always get it again. Under `majority_or_proof` the death of such a node is no proof that it
    /// will not vote.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Over a network inside this process instead of sockets.
    #[must_use]
    pub fn over(mut self, network: &MemoryNetwork) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Starts the node and waits until it is in an installed view, founded or joined: at most `startup_timeout`, or, with
    /// `on_startup_timeout = "wait"`, as long as it takes.
    ///
    /// # Errors
    /// Why it is not in the ring; nothing of it runs then.
    pub async fn start(mut self) -> Result<Node, StartError> {
        let file = self.file.take().ok_or(StartError::NoConfig)?;
        let config = self.entry_in(&file)?;
        refuse_what_is_not_yet(&file)?;
        self.check_found(&file)?;
        let registry = Arc::new(Registry::default());
        registry.register(std::mem::take(&mut self.types)).map_err(StartError::Clash)?;
        say_unreplicated(&registry, |_| true);
        let patience = match file.cluster().on_startup_timeout {
            OnStartupTimeout::Exit => Patience::Until(clock::now() + file.cluster().startup_timeout),
            OnStartupTimeout::Wait => Patience::Endless,
        };
        let votes = self.vote_file(&file, config.name)?;
        loop {
            let started = self.start_once(&file, &config, &registry, votes.as_ref()).await?;
            match started.wait(patience).await {
                Ok(Some(node)) => return Ok(node),
                // This incarnation is named in a founding that cannot succeed; another may found or join.
                Ok(None) => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// What an earlier process left in the data directory. A file that contradicts the ring it tells of is refused as by a
    /// ring that serves.
    fn vote_file(&self, file: &ClusterFile, name: NodeName) -> Result<Option<KeptVote>, StartError> {
        let Some(dir) = &self.data_dir else { return Ok(None) };
        let (votes, vote) =
            VoteFile::open(dir, &file.cluster().name, name).map_err(|why| StartError::DataDir(why.to_string()))?;
        if let Some(key) = vote.as_ref().and_then(|vote| file.shape().differs_from(&vote.view.shape)) {
            return Err(StartError::Differs { with: name, key });
        }
        Ok(Some((Arc::new(votes), vote)))
    }

    fn entry_in(&self, file: &ClusterFile) -> Result<NodeConfig, StartError> {
        if let Some(entry) = &self.unlisted {
            if file.node(entry.name).is_some() {
                return Err(StartError::Listed(entry.name));
            }
            file.check_unlisted(entry).map_err(StartError::Unfit)?;
            return match &self.name {
                Some(name) if name != entry.name.as_str() => {
                    Err(StartError::TwoNames { name: name.clone(), entry: entry.name })
                }
                _ => Ok(entry.clone()),
            };
        }
        let Some(name) = self.name.clone() else { return Err(StartError::NoName { listed: listed(file) }) };
        let known = NodeName::new(&name).and_then(|n| file.node(n)).cloned();
        known.ok_or_else(|| StartError::NoSuchNode { name, listed: listed(file) })
    }

    fn check_found(&self, file: &ClusterFile) -> Result<(), StartError> {
        let Some(found) = &self.found else { return Ok(()) };
        let unknown = |name: NodeName| StartError::FoundUnknown { name, listed: listed(file) };
        let entry = |n: &NodeName| file.node(*n).ok_or_else(|| unknown(*n));
        let roles = found.iter().map(|n| entry(n).map(|e| e.role)).collect::<Result<Vec<Role>, _>>()?;
        if roles.contains(&Role::Host) { Ok(()) } else { Err(StartError::NoHost) }
    }

    async fn start_once(
        &self,
        file: &ClusterFile,
        config: &NodeConfig,
        registry: &Arc<Registry>,
        kept: Option<&KeptVote>,
    ) -> Result<Starting, StartError> {
        let me = NodeId { name: config.name, incarnation: Incarnation(chance::draw()) };
        let settings = node_settings(file);
        let workers = settings.workers;
        let shared = Shared::new(me, settings, Arc::clone(registry));
        let orders = shared.orders.clone();
        let gateway = Gateway::new(&shared, orders.clone());
        let mut member = config.member(me.incarnation, workers, registry.kind_versions());
        let mut left = None;
        if let Some((votes, vote)) = kept {
            let (voter, processes) = votes.begin(me.incarnation);
            member.votes_as = Some(voter);
            left = vote.clone().map(|vote| Left { vote, processes });
        }
        let (voters, listen) = match &self.found {
            None => (file.voters(), Duration::ZERO),
            Some(names) => (names.clone(), FOUND_LISTEN),
        };
        let plan = FoundingPlan { digest: file.digest(), shape: file.shape(), voters, listen };
        let founding = Founding::new(member.clone(), plan, ClusterId(chance::draw()));
        let (beginning, begun) = mpsc::channel(64);
        let keeper = KeeperStart {
            shared: Arc::clone(&shared),
            orders: orders.clone(),
            member: member.clone(),
            founding,
            votes: kept.map(|(votes, _)| Arc::clone(votes)),
            left,
            beginning,
            listed: file.nodes().iter().map(|n| n.cluster.to_string()).collect(),
        };
        let mut lock = None;
        match &self.network {
            Some(network) => {
                let put_in = network.0.node(me, config.cluster.as_str(), gateway);
                let (transport, heartbeats) = put_in.map_err(|taken| match taken {
                    Taken::Name => StartError::NameLives(config.name),
                    Taken::Address => StartError::Address(format!("{} is in use by another node", config.cluster)),
                })?;
                let _ = shared.transport.set(transport);
                monitor::start(Arc::clone(&shared), orders, heartbeats).map_err(StartError::Thread)?;
            }
            None => {
                let run_dir = self.run_dir.clone().unwrap_or_else(|| default_run_dir(&file.cluster().name));
                let taken = LifeLock::take(&run_dir, me).map_err(|why| lock_error(config.name, &why))?;
                let _ = shared.run_dir.set(run_dir);
                let settings = transport_settings(file, config, me, &taken)?;
                let (transport, heartbeats) =
                    ClusterTransport::start(settings, gateway).await.map_err(|why| address_error(&why))?;
                let _ = shared.transport.set(transport);
                monitor::start(Arc::clone(&shared), orders, heartbeats).map_err(StartError::Thread)?;
                lock = Some(taken);
            }
        }
        let start = SupervisorStart { shared: Arc::clone(&shared), keeper };
        let supervisor = Supervised::start(start).await.map_err(|why| StartError::Actors(why.to_string()))?;
        if let Some(transport) = shared.transport.get() {
            for other in file.nodes().iter().filter(|n| n.name != config.name) {
                transport.dial(other.name, other.cluster.as_str());
            }
        }
        let node = Node(Arc::new(Inner {
            shared,
            supervisor,
            lock: Mutex::new(lock),
            config: config.clone(),
            member: Mutex::new(member),
            claims: Mutex::default(),
        }));
        Ok(Starting { node, begun })
    }
}

/// Lists what is not replicated, so that nobody counts on it after a failover.
pub(super) fn say_unreplicated(registry: &Registry, which: impl Fn(&str) -> bool) {
    for Unreplicated { kind, fields, whole } in registry.unreplicated().into_iter().filter(|what| which(what.kind)) {
        let fields = fields.join(", ");
        if whole {
            tracing::warn!(kind, "not replicated: sessions of this kind are lost with their node");
        } else {
            tracing::info!(kind, fields, "not replicated: these fields are rebuilt where a session is taken over");
        }
    }
}

/// What the file may say and this version cannot do yet; better refused than ignored.
fn refuse_what_is_not_yet(file: &ClusterFile) -> Result<(), StartError> {
    if file.cluster().reads == Reads::Confirmed {
        return Err(StartError::NotYet("reads = \"confirmed\"; use \"leased\""));
    }
    if file.cluster().when_solo == WhenSolo::Refuse {
        return Err(StartError::NotYet("when_solo = \"refuse\"; use \"serve\""));
    }
    Ok(())
}

pub(super) fn node_settings(file: &ClusterFile) -> NodeSettings {
    let (cluster, limits) = (file.cluster(), &file.cluster().limits);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A power of two, so that the links between two nodes can be shared out whatever their counts are.
    let workers = u16::try_from(cores).unwrap_or(WORKERS_MAX).clamp(1, WORKERS_MAX);
    let workers = if workers.is_power_of_two() { workers } else { workers.next_power_of_two() / 2 };
    NodeSettings {
        replication: ReplicationSettings {
            lease: cluster.lease,
            ack_after: limits.ack_after,
            shun: limits.shun,
            chunk_bytes: limits.catch_up_chunk,
            frame_bytes: FRAME_BYTES.min(limits.frame / 2),
            chunks_in_flight: limits.catch_up_chunks,
            hand_backs_max: limits.hand_backs,
            waiting_max: limits.waiting,
            uncommitted_max: limits.uncommitted as u64,
            replies: ReplyLimits {
                per_client: limits.replies_per_client,
                clients: limits.clients_per_session,
                keep: cluster.reply_keep,
            },
            ..ReplicationSettings::default()
        },
        workers,
        window_bytes: limits.window_bytes,
        message_max: limits.frame,
        value_max: limits.value,
        calls_max: limits.calls,
        queue_max: limits.queue,
        replicate_on_read: cluster.replicate_on_read,
        tasks_max: limits.tasks,
        dedicated_max: limits.dedicated,
        idle_after: limits.idle_after,
        live_bytes: limits.live,
        max_hops: u32::from(cluster.max_hops),
        heartbeat: cluster.heartbeat,
        suspect_after: cluster.suspect_after,
    }
}

fn transport_settings(
    file: &ClusterFile,
    config: &NodeConfig,
    me: NodeId,
    lock: &LifeLock,
) -> Result<TransportSettings, StartError> {
    let limits = &file.cluster().limits;
    let address = config.cluster.as_str();
    let listens = config.bind.as_ref().unwrap_or(&config.cluster).as_str();
    let bind = std::net::ToSocketAddrs::to_socket_addrs(listens)
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| StartError::Address(format!("{listens} is no address of this host")))?;
    Ok(TransportSettings {
        cluster: file.cluster().name.clone(),
        secret: file.cluster().secret.as_bytes().to_vec(),
        me,
        bind,
        advertised: Some(address.to_owned()),
        insecure: file.cluster().insecure,
        limits: Limits {
            frame: limits.frame,
            handshake_deadline: limits.handshake,
            unauthenticated: limits.unauthenticated,
            ..Limits::default()
        },
        lock: lock.name().clone(),
    })
}

fn lock_error(name: NodeName, why: &LifeLockError) -> StartError {
    match why {
        LifeLockError::NameInUse { path } => StartError::Lock(format!(
            "another process named {name} lives on this host (it holds {}): stop it, or use another name",
            path.display()
        )),
        _ => StartError::Lock(why.to_string()),
    }
}

fn address_error(why: &TransportError) -> StartError {
    StartError::Address(why.to_string())
}
