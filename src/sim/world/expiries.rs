//! What a world notes about sessions that end by themselves: each end is an operation of the history like a caller's deletion,
//! and none may come before the session's time, by the world's own clock.

use std::time::Duration;

use super::{World, nanos};
use crate::{
    id::NodeId,
    replication::Token,
    sim::{
        check::{Action, OperationNumber, Outcome, Reply},
        register::span_of,
    },
};

/// Who asks for an end in the history: no client.
const NOBODY: u32 = u32::MAX;

/// An end that was appended and is not yet known as committed.
#[derive(Debug)]
pub(super) struct Ending {
    operation: OperationNumber,
    appended: u64,
    /// The newest use that was answered before.
    last_use: u64,
}

impl World {
    /// An operation was answered: from now on its session has that much longer.
    pub(super) fn used(&mut self, session: u32, action: Action, reply: Reply, invoked: u64) {
        let Some(span) = span_of(session, self.setting.lifetimes) else { return };
        let sets = match action {
            Action::Write { .. } => true,
            Action::Create { .. } => reply.value.is_none(),
            Action::Read | Action::Delete => false,
        };
        if sets || span.idle.is_some() {
            let last = self.uses.entry(session).or_default();
            *last = invoked.max(*last);
        }
    }

    pub(super) fn ending(&mut self, by: NodeId, session: u32, token: Token) {
        self.order += 1;
        match self.history.invoke(session, NOBODY, self.order, Action::Delete) {
            Ok(operation) => {
                let last_use = self.uses.get(&session).copied().unwrap_or_default();
                self.endings.insert((by, token), Ending { operation, appended: self.now, last_use });
            }
            Err(fault) => self.violated("history", fault),
        }
    }

    pub(super) fn ended(&mut self, by: NodeId, session: u32, token: Token, reply: Reply) {
        let Some(ending) = self.endings.remove(&(by, token)) else { return };
        self.mark("a session came to its end");
        self.order += 1;
        if let Err(fault) = self.history.answer(ending.operation, self.order, Outcome::Done(reply)) {
            self.violated("history", fault);
        }
        let lasts = self.setting.lifetimes.unwrap_or_default();
        // The clocks of the copies may be one in a thousand apart.
        let least = lasts - lasts / 500;
        if ending.appended - ending.last_use < nanos(least) {
            let after = Duration::from_nanos(ending.appended - ending.last_use);
            self.violated(
                "lifetimes",
                format_args!("{by} ended session {session} {after:?} after it was used, and it lives {lasts:?}"),
            );
        }
    }
}
