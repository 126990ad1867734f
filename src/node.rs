//! `Node`: one member of a ring, embedded in your process. Start it, register your session types, call sessions.

use std::{collections::BTreeSet, fmt, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time,
};

use crate::{
    config::{ClusterFile, ConfigError, NodeConfig, OnStartupTimeout, Reads, WhenSolo},
    error::{Error, ErrorKind},
    event::Event,
    id::{ClusterId, Incarnation, NodeId, NodeName, SessionKey},
    kinds::{Clash, Registry, Types},
    membership::{Difference, Founding, FoundingPlan, JoinRefusal, Member, Outlook, Role, View},
    memory_network::MemoryNetwork,
    replication::{ReplicationSettings, ReplyLimits},
    report::{ArcPart, ArcReport},
    runtime::{
        chance, clock,
        inbound::Gateway,
        monitor,
        shared::{NodeSettings, Shared},
        supervisor::{Supervised, SupervisorStart},
        view_keeper::{Awaited, Beginning, KeeperInput, KeeperStart},
        worker::WorkerInput,
    },
    session::{Session, SessionId},
    session_ref::SessionRef,
    transport::{
        cluster::{ClusterTransport, Settings as TransportSettings, StartError as TransportError},
        life_lock::{LifeLock, LifeLockError, default_run_dir},
    },
    wire::limits::Limits,
};

pub use crate::runtime::shared::Readiness;

#[cfg(test)]
mod tests;

/// How long a node that founds on the operator's word listens for a cluster that serves: time to dial every node twice.
const FOUND_LISTEN: Duration = Duration::from_secs(2);

/// Starts a [`Node`].
#[derive(Debug, Default)]
pub struct NodeBuilder {
    file: Option<ClusterFile>,
    name: Option<String>,
    types: Types,
    run_dir: Option<PathBuf>,
    found: Option<Vec<NodeName>>,
    unlisted: Option<NodeConfig>,
    network: Option<MemoryNetwork>,
}

