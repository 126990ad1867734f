//! `Shared`: what the connections of one node's Redis port share.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicUsize},
    },
    time::Instant,
};

use tokio::sync::watch;

use super::{complaints::Complaints, door::Door, scripts::Scripts, settings::Settings};
use crate::{Readiness, moment::Moment};

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Clients come and are served.
    NotYet,
    /// No more come.
    NoNew,
    /// Connections are closed, each when what was begun of its requests is answered.
    Now,
}

/// What they share.
#[derive(Debug)]
pub(super) struct Shared<D> {
    pub(super) settings: Settings,
    pub(super) scripts: Scripts,
    pub(super) complaints: Complaints,
    /// Numbers of connections.
    pub(super) next: AtomicI64,
    /// Connections that are open.
    pub(super) open: AtomicUsize,
    /// Bytes that connections keep beyond a small share of each.
    pub(super) kept: AtomicUsize,
    /// Where it listens.
    pub(super) port: u16,
    pub(super) ending: watch::Sender<Ending>,
    /// Drawn when it starts: clients tell by it whether they still speak with the same server.
    pub(super) run: u128,
    door: OnceLock<D>,
    pub(super) since: Instant,
}

impl<D: Door> Shared<D> {
    #[allow(
        clippy::disallowed_methods,
        reason = "INFO tells for how long it runs, and a number of this run; nothing is decided"
    )]
    pub(super) fn new(settings: Settings, port: u16) -> Self {
        Self {
            settings,
            scripts: Scripts::default(),
            complaints: Complaints::default(),
            next: AtomicI64::new(1),
            open: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            port,
            ending: watch::Sender::new(Ending::NotYet),
            run: uuid::Uuid::new_v4().as_u128(),
            door: OnceLock::new(),
            since: Instant::now(),
        }
    }

    /// Serves this node from now on.
    pub(super) fn open(&self, door: D) {
        let _ = self.door.set(door);
    }

    /// The node; `None` before it serves.
    pub(super) fn door(&self) -> Option<D> {
        self.door.get().cloned()
    }

    /// Has the node see to what its clients have begun.
    pub(super) fn see_to(&self) {
        if let Some(door) = self.door.get() {
            door.see_to();
        }
    }

    /// The node's clock; its origin before the node serves.
    pub(super) fn now(&self) -> Moment {
        self.door.get().map_or(Moment::START, Door::now)
    }

    /// What the node is doing, for those who ask of it.
    pub(super) fn readiness(&self) -> Readiness {
        match self.door.get() {
            None => Readiness::Starting,
            Some(door) => door.readiness(),
        }
    }
}
