//! What a simulated node does with a call of several sessions of an arc: one commit for all of them, as the runtime makes it.
//!
//! Each part is run on what is stored, so none sees what another of them changed. The first session remembers the answer for all.

use super::{
    Promised, SimNode, Stage,
    sessions::{asker, found},
};
use crate::{
    id::{ArcId, CommitNumber},
    membership::View,
    moment::Moment,
    replication::{
        ArcContent, Body, Changes, Durability, Frame, Known, Lifespan, Replica, ReplyEntry, SessionChange, Use,
    },
    sim::{
        check::Action,
        packet::{Answer, Output, Request, Told},
        register::{body_for, decode_told, encode_told, register_of, session_key, values_of},
        several::{Part, SeveralReplies},
    },
};

/// So many commits are looked for in what is sent.
const RECENT_MAX: usize = 16;

/// One commit of several sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    arc: ArcId,
    number: CommitNumber,
    changes: usize,
}

impl Recent {
    /// Whether a frame has only a part of it: what lies behind the cursor of a catch-up.
    pub(super) fn is_parted_in(&self, frame: &Frame) -> bool {
        frame.messages.iter().filter(|message| message.arc == self.arc).any(|message| {
            matches!(&message.content, ArcContent::Commit(commit) | ArcContent::Answering(_, commit)
                if commit.id.number == self.number && commit.changes.len() < self.changes)
        })
    }
}

impl SimNode {
    /// Takes a call of several sessions, on the arc of all of them.
    pub(super) fn handle_together(&mut self, arc: ArcId, request: &Request, now: Moment, out: &mut Vec<Output>) {
        let answer = |answer| Output::Answer(request.client, request.attempt, answer);
        let first = Part { session: request.session, action: request.action };
        let parts: Vec<Part> = [Some(first)].into_iter().chain(request.along).flatten().collect();
        for part in &parts {
            self.end_if_over(arc, &session_key(part.session), now, out);
        }
        let token = self.draw_token();
        let Stage::Serving(serving) = &mut self.stage else { return };
        let Ok(primary) = serving.host.serve(arc, now) else {
            out.push(answer(Answer::Retry(None)));
            return;
        };
        let asker = asker(request, primary.in_sync());
        let record = |session: u32| primary.store().get(&session_key(session));
        let replies = record(first.session).and_then(|record| record.replies.as_ref());
        let known = replies.map_or(Known::New, |table| table.look_up(&request.id, &self.replication.replies, now));
        let lost = |part: &Part| {
            primary.open_loss().is_some()
                && record(part.session).is_none()
                && !matches!(part.action, Action::Create { .. })
        };
        let mut effects = Vec::new();
        match known {
            Known::Answered(number, reply) => {
                let told = decode_told(&reply);
                self.promised.insert(token, Promised::Answer(request.client, request.attempt, told));
                serving.host.answer(arc, number, token, now, &mut effects);
            }
            Known::TooOld => out.push(answer(Answer::TooOld)),
            Known::FullOfReplies | Known::FullOfClients(_) => out.push(answer(Answer::Retry(None))),
            // All of them or none.
            Known::New if parts.iter().any(lost) => out.push(answer(Answer::Lost)),
            Known::New => {
                let mut changes = Changes::new();
                let mut replies = Vec::new();
                for part in &parts {
                    let key = session_key(part.session);
                    let values = record(part.session).map(values_of).unwrap_or_default();
                    let before = register_of(&values);
                    let (after, reply) = part.action.apply(before);
                    out.extend(found(self.lifetimes, &self.wrote, part.session, &values));
                    replies.push(reply);
                    let (body, life) = match (after == before, after.value) {
                        (true, _) => (Body::Unchanged, None),
                        (false, None) => (body_for(&values, None), Some(Lifespan::FOR_EVER)),
                        (false, Some(value)) => {
                            self.wrote.extend(self.lifetimes.map(|_| value));
                            let said = self.lifetimes.and_then(|lifetimes| lifetimes.said_by(part.session, value));
                            (body_for(&values, Some(value)), said)
                        }
                    };
                    changes.push(SessionChange { key, body, reply: None, life, copied: true });
                }
                let mut along = replies.iter().copied().skip(1);
                let told = Told {
                    reply: replies[0],
                    said: None,
                    along: request.along.map(|part| part.and_then(|_| along.next())) as SeveralReplies,
                };
                changes[0].reply = Some(ReplyEntry { request: request.id, reply: encode_told(told) });
                // What changes nothing and remembers nothing is no part of the commit, unless the copies have to hear of a use.
                let host = &mut serving.host;
                changes.retain(|change| {
                    change.body != Body::Unchanged
                        || change.reply.is_some()
                        || host.used(arc, &change.key, now) == Use::ToTell
                });
                let count = changes.len();
                self.promised.insert(token, Promised::Answer(request.client, request.attempt, told));
                let number = host.append_for((token, asker), arc, changes, Durability::Sync, now, &mut effects);
                if self.together.len() == RECENT_MAX {
                    self.together.pop_front();
                }
                self.together.push_back(Recent { arc, number, changes: count });
                out.push(Output::Reached("several sessions stood in one commit"));
            }
        }
        self.follow_host(effects, now, out);
        self.flush(now, out);
    }

    /// Whether a view makes this node the primary of an arc of which it holds a commit of several sessions that it does not know as
    /// committed.
    pub(super) fn promotes_together(&self, view: &View) -> bool {
        let Stage::Serving(serving) = &self.stage else { return false };
        serving.host.replicas().any(|(arc, replica)| {
            let Replica::Backup(backup) = replica else { return false };
            view.arc(arc).is_some_and(|entry| entry.primary == self.id())
                && backup.tail().iter().any(|commit| commit.changes.len() > 1)
        })
    }
}
