//! A round of requests, gathered by key: all that comes to one key together is one commit.

use std::collections::HashMap;

use super::{
    commands::Do,
    door::Door,
    keys::{Change, Old, Said, When},
    line::Came,
    refusal,
};
use crate::{
    error::{Error, ErrorKind},
    session::SessionId,
};

/// Which part of which request.
pub(super) type Place = (u64, usize);

/// What comes to one key, in this order.
#[derive(Debug)]
pub(super) struct Unit {
    id: SessionId,
    does: Vec<(Do, Place)>,
}

/// What a unit came to.
#[derive(Debug)]
pub(super) struct Done {
    /// Its key.
    pub(super) id: SessionId,
    /// What is told of each.
    pub(super) came: Vec<(Place, Came)>,
}

/// Units that are not begun, in the order of their first requests.
#[derive(Debug, Default)]
pub(super) struct Round {
    units: Vec<Unit>,
    by_id: HashMap<SessionId, usize>,
}

impl Round {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// How many keys it has.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// One more thing to do.
    pub(super) fn add(&mut self, id: SessionId, does: Do, place: Place) {
        if let Some(at) = self.by_id.get(&id) {
            self.units[*at].does.push((does, place));
            return;
        }
        self.by_id.insert(id.clone(), self.units.len());
        self.units.push(Unit { id, does: vec![(does, place)] });
    }

    /// All of it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Unit> + use<> {
        self.by_id.clear();
        std::mem::take(&mut self.units).into_iter()
    }
}

impl Unit {
    /// The key.
    pub(super) const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether it may change it.
    pub(super) fn changes(&self) -> bool {
        self.does.iter().any(|(does, _)| matches!(does, Do::Change(_)))
    }

    /// Does it.
    pub(super) async fn run<D: Door>(self, door: D) -> Done {
        let Self { id, mut does } = self;
        let came = if let [(_, place)] = does[..] {
            let (what, _) = does.pop().expect("there is one");
            vec![(place, came(one(&door, &id, what).await))]
        } else if does.iter().all(|(does, _)| matches!(does, Do::Look(_))) {
            in_turn(&door, &id, does).await
        } else {
            several(&door, &id, does).await
        };
        Done { id, came }
    }
}

async fn one<D: Door>(door: &D, id: &SessionId, does: Do) -> Result<Said, Error> {
    match does {
        Do::Look(look) => Ok(door.look(id.clone(), look).await?.said),
        Do::Change(change) => {
            let creates = matches!(change, Change::Set(_, When::Always, _, Old::Set));
            door.change(id.clone(), change, creates).await
        }
    }
}

async fn in_turn<D: Door>(door: &D, id: &SessionId, does: Vec<(Do, Place)>) -> Vec<(Place, Came)> {
    let mut all = Vec::with_capacity(does.len());
    for (does, place) in does {
        all.push((place, came(one(door, id, does).await)));
    }
    all
}

/// One commit of all of them. What is too much for one commit is done one by one: nothing of it was done yet.
async fn several<D: Door>(door: &D, id: &SessionId, does: Vec<(Do, Place)>) -> Vec<(Place, Came)> {
    let changes = does.iter().map(|(does, _)| change_of(does.clone())).collect();
    match door.change_all(id.clone(), changes).await {
        Ok(said) => does.into_iter().zip(said).map(|((_, place), said)| (place, Ok(Ok(said)))).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::TooLarge { .. }) => in_turn(door, id, does).await,
        Err(error) => does.into_iter().map(|(_, place)| (place, refusal::of(&error).map(Err))).collect(),
    }
}

/// As a command among others.
pub(super) fn change_of(does: Do) -> Change {
    match does {
        Do::Change(change) => change,
        Do::Look(look) => Change::Look(look),
    }
}

fn came(result: Result<Said, Error>) -> Came {
    match result {
        Ok(said) => Ok(Ok(said)),
        Err(error) => refusal::of(&error).map(Err),
    }
}
