//! What of a connection's requests may begin, and its beginning: in the order of their coming, as many as there is room for.

use std::{collections::hash_map::Entry, sync::atomic::Ordering};

use smallvec::SmallVec;

use super::{
    super::{
        alone::{Alone, commit::split},
        client::Seen,
        commands::{self, Gathered, Keyed, Request},
        door::{Calls, Door},
        frames::Reply,
        id::{arc_of, id_of},
        info,
        line::Join,
        refusal,
        units::{Unit, Way},
    },
    Busy, Connection, FEW,
};
use crate::session::SessionId;

impl<D: Door> Connection<D> {
    /// Calls that may be under way at once, and how much may be asked that may tell much.
    fn most(&self) -> (usize, usize) {
        let settings = &self.shared.settings;
        if self.shared.kept.load(Ordering::Relaxed) > settings.kept {
            return (FEW, FEW);
        }
        (settings.pipeline, (settings.unread / self.largest.max(1)).clamp(FEW, settings.pipeline))
    }

    /// Whether another request may be begun.
    pub(super) fn has_room(&self) -> bool {
        let settings = &self.shared.settings;
        let (calls, asked) = self.most();
        self.alone.is_none()
            && self.line.len() < settings.pipeline
            && self.busy.len() < calls
            && self.asked < asked
            && self.out.len() + self.line.bytes() < settings.unread
    }

    /// Begins whatever may begin; whether it stopped for want of room.
    pub(super) fn begin(&mut self) -> bool {
        let mut units = Vec::with_capacity(if self.requests.len() > 0 { FEW } else { 0 });
        self.round += 1;
        let mut is_cut_short = true;
        while self.has_room() {
            let request = match self.held.take() {
                Some(request) => request,
                None => match self.next() {
                    Some(request) => request,
                    None => {
                        is_cut_short = self.line.len() >= self.shared.settings.pipeline;
                        break;
                    }
                },
            };
            let held = if self.turn.may_begin() { self.take(request, &mut units) } else { Some(request) };
            if let Some(held) = held {
                self.held = Some(held);
                is_cut_short = false;
                break;
            }
        }
        if units.is_empty() {
            self.turn.began(0);
        } else {
            self.start(units);
        }
        is_cut_short
    }

    /// The next request that is not for the connection alone.
    fn next(&mut self) -> Option<Request> {
        while !self.closes && self.line.len() < self.shared.settings.pipeline {
            let settings = &self.shared.settings;
            let bounds = if self.client.is_known() { &settings.request } else { &settings.stranger };
            let read = match self.requests.next(bounds) {
                Ok(Some(strings)) => commands::read(strings),
                Ok(None) => {
                    self.closes |= self.has_ended;
                    return None;
                }
                Err(fault) => {
                    self.complain(format_args!("what it sent was told \"{fault}\""));
                    self.line.last(self.client.protocol, Reply::error(fault.to_string()));
                    self.closes = true;
                    return None;
                }
            };
            let read = read.and_then(|request| match request {
                Request::Eval { script, keys, arguments } => self.shared.scripts.called(script, keys, arguments),
                request => Ok(request),
            });
            let readiness = self.readiness();
            match self.client.see(read, self.shared.settings.password.as_ref(), readiness) {
                Seen::Answered(reply) => self.line.ready(self.client.protocol, reply),
                Seen::AnsweredAll(replies) => {
                    replies.into_iter().for_each(|reply| self.line.ready(self.client.protocol, reply));
                }
                Seen::Last(reply) => {
                    self.line.last(self.client.protocol, reply);
                    self.closes = true;
                }
                Seen::Passed(request) => return Some(request),
                Seen::Commit(gathered) => return Some(Request::Commit(gathered)),
            }
        }
        None
    }

