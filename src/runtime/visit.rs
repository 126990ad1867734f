//! Running a worker's work where it arrives: whoever brings something to a worker that nobody runs at the moment runs it, on
//! their own thread, instead of waking the worker's actor.
//!
//! A wake-up costs more than a small command, and a command needs several of them. So the worker's state lies in a seat: its own
//! actor sits down there for what comes by its mailbox, and so does, for a few rounds, a caller with quick calls or the reader of
//! a link. Who finds the seat taken leaves the work in the inbox; who has it looks again after leaving. Users' code is run by the
//! actor alone, so a slow command never holds up a link or another caller.
//!
//! Invariant: what waits in an open inbox is seen by whoever sits, or by one who is on the way: the actor, whom a signal reaches,
//! or one that is being started. After Hendler et al. 2010 ("flat combining").

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::Duration,
};

use ractor::ActorId;

use super::{
    clock,
    inbox::{Inbox, Pace},
    shared::Shared,
    to_write::ToWrite,
    worker::{WorkerInput, WorkerState},
};

/// So many rounds are run in one go, at most. What is left then is for the worker's actor.
const ROUNDS: usize = 4;
/// Somebody who passes by begins no further round after this long: they have work of their own.
const PASSING: Duration = Duration::from_millis(2);

/// Where one worker's work is done.
pub(crate) struct Seat {
    /// What waits for it.
    pub(crate) inbox: Inbox,
    /// Nothing while the worker is being started.
    state: Mutex<Option<Box<WorkerState>>>,
    /// Whether the actor was told to look and has not looked yet.
    signalled: AtomicBool,
}

impl Seat {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self { inbox: Inbox::new(calls_max), state: Mutex::default(), signalled: AtomicBool::new(false) }
    }

    /// A worker is there. Whatever the one before it kept besides its arcs is gone.
    pub(super) fn fill(&self, state: WorkerState) {
        let before = self.state().replace(Box::new(state));
        // What it drops sends words of its own, and needs no lock for that.
        drop(before);
    }

    /// The worker of this actor ends; one that was started since stays.
    pub(super) fn clear(&self, actor: ActorId) {
        let ended = self.state().take_if(|state| state.myself.get_id() == actor);
        drop(ended);
    }

    /// For the actor alone, which visits then: something of its state, while nobody else sits there.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut WorkerState) -> T) -> Option<T> {
        self.state().as_deref_mut().map(look)
    }

    fn state(&self) -> MutexGuard<'_, Option<Box<WorkerState>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what waits for a worker, or leaves it to whoever does. Adds to `to_write` for whom something was queued, which is to be
/// written then.
pub(super) fn visit(shared: &Arc<Shared>, number: usize, pace: Pace, to_write: &mut ToWrite) {
    let seat = &shared.seats[number];
    if pace == Pace::Users {
        seat.signalled.store(false, Ordering::SeqCst);
    }
    let began = clock::now();
    for _ in 0..ROUNDS {
        if !seat.inbox.has_work(pace) || (pace == Pace::Quick && clock::now().since(began) >= PASSING) {
            break;
        }
        {
            let mut slot = match seat.state.try_lock() {
                Ok(slot) => slot,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Whoever has it looks again.
                Err(TryLockError::WouldBlock) => return,
            };
            let Some(state) = slot.as_deref_mut() else { return };
            match catch_unwind(AssertUnwindSafe(|| state.round(pace))) {
                Ok(Ok(())) => to_write.append(&mut state.to_write),
                _ => {
                    // Whatever its state is, it is not used again. Its arcs the supervisor judges by their own lock.
                    let actor = state.myself.clone();
                    let failed = slot.take();
                    drop(slot);
                    drop(failed);
                    // By its own name: right after a restart the node knows the worker before it still.
                    let _ = actor.cast(WorkerInput::Fail);
                    return;
                }
            }
        }
        // Who put something in and found the seat taken did so before this; now it is seen.
        fence(Ordering::SeqCst);
    }
    if seat.inbox.has_work(Pace::Users) {
        signal(shared, number);
    }
}

/// Has the worker's actor look into its inbox.
pub(super) fn signal(shared: &Shared, number: usize) {
    if !shared.seats[number].signalled.swap(true, Ordering::SeqCst) {
        // A worker that cannot be told now is being started again, and then looks.
        shared.tell_worker_number(number, WorkerInput::Calls);
    }
}
