//! The watchdog: names a handler that takes long, while it still runs and when it is through.
//!
//! A worker runs one command at a time, so the other sessions of its arcs wait for a slow one; and a worker that stands still
//! for half of `suspect_after` silences its node, which then loses its arcs. Nobody should have to guess whose code it was. It
//! stops nothing and decides nothing: a handler cannot be ended from outside.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{message::CallRequest, shared::Shared};
use crate::{event::EventKind, moment::Moment, wire::codec::cut};

/// Slow is what takes this part of `suspect_after`: half of what silences the node.
const PART: u32 = 4;
/// So many bytes of a session's id are shown.
const ID_SHOWN: usize = 128;

/// What one worker runs now.
#[derive(Default)]
pub(crate) struct Running(Mutex<Option<(Arc<CallRequest>, Moment)>>);

impl Running {
    pub(crate) fn begin(&self, request: &Arc<CallRequest>, now: Moment) {
        *self.lock() = Some((Arc::clone(request), now));
    }

    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Arc<CallRequest>, Moment)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What takes this long is slow.
pub(crate) fn slow_after(shared: &Shared) -> Duration {
    shared.settings.suspect_after / PART
}

/// Tells of a command that took long.
pub(crate) fn tell(shared: &Shared, request: &CallRequest, took: Duration, ended: bool) {
    let command = request.operation.name();
    let kind = request.key.kind().to_owned();
    let session = cut(String::from_utf8_lossy(request.key.id()).into_owned(), ID_SHOWN);
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if ended {
        tracing::warn!(kind, session, command, ms, "a command took long: the sessions beside it waited");
    } else {
        tracing::warn!(kind, session, command, ms, "a command still runs: the sessions beside it wait for it");
    }
    shared.tell(EventKind::SlowHandler { kind, session, command: command.to_owned(), ms, ended });
}

/// The look from outside, by the heartbeat thread.
pub(crate) struct Watchdog {
    /// For each worker: since when what was named last has been running, and after how long it is named again.
    named: Vec<(Moment, Duration)>,
}

impl Watchdog {
    pub(crate) fn new(workers: usize) -> Self {
        Self { named: vec![(Moment::START, Duration::ZERO); workers] }
    }

    /// Names what runs for long, and again whenever it has taken twice as long.
    pub(crate) fn look(&mut self, shared: &Shared, now: Moment) {
        for (running, named) in shared.running.iter().zip(&mut self.named) {
            let Some((request, since)) = running.lock().clone() else { continue };
            let took = now.since(since);
            let due = if named.0 == since { named.1 } else { slow_after(shared) };
            if took >= due {
                *named = (since, took * 2);
                tell(shared, &request, took, false);
            }
        }
    }
}
