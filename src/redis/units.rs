//! Units: all that comes to one key together, which is one commit.

use smallvec::{SmallVec, smallvec};

use super::{
    commands::Do,
    door::{self, Ask, Asked, Door},
    keys::{Change, Said},
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
    does: SmallVec<[(Do, Place); 1]>,
}

/// What is told of each thing that came to one key.
pub(super) type Told = SmallVec<[(Place, Came); 1]>;

/// What a unit came to.
#[derive(Debug)]
pub(super) struct Done {
    /// Its key.
    pub(super) id: SessionId,
    /// What is told of each.
    pub(super) told: Told,
}

/// A unit whose call is under way.
#[derive(Debug)]
pub(super) struct Begun {
    id: SessionId,
    does: Asks,
}

/// What a call under way is to be told of, kept small: there are many.
#[derive(Debug)]
enum Asks {
    /// One thing.
    One(Place),
    /// Several, which may have to be done one by one.
    Several(Vec<(Do, Place)>),
}

/// How a unit is done.
#[derive(Debug)]
pub(super) enum Way {
    /// By one call.
    Call(Asked, Begun),
    /// One thing after the other.
    InTurn(Unit),
}

impl Unit {
    /// One thing to do.
    pub(super) fn new(id: SessionId, does: Do, place: Place) -> Self {
        Self { id, does: smallvec![(does, place)] }
    }

    /// One more thing to do.
    pub(super) fn add(&mut self, does: Do, place: Place) {
        self.does.push((does, place));
    }

    /// The key.
    pub(super) const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether it may change it.
    pub(super) fn changes(&self) -> bool {
        self.does.iter().any(|(does, _)| matches!(does, Do::Change(_)))
    }

    /// How it is done. Several changes are one commit; several questions change nothing, and need none.
    pub(super) fn way(mut self) -> Way {
        if self.does.len() == 1
            && let Some((does, place)) = self.does.pop()
        {
            let (ask, creates) = match does {
                Do::Look(look) => (Ask::Look(look), false),
                Do::Change(change) => {
                    let creates = change.is_plain_set();
                    (Ask::Change(change), creates)
                }
            };
            let begun = Begun { id: self.id.clone(), does: Asks::One(place) };
            return Way::Call(Asked { id: self.id, ask, creates }, begun);
        }
        if !self.changes() {
            return Way::InTurn(self);
        }
        let changes = self.does.iter().map(|(does, _)| change_of(does.clone())).collect();
        let asked = Asked { id: self.id.clone(), ask: Ask::Changes(changes), creates: false };
        Way::Call(asked, Begun { id: self.id, does: Asks::Several(self.does.into_vec()) })
    }

    /// Does them where they can come to an end, and refuses them all where they cannot.
    pub(super) async fn held_up<D: Door>(self, door: D) -> Done {
        let Err(error) = door.until_it_can_end(&self.id).await else { return self.in_turn(door).await };
        let word = refusal::of(&error).map(Err);
        Done { id: self.id, told: self.does.into_iter().map(|(_, place)| (place, word.clone())).collect() }
    }

    /// Does one thing after the other.
    pub(super) async fn in_turn<D: Door>(self, door: D) -> Done {
        let mut told = Told::new();
        let mut last: Option<(Do, Came)> = None;
        for (does, place) in self.does {
            // The same question once more, with nothing in between, has the same answer, kept once.
            let again = last.take_if(|(asked, _)| *asked == does && matches!(does, Do::Look(_)));
            let answered = match again {
                Some((_, answer)) => answer,
                None => came(one(&door, &self.id, does.clone()).await),
            };
            told.push((place, answered.clone()));
            last = Some((does, answered));
        }
        Done { id: self.id, told }
    }
}

impl Begun {
    /// What its call came to. What is too much for one commit is to be done one by one: nothing of it was done yet.
    pub(super) fn came(self, came: door::Came) -> Result<Done, Unit> {
        let Self { id, mut does } = self;
        if let (Asks::Several(does), Err(error)) = (&mut does, &came)
            && matches!(error.kind(), ErrorKind::TooLarge { .. })
        {
            return Err(Unit { id, does: std::mem::take(does).into() });
        }
        let places: SmallVec<[Place; 1]> = match does {
            Asks::One(place) => smallvec![place],
            Asks::Several(does) => does.into_iter().map(|(_, place)| place).collect(),
        };
        let told = match came {
            // Of another build, or broken: what it did nobody can tell.
            Ok(said) if said.len() != places.len() => {
                places.into_iter().map(|place| (place, Err(refusal::Unknown))).collect()
            }
            Ok(said) => places.into_iter().zip(said).map(|(place, said)| (place, Ok(Ok(said)))).collect(),
            Err(error) => {
                let word = refusal::of(&error).map(Err);
                places.into_iter().map(|place| (place, word.clone())).collect()
            }
        };
        Ok(Done { id, told })
    }
}

async fn one<D: Door>(door: &D, id: &SessionId, does: Do) -> Result<Said, Error> {
    match does {
        Do::Look(look) => Ok(door.look(id.clone(), look).await?.said),
        Do::Change(change) => {
            let creates = change.is_plain_set();
            door.change(id.clone(), change, creates).await
        }
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
