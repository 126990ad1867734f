//! `Outgoing`: answers that a worker gives while it carries out what its host asked for, gathered until all are there.
//!
//! What is for one node leaves as one message, and a caller of many is woken once. It holds nothing between two messages of the
//! worker. Where the worker panics in between, callers are woken all the same, and other nodes are told that nobody knows.

use std::sync::Arc;

use super::{
    answers::{Answers, Came},
    forwarded::Forwarded,
    message::{CallOutcome, DataMessage, ForwardedReply},
    shared::Shared,
    to_write::ToWrite,
    worker::ReplyTo,
};
use crate::{
    id::NodeId,
    transport::{Class, NotSent},
};

/// Replies of about so many bytes are one message.
const MESSAGE_BYTES: usize = 64 << 10;
/// What a reply takes besides what it carries, about.
const HEAD: usize = 48;

/// Answers that have not left yet.
#[derive(Default)]
pub(super) struct Outgoing {
    replies: Vec<(NodeId, Vec<(Forwarded, CallOutcome)>)>,
    wake: Vec<Arc<Answers>>,
}

impl Outgoing {
    /// Gives an outcome to whoever waits for it, at the next `leave` at the latest.
    pub(super) fn give(&mut self, reply_to: ReplyTo, outcome: CallOutcome) {
        match reply_to {
            ReplyTo::Gathered(answer) => self.wake.extend(answer.give(Came::Outcome(outcome))),
            ReplyTo::There(forwarded) => {
                let to = forwarded.to();
                match self.replies.iter_mut().find(|(node, _)| *node == to) {
                    Some((_, replies)) => replies.push((forwarded, outcome)),
                    None => self.replies.push((to, vec![(forwarded, outcome)])),
                }
            }
            reply_to => reply_to.give(outcome),
        }
    }

    /// Queues and tells what was given, and adds to `to_write` for whom something was queued.
    pub(super) fn leave(&mut self, shared: &Shared, to_write: &mut ToWrite) {
        to_write.wakes(!self.wake.is_empty());
        for caller in self.wake.drain(..) {
            caller.wake();
        }
        for (to, replies) in &mut self.replies {
            to_write.add(*to);
            let mut message = Vec::with_capacity(replies.len());
            let mut bytes = 0;
            for (forwarded, outcome) in replies.drain(..) {
                let size = HEAD + outcome.size();
                if bytes + size > MESSAGE_BYTES && !message.is_empty() {
                    send(shared, *to, std::mem::take(&mut message));
                    bytes = 0;
                }
                bytes += size;
                message.push(ForwardedReply { call: forwarded.answered(), outcome });
            }
            if !message.is_empty() {
                send(shared, *to, message);
            }
        }
        // A node that is gone is not remembered; one that is there soon has replies again.
        self.replies.clear();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.wake.iter().for_each(|caller| caller.wake());
    }
}

/// For replies that find no room their callers are told at least that they have to ask again, under the same identity. Where there is
/// none for that either, they learn it from their deadlines.
fn send(shared: &Shared, to: NodeId, replies: Vec<ForwardedReply>) {
    let message = DataMessage::Replies(replies);
    if let Err(NotSent::Full | NotSent::TooLong) = shared.queue_data(to, Class::Reply, &message)
        && let DataMessage::Replies(mut replies) = message
    {
        replies.iter_mut().for_each(|reply| reply.outcome = CallOutcome::Unknown);
        let _ = shared.queue_data(to, Class::Reply, &DataMessage::Replies(replies));
    }
}
