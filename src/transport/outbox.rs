//! What waits to be written on one lane to one peer: a bounded queue for each class.
//!
//! It does not write. The writer takes a batch, lowest class first, and the next batch starts again with the lowest: so an
//! ack waits for at most one batch of catch-up, whatever lies behind. A sender is never made to wait; it is told `Full`.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Class, NotSent};
use crate::wire::limits::{Limits, QueueBound};

/// About as much as is written together. Larger gains nothing measurable, and a lower class would wait longer behind it.
pub(crate) const BATCH: usize = 256 * 1024;

const CLASSES: usize = Class::Forwarded as usize + 1;

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queues {
    classes: [Queue; CLASSES],
    closed: bool,
}

/// One lane's queues.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    bounds: [QueueBound; CLASSES],
    frame: usize,
    pending: Notify,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { view, ack, replicate, reply, forwarded, frame, .. } = *limits;
        Self {
            queues: Mutex::default(),
            bounds: [view, ack, replicate, reply, forwarded],
            frame,
            pending: Notify::new(),
        }
    }

    /// Queues a message and tells the writer, or says why not.
    pub(crate) fn put(&self, class: Class, message: Bytes) -> Result<(), NotSent> {
        self.put_quietly(class, message)?;
        self.nudge();
        Ok(())
    }

    /// Tells the writer that something may be pending.
    pub(crate) fn nudge(&self) {
        self.pending.notify_one();
    }

    /// Queues a message for whoever takes next, or says why not.
    pub(crate) fn put_quietly(&self, class: Class, message: Bytes) -> Result<(), NotSent> {
        if message.len() > self.frame {
            return Err(NotSent::TooLong);
        }
        let bound = self.bounds[class as usize];
        let mut queues = self.locked();
        if queues.closed {
            return Err(NotSent::NoPeer);
        }
        let queue = &mut queues.classes[class as usize];
        let fits = queue.waiting.len() < bound.messages && queue.bytes + message.len() <= bound.bytes;
        if !fits && !queue.waiting.is_empty() {
            return Err(NotSent::Full);
        }
        queue.bytes += message.len();
        queue.waiting.push_back(message);
        Ok(())
    }

    /// Takes what is pending, lowest class first, until it holds [`BATCH`] bytes, and one message at least of each class that has
    /// one: whatever comes of the lower ones, none waits for ever. Returns whether it took any.
    pub(crate) fn take(&self, batch: &mut Vec<Bytes>) -> bool {
        let mut queues = self.locked();
        let mut taken = 0;
        for queue in &mut queues.classes {
            let mut is_first = true;
            while let Some(message) = queue.waiting.front() {
                if !std::mem::take(&mut is_first) && taken + message.len() > BATCH {
                    break;
                }
                // The prefix counts too, so that a flood of empty messages ends a batch.
                taken += message.len() + crate::wire::frame::PREFIX;
                queue.bytes -= message.len();
                batch.extend(queue.waiting.pop_front());
            }
        }
        taken > 0
    }

    /// Returns when something may be pending, or the outbox was closed. Only one task may wait.
    pub(crate) async fn pending(&self) {
        self.pending.notified().await;
    }

    /// Drops what waits and refuses what comes.
    pub(crate) fn close(&self) {
        let mut queues = self.locked();
        *queues = Queues { closed: true, ..Queues::default() };
        drop(queues);
        self.pending.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, Queues> {
        // A panic while the lock is held could only come from an allocation; the queues are whole between any two lines.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: usize, bytes: usize) -> Outbox {
        let bound = QueueBound { messages, bytes };
        Outbox::new(&Limits { ack: bound, forwarded: bound, ..Limits::default() })
    }

    fn taken(outbox: &Outbox) -> Vec<Bytes> {
        let mut batch = Vec::new();
        outbox.take(&mut batch);
        batch
    }

    #[test]
    fn lower_classes_leave_first_and_each_class_keeps_its_order() {
        let outbox = outbox(10, 100);
        for (class, message) in [
            (Class::Forwarded, "c1"),
            (Class::Ack, "a1"),
            (Class::Forwarded, "c2"),
            (Class::View, "v"),
            (Class::Ack, "a2"),
        ] {
            outbox.put(class, message.into()).expect("there is room");
        }
        assert_eq!(taken(&outbox), ["v", "a1", "a2", "c1", "c2"]);
    }

    #[test]
    fn a_class_that_is_full_refuses_by_count_and_by_bytes_and_leaves_the_others_alone() {
        let by_count = outbox(2, 100);
        by_count.put(Class::Ack, "1".into()).expect("room");
        by_count.put(Class::Ack, "2".into()).expect("room");
        assert_eq!(by_count.put(Class::Ack, "3".into()), Err(NotSent::Full));
        by_count.put(Class::Forwarded, "other class".into()).expect("its own bound");

        let by_bytes = outbox(10, 4);
        by_bytes.put(Class::Ack, "1234".into()).expect("room");
        assert_eq!(by_bytes.put(Class::Ack, "5".into()), Err(NotSent::Full));
        assert_eq!(taken(&by_bytes).len(), 1);
        by_bytes.put(Class::Ack, "5".into()).expect("room again once taken");
    }

    #[test]
    fn a_message_over_its_class_bound_enters_an_empty_queue_and_one_over_the_frame_limit_never() {
        let outbox = outbox(10, 4);
        outbox.put(Class::Ack, "larger than four".into()).expect("the queue was empty");
        let too_long = Bytes::from(vec![0; Limits::default().frame + 1]);
        assert_eq!(outbox.put(Class::View, too_long), Err(NotSent::TooLong));
    }

    #[test]
    fn an_ack_waits_for_one_batch_of_a_higher_class_at_most() {
        let outbox = outbox(100, 1 << 30);
        for _ in 0..4 {
            outbox.put(Class::Forwarded, vec![0; BATCH / 2].into()).expect("room");
        }
        assert_eq!(taken(&outbox).len(), 1, "two halves and their prefixes are over one batch");
        outbox.put(Class::Ack, "ack".into()).expect("room");
        assert_eq!(taken(&outbox)[0], "ack");
    }

    #[test]
    fn a_flood_of_a_lower_class_does_not_keep_a_higher_one_waiting_for_ever() {
        let outbox = outbox(100, 1 << 30);
        let flood = || outbox.put(Class::Ack, vec![0; BATCH].into()).expect("room");
        (0..3).for_each(|_| flood());
        outbox.put(Class::Forwarded, "call".into()).expect("room");
        outbox.put(Class::Forwarded, "another".into()).expect("room");
        for wanted in ["call", "another"] {
            flood();
            let batch = taken(&outbox);
            assert_eq!((batch.len(), &batch[1][..]), (2, wanted.as_bytes()));
        }
    }

    #[test]
    fn a_closed_outbox_forgets_and_refuses() {
        let outbox = outbox(10, 100);
        outbox.put(Class::Ack, "1".into()).expect("room");
        outbox.close();
        assert!(taken(&outbox).is_empty());
        assert_eq!(outbox.put(Class::Ack, "2".into()), Err(NotSent::NoPeer));
    }
}