/// Why a node did not start. Nothing of it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The builder was given no cluster file.
    NoConfig,
    /// The cluster file lists no node of that name.
    NoSuchNode(String),
    /// The builder brought an entry for a node that the cluster file lists.
    Listed(NodeName),
    /// The entry that the builder brought does not fit the cluster file.
    Unfit(ConfigError),
    /// The operator's word names no node that may hold sessions.
    NoHost,
    /// This node's cluster file and another's are not of one cluster.
    Differs {
        /// Whose file is another.
        with: NodeName,
        /// The first key in which they differ; `node` is the list of nodes, their order, addresses and roles.
        key: &'static str,
    },
    /// The cluster file asks for something that this version cannot do.
    NotYet(&'static str),
    /// Session types clash.
    Clash(Clash),
    /// Another process on this host lives under this name, or its lock could not be taken.
    Lock(String),
    /// The cluster address cannot be used.
    Address(String),
    /// `startup_timeout` passed; these voters were not heard, or none answered.
    TimedOut {
        /// The configured voters that were not heard.
        missing: Vec<NodeName>,
        /// Nodes that were reached and not linked, by address, and what must be mended.
        refused: Vec<(String, String)>,
    },
    /// Two clusters serve under the configured addresses.
    TwoClusters(ClusterId, ClusterId),
    /// Another process has this name in the ring, and lives.
    NameLives(NodeName),
    /// The operating system gave no thread.
    Thread(io::Error),
    /// The node's actors could not be started.
    Actors(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig => f.write_str("no cluster file was given: call .config(...)"),
            Self::NoSuchNode(name) => write!(f, "the cluster file lists no node named {name:?}"),
            Self::Listed(name) => {
                write!(f, "the cluster file lists {name}: start it by its name, without an entry of its own")
            }
            Self::Unfit(why) => why.fmt(f),
            Self::NoHost => f.write_str("none of the nodes named to found the cluster is a host: name one"),
            Self::Differs { with, key } => {
                write!(f, "{with} has another cluster file: `{key}` differs; give every node the same, new nodes last")
            }
            Self::NotYet(what) => write!(f, "not yet: {what}"),
            Self::Clash(clash) => clash.fmt(f),
            Self::Lock(why) | Self::Address(why) | Self::Actors(why) => f.write_str(why),
            Self::TimedOut { missing, refused } => {
                if missing.is_empty() {
                    f.write_str(
                        "startup_timeout passed before the ring let this node in; is a majority of its voters alive?",
                    )?;
                } else {
                    let names = joined(missing);
                    write!(f, "startup_timeout passed without {names}: start them, or found smaller with --found")?;
                }
                refused.iter().try_for_each(|(address, why)| write!(f, "\n  {address}: {why}"))
            }
            Self::TwoClusters(one, other) => {
                write!(f, "two clusters serve under the configured addresses, {one} and {other}: stop one of them")
            }
            Self::NameLives(name) => {
                write!(f, "another process named {name} is in the ring and lives: stop it, or use another name")
            }
            Self::Thread(why) => write!(f, "no thread for heartbeats: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

fn joined(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
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
        let patience = match file.cluster().on_startup_timeout {
            OnStartupTimeout::Exit => Patience::Until(clock::now() + file.cluster().startup_timeout),
            OnStartupTimeout::Wait => Patience::Endless { remind: file.cluster().startup_timeout },
        };
        loop {
            let started = self.start_once(&file, &config, &registry).await?;
            match started.wait(patience).await {
                Ok(Some(node)) => return Ok(node),
                // This incarnation is named in a founding that cannot succeed; another may found or join.
                Ok(None) => {}
                Err(why) => return Err(why),
            }
        }
    }

    fn entry_in(&self, file: &ClusterFile) -> Result<NodeConfig, StartError> {
        if let Some(entry) = &self.unlisted {
            if file.node(entry.name).is_some() {
                return Err(StartError::Listed(entry.name));
            }
            file.check_unlisted(entry).map_err(StartError::Unfit)?;
            return match &self.name {
                Some(name) if name != entry.name.as_str() => Err(StartError::NoSuchNode(name.clone())),
                _ => Ok(entry.clone()),
            };
        }
        let name = self.name.clone().unwrap_or_default();
        let known = NodeName::new(&name).and_then(|n| file.node(n)).cloned();
        known.ok_or(StartError::NoSuchNode(name))
    }

    fn check_found(&self, file: &ClusterFile) -> Result<(), StartError> {
        let Some(found) = &self.found else { return Ok(()) };
        let entry = |n: &NodeName| file.node(*n).ok_or_else(|| StartError::NoSuchNode(format!("{n} (in --found)")));
        let roles = found.iter().map(|n| entry(n).map(|e| e.role)).collect::<Result<Vec<Role>, _>>()?;
        if roles.contains(&Role::Host) { Ok(()) } else { Err(StartError::NoHost) }
    }

    async fn start_once(
        &self,
        file: &ClusterFile,
        config: &NodeConfig,
        registry: &Arc<Registry>,
    ) -> Result<Starting, StartError> {
        let me = NodeId { name: config.name, incarnation: Incarnation(chance::draw()) };
        let settings = node_settings(file);
        let workers = settings.workers;
        let shared = Shared::new(me, settings, Arc::clone(registry));
        let orders = shared.orders.clone();
        let gateway = Gateway::new(&shared, orders.clone());
        let member = config.member(me.incarnation, workers, registry.kind_versions());
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
            beginning,
            listed: file.nodes().iter().map(|n| n.cluster.to_string()).collect(),
        };
        let mut lock = None;
        match &self.network {
            Some(network) => {
                let (transport, heartbeats) = network.0.node(me, config.cluster.as_str(), gateway);
                let _ = shared.transport.set(transport);
                monitor::start(Arc::clone(&shared), orders, heartbeats).map_err(StartError::Thread)?;
            }
            None => {
                let run_dir = self.run_dir.clone().unwrap_or_else(|| default_run_dir(&file.cluster().name));
                let taken = LifeLock::take(&run_dir, me).map_err(|why| lock_error(config.name, &why))?;
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
            lock: std::sync::Mutex::new(lock),
            config: config.clone(),
            member,
        }));
        Ok(Starting { node, begun })
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

fn node_settings(file: &ClusterFile) -> NodeSettings {
    let (cluster, limits) = (file.cluster(), &file.cluster().limits);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A power of two, so that the links between two nodes can be shared out whatever their counts are.
    let workers = u16::try_from(cores.min(16)).unwrap_or(1).max(1);
    let workers = if workers.is_power_of_two() { workers } else { workers.next_power_of_two() / 2 };
    NodeSettings {
        replication: ReplicationSettings {
            lease: cluster.lease,
            ack_after: limits.ack_after,
            shun: limits.shun,
            chunk_bytes: limits.catch_up_chunk,
            chunks_in_flight: limits.catch_up_chunks,
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
    let bind = std::net::ToSocketAddrs::to_socket_addrs(address)
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| StartError::Address(format!("{address} is no address of this host")))?;
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
        LifeLockError::NameInUse { .. } => StartError::Lock(format!(
            "another process named {name} lives on this host ({why}): stop it, or use another name"
        )),
        _ => StartError::Lock(why.to_string()),
    }
}

fn address_error(why: &TransportError) -> StartError {
    StartError::Address(why.to_string())
}

/// How long a starting node waits for the others.
#[derive(Clone, Copy, Debug)]
enum Patience {
    Until(crate::moment::Moment),
    Endless { remind: Duration },
}

/// A node that runs and is not in a view yet.
struct Starting {
    node: Node,
    begun: mpsc::Receiver<Beginning>,
}

impl Starting {
    /// The node once it is in; `None` if it has to start anew.
    async fn wait(mut self, patience: Patience) -> Result<Option<Node>, StartError> {
        let mut awaited = Awaited::default();
        let ended = loop {
            let left = match patience {
                Patience::Until(until) => until.since(clock::now()),
                Patience::Endless { remind } => remind,
            };
            match (time::timeout(left, self.begun.recv()).await, patience) {
                (Ok(Some(Beginning::In)), _) => {
                    // Keep hearing, so that a later refusal is at least drained.
                    tokio::spawn(async move { while self.begun.recv().await.is_some() {} });
                    return Ok(Some(self.node));
                }
                (Ok(Some(Beginning::Waiting(news))), _) => {
                    awaited = news;
                    say_whom_it_awaits(&awaited);
                }
                (Ok(Some(Beginning::StartAnew)), _) => break Ok(None),
                (Ok(Some(Beginning::TwoClusters(one, other))), _) => break Err(StartError::TwoClusters(one, other)),
                (Ok(Some(Beginning::Differs(difference))), _) => break Err(differs(difference)),
                (Ok(Some(Beginning::Refused(JoinRefusal::NameLives(name)))), _) => {
                    break Err(StartError::NameLives(name));
                }
                (Ok(None), _) => {
                    break Err(StartError::Actors("the node's actors failed while it started".to_owned()));
                }
                (Err(_), Patience::Endless { .. }) => say_whom_it_awaits(&awaited),
                (Err(_), Patience::Until(_)) => {
                    break Err(match awaited.differing.first() {
                        Some(difference) => differs(*difference),
                        None => {
                            let refused = self.node.0.shared.refused().clone().into_iter();
                            let refused = refused.map(|(address, why)| (address, why.to_string())).collect();
                            StartError::TimedOut { missing: awaited.missing, refused }
                        }
                    });
                }
            }
        };
        self.node.kill();
        ended
    }
}

fn differs(Difference { with, key }: Difference) -> StartError {
    StartError::Differs { with, key }
}

fn say_whom_it_awaits(awaited: &Awaited) {
    for Difference { with, key } in &awaited.differing {
        tracing::warn!(%with, key, "it has another cluster file, so the two found nothing together: give every node the same");
    }
    if !awaited.missing.is_empty() {
        tracing::info!(missing = joined(&awaited.missing), "waiting for the other voters");
    }
}

struct Inner {
    shared: Arc<Shared>,
    supervisor: Supervised,
    lock: std::sync::Mutex<Option<LifeLock>>,
    config: NodeConfig,
    member: Member,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.halt();
        self.supervisor.stop();
    }
}

/// One member of a ring. Cheap to clone; the node is stopped when its last handle is dropped.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.id())
    }
}

