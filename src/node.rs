//! `Node`: one member of a ring, embedded in your process. Start it, register your session types, call sessions.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{broadcast, oneshot, watch},
    time,
};

use crate::{
    config::NodeConfig,
    error::{Error, ErrorKind},
    event::Event,
    id::{NodeId, SessionKey},
    kinds::{Clash, Types, Unreplicated},
    membership::{Member, Outlook, View},
    report::{ArcPart, ArcReport},
    runtime::{chance, shared::Shared, supervisor::Supervised, view_keeper::KeeperInput, worker::WorkerInput},
    session::{Session, SessionId},
    session_ref::SessionRef,
    transport::life_lock::LifeLock,
};

pub use crate::runtime::shared::Readiness;

mod builder;
mod drain;
mod hand_back;
mod recovery;
mod restoring;
#[cfg(feature = "redis")]
pub(crate) mod several;
mod start_error;
mod starting;
#[cfg(test)]
mod tests;

pub use builder::NodeBuilder;
pub use drain::{Drain, DrainError};
use hand_back::Claims;
pub use hand_back::{HandBackError, MissingArcs};
pub use recovery::{Death, Recovery};
pub use restoring::{Restored, StaleReport};
pub use start_error::StartError;

/// A fresh id is drawn at most so often for one that this node serves: with a hundredth of the arcs, it fails once in 20,000.
const DRAWS_MAX: usize = 1_000;

struct Inner {
    shared: Arc<Shared>,
    supervisor: Supervised,
    lock: Mutex<Option<LifeLock>>,
    config: NodeConfig,
    /// What it says of itself.
    member: Mutex<Member>,
    claims: Mutex<Claims>,
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
        let known: BTreeSet<&str> = shared.registry.unreplicated().iter().map(|what| what.kind).collect();
        shared.registry.register(types)?;
        builder::say_unreplicated(&shared.registry, |kind| !known.contains(kind));
        let kinds = shared.registry.kind_versions();
        self.describe(|member| member.kinds = kinds);
        Ok(())
    }

    /// What of the registered types lives on primaries alone; the log says it, too, when they are registered.
    #[must_use]
    pub fn unreplicated(&self) -> Vec<Unreplicated> {
        self.0.shared.registry.unreplicated()
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

    /// A session under a fresh id, of 122 random bits: nobody has it, and nobody guesses it. Where this node serves arcs, the id
    /// falls on one of them, so that a client which stays with this node costs no hop. This asks nobody and changes nothing:
    /// the session begins with its first command, or with `create`.
    ///
    /// # Errors
    /// The name of the type's kind is empty or too long.
    pub fn new_session<S: Session>(&self) -> Result<SessionRef<S>, Error> {
        let drawn = || self.session::<S>(format!("{:032x}", chance::draw()).as_str());
        for _ in 0..DRAWS_MAX {
            let session = drawn()?;
            if session.primary() == Some(self.id()) {
                return Ok(session);
            }
        }
        drawn()
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

    /// Waits until what it sees of the ring is so. A node that has stopped sees nothing new: that is never.
    #[cfg(feature = "redis")]
    pub(crate) async fn until_outlook(&self, is_so: impl FnMut(&Outlook) -> bool) {
        if self.0.shared.outlook.subscribe().wait_for(is_so).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether enough voters are heard that a next view can be decided; for those who ask with every call.
    #[cfg(feature = "redis")]
    pub(crate) fn hears_a_quorum(&self) -> bool {
        self.0.shared.outlook.borrow().has_quorum()
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

    /// Stops the node. The others notice at once, and its backups take over. [`Node::drain`] before it, and no call waits for
    /// that.
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

    /// Changes what this node says of itself; a view will carry it.
    fn describe(&self, change: impl FnOnce(&mut Member)) {
        let mut member = self.0.member.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut member);
        self.0.shared.tell_keeper(KeeperInput::Describe(member.clone()));
    }

    /// The limit `value`, in bytes.
    #[cfg(feature = "redis")]
    pub(crate) fn value_max(&self) -> usize {
        self.0.shared.settings.value_max
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}
