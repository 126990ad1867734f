//! The host's links: what leaves for its peers and what comes from them, a frame at a time.
//!
//! It keeps frames that came before their turn or before the view they speak of, judges by arc whether a frame may be stored,
//! and turns one cumulative number into receipts for many arcs.
//!
//! Invariant: a frame is stored whole before it is acknowledged, or not acknowledged.

use std::{sync::Arc, time::Duration};

use super::{Frame, Host, LinkName, WORKERS_MAX};
use crate::{
    id::{ArcId, CommitNumber, NodeId, ViewNumber},
    moment::Moment,
    replication::{
        ArcContent, ArcMessage, Commit, Effect, LinkAck, LinkReceiver, LinkSender, Received, Replica, Rule,
        link::Turn as FrameTurn, settings::Around,
    },
};

/// What a message takes besides its content, roughly.
const HEAD: usize = 32;
/// Frames that wait for a view, on one link.
const PARKED_MAX: usize = 64;

/// Whether a frame may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Everything in it may.
    Storable,
    /// Something in it is of a primary that this node knows deposed, and that does not know it yet.
    Refused,
}

/// What has gathered for one link, parted into frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outgoing {
    /// Messages, and how many bytes they are.
    frames: Vec<(Vec<ArcMessage>, usize)>,
    bytes: usize,
}

impl Outgoing {
    /// A message larger than a frame goes alone.
    fn push(&mut self, message: ArcMessage, frame_bytes: usize) {
        let bytes = message.content.size() + HEAD;
        self.bytes += bytes;
        match self.frames.last_mut() {
            Some((messages, held)) if *held + bytes <= frame_bytes => {
                messages.push(message);
                *held += bytes;
            }
            _ => self.frames.push((vec![message], bytes)),
        }
    }
}

impl Host {
    /// Whether something waits for `flush`.
    #[must_use]
    pub fn has_outbox(&self) -> bool {
        self.outbox.values().any(|outgoing| !outgoing.frames.is_empty())
    }

    /// Which of the links to `peer` carries an arc.
    pub(super) fn stream(&self, peer: NodeId, arc: ArcId) -> u16 {
        let theirs = self.surroundings.view.member(peer).map_or(1, |m| m.workers.max(1));
        arc.0 % self.workers.max(theirs)
    }

    /// Whether a link may take no more: what it has not acknowledged, and what has gathered since the last flush.
    pub(super) fn is_window_full(&self, link: LinkName) -> bool {
        let gathered = self.outbox.get(&link).map_or(0, |outgoing| outgoing.bytes);
        self.senders.get(&link).map_or(gathered >= self.window_bytes, |sender| sender.is_full_with(gathered))
    }

    /// Moves what is for backups from the effects to the outbox, in order.
    pub(super) fn collect(&mut self, from: usize, out: &mut Vec<Effect>) {
        for effect in out.extract_if(from.., |effect| matches!(effect, Effect::ToBackup { .. })) {
            if let Effect::ToBackup { to, message } = effect {
                let link = (to, self.stream(to, message.arc));
                self.outbox.get_or_insert_with(link, Outgoing::default).push(message, self.settings.frame_bytes);
            }
        }
    }

    /// Sends what the outbox holds: one frame a link, or several where one would be too large.
    pub fn flush(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let view = self.surroundings.view.number;
        let window_bytes = self.window_bytes;
        for (link, outgoing) in self.outbox.iter_mut() {
            let (peer, stream) = *link;
            if outgoing.frames.is_empty() {
                continue;
            }
            let sender =
                self.senders.get_or_insert_with(*link, || LinkSender::new(now.as_nanos().max(1), window_bytes));
            for (messages, bytes) in std::mem::take(outgoing).frames {
                let messages = Arc::new(messages);
                let head = sender.push(Arc::clone(&messages), bytes, view, now);
                out.push(Effect::Frame { to: peer, frame: Frame { stream, head, messages } });
            }
        }
    }

    pub(super) fn resend(&mut self, link: LinkName, after: Duration, now: Moment, out: &mut Vec<Effect>) {
        let view = self.surroundings.view.number;
        let Some(sender) = self.senders.get_mut(&link) else { return };
        for (head, messages) in sender.resend(after, view, now) {
            let frame = Frame { stream: link.1, head, messages: Arc::clone(messages) };
            out.push(Effect::Frame { to: link.0, frame });
        }
    }

