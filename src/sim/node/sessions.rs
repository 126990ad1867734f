//! What a simulated node does with its sessions: answer clients, and end what is over.

use smallvec::smallvec;

use std::collections::{BTreeMap, BTreeSet};

use super::{Promised, SimNode, Stage};
use crate::{
    id::{ArcId, NodeId, SessionKey, ViewNumber},
    kinds::LiveSession,
    moment::Moment,
    replication::{Asker, Body, Durability, Known, Lifespan, NotHere, ReplyEntry, SessionChange, Token, Use},
    sim::{
        check::Action,
        hosting::Kept,
        lifetimes::{Decided, Kind, Lifetimes, kind_of},
        packet::{Answer, Output, Request, Told},
        register::{body_for, decode_told, encode_told, register_of, session_key, session_of, values_of},
        several::{Several, SeveralReplies},
    },
};

/// Sessions ended in one tick, at most.
const ENDED_MAX: usize = 16;

/// The decoded object of a session, if it is one of the time since which this node is its primary.
fn live_of<'l>(
    live: &'l mut BTreeMap<SessionKey, (ViewNumber, LiveSession)>,
    key: &SessionKey,
    since: ViewNumber,
) -> &'l mut LiveSession {
    let (from, object) = live.entry(key.clone()).or_insert_with(|| (since, LiveSession::new()));
    if std::mem::replace(from, since) != since {
        object.forget();
    }
    object
}

/// What the writes of a session with a set end say of it.
fn decided(lifetimes: Option<Lifetimes>, session: u32, values: &[u64]) -> Option<Decided> {
    let lifetimes = lifetimes.filter(|_| kind_of(session) == Kind::Ends)?;
    Some(lifetimes.decided(values))
}

/// Tells of a session with a set end that is there.
pub(super) fn found(
    lifetimes: Option<Lifetimes>,
    wrote: &BTreeSet<u64>,
    session: u32,
    values: &[u64],
) -> Option<Output> {
    let decided = decided(lifetimes, session, values)?;
    let by_copy = match decided {
        Decided::Unsaid => return None,
        Decided::Ends(value) | Decided::Persists(value, _) => !wrote.contains(&value),
    };
    Some(Output::Found(session, decided, by_copy))
}

/// Every second client calls through the first of the backups. What it is told there finds it by its number and its attempt's.
pub(super) fn asker(request: &Request, in_sync: &[NodeId]) -> Option<Asker> {
    let calls_through = request.client % 2 == 1;
    let node = in_sync.first().copied().filter(|_| calls_through)?;
    Some(Asker { node, call: u64::from(request.client) << 32 | request.attempt & u64::from(u32::MAX) })
}

/// Whom `asker` meant: the client, and its attempt.
pub(super) fn asked(call: u64) -> (u32, u64) {
    let client = u32::try_from(call >> 32).expect("half of it");
    (client, call & u64::from(u32::MAX))
}

