//! Several keys in one commit: a transaction, and setting many.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use smallvec::{SmallVec, smallvec};

use super::Stop;
use crate::{
    error::ErrorKind,
    id::ArcId,
    redis::{
        commands::{Do, Keyed, Wrong},
        door::{Door, Part},
        frames::Reply,
        id::{arc_of, id_of},
        keys::{Change, Look, Old, Said, Span, When},
        line::{Join, join_all},
        refusal::{self, Unknown},
        units::change_of,
    },
    session::SessionId,
};

/// Arcs that are set at once.
const AT_ONCE: usize = 64;

const CROSSED: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// A transaction, by key.
#[derive(Debug)]
pub(super) struct Commit {
    parts: Vec<Part>,
    /// For each request where its parts stand: which key, and which of its changes.
    requests: Vec<(Join, Vec<(usize, usize)>)>,
}

impl Commit {
    /// What is to be done, by key. Keys that are watched take part, so that their versions are compared in the same commit.
    ///
    /// # Errors
    /// They lie in several arcs.
    pub(super) fn gather(requests: Vec<(u8, Keyed)>, watched: Vec<(SessionId, u64)>, arcs: u16) -> Result<Self, Wrong> {
        let mut commit = Self { parts: Vec::new(), requests: Vec::with_capacity(requests.len()) };
        let mut places: BTreeMap<SessionId, usize> = BTreeMap::new();
        for (id, version) in watched {
            places.insert(id.clone(), commit.parts.len());
            commit.parts.push(Part { id, changes: Vec::new(), expected: Some(version) });
        }
        for (database, request) in requests {
            let (join, does) = split(request);
            let mut stands = Vec::with_capacity(does.len());
            for (key, does) in does {
                let id = id_of(database, &key)?;
                let at = *places.entry(id).or_insert_with_key(|id| {
                    commit.parts.push(Part { id: id.clone(), changes: Vec::new(), expected: None });
                    commit.parts.len() - 1
                });
                stands.push((at, commit.parts[at].changes.len()));
                commit.parts[at].changes.push(change_of(does));
            }
            commit.requests.push((join, stands));
        }
        for part in commit.parts.iter_mut().filter(|part| part.changes.is_empty()) {
            part.changes.push(Change::Look(Look::Exists));
        }
        let mut of = commit.parts.iter().map(|part| arc_of(&part.id, arcs));
        let first = of.next();
        if of.any(|arc| Some(arc) != first) { Err(CROSSED.into()) } else { Ok(commit) }
    }

    /// Does it; no list where a watched key is not as it was.
    pub(super) async fn carry_out<D: Door>(self, door: &D, written: &mut Vec<ArcId>) -> Result<Reply, Stop> {
        let Some(first) = self.parts.first() else { return Ok(Reply::List(Vec::new())) };
        written.push(arc_of(&first.id, door.arcs()));
        let said = match door.together(self.parts).await {
            Ok(said) => said,
            Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => return Ok(Reply::NoList),
            Err(error) => return Err(error.into()),
        };
        let said = &said;
        let reply = |(join, stands): (Join, Vec<(usize, usize)>)| {
            let part =
                |(at, nth): (usize, usize)| said.get(at).and_then(|said| said.get(nth)).cloned().ok_or(Stop::Unknown);
            let parts: Vec<Said> = stands.into_iter().map(part).collect::<Result<_, _>>()?;
            Ok(join_all(&join, parts.into_iter().map(Ok)))
        };
        Ok(Reply::List(self.requests.into_iter().map(reply).collect::<Result<_, Stop>>()?))
    }
}

/// A request's single things, and how they are one reply.
pub(in crate::redis) fn split(request: Keyed) -> (Join, SmallVec<[(Bytes, Do); 1]>) {
    match request {
        Keyed::One(key, does, tell) => (Join::One(tell), smallvec![(key, does)]),
        Keyed::Sum(keys, does) => (Join::Sum, keys.into_iter().map(|key| (key, does.clone())).collect()),
        Keyed::Each(keys, look) => (Join::List, keys.into_iter().map(|key| (key, Do::Look(look.clone()))).collect()),
        Keyed::SetAll(pairs) => {
            (Join::Done, pairs.into_iter().map(|(key, value)| (key, Do::Change(set(value)))).collect())
        }
        // Seen to by itself; never part of anything.
        Keyed::Rename(..) => (Join::Done, SmallVec::new()),
    }
}

const fn set(value: Bytes) -> Change {
    Change::Set(value, When::Always, Span::ForEver, Old::Set)
}

/// Sets each key: those of one arc in one commit, so many arcs beside each other. Once one fails, no other is begun. The client is told
/// why, and whether others were set; only where nobody can tell of one, nobody can tell.
pub(super) async fn set_all<D: Door>(
    door: &D,
    database: u8,
    pairs: Vec<(Bytes, Bytes)>,
    written: &mut Vec<ArcId>,
) -> Result<Reply, Stop> {
    let mut by_arc: BTreeMap<ArcId, BTreeMap<SessionId, Vec<Change>>> = BTreeMap::new();
    for (key, value) in pairs {
        let id = id_of(database, &key)?;
        // Of a key that stands there twice the last value counts.
        by_arc.entry(arc_of(&id, door.arcs())).or_default().insert(id, vec![set(value)]);
    }
    written.extend(by_arc.keys());
    let mut waiting = by_arc.into_values().map(|parts| {
        let parts = parts.into_iter().map(|(id, changes)| Part { id, changes, expected: None });
        door.together(parts.collect())
    });
    let mut under_way: FuturesUnordered<_> = waiting.by_ref().take(AT_ONCE).collect();
    let (mut is_any_set, mut failed) = (false, Vec::new());
    while let Some(came) = under_way.next().await {
        match came {
            Ok(_) => is_any_set = true,
            Err(error) => failed.push(error),
        }
        // Each of those that follow could wait as long as this one did, and their client waits for them all.
        if failed.is_empty() {
            under_way.extend(waiting.next());
        }
    }
    let word = if is_any_set { refusal::of_some } else { refusal::of };
    let words: Result<Vec<Reply>, Unknown> = failed.iter().map(word).collect();
    let words = words.map_err(|Unknown| Stop::Unknown)?;
    words.into_iter().next().map_or(Ok(Reply::OK), |refused| Err(Stop::Said(refused)))
}