    /// Takes a frame of a peer: stores it whole and acknowledges, or keeps it until its turn and its view have come, or
    /// refuses it.
    pub fn handle_frame(&mut self, from: NodeId, frame: Frame, now: Moment, out: &mut Vec<Effect>) {
        // Of a peer that is broken: what is kept for a link is bounded, and so are links.
        if frame.stream >= WORKERS_MAX.max(self.workers) {
            return;
        }
        let link = (from, frame.stream);
        if frame.head.view > self.surroundings.view.number {
            out.push(Effect::NeedsView { of: from, number: frame.head.view });
        }
        match self.receivers.entry(link).or_default().turn(&frame.head) {
            FrameTurn::Next | FrameTurn::Early => self.park(link, frame),
            FrameTurn::Repeated | FrameTurn::Stale => {}
        }
        self.take_parked(link, now, out);
    }

    /// Keeps a frame for its turn; of too many the lowest numbers, which are needed first.
    fn park(&mut self, link: LinkName, frame: Frame) {
        let parked = self.parked.entry(link).or_default();
        parked.insert(frame.head.number, frame);
        if parked.len() > PARKED_MAX {
            parked.pop_last();
        }
    }

    /// Stores the parked frames whose turn has come, and acknowledges.
    pub(super) fn take_parked(&mut self, link: LinkName, now: Moment, out: &mut Vec<Effect>) {
        let (from, stream) = link;
        let installed = self.surroundings.view.number;
        let Some(mut parked) = self.parked.remove(&link) else {
            self.acknowledge(link, false, out);
            return;
        };
        let mut refused = false;
        while let Some(next) = parked.first_entry() {
            let head = next.get().head;
            let turn = self.receivers.entry(link).or_default().turn(&head);
            if turn == FrameTurn::Early || head.view > installed {
                break;
            }
            let frame = next.remove();
            if turn != FrameTurn::Next {
                continue;
            }
            if self.judge(from, &frame) == Verdict::Refused {
                refused = true;
                break;
            }
            // With a gap nothing is acknowledged, and the primary drops this backup when its patience ends.
            let messages = Arc::unwrap_or_clone(frame.messages);
            self.look_ahead_of(&messages);
            if !messages.into_iter().all(|message| self.store(from, message, now, out)) {
                break;
            }
            self.receivers.entry((from, stream)).or_default().accept();
        }
        if !parked.is_empty() {
            self.parked.insert(link, parked);
        }
        self.acknowledge(link, refused, out);
    }

    fn acknowledge(&self, link: LinkName, refused: bool, out: &mut Vec<Effect>) {
        let (generation, upto) = self.receivers.get(&link).map_or((0, 0), LinkReceiver::acknowledged);
        let ack = LinkAck { generation, upto, stamp: self.surroundings.view.number, refused };
        out.push(Effect::Ack { to: link.0, stream: link.1, ack });
    }

    /// Fencing by arc: only what is of an older `since`, or for an arc this node has no part in, is refused, and only while
    /// its sender does not know better. A sender that has this node's view or a newer one has left it in its window.
    fn judge(&self, from: NodeId, frame: &Frame) -> Verdict {
        let view = &self.surroundings.view;
        if frame.head.view >= view.number || !self.settings.rules.hold(Rule::Fencing) {
            return Verdict::Storable;
        }
        let stale = |message: &ArcMessage| {
            view.arc(message.arc).is_none_or(|entry| {
                message.since < entry.since || (frame.head.view < entry.changed && !self.takes(from, message))
            })
        };
        if frame.messages.iter().any(stale) { Verdict::Refused } else { Verdict::Storable }
    }

    /// Whether this node is at the receiving end of that primary's stream for the arc.
    fn takes(&self, from: NodeId, message: &ArcMessage) -> bool {
        let entry = self.surroundings.view.arc(message.arc);
        if entry.is_none_or(|e| e.primary != from || e.since != message.since) {
            return !self.settings.rules.hold(Rule::Fencing);
        }
        match self.replicas.get(message.arc) {
            Some(Replica::Backup(_)) => true,
            Some(Replica::Learner(learner)) => {
                matches!(message.content, ArcContent::Chunk(_)) || learner.follows(message.since)
            }
            _ => false,
        }
    }

