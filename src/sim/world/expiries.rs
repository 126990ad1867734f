//! What a world notes about sessions that end by themselves: each end is an operation of the history like a caller's deletion,
//! and none may come before the session's time, by the world's own clock, nor to one that was to live for ever.

use std::time::Duration;

use super::{World, nanos};
use crate::{
    id::NodeId,
    replication::Token,
    sim::{
        check::{Action, OperationNumber, Outcome, Reply},
        lifetimes::{Decided, Kind, kind_of},
        register::session_key,
    },
};

/// Who asks for an end in the history: no client.
const NOBODY: u32 = u32::MAX;

/// When a value was asked to be written, and when that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    asked: u64,
    answered: Option<u64>,
}

/// An end that was appended and is not yet known as committed.
#[derive(Debug)]
pub(super) struct Ending {
    operation: OperationNumber,
    appended: u64,
    /// The newest use that was answered before.
    last_use: u64,
    /// Where the end was set, what decided it.
    decided: Option<Decided>,
}

impl World {
    /// Somebody asks for this.
    pub(super) fn note_written(&mut self, action: Action) {
        if self.setting.lifetimes.is_some()
            && let Some(value) = action.writes()
        {
            self.written.insert(value, Written { asked: self.now, answered: None });
        }
    }

    /// An operation was answered: from now on its session has that much longer.
    pub(super) fn used(&mut self, session: u32, action: Action, reply: Reply, invoked: u64) {
        if self.setting.lifetimes.is_none() {
            return;
        }
        let now = self.now;
        if let Some(written) = action.writes().and_then(|value| self.written.get_mut(&value)) {
            // Of a session that was there already nothing was created, and this value says nothing.
            let wrote = matches!(action, Action::Write { .. }) || reply.value.is_none();
            written.answered = wrote.then_some(now);
        }
        if kind_of(session) == Kind::Idles {
            let last = self.uses.entry(session).or_default();
            *last = invoked.max(*last);
        }
    }

    /// A session with a set end was found there. What one finds that is no longer its primary and does not know, nobody is told.
    pub(super) fn found(&mut self, by: NodeId, session: u32, decided: Decided, by_copy: bool) {
        let arc = session_key(session).arc(self.setting.arcs);
        if self.newest.as_ref().and_then(|view| view.arc(arc)).is_none_or(|entry| entry.primary != by) {
            return;
        }
        match decided {
            Decided::Unsaid => {}
            Decided::Ends(value) => self.note_late(value, self.now),
            Decided::Persists(_, ended) => {
                let late = ended.and_then(|value| self.late(value, self.now));
                if by_copy && late.is_some_and(|late| late > Duration::ZERO) {
                    self.mark("a session outlived on another primary an end that was taken back");
                }
            }
        }
    }

    /// How long after the end that the write of this value had set; `None` if nobody was told of that write.
    fn late(&self, value: u64, at: u64) -> Option<Duration> {
        let lasts = self.setting.lifetimes?.lasts;
        let answered = self.written.get(&value)?.answered?;
        Some(Duration::from_nanos(at.saturating_sub(answered)).saturating_sub(lasts))
    }

    /// A session was there at this time, or was ended then.
    fn note_late(&mut self, value: u64, at: u64) {
        if let Some(late) = self.late(value, at) {
            self.record.there_after_its_end(late);
        }
    }

    pub(super) fn ending(&mut self, by: NodeId, session: u32, token: Token, decided: Option<Decided>) {
        self.order += 1;
        match self.history.invoke(session, NOBODY, self.order, Action::Delete) {
            Ok(operation) => {
                let last_use = self.uses.get(&session).copied().unwrap_or_default();
                let ending = Ending { operation, appended: self.now, last_use, decided };
                self.endings.insert((by, token), ending);
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
        let lasts = self.setting.lifetimes.map(|lifetimes| lifetimes.lasts).unwrap_or_default();
        let from = match ending.decided {
            None => ending.last_use,
            Some(Decided::Ends(value)) => {
                self.note_late(value, ending.appended);
                let Some(written) = self.written.get(&value) else { return };
                written.asked
            }
            Some(Decided::Persists(..) | Decided::Unsaid) => {
                self.violated("lifetimes", format_args!("{by} ended session {session}, which was to live for ever"));
                return;
            }
        };
        // The clocks of the copies may be one in a thousand apart.
        let least = lasts - lasts / 500;
        if ending.appended - from < nanos(least) {
            let after = Duration::from_nanos(ending.appended - from);
            self.violated(
                "lifetimes",
                format_args!("{by} ended session {session} {after:?} after it was used, and it lives {lasts:?}"),
            );
        }
    }
}
