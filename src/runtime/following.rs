//! Carrying out what a worker's host asked for: frames, acknowledgements, replies, words to the view keeper.

use std::sync::atomic::Ordering;

use super::{
    clock,
    message::{CallOutcome, DataMessage, ForwardedReply},
    tasks::After,
    view_keeper::KeeperInput,
    watchers,
    worker::{ReplyTo, Waiting, WorkerState},
};
use crate::{
    event::EventKind,
    id::{ArcId, NodeId, ViewNumber},
    replication::{Broken, Effect, Frame, Token},
    transport::Class,
};

impl WorkerState {
    /// Carries out what the host asked for.
    pub(super) fn follow(&mut self) {
        let mut promoted: Vec<ArcId> = Vec::new();
        let mut wishes = Vec::new();
        let mut done = std::mem::take(&mut self.done);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Frame { to, frame } => self.send_frame(to, frame),
                Effect::Ack { to, stream, mut ack } => {
                    let mut granting = self.shared.granting();
                    // Another worker may have installed a newer view: what this one grants would be of the older.
                    if granting.stamp == ack.stamp {
                        granting.grants.give(to, clock::now(), self.shared.settings.replication.lease);
                    } else {
                        ack.stamp = ViewNumber::default();
                    }
                    drop(granting);
                    let _ = self.shared.queue_data(to, Class::Ack, &DataMessage::Ack(stream, ack));
                    self.shared.owe(to);
                    self.to_write.owes();
                }
                Effect::Release(token) => self.let_go(token, false),
                Effect::Told(token) => self.let_go(token, true),
                Effect::Done { call, by, number, reply } => {
                    done.push((by, ForwardedReply { call, outcome: CallOutcome::Done(reply, number.0) }));
                }
                Effect::Fail(token, Broken::Deposed) => {
                    if let Some(waiting) = self.waiting.remove(&token) {
                        self.outgoing.give(waiting.reply_to, CallOutcome::Unknown);
                    }
                }
                Effect::Wish(wish) => wishes.push(*wish),
                Effect::NeedsView { of, .. } => self.shared.tell_keeper(KeeperInput::Fetch(of)),
                Effect::Serving { arc, .. } => {
                    self.forget_objects(arc);
                    promoted.push(arc);
                }
                Effect::SteppedDown(arc) => {
                    self.forget_objects(arc);
                    watchers::send_on(self, arc);
                }
                Effect::Confirm(voter) => self.shared.orders.ask(voter),
                Effect::ToBackup { .. } => {}
            }
        }
        self.effects = effects;
        self.to_write.wakes(self.shared.calls.handle_replies(done.drain(..)));
        self.done = done;
        self.outgoing.leave(&self.shared, &mut self.to_write);
        if !wishes.is_empty() {
            self.shared.tell_keeper(KeeperInput::Wishes(wishes));
        }
        if !promoted.is_empty() {
            let view = self.shared.installed[usize::from(self.number)].load(Ordering::Acquire);
            self.shared.tell(EventKind::Promoted { arcs: promoted.iter().map(|a| a.0).collect(), view });
        }
    }

    /// A reply may leave, unless its asker has been told it.
    fn let_go(&mut self, token: Token, is_told: bool) {
        let Some(Waiting { reply_to, outcome, after }) = self.waiting.remove(&token) else { return };
        if is_told {
            reply_to.told();
        } else {
            // Whoever has something to take looks after this, be it that they were woken before.
            self.to_write.wakes(matches!(reply_to, ReplyTo::Gathered(_)));
            self.outgoing.give(reply_to, outcome);
        }
        if let Some(after) = after {
            After::begin(*after, &self.shared);
        }
    }

    /// An arc changes hands: what is decoded of it may not be what it will be.
    fn forget_objects(&mut self, arc: ArcId) {
        self.live.forget_arc(arc);
        self.dedicated.forget_arc(arc);
    }

    fn send_frame(&mut self, to: NodeId, frame: Frame) {
        // Chunks share their stream's numbers with commits, so they share its class: held back, they would hold commits up.
        // Their credit, a few chunks for each peer, bounds how long a commit waits behind them.
        let _ = self.shared.queue_data(to, Class::Replicate, &DataMessage::Frame(frame));
        self.to_write.add(to);
    }
}