    /// Stores one message of a storable frame, or passes over what its sender knows to be void; false if a commit before it
    /// is missing, so that it must not be acknowledged.
    fn store(&mut self, from: NodeId, message: ArcMessage, now: Moment, out: &mut Vec<Effect>) -> bool {
        if !self.takes(from, &message) {
            return true;
        }
        let (limits, rules) = (self.settings.replies, self.settings.rules);
        let ArcMessage { arc, since, committed, content } = message;
        let done = match &content {
            ArcContent::Answering(call, commit) => Some(done(*call, from, commit)),
            _ => None,
        };
        let stored = match self.replicas.get_mut(arc) {
            Some(Replica::Backup(backup)) => match content {
                ArcContent::Commit(commit) | ArcContent::Answering(_, commit) => {
                    backup.handle_next(commit, committed, &limits, rules, now)
                }
                content => {
                    let stored = match content {
                        ArcContent::Start { base, tail } => backup.handle_start(since, base, tail, rules),
                        _ => Ok(()),
                    };
                    if stored.is_ok() {
                        backup.handle_committed(committed, &limits, rules, now);
                    }
                    stored
                }
            },
            Some(Replica::Learner(learner)) => {
                let stored = match content {
                    ArcContent::Commit(commit) | ArcContent::Answering(_, commit) => {
                        learner.handle_commit(commit, &limits, rules, now)
                    }
                    ArcContent::Chunk(chunk) => {
                        learner.handle_chunk(since, *chunk, rules, now);
                        Ok(())
                    }
                    ArcContent::Start { .. } | ArcContent::Committed => Ok(()),
                };
                if stored.is_ok() {
                    learner.handle_committed(committed, &limits, rules, now);
                }
                stored
            }
            _ => Ok(()),
        };
        if stored.is_ok() {
            out.extend(done);
        }
        stored.is_ok()
    }

    /// Takes a link acknowledgement: a lease, and whatever the arcs make of what was stored.
    pub fn handle_ack(&mut self, from: NodeId, stream: u16, ack: &LinkAck, now: Moment, out: &mut Vec<Effect>) {
        let link = (from, stream);
        if ack.stamp > self.surroundings.view.number {
            out.push(Effect::NeedsView { of: from, number: ack.stamp });
        }
        if ack.refused {
            if ack.stamp > self.surroundings.view.number {
                self.refused.insert(link);
            } else {
                self.resend(link, Duration::ZERO, now, out);
            }
        }
        let Some(sender) = self.senders.get_mut(&link) else { return };
        let Some((settled, sent)) = sender.handle_ack(ack.generation, ack.upto) else { return };
        if let Some(sent) = sent {
            self.surroundings.leases.take(from, sent, ack.stamp, self.settings.lease);
        }
        let start = out.len();
        let mut chunks_arrived = false;
        let mut newest: Vec<(ArcId, ViewNumber, CommitNumber)> = Vec::new();
        settled.iter().for_each(|messages| self.look_ahead_to_settle(messages));
        for message in settled.iter().flat_map(|messages| messages.iter()) {
            let receipt = message.receipt();
            match receipt.of {
                Received::Upto(number) => newest.push((receipt.arc, receipt.since, number)),
                Received::Chunk { .. } => {
                    chunks_arrived = true;
                    self.settle(receipt.arc, from, receipt.since, receipt.of, now, out);
                }
                Received::Nothing => {}
            }
        }
        // The numbers of one arc only grow within a link, so the last receipt of each says it all.
        newest.sort_unstable();
        for (at, (arc, since, number)) in newest.iter().enumerate() {
            if newest.get(at + 1).is_none_or(|(next, ..)| next != arc) {
                self.settle(*arc, from, *since, Received::Upto(*number), now, out);
            }
        }
        if chunks_arrived {
            let mut credit = self.chunk_credit().get(&from).copied().unwrap_or(0);
            for arc in &self.restless {
                if let Some(Replica::Primary(primary)) = self.replicas.get_mut(*arc)
                    && primary.feeding().is_some_and(|(to, _)| to == from)
                {
                    primary.feed(&mut credit, &around!(self, now), out);
                }
            }
        }
        self.collect(start, out);
    }

    fn settle(
        &mut self,
        arc: ArcId,
        from: NodeId,
        since: ViewNumber,
        received: Received,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        if let Some(Replica::Primary(primary)) = self.replicas.get_mut(arc) {
            primary.handle_receipt(from, since, received, &around!(self, now), out);
        }
    }
}

/// What a commit that is stored here tells a caller of this node.
fn done(call: u64, by: NodeId, commit: &Commit) -> Effect {
    let entry = commit.changes.iter().find_map(|change| change.reply.as_ref());
    let reply = entry.map(|entry| entry.reply.clone()).unwrap_or_default();
    Effect::Done { call, by, number: commit.id.number, reply }
}

#[cfg(test)]
mod tests;
