//! `Forwarded`: the way back of one call that another node has sent on to this one.
//!
//! Invariant: whoever sent it hears of it exactly once. If it is dropped without an answer, with a worker that panicked, the
//! other node's router is told so, and asks again under the same identity instead of waiting for its deadline.

use std::sync::Arc;

use super::{
    message::{CallOutcome, ControlMessage, ForwardedReply},
    shared::Shared,
};
use crate::{id::NodeId, transport::Class};

/// To whom, and what it calls the call.
pub(crate) struct Forwarded {
    /// Taken by the answer.
    way: Option<(Arc<Shared>, NodeId, u64)>,
}

impl Forwarded {
    pub(super) fn new(shared: &Arc<Shared>, to: NodeId, call: u64) -> Self {
        Self { way: Some((Arc::clone(shared), to, call)) }
    }

    /// Sends the outcome. If it cannot be sent, its caller asks again with the same identity.
    pub(super) fn answer(mut self, outcome: CallOutcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: CallOutcome) {
        if let Some((shared, to, call)) = self.way.take() {
            let reply = ControlMessage::Reply(ForwardedReply { call, outcome });
            let _ = shared.send_control(to, Class::Reply, &reply);
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.send(CallOutcome::Unknown);
    }
}
