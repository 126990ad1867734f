//! What waits for one worker: calls in a bounded queue, and what peers say of commits. It is emptied in batches.
//!
//! A mailbox message for each would cost as much as a small command itself, and a mailbox has no bound. The queue outlives the
//! worker, as its arcs do: one that is started again takes up what waits. No call in it was executed.
//!
//! Calls are quick or not: quick ones are those that anybody may run who passes by ([`visit`](super::visit)), because their code
//! is this crate's own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    message::{CallRequest, Operation},
    worker::{ReplyTo, WorkerInput},
};
use crate::{
    id::{ArcId, SessionKey},
    kinds::Kinds,
};

/// So many calls are taken at once. Acknowledgements and frames of peers wait behind them.
const BATCH: usize = 128;

/// A command or a question, and where its outcome goes.
pub(crate) struct Call {
    /// The arc of its session; how many there are never changes.
    pub(crate) arc: ArcId,
    pub(crate) request: Arc<CallRequest>,
    pub(crate) reply_to: ReplyTo,
}

/// Who may run a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Whoever passes by: its code is known to be short.
    Quick,
    /// The worker's own actor alone: its code is a user's.
    Users,
}

impl Pace {
    /// The one of a call.
    pub(super) fn of(request: &CallRequest, kinds: &Kinds) -> Self {
        let is_quick = |key: &SessionKey| kinds.get(key.kind()).is_some_and(|kind| kind.is_quick());
        let is_short = match &request.operation {
            // It looks at all sessions of an arc.
            Operation::List(..) => false,
            Operation::Together(parts) => parts.iter().all(|part| is_quick(&part.key)),
            _ => is_quick(&request.key),
        };
        if is_short { Self::Quick } else { Self::Users }
    }
}

#[derive(Default)]
struct Queue {
    waits: Batch,
    closed: bool,
}

/// What waits, and what one round takes of it.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) inputs: Vec<WorkerInput>,
    quick: VecDeque<Call>,
    users: VecDeque<Call>,
}

impl Batch {
    /// The next call, and its pace.
    pub(super) fn next(&mut self) -> Option<(Pace, Call)> {
        let quick = self.quick.pop_front().map(|call| (Pace::Quick, call));
        quick.or_else(|| Some((Pace::Users, self.users.pop_front()?)))
    }

    fn push(&mut self, pace: Pace, call: Call) {
        match pace {
            Pace::Quick => self.quick.push_back(call),
            Pace::Users => self.users.push_back(call),
        }
    }

    /// What calls are left, in their order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.quick.iter().chain(&self.users)
    }

    /// How many calls are left.
    pub(super) fn len(&self) -> usize {
        self.quick.len() + self.users.len()
    }
}

/// What waits for one worker.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    max: usize,
}

impl Inbox {
    pub(crate) fn new(max: usize) -> Self {
        Self { queue: Mutex::default(), max }
    }

    /// Puts a call in, or gives it back if there is no room. A closed inbox drops it, and its caller learns that no outcome
    /// will come.
    pub(crate) fn put(&self, call: Call, pace: Pace) -> Result<(), Call> {
        let mut queue = self.queue();
        if queue.closed {
            return Ok(());
        }
        if queue.waits.len() >= self.max {
            return Err(call);
        }
        queue.waits.push(pace, call);
        Ok(())
    }

