//! The node supervisor: starts the view keeper and the workers, starts a worker again that panicked, and stops the node when
//! that would not be safe.
//!
//! ```text
//! supervisor ── one_for_one ──┬── worker 0..n   permanent; its arcs lie in the shared part and are taken up again,
//!                             │                 at most RESTARTS_MAX times, and never after a panic inside the host
//!                             └── view keeper   permanent, not restarted: what it promised as a voter is in it, so its
//!                                               panic stops the node (a restart of the node is another incarnation)
//! beside it: the heartbeat thread (silent when workers stand still), the transport's own tasks
//! ```

use std::{sync::Arc, time::Duration};

use super::{
    shared::Shared,
    view_keeper::{KeeperInput, KeeperStart, ViewKeeper},
    worker::{Worker, WorkerInput},
};
use crate::event::EventKind;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

/// Workers look after what is due this often; the view keeper too.
const TICK: Duration = Duration::from_millis(10);
/// Actors are given this long to end.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// A node whose workers panicked this often is not worth keeping: its backups are.
const RESTARTS_MAX: u32 = 16;

/// The actor.
pub(crate) struct Supervisor;

/// What it is started with.
pub(crate) struct SupervisorStart {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: KeeperStart,
}

/// The running actors of a node, for whoever stops them.
#[derive(Debug)]
pub(crate) struct Supervised(ActorRef<()>);

impl Supervised {
    /// Starts the supervisor and everything under it.
    pub(crate) async fn start(start: SupervisorStart) -> Result<Self, ractor::SpawnErr> {
        let (supervisor, _) = Actor::spawn(None, Supervisor, start).await?;
        Ok(Self(supervisor))
    }

    /// Stops it and everything under it, without waiting.
    pub(crate) fn stop(&self) {
        self.0.stop(None);
    }

    /// Stops it and waits a little until it has ended.
    pub(crate) async fn stop_and_wait(&self) {
        let _ = self.0.stop_and_wait(None, Some(STOP_WITHIN)).await;
    }
}

/// What it keeps.
pub(crate) struct SupervisorState {
    shared: Arc<Shared>,
    workers: Vec<ActorRef<WorkerInput>>,
    restarts: u32,
}

impl Actor for Supervisor {
    type Msg = ();
    type State = SupervisorState;
    type Arguments = SupervisorStart;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        start: SupervisorStart,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let shared = start.shared;
        let mut workers = Vec::new();
        for number in 0..shared.settings.workers {
            workers.push(start_worker(&shared, number, &myself).await?);
        }
        shared.workers.store(Arc::new(workers.clone()));
        let (keeper, _) = Actor::spawn_linked(None, ViewKeeper, start.keeper, myself.get_cell()).await?;
        keeper.send_interval(TICK, || KeeperInput::Tick);
        let _ = shared.keeper.set(keeper);
        Ok(SupervisorState { shared, workers, restarts: 0 })
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(who, why) = event else { return Ok(()) };
        let Some(number) = state.workers.iter().position(|w| w.get_id() == who.get_id()) else {
            stop(&state.shared, &myself, format!("the view keeper failed: {why}"));
            return Ok(());
        };
        state.restarts += 1;
        if state.shared.hosts[number].is_poisoned() || state.restarts > RESTARTS_MAX {
            stop(&state.shared, &myself, format!("worker {number} failed and its arcs cannot be vouched for: {why}"));
            return Ok(());
        }
        tracing::error!(worker = number, %why, "a worker failed; it is started again with the arcs it had");
        let number = u16::try_from(number).expect("workers are counted by a u16");
        state.workers[usize::from(number)] = start_worker(&state.shared, number, &myself).await?;
        state.shared.workers.store(Arc::new(state.workers.clone()));
        state.shared.tell(EventKind::WorkerRestarted { worker: number });
        Ok(())
    }
}

async fn start_worker(
    shared: &Arc<Shared>,
    number: u16,
    supervisor: &ActorRef<()>,
) -> Result<ActorRef<WorkerInput>, ActorProcessingErr> {
    let (worker, _) = Actor::spawn_linked(None, Worker, (Arc::clone(shared), number), supervisor.get_cell()).await?;
    worker.send_interval(TICK, || WorkerInput::Tick);
    Ok(worker)
}

/// Stops the node at once, as a crash would: its peers see its links close, and its backups take over.
fn stop(shared: &Shared, supervisor: &ActorRef<()>, why: String) {
    tracing::error!(%why, "the node stops");
    shared.tell(EventKind::Stopping { why });
    shared.halt();
    supervisor.stop(None);
}