    /// Takes a request up; gives it back if it must wait for what is under way.
    fn take(&mut self, request: Request, units: &mut Vec<Unit>) -> Option<Request> {
        let protocol = self.client.protocol;
        let database = self.client.database;
        let keyed = match request {
            Request::Keyed(keyed @ (Keyed::One(..) | Keyed::Sum(..) | Keyed::Each(..))) => keyed,
            request => {
                if !self.busy.is_empty() {
                    return Some(request);
                }
                self.take_alone(request);
                return None;
            }
        };
        let ids: Result<SmallVec<[SessionId; 1]>, _> = keyed.keys().map(|key| id_of(database, key)).collect();
        let ids = match ids {
            Ok(ids) => ids,
            Err(wrong) => {
                self.line.ready(protocol, wrong.into());
                return None;
            }
        };
        let round = self.round;
        if ids.iter().any(|id| self.busy.get(id).is_some_and(|busy| busy.round != round)) {
            return Some(Request::Keyed(keyed));
        }
        let (join, does) = split(keyed);
        let number = self.line.wait(protocol, join, does.len());
        for (part, ((_, does), id)) in does.into_iter().zip(ids).enumerate() {
            let asked = usize::from(does.may_tell_much());
            self.asked += asked;
            match self.busy.entry(id) {
                Entry::Occupied(mut there) => {
                    let busy = there.get_mut();
                    busy.asked += asked;
                    units[busy.unit].add(does, (number, part));
                }
                Entry::Vacant(free) => {
                    let unit = Unit::new(free.key().clone(), does, (number, part));
                    free.insert(Busy { round, unit: units.len(), asked });
                    units.push(unit);
                }
            }
        }
        None
    }

    fn take_alone(&mut self, request: Request) {
        let protocol = self.client.protocol;
        let database = self.client.database;
        if let Request::Info(sections) = &request {
            self.line.ready(protocol, info::info(&self.shared, sections));
            return;
        }
        let Some(door) = self.shared.door() else {
            self.line.ready(protocol, refusal::LOADING);
            return;
        };
        let alone = match request {
            Request::Keys(pattern) => Alone::Keys(database, pattern),
            Request::Scan(scanned) => Alone::Scan(database, scanned),
            Request::Size => Alone::Size(database),
            Request::Flush { all } => Alone::Flush((!all).then_some(database)),
            Request::Keyed(Keyed::SetAll(pairs)) => Alone::SetAll(database, pairs),
            Request::Keyed(Keyed::Rename(from, to)) => Alone::Rename(database, from, to),
            Request::Watch(keys) => Alone::Watch(database, keys),
            Request::Commit(Gathered { keyed: requests, beside, .. }) => {
                Alone::Commit { requests, beside, watched: std::mem::take(&mut self.client.watched) }
            }
            Request::Wait { copies, millis } => {
                Alone::Wait { arcs: self.client.written.iter().collect(), copies, millis }
            }
            request => {
                let reply = self.of_the_node(request, &door);
                self.line.ready(protocol, reply);
                return;
            }
        };
        let number = self.line.wait(protocol, Join::Done, 1);
        self.alone = Some((number, Box::pin(alone.run(door))));
    }

    /// What the node answers without asking a key.
    fn of_the_node(&self, request: Request, door: &D) -> Reply {
        match request {
            Request::Info(sections) => info::info(&self.shared, &sections),
            Request::Role => info::role(door),
            Request::LoadScript(text) => self.shared.scripts.load(&text).map_or_else(Reply::from, Reply::bytes),
            Request::KnownScripts(digests) => self.shared.scripts.known(&digests),
            Request::FlushScripts => {
                self.shared.scripts.forget();
                Reply::OK
            }
            other => unreachable!("{other:?} is seen to by the client, or by itself"),
        }
    }

    /// Puts what a transaction has beside its keys among the replies of those.
    pub(super) fn answer_beside(&mut self, beside: Vec<(usize, Request)>, replies: &mut Vec<Reply>) {
        let Some(door) = self.shared.door() else { return };
        let readiness = self.readiness();
        for (at, request) in beside {
            let password = self.shared.settings.password.as_ref();
            let reply = match self.client.answer(request, password, readiness) {
                Seen::Answered(reply) => reply,
                Seen::Passed(request) => self.of_the_node(request, &door),
                other => unreachable!("a transaction gathers nothing that is answered by {other:?}"),
            };
            replies.insert(at, reply);
        }
    }

    fn start(&mut self, units: Vec<Unit>) {
        // Nothing that needs the node is read before there is one.
        let Some(door) = self.shared.door() else { return };
        let arcs = door.arcs();
        let has_quorum = door.has_quorum();
        let mut asked = Vec::with_capacity(units.len());
        for unit in units {
            if unit.changes() {
                self.client.wrote(arc_of(unit.id(), arcs));
            }
            if !has_quorum {
                self.in_turn.push(Box::pin(unit.held_up(door.clone())));
                continue;
            }
            match unit.way() {
                Way::Call(ask, begun) => {
                    asked.push(ask);
                    self.begun.push_back(Some(begun));
                }
                Way::InTurn(unit) => self.in_turn.push(Box::pin(unit.in_turn(door.clone()))),
            }
        }
        let calls = self.calls.get_or_insert_with(|| door.calls());
        self.turn.began(asked.len());
        if !asked.is_empty() {
            calls.begin(asked);
        }
    }
}
