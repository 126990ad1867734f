//! Bringing back sessions of lost arcs from copies that are in sync no longer, on an operator's word.
//!
//! Such a copy lacks whatever was acknowledged after it was dropped, so nothing of it is ever served by itself. Here its
//! sessions are made anew through their arcs' primaries, as commands that any caller could have given: only where there is no
//! session of that id, so nothing that was made since is overwritten.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinSet, time};

use super::Node;
use crate::{
    blob::Blob,
    error::ErrorKind,
    id::ArcId,
    kinds::{Occasion, Stored},
    membership::RecoveryFault,
    moment::Moment,
    replication::Lifespan,
    runtime::{
        clock,
        message::{CallRequest, Operation},
        reporting::{StaleArc, StaleSession},
        router,
        shared::Shared,
        worker::WorkerInput,
    },
    session::SessionId,
};

/// So many sessions are on their way at once.
const AT_ONCE: usize = 64;
/// One session may take so long.
const EACH_WITHIN: Duration = Duration::from_secs(10);

/// What a node holds of an arc that is in sync no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StaleReport {
    /// Which arc.
    pub arc: ArcId,
    /// Sessions in it.
    pub sessions: usize,
    /// Whether the arc was lost since, so that this may be what is left of it.
    pub wanted: bool,
}

/// What became of the sessions of stale copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// Made anew, as they were in the copy.
    pub restored: usize,
    /// Somebody had made them meanwhile; those stay.
    pub existed: usize,
    /// They could not be made: their type is not registered here or cannot read them, or their primary was out of reach. Their
    /// arcs' copies are kept, so it can be tried again.
    pub failed: usize,
}

impl Node {
    async fn stale_arcs(&self) -> Vec<StaleArc> {
        let mut all = Vec::new();
        for worker in self.0.shared.workers.load().iter() {
            let (answer, answered) = oneshot::channel();
            if worker.cast(WorkerInput::Stale(answer)).is_ok() {
                let told = time::timeout(Duration::from_secs(5), answered).await;
                all.extend(told.ok().and_then(Result::ok).into_iter().flatten());
            }
        }
        all
    }

    /// The copies that this node keeps although they are in sync no longer, because nobody else has a better one beside the primary, or
    /// because the arc was lost since.
    pub async fn stale_copies(&self) -> Vec<StaleReport> {
        let report =
            |copy: StaleArc| StaleReport { arc: copy.arc, sessions: copy.sessions, wanted: copy.wanted.is_some() };
        self.stale_arcs().await.into_iter().map(report).collect()
    }

    /// Makes anew the sessions of lost arcs that this node has older copies of, where nobody has made them since. A node that the
    /// ring went on without comes into it first; all that it holds is then such a copy. What was
    /// acknowledged after this node's copy was dropped stays lost; what it remembered of requests is gone, so a retry of
    /// an old request is executed anew. It asks each session's primary, and may take a while.
    ///
    /// # Errors
    /// It was left behind and is not let in; nothing is brought back, and what it holds is kept.
    pub async fn restore_stale(&self) -> Result<Restored, RecoveryFault> {
        self.go_over().await?;
        let mut sum = Restored::default();
        for StaleArc { arc, wanted, .. } in self.stale_arcs().await {
            let Some(sessions) = wanted else { continue };
            let before = sum.failed;
            let mut sessions = sessions.into_iter();
            let mut running = JoinSet::new();
            loop {
                while running.len() < AT_ONCE
                    && let Some(session) = sessions.next()
                {
                    running.spawn(restore(Arc::clone(&self.0.shared), session));
                }
                match running.join_next().await {
                    Some(Ok(Outcome::Restored)) => sum.restored += 1,
                    Some(Ok(Outcome::Existed)) => sum.existed += 1,
                    Some(Ok(Outcome::Failed) | Err(_)) => sum.failed += 1,
                    None => break,
                }
            }
            if sum.failed == before {
                self.0.shared.tell_worker(arc, WorkerInput::ForgetStale(arc));
            }
        }
        Ok(sum)
    }
}

enum Outcome {
    Restored,
    Existed,
    Failed,
}

async fn restore(shared: Arc<Shared>, session: StaleSession) -> Outcome {
    let Some(initial) = present_state(&shared, &session) else { return Outcome::Failed };
    let life = Some(session.lifespan).filter(|life| *life != Lifespan::FOR_EVER);
    let request = Arc::new(CallRequest {
        key: session.key,
        operation: Operation::Create(Some(initial)),
        request: None,
        durability: None,
        expected: None,
        life,
        attempts: 0,
        creating: true,
    });
    let deadline: Moment = clock::now() + EACH_WITHIN;
    match router::call(&shared, Arc::clone(&request), deadline).await {
        Ok(_) => Outcome::Restored,
        Err(why) if *why.kind() == ErrorKind::AlreadyExists => Outcome::Existed,
        Err(why) => {
            tracing::warn!(session = %request.key, %why, "a session of an older copy could not be made anew");
            Outcome::Failed
        }
    }
}

fn present_state(shared: &Shared, session: &StaleSession) -> Option<Blob> {
    let id = SessionId::of(&session.key);
    let kind = shared.registry.kind(session.key.kind()).ok()?;
    let occasion = Occasion {
        id: &id,
        request: None,
        now: clock::now(),
        version: 0,
        lifespan: session.lifespan,
        expected: None,
        value_max: shared.settings.value_max,
    };
    let stored = Stored { image: Some(&session.image), events: &session.events, state_version: session.state_version };
    let present = kind.present_state(stored, &occasion);
    present.inspect_err(|why| tracing::warn!(session = %session.key, ?why, "an older copy cannot be read")).ok()
}