    /// Puts calls in; those for which there is no room are added to `refused`.
    pub(crate) fn put_all(&self, calls: impl Iterator<Item = (Pace, Call)>, refused: &mut Vec<Call>) {
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            calls.for_each(drop);
            return;
        }
        let mut room = self.max.saturating_sub(queue.waits.len());
        for (pace, call) in calls {
            if room == 0 {
                refused.push(call);
                continue;
            }
            room -= 1;
            queue.waits.push(pace, call);
        }
    }

    /// Puts in what is no call. Its bounds are those of whoever sends it: windows of links, and the worker's own ticks.
    pub(crate) fn put_input(&self, input: WorkerInput) {
        let mut queue = self.queue();
        if !queue.closed {
            queue.waits.inputs.push(input);
        }
    }

    /// Takes what is no call, and the next calls that may be run at this pace: quick ones first.
    pub(super) fn take(&self, pace: Pace, batch: &mut Batch) {
        let waits = &mut self.queue().waits;
        batch.inputs.append(&mut waits.inputs);
        let quick = waits.quick.len().min(BATCH);
        batch.quick.extend(waits.quick.drain(..quick));
        if pace == Pace::Users {
            let users = waits.users.len().min(BATCH - quick);
            batch.users.extend(waits.users.drain(..users));
        }
    }

    /// Puts the calls of a batch that were not run back to the front.
    pub(super) fn put_back(&self, batch: &mut Batch) {
        let Batch { quick, users, .. } = std::mem::take(batch);
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            drop((quick, users));
            return;
        }
        let waits = &mut queue.waits;
        for (front, back) in [(quick, &mut waits.quick), (users, &mut waits.users)] {
            front.into_iter().rev().for_each(|call| back.push_front(call));
        }
    }

    /// Whether something waits that may be run at this pace.
    pub(super) fn has_work(&self, pace: Pace) -> bool {
        let waits = &self.queue().waits;
        !waits.inputs.is_empty() || !waits.quick.is_empty() || (pace == Pace::Users && !waits.users.is_empty())
    }

    /// Drops what waits, and whatever comes.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut queue = self.queue();
            std::mem::replace(&mut *queue, Queue { closed: true, ..Queue::default() })
        };
        drop(dropped);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whole between any two lines.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::runtime::message::CallOutcome;

    fn call() -> (Call, oneshot::Receiver<CallOutcome>) {
        let key = SessionKey::new("k", b"s").expect("within bounds");
        let request = CallRequest {
            key,
            operation: Operation::Delete,
            request: None,
            durability: None,
            expected: None,
            life: None,
            attempts: 0,
            creating: false,
        };
        let (answer, answered) = oneshot::channel();
        (Call { arc: ArcId(0), request: Arc::new(request), reply_to: ReplyTo::Here(answer) }, answered)
    }

    #[test]
    fn a_batch_is_bounded_and_who_passes_by_takes_no_call_of_a_users_type() {
        let inbox = Inbox::new(1_000);
        for _ in 0..=BATCH {
            assert!(inbox.put(call().0, Pace::Users).is_ok());
        }
        assert!(!inbox.has_work(Pace::Quick) && inbox.has_work(Pace::Users));
        assert!(inbox.put(call().0, Pace::Quick).is_ok());
        let mut batch = Batch::default();
        inbox.take(Pace::Quick, &mut batch);
        assert_eq!((batch.len(), inbox.has_work(Pace::Quick)), (1, false));
        inbox.take(Pace::Users, &mut batch);
        assert_eq!((batch.len(), inbox.has_work(Pace::Users)), (1 + BATCH, true), "one is left");
        inbox.take(Pace::Users, &mut batch);
        assert_eq!((batch.len(), inbox.has_work(Pace::Users)), (2 + BATCH, false));
    }

    #[test]
    fn what_of_a_batch_was_not_run_is_the_next_to_be() {
        let inbox = Inbox::new(10);
        let calls: Vec<_> = (0..4).map(|_| call().0).collect();
        let requests: Vec<_> = calls.iter().map(|call| Arc::clone(&call.request)).collect();
        calls.into_iter().for_each(|call| assert!(inbox.put(call, Pace::Quick).is_ok()));
        let mut batch = Batch::default();
        inbox.take(Pace::Quick, &mut batch);
        let (_, run) = batch.next().expect("the first");
        assert!(inbox.put(call().0, Pace::Quick).is_ok());
        inbox.put_back(&mut batch);
        assert_eq!(batch.len(), 0);
        inbox.take(Pace::Quick, &mut batch);
        let next: Vec<_> = std::iter::from_fn(|| batch.next()).map(|(_, call)| call.request).collect();
        let all = std::iter::once(&run.request).chain(&next).zip(&requests);
        assert!(next.len() == 4 && all.into_iter().all(|(found, sent)| Arc::ptr_eq(found, sent)));
    }

    #[test]
    fn a_full_inbox_refuses_and_a_closed_one_lets_its_callers_go() {
        let inbox = Inbox::new(2);
        let (first, mut waiting) = call();
        let puts = [(first, Pace::Quick), (call().0, Pace::Users), (call().0, Pace::Quick)];
        assert_eq!(puts.map(|(call, pace)| inbox.put(call, pace).is_ok()), [true, true, false]);
        let mut refused = Vec::new();
        inbox.put_all([(Pace::Quick, call().0)].into_iter(), &mut refused);
        assert_eq!(refused.len(), 1);
        inbox.close();
        assert!(waiting.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
        let (late, mut answered) = call();
        assert!(inbox.put(late, Pace::Quick).is_ok());
        assert!(answered.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
    }
}
