//! The calls that wait for one worker: a bounded queue that the worker empties in batches.
//!
//! A mailbox message for each call would cost as much as a small command itself, and a mailbox has no bound. Here one message
//! stands for all the calls that wait. The queue outlives the worker, as its arcs do: one that is started again takes up what
//! waits. Nothing in it was executed.
//!
//! Invariant: while calls wait in an open inbox, a signal is on its way to the worker, or the worker is being started again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{message::CallRequest, worker::ReplyTo};

/// So many calls are taken at once. Acknowledgements and frames of peers wait behind them.
const BATCH: usize = 128;

/// A command or a question, and where its outcome goes.
pub(crate) struct Call {
    pub(crate) request: Arc<CallRequest>,
    pub(crate) reply_to: ReplyTo,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    signalled: bool,
    closed: bool,
}

/// What became of a call that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It waits, and whoever put it in has to signal the worker.
    First,
    /// It waits behind others.
    Behind,
}

/// One worker's calls.
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
    pub(crate) fn put(&self, call: Call) -> Result<Put, Call> {
        let mut queue = self.queue();
        if queue.closed {
            return Ok(Put::Behind);
        }
        if queue.calls.len() >= self.max {
            return Err(call);
        }
        queue.calls.push_back(call);
        Ok(if std::mem::replace(&mut queue.signalled, true) { Put::Behind } else { Put::First })
    }

    /// Puts calls in; those for which there is no room are added to `refused`. `None`: there were none.
    pub(crate) fn put_all(&self, calls: impl Iterator<Item = Call>, refused: &mut Vec<Call>) -> Option<Put> {
        let mut calls = calls.peekable();
        calls.peek()?;
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            calls.for_each(drop);
            return Some(Put::Behind);
        }
        let room = self.max.saturating_sub(queue.calls.len());
        queue.calls.extend(calls.by_ref().take(room));
        let is_signalled = queue.calls.is_empty() || std::mem::replace(&mut queue.signalled, true);
        drop(queue);
        refused.extend(calls);
        Some(if is_signalled { Put::Behind } else { Put::First })
    }

    /// Takes the next calls; true if more are left, for which the worker signals itself.
    pub(crate) fn take(&self, batch: &mut VecDeque<Call>) -> bool {
        let mut queue = self.queue();
        let count = queue.calls.len().min(BATCH);
        batch.extend(queue.calls.drain(..count));
        queue.signalled = !queue.calls.is_empty();
        queue.signalled
    }

    /// Drops what waits, and whatever comes.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        let dropped = std::mem::take(&mut queue.calls);
        drop(queue);
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
    use crate::{
        id::SessionKey,
        runtime::message::{CallOutcome, Operation},
    };

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
        (Call { request: Arc::new(request), reply_to: ReplyTo::Here(answer) }, answered)
    }

    #[test]
    fn one_signal_stands_for_all_that_wait_and_the_next_one_comes_after_the_last_was_taken() {
        let inbox = Inbox::new(1_000);
        let mut taken = VecDeque::new();
        let put = |call| inbox.put(call).ok();
        let puts: Vec<_> = (0..=BATCH).map(|_| put(call().0)).collect();
        assert_eq!(puts.iter().filter(|p| **p == Some(Put::First)).count(), 1);
        assert!(inbox.take(&mut taken), "one is left");
        assert_eq!((taken.len(), put(call().0)), (BATCH, Some(Put::Behind)));
        assert!(!inbox.take(&mut taken));
        assert_eq!((taken.len(), put(call().0)), (BATCH + 2, Some(Put::First)));
    }

    #[test]
    fn a_full_inbox_refuses_and_a_closed_one_lets_its_callers_go() {
        let inbox = Inbox::new(2);
        let (first, mut waiting) = call();
        let puts = [first, call().0, call().0].map(|call| inbox.put(call).ok());
        assert_eq!(puts, [Some(Put::First), Some(Put::Behind), None]);
        inbox.close();
        assert!(waiting.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
        let (late, mut answered) = call();
        assert!(inbox.put(late).is_ok());
        assert!(answered.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
    }
}
