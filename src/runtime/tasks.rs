//! What follows once a commit is committed: work that commands planned is started, and the program hears of an ended session.
//!
//! Work runs beside the actors, as tasks of its own, bounded in number. Its result goes the way of every call, so it is applied
//! once, wherever the session is by then. Work ends with the node.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time;

use super::{
    clock,
    ending::Farewell,
    message::{CallRequest, Operation},
    router,
    shared::{Readiness, Shared},
};
use crate::{
    error::{Bound, ErrorKind},
    id::SessionKey,
    moment::Moment,
    session::Task,
};

/// What a command's work came to is brought to its session within this, or not at all.
const BRING_WITHIN: Duration = Duration::from_secs(30);

/// A place among the work that may be under way on a node.
pub(super) struct Place(Arc<Shared>);

impl Place {
    /// So many places, or none.
    pub(super) fn take(shared: &Arc<Shared>, count: usize) -> Result<Vec<Self>, Bound> {
        let limit = shared.settings.tasks_max;
        let room = |taken: usize| taken.checked_add(count).filter(|taken| *taken <= limit);
        match shared.tasks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok((0..count).map(|_| Self(Arc::clone(shared))).collect()),
            Err(_) => Err(Bound::Tasks { limit }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be done once a commit is committed.
pub(super) struct After {
    farewell: Option<Box<Farewell>>,
    key: SessionKey,
    tasks: Vec<(Task, Place)>,
}

impl After {
    /// Nothing, mostly.
    pub(super) fn of(
        farewell: Option<Box<Farewell>>,
        key: &SessionKey,
        tasks: Vec<(Task, Place)>,
    ) -> Option<Box<Self>> {
        let is_something = farewell.is_some() || !tasks.is_empty();
        is_something.then(|| Box::new(Self { farewell, key: key.clone(), tasks }))
    }

    pub(super) fn begin(self, shared: &Arc<Shared>) {
        if let Some(farewell) = self.farewell {
            farewell.tell();
        }
        for (task, place) in self.tasks {
            tokio::spawn(see_through(Arc::clone(shared), self.key.clone(), task, place));
        }
    }
}

/// Does the work and brings its result, unless the node stops.
async fn see_through(shared: Arc<Shared>, key: SessionKey, task: Task, place: Place) {
    // In a task of its own, so that a panic of the user's code ends nothing but itself.
    let mut work = tokio::spawn(task.run());
    let mut readiness = shared.readiness.subscribe();
    let worked = tokio::select! {
        worked = &mut work => worked,
        _ = readiness.wait_for(|r| *r == Readiness::Stopped) => {
            work.abort();
            return;
        }
    };
    let brought = match worked {
        Ok(Ok((command, body))) => bring(&shared, &key, Operation::Call(command.into(), body)).await,
        Ok(Err(why)) => Err(why.to_string()),
        Err(why) => Err(format!("it panicked: {why}")),
    };
    if let Err(why) = brought {
        tracing::warn!(session = %key, %why, "spawned work came to nothing");
    }
    drop(place);
}

async fn bring(shared: &Arc<Shared>, key: &SessionKey, operation: Operation) -> Result<(), String> {
    let deadline: Moment = clock::now() + BRING_WITHIN;
    let request = Arc::new(CallRequest {
        key: key.clone(),
        operation,
        request: None,
        durability: None,
        expected: None,
        life: None,
        attempts: 0,
        creating: false,
    });
    loop {
        let Err(why) = router::call(shared, Arc::clone(&request), deadline).await else { return Ok(()) };
        match *why.kind() {
            // Nothing was done, and there may be room soon.
            ErrorKind::Busy { retry_after, .. } if clock::now() + retry_after < deadline => {
                time::sleep(retry_after).await;
            }
            _ => return Err(why.to_string()),
        }
    }
}
