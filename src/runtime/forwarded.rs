//! `Forwarded`: the way back of one call that another node has sent on to this one.
//!
//! Invariant: whoever sent it hears of it exactly once. If it is dropped without an answer, with a worker that panicked, the
//! other node's router is told so, and asks again under the same identity instead of waiting for its deadline.

use std::sync::Arc;

use super::{
    message::{CallOutcome, DataMessage, ForwardedReply},
    shared::Shared,
};
use crate::{id::NodeId, transport::Class};

/// The way to the node that has sent calls on: of all those of one message.
pub(super) struct Way {
    shared: Arc<Shared>,
    to: NodeId,
}

impl Way {
    pub(super) fn new(shared: &Arc<Shared>, to: NodeId) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), to })
    }
}

/// The way back of one call, and what it is called there.
pub(crate) struct Forwarded {
    way: Arc<Way>,
    call: u64,
    is_answered: bool,
}

impl Forwarded {
    pub(super) const fn new(way: Arc<Way>, call: u64) -> Self {
        Self { way, call, is_answered: false }
    }

    /// Who sent it.
    pub(super) fn to(&self) -> NodeId {
        self.way.to
    }

    /// Its name there.
    pub(super) const fn call(&self) -> u64 {
        self.call
    }

    /// Its name there, for whoever answers it with others.
    pub(super) fn answered(mut self) -> u64 {
        self.is_answered = true;
        self.call
    }

    /// Sends the outcome. If it cannot be sent, its caller asks again with the same identity.
    pub(super) fn answer(mut self, outcome: CallOutcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: CallOutcome) {
        if !std::mem::replace(&mut self.is_answered, true) {
            let reply = ForwardedReply { call: self.call, outcome };
            let _ = self.way.shared.send_data(self.way.to, Class::Reply, &DataMessage::Replies(vec![reply]));
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.send(CallOutcome::Unknown);
    }
}