/// Receives a node's events.
#[derive(Debug)]
pub struct EventReceiver {
    events: broadcast::Receiver<Event>,
    missed: u64,
}

impl EventReceiver {
    /// The next event; `None` when the node is gone. A receiver that is too slow misses the oldest.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(events)) => self.missed += events,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were missed since this was last asked.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }
}

impl Node {
    /// Describes a node to start.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// This process.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.shared.me
    }

    /// The newest view that this node has installed.
    ///
    /// # Panics
    /// Never: a node is given out only once it is in a view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.shared.newest_view().expect("a node is given out once it is in a view")
    }

    /// Every view from now on; the present one first.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.0.shared.views.subscribe()
    }

    /// What it is doing.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.0.shared.readiness.borrow()
    }

    /// Whether it is in the ring.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness() == Readiness::Serving
    }

    /// Waits until the node is stopped, by whomever.
    pub async fn stopped(&self) {
        let mut readiness = self.0.shared.readiness.subscribe();
        let _ = readiness.wait_for(|r| *r == Readiness::Stopped).await;
    }

    /// Its entry in the cluster file.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.0.config
    }

    /// Registers more session types; the ring hears of them.
    ///
    /// # Errors
    /// Two kinds or commands of one name; none of them is registered then.
    pub fn register(&self, types: Types) -> Result<(), Clash> {
        let shared = &self.0.shared;
        shared.registry.register(types)?;
        let member = Member { kinds: shared.registry.kind_versions(), ..self.0.member.clone() };
        shared.tell_keeper(KeeperInput::Describe(member));
        Ok(())
    }

    /// One session, wherever it is. This asks nobody and changes nothing.
    ///
    /// # Errors
    /// The id is no session id.
    pub fn session<S: Session>(&self, id: impl TryInto<SessionId, Error: Into<Error>>) -> Result<SessionRef<S>, Error> {
        let id = id.try_into().map_err(Into::into)?;
        let key = SessionKey::new(S::KIND, id.as_bytes()).ok_or(ErrorKind::InvalidSessionId)?;
        Ok(SessionRef::new(Arc::clone(&self.0.shared), key))
    }

    /// Every arc as this node sees it.
    pub async fn arcs(&self) -> Vec<ArcReport> {
        let view = self.view();
        let mut reports: Vec<ArcReport> = view
            .entries()
            .map(|(arc, entry)| ArcReport {
                arc: arc.0,
                part: if view.is_member(entry.primary) { ArcPart::Away } else { ArcPart::Recovering },
                since: entry.since.0,
                primary: entry.primary,
                in_sync: entry.in_sync.clone(),
                catching_up: entry.catching_up,
                lost_at: entry.lost_at.map(|v| v.0),
                sessions: 0,
                last: 0,
                committed: 0,
                lag: 0,
            })
            .collect();
        for worker in self.0.shared.workers.load().iter() {
            let (answer, answered) = oneshot::channel();
            if worker.cast(WorkerInput::Report(answer)).is_err() {
                continue;
            }
            let held = time::timeout(Duration::from_secs(1), answered).await;
            for report in held.ok().and_then(Result::ok).into_iter().flatten() {
                let place = usize::from(report.arc);
                if place < reports.len() {
                    reports[place] = report;
                }
            }
        }
        reports
    }

    /// How many arcs have no in-sync backup, or nobody who serves them.
    #[must_use]
    pub fn unprotected_arcs(&self) -> usize {
        self.view().unprotected_arcs()
    }

    /// How many of the sessions that this node serves have no backup that holds everything; summed over the nodes, the
    /// cluster's. Zero on every node once the ring is protected.
    pub async fn unprotected_sessions(&self) -> u64 {
        let served = |a: &&ArcReport| matches!(a.part, ArcPart::Active | ArcPart::Lost | ArcPart::Promoting);
        self.arcs().await.iter().filter(served).filter(|a| a.in_sync.is_empty()).map(|a| a.sessions).sum()
    }

    /// Waits until every arc has as many in-sync backups as the file wants and the members allow, every member is heard, and
    /// every one that may vote does: until the ring can stand another loss, as far as this node sees.
    pub async fn fully_protected(&self) {
        let _ = self.0.shared.outlook.subscribe().wait_for(|outlook| outlook.fully_protected).await;
    }

    /// What this node sees of the ring now: whom it does not hear, and whether a next view can be decided.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        self.0.shared.outlook.borrow().clone()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventReceiver {
        EventReceiver { events: self.0.shared.events.subscribe(), missed: 0 }
    }

    /// The nodes it is linked to now.
    #[must_use]
    pub fn linked(&self) -> BTreeSet<NodeId> {
        let peers = self.0.shared.transport.get().map(|t| t.peers()).unwrap_or_default();
        peers.into_iter().map(|p| p.node).collect()
    }

    /// Stops the node. The others notice at once, and its backups take over.
    pub async fn stop(&self) {
        self.kill();
        self.0.supervisor.stop_and_wait().await;
    }

    /// Stops the node as SIGKILL would: nothing is said to anyone, callers learn nothing.
    pub fn kill(&self) {
        self.0.shared.halt();
        self.0.supervisor.stop();
        if let Ok(mut lock) = self.0.lock.lock() {
            lock.take();
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}