impl SimNode {
    /// Takes a client's request.
    pub(crate) fn handle_request(&mut self, request: &Request, now: Moment, out: &mut Vec<Output>) {
        let answer = |answer| Output::Answer(request.client, request.attempt, answer);
        let key = session_key(request.session);
        let arc = match self.arc_served(&key, now) {
            Ok(arc) => arc,
            Err(retry) => {
                out.push(answer(retry));
                return;
            }
        };
        if request.along != Several::default() {
            self.handle_together(arc, request, now, out);
            return;
        }
        self.end_if_over(arc, &key, now, out);
        let token = self.draw_token();
        let Stage::Serving(serving) = &mut self.stage else { return };
        let Ok(primary) = serving.host.serve(arc, now) else {
            out.push(answer(Answer::Retry(None)));
            return;
        };
        let asker = asker(request, primary.in_sync());
        let record = primary.store().get(&key);
        let lost = primary.open_loss().is_some() && record.is_none();
        let replies = record.and_then(|r| r.replies.as_ref());
        let limits = &self.replication.replies;
        let known = replies.map_or(Known::New, |table| table.look_up(&request.id, limits, now));
        let mut effects = Vec::new();
        match known {
            Known::Answered(number, reply) => {
                let told = decode_told(&reply);
                self.promised.insert(token, Promised::Answer(request.client, request.attempt, told));
                serving.host.answer(arc, number, token, now, &mut effects);
            }
            Known::TooOld => out.push(answer(Answer::TooOld)),
            Known::FullOfReplies | Known::FullOfClients(_) => out.push(answer(Answer::Retry(None))),
            // Who makes a session outright may do so where one was lost.
            Known::New if lost && !matches!(request.action, Action::Create { .. }) => out.push(answer(Answer::Lost)),
            Known::New => {
                let values = record.map(values_of).unwrap_or_default();
                let before = register_of(&values);
                let version = record.map(|r| r.version).unwrap_or_default();
                let (after, reply) = request.action.apply(before);
                out.extend(found(self.lifetimes, &self.wrote, request.session, &values));
                let mut said = None;
                let body = match (&self.hosted, request.call) {
                    (Some(hosted), Some(call)) => {
                        let live = live_of(&mut self.live, &key, primary.since());
                        let mut kept = Kept::of(record);
                        let written = (request.action.writes().unwrap_or(0), version.0);
                        let asked = (Some(request.id), now);
                        let outcome = hosted.run(live, &mut kept, &hosted.call(call), written, asked);
                        said = Some(hosted.keep_reply(outcome));
                        let image = || Body::Image { bytes: kept.encode(), state_version: 1 };
                        if after == before { Body::Unchanged } else { image() }
                    }
                    _ if after == before => Body::Unchanged,
                    _ => body_for(&values, after.value),
                };
                let told = Told { reply, said, along: SeveralReplies::default() };
                self.promised.insert(token, Promised::Answer(request.client, request.attempt, told));
                // A command that changed nothing is remembered too: its repetition might find something to change.
                let entry = ReplyEntry { request: request.id, reply: encode_told(told) };
                let (reply, life) = match request.action {
                    Action::Read => (None, None),
                    _ if after == before => (Some(entry), None),
                    _ if after.value.is_none() => (Some(entry), Some(Lifespan::FOR_EVER)),
                    _ => {
                        let said = after.value.zip(self.lifetimes);
                        self.wrote.extend(after.value.filter(|_| self.lifetimes.is_some()));
                        (Some(entry), said.and_then(|(value, lifetimes)| lifetimes.said_by(request.session, value)))
                    }
                };
                let uses = if request.action == Action::Read { serving.host.used(arc, &key, now) } else { Use::ToTell };
                match uses {
                    Use::KnownBy(told) => serving.host.answer(arc, version.max(told), token, now, &mut effects),
                    Use::ToTell => {
                        let change = SessionChange { key, body, reply, life, copied: true };
                        // A backup knows what to tell by the reply that the commit remembers.
                        let asker = asker.filter(|_| change.reply.is_some());
                        let host = &mut serving.host;
                        host.append_for((token, asker), arc, smallvec![change], Durability::Sync, now, &mut effects);
                    }
                }
            }
        }
        self.follow_host(effects, now, out);
        self.flush(now, out);
    }

    /// The session's arc, if it is served here now.
    fn arc_served(&self, key: &SessionKey, now: Moment) -> Result<ArcId, Answer> {
        let Stage::Serving(serving) = &self.stage else { return Err(Answer::Retry(None)) };
        let arc = key.arc(serving.keeper.view().shape.arcs);
        match serving.host.serve(arc, now) {
            Ok(_) => Ok(arc),
            Err(NotHere::Elsewhere { primary, .. }) => Err(Answer::Retry(Some(primary))),
            Err(_) => Err(Answer::Retry(None)),
        }
    }

    pub(super) fn draw_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Ends what has come to its end without being asked for.
    pub(super) fn end_what_is_over(&mut self, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &mut self.stage else { return };
        for (arc, key, _) in serving.host.over(ENDED_MAX, now) {
            self.end(arc, &key, now, out);
        }
    }

    /// Whoever asks for a session that is over finds it ended, however soon they ask.
    pub(super) fn end_if_over(&mut self, arc: ArcId, key: &SessionKey, now: Moment, out: &mut Vec<Output>) {
        let Stage::Serving(serving) = &self.stage else { return };
        let record = serving.host.serve(arc, now).ok().and_then(|primary| primary.store().get(key));
        if record.is_some_and(|record| record.lapse(now).is_some()) {
            self.end(arc, key, now, out);
        }
    }

    fn end(&mut self, arc: ArcId, key: &SessionKey, now: Moment, out: &mut Vec<Output>) {
        let token = self.draw_token();
        let Stage::Serving(serving) = &mut self.stage else { return };
        let Some(record) = serving.host.serve(arc, now).ok().and_then(|primary| primary.store().get(key)) else {
            return;
        };
        let values = values_of(record);
        let (_, reply) = Action::Delete.apply(register_of(&values));
        let session = session_of(key);
        self.promised.insert(token, Promised::End(session, reply));
        let decided = decided(self.lifetimes, session, &values);
        if matches!(decided, Some(Decided::Ends(value)) if !self.wrote.contains(&value)) {
            out.push(Output::Reached("a session was ended by another primary than its end was said to"));
        }
        out.push(Output::Ending(session, token, decided));
        let life = Some(Lifespan::FOR_EVER);
        let change = SessionChange { key: key.clone(), body: body_for(&values, None), reply: None, life, copied: true };
        let mut effects = Vec::new();
        serving.host.append(arc, smallvec![change], token, Durability::Sync, now, &mut effects);
        self.follow_host(effects, now, out);
    }
}
