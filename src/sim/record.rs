//! What a world notes down of itself: a trace for people, if one is wanted, and the figures that expectations speak of.
//!
//! It is told and never asked by the world, so that a run is the same whether or not it is noted down.

use std::{sync::Arc, time::Duration};

use super::{
    check::{OperationNumber, Outcome},
    packet::Packet,
    scenario::{Deed, Idle},
    trace::{ArcRoles, Trace, What},
};
use crate::{
    id::{ArcId, NodeId, NodeName, ViewNumber},
    membership::{ArcEntry, View},
};

/// A node that was lost, and what became of the arcs that it served.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// When, in nanoseconds of the world.
    pub(crate) at: u64,
    /// Who.
    pub(crate) node: NodeId,
    /// The arcs that it served.
    pub(crate) arcs: Vec<ArcId>,
    /// How long until all of them were served again.
    pub(crate) promoted: Option<Duration>,
    /// How long until all was fully protected again.
    pub(crate) protected: Option<Duration>,
}

/// What is noted down.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What happened, if it is to be noted down.
    pub(crate) trace: Option<Box<Trace>>,
    /// Whether the trace has messages between nodes.
    pub(crate) messages: bool,
    /// Nodes that were lost.
    pub(crate) losses: Vec<Loss>,
    /// How long the caller waited who waited longest, of those that were answered.
    pub(crate) longest_wait: Duration,
    /// Callers that were answered with a failure, or not at all.
    pub(crate) failed: u64,
    /// How long after its set end a session was there that was there longest; `None`: none had one.
    pub(crate) latest_end: Option<Duration>,
    /// Steps that changed nothing, and why.
    pub(crate) idle: Vec<String>,
}

impl Record {
    fn note(&mut self, now: u64, what: impl FnOnce() -> What) {
        if let Some(trace) = &mut self.trace {
            trace.note(now / 1_000, what());
        }
    }

    pub(crate) fn mark(&mut self, now: u64, what: &str) {
        self.note(now, || What::Mark { words: what.to_owned() });
    }

    pub(crate) fn started(&mut self, now: u64, node: NodeId) {
        let process = || node.incarnation.to_string().chars().take(8).collect();
        self.note(now, || What::Started { node: node.name.to_string(), process: process() });
    }

    pub(crate) fn ended(&mut self, now: u64, name: NodeName, how: &str) {
        self.note(now, || What::Ended { node: name.to_string(), how: how.to_owned() });
    }

    pub(crate) fn paused(&mut self, now: u64, name: NodeName, stops: bool) {
        let node = name.to_string();
        self.note(now, || if stops { What::Paused { node } } else { What::Resumed { node } });
    }

    pub(crate) fn cut(&mut self, now: u64, from: NodeName, to: NodeName) {
        self.note(now, || What::Cut { from: from.to_string(), to: to.to_string() });
    }

    pub(crate) fn mended(&mut self, now: u64, from: NodeName, to: NodeName) {
        self.note(now, || What::Mended { from: from.to_string(), to: to.to_string() });
    }

    pub(crate) fn step(&mut self, now: u64, words: String, nodes: &[NodeName]) {
        self.note(now, || What::Step { words, nodes: nodes.iter().map(NodeName::to_string).collect() });
    }

    /// The step did nothing, or nothing to one of those it names.
    pub(crate) fn idle(&mut self, now: u64, deed: &Deed, why: Idle) {
        let words = format!("{:?}, {deed}: nothing happened, for {why}", Duration::from_nanos(now));
        self.note(now, || What::Mark { words: format!("nothing happened: {why}") });
        self.idle.push(words);
    }

    pub(crate) fn expected(&mut self, now: u64, words: String, holds: bool) {
        self.note(now, || What::Expected { words, holds });
    }

    pub(crate) fn installed(&mut self, now: u64, node: NodeName, number: ViewNumber) {
        self.note(now, || What::Installed { node: node.to_string(), number: number.0 });
    }

    pub(crate) fn view(&mut self, now: u64, view: &View) {
        self.note(now, || {
            let name = |node: &NodeId| node.name.to_string();
            let roles = |entry: &Arc<ArcEntry>| ArcRoles {
                primary: name(&entry.primary),
                served: view.is_member(entry.primary),
                in_sync: entry.in_sync.iter().map(name).collect(),
                catching_up: entry.catching_up.as_ref().map(name),
                lost: entry.open_loss().is_some(),
            };
            What::View {
                number: view.number.0,
                members: view.members.iter().map(|member| name(&member.node)).collect(),
                voters: view.voters.iter().map(name).collect(),
                arcs: view.arcs.iter().map(roles).collect(),
            }
        });
    }

    pub(crate) fn asked(
        &mut self,
        now: u64,
        operation: OperationNumber,
        (client, session): (u32, u32),
        words: impl FnOnce() -> String,
        arc: ArcId,
    ) {
        self.note(now, || What::Asked {
            operation: operation.index() as u64,
            client,
            session: session.to_string(),
            arc: arc.0,
            words: words(),
        });
    }

    pub(crate) fn answered(&mut self, now: u64, operation: OperationNumber, outcome: Outcome, invoked: u64) {
        match outcome {
            Outcome::Done(_) => {
                self.longest_wait = self.longest_wait.max(Duration::from_nanos(now - invoked));
            }
            Outcome::NotDone | Outcome::Unknown => self.failed += 1,
        }
        self.note(now, || What::Answered {
            operation: operation.index() as u64,
            words: outcome.to_string(),
            done: matches!(outcome, Outcome::Done(_)),
        });
    }

    /// A session was there, or was ended, so long after its set end.
    pub(crate) fn there_after_its_end(&mut self, late: Duration) {
        self.latest_end = self.latest_end.max(Some(late));
    }

    pub(crate) fn sent(&mut self, now: u64, from: NodeName, to: NodeName, packet: &Packet, after: Option<Duration>) {
        if !self.messages {
            return;
        }
        self.note(now, || What::Sent {
            from: from.to_string(),
            to: to.to_string(),
            words: packet.words(),
            arrives_us: after.map(|after| (now + after.as_nanos() as u64) / 1_000),
        });
    }
}
