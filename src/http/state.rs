//! `Shared`: what every request of one node's HTTP sees.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Semaphore, watch};

use super::{body::Bodies, door::Door, problem::Problem, settings::Settings};
use crate::{Readiness, id::NodeName};

/// The node, once there is one, and the bounds that its requests share.
pub(super) struct Shared<D> {
    door: OnceLock<D>,
    pub settings: Settings,
    pub bodies: Bodies,
    pub listeners: Arc<Semaphore>,
    draining: AtomicBool,
    /// True from the moment the server stops.
    pub stopping: watch::Sender<bool>,
}

impl<D: Door> Shared<D> {
    pub(super) fn new(settings: Settings) -> Self {
        let listeners = Arc::new(Semaphore::new(settings.listeners));
        let bodies = Bodies::new(&settings);
        Self {
            door: OnceLock::new(),
            settings,
            bodies,
            listeners,
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
        }
    }

    /// From now on this node is served. A second one is not taken.
    pub(super) fn open(&self, door: D) {
        if self.door.set(door).is_err() {
            tracing::error!("the HTTP server has a node already; the second one is not served");
        }
    }

    /// From now on this node is not ready, though what reaches it is still answered.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The node, if it serves.
    pub(super) fn door(&self) -> Result<&D, Problem> {
        match self.door.get().map(|door| (door, door.readiness())) {
            None | Some((_, Readiness::Starting)) => Err(Problem::not_ready("it is starting")),
            Some((_, Readiness::Stopped)) => Err(Problem::not_ready("it is stopped")),
            Some((door, Readiness::Serving | Readiness::Draining)) => Ok(door),
        }
    }

    /// The node, if new callers should be sent here.
    pub(super) fn ready(&self) -> Result<&D, Problem> {
        let door = self.door()?;
        if self.draining.load(Ordering::Relaxed) || door.readiness() == Readiness::Draining {
            return Err(Problem::not_ready("it is draining"));
        }
        let outlook = door.outlook();
        if let Some(cluster) = outlook.left_behind_by {
            return Err(Problem::not_ready(&format!("the ring went on without it, as cluster {cluster}")));
        }
        let awaited = outlook.awaited;
        if !awaited.is_empty() {
            let names = awaited.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
            return Err(Problem::not_ready(&format!("no quorum: it does not hear the voters {names}")));
        }
        Ok(door)
    }
}

impl<D> fmt::Debug for Shared<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
