//! The node's own listener: accepts, limits, sets deadlines and authenticates, before anything else sees a connection.
//!
//! Strangers have few places. When all are taken the *oldest* is closed for the newest: a real peer is through in a
//! millisecond, whoever holds a place longest is most likely to waste it. So a thousand idle connections can neither use up
//! memory nor keep a peer out. Strangers are worth one log line in ten seconds, whatever they send.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{Core, handshake};
use crate::{transport::Refusal, wire::limits::Limits};

/// Between two log lines about strangers.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);
/// After an accept that failed, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Stranger {
    number: u64,
    source: IpAddr,
    task: AbortHandle,
}

/// Connections that are not yet authenticated.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    places: Mutex<(u64, VecDeque<Stranger>)>,
}

impl Strangers {
    /// Runs `greet` in a place of its own; closes the oldest where there is no place. Returns true if one was closed.
    fn enter<F>(self: &Arc<Self>, source: IpAddr, limits: &Limits, greet: F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut places = self.locked();
        let from_source = places.1.iter().filter(|stranger| stranger.source == source).count();
        let oldest = if from_source >= limits.unauthenticated_per_source {
            places.1.iter().position(|stranger| stranger.source == source)
        } else {
            (places.1.len() >= limits.unauthenticated).then_some(0)
        };
        let closed = oldest.and_then(|at| places.1.remove(at));
        let number = places.0;
        places.0 += 1;
        // The task cannot leave before it has entered: leaving needs the lock that is held here.
        let place = Place { strangers: Arc::clone(self), number };
        let task = tokio::spawn(async move {
            let _place = place;
            greet.await;
        });
        places.1.push_back(Stranger { number, source, task: task.abort_handle() });
        drop(places);
        // Not under the lock, which the task's end takes too.
        closed.inspect(|stranger| stranger.task.abort()).is_some()
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.locked().1.len()
    }

    /// Closes all of them.
    pub(super) fn close(&self) {
        // Taken out first: an aborted task may be dropped here and now, and leaving needs the lock.
        let all = std::mem::take(&mut self.locked().1);
        for stranger in all {
            stranger.task.abort();
        }
    }

    fn locked(&self) -> MutexGuard<'_, (u64, VecDeque<Stranger>)> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place {
    strangers: Arc<Strangers>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.strangers.locked();
        if let Some(at) = places.1.iter().position(|stranger| stranger.number == self.number) {
            places.1.remove(at);
        }
    }
}

/// One log line now and then, with the number of those that it stands for. What passes by itself, as when two dials cross,
/// and what somebody has to mend are counted apart, so that the one does not hide the other.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<[(Option<Instant>, u64); 2]>);

impl Complaints {
    fn complain(&self, source: IpAddr, refusal: &Refusal) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut states[usize::from(refusal.needs_mending())];
        if state.0.is_some_and(|at| at.elapsed() < COMPLAINT_EVERY) {
            state.1 += 1;
            return;
        }
        let unsaid = state.1;
        *state = (Some(Instant::now()), 0);
        drop(states);
        if refusal.needs_mending() {
            tracing::warn!(%source, %refusal, unsaid, "refused a connection to the cluster address");
        } else {
            tracing::info!(%source, %refusal, unsaid, "a connection to the cluster address ended; it will be made again");
        }
    }
}

/// Accepts until it is aborted.
pub(super) async fn listen(core: Arc<Core>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                let greeted = greet(Arc::clone(&core), stream, source.ip());
                if core.strangers.enter(source.ip(), &core.limits, greeted) {
                    core.complaints.complain(source.ip(), &Refusal::TooMany);
                }
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                core.complaints.complain(core.bound.ip(), &Refusal::Unreachable { errno });
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn greet(core: Arc<Core>, mut stream: TcpStream, source: IpAddr) {
    // Without it every small frame may wait 40 ms; a socket that refuses is closed already.
    let _ = stream.set_nodelay(true);
    let agreed = timeout(core.limits.handshake_deadline, handshake::accept(&core, &mut stream)).await;
    match agreed {
        Ok(Ok(agreed)) => core.carry(agreed, stream),
        Ok(Err(Refusal::AlreadyLinked { .. })) => {} // two dials crossed, as they may
        Ok(Err(refusal)) => core.complaints.complain(source, &refusal),
        Err(_) => core.complaints.complain(source, &Refusal::Deadline),
    }
}
