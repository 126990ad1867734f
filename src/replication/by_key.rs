//! `ByKey`: what an arc has of each session, found at once by its key and walked in the order of keys.
//!
//! Keys are ordered by a hash, so their order is where they would lie in a hash table that is as long as the range of hashes. This is
//! that table, shortened: each has its home where its hash stands among all hashes, or lies behind it, close by, and all are in order
//! (linear probing, ordered: Amble and Knuth 1974). A search reads one line of the table as a rule, whatever there is; a search tree
//! reads some for each of its levels. What is found lies in an allocation of its own, so that the table stays small and what it
//! holds never moves.
//!
//! Who chooses keys can choose them to have one home. A search is then one among so many by halves, and a new key moves so many of
//! sixteen bytes each.
//!
//! Invariant: between a home and what belongs there nothing is free.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    hint::black_box,
};

use crate::id::SessionKey;

/// A place and its hash.
#[derive(Clone, Debug)]
struct Held<T> {
    hash: u64,
    of: Box<(SessionKey, T)>,
}

/// A table by session key. Two with the same content are equal and have one hash, whatever was in them before.
#[derive(Clone, Debug)]
pub(super) struct ByKey<T> {
    /// Homes, a power of two of them or none, and behind them what has its home near the end.
    places: Vec<Option<Held<T>>>,
    /// How many bits of a hash say which home.
    bits: u32,
    len: usize,
}

/// Homes of a table that holds anything.
const BITS_MIN: u32 = 2;
/// So many places are looked at one after the other, before the rest is searched by halves.
const NEAR: usize = 8;

impl<T> Default for ByKey<T> {
    fn default() -> Self {
        Self { places: Vec::new(), bits: 0, len: 0 }
    }
}

impl<T> ByKey<T> {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<&T> {
        let at = self.find(key).ok()?;
        self.places[at].as_ref().map(|held| &held.of.1)
    }

    pub(super) fn get_mut(&mut self, key: &SessionKey) -> Option<&mut T> {
        let at = self.find(key).ok()?;
        self.places[at].as_mut().map(|held| &mut held.of.1)
    }

    /// The same, made if it was not there.
    pub(super) fn get_or_default(&mut self, key: &SessionKey) -> &mut T
    where
        T: Default,
    {
        // Looked up first: mostly it is there, and its key need not be shared for that.
        let at = self.find(key).unwrap_or_else(|_| self.enter(key.clone(), T::default()));
        &mut self.places[at].as_mut().expect("it was found, or has just been entered").of.1
    }

    /// What was there before.
    pub(super) fn insert(&mut self, key: SessionKey, of: T) -> Option<T> {
        match self.find(&key) {
            Ok(at) => self.places[at].as_mut().map(|held| std::mem::replace(&mut held.of.1, of)),
            Err(_) => {
                self.enter(key, of);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<T> {
        let at = self.find(key).ok()?;
        let held = self.places[at].take();
        self.len -= 1;
        // Those behind it that are not at home come one nearer.
        let away = |(at, held): (usize, &Option<Held<T>>)| held.as_ref().is_some_and(|held| self.home(held.hash) < at);
        let moved = (at + 1..).zip(&self.places[at + 1..]).take_while(|place| away(*place)).count();
        self.places[at..=at + moved].rotate_left(1);
        if self.bits > BITS_MIN && self.len < (1 << self.bits) / 8 {
            self.rebuild(self.bits - 1);
        }
        held.map(|held| held.of.1)
    }

    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&SessionKey, &mut T) -> bool) {
        for place in &mut self.places {
            let gone = place.take_if(|held| !keeps(&held.of.0, &mut held.of.1));
            self.len -= usize::from(gone.is_some());
        }
        self.rebuild(self.bits);
    }

    /// All, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SessionKey, &T)> {
        self.after(None)
    }

    /// Those behind a key, or all.
    pub(super) fn after(&self, key: Option<&SessionKey>) -> impl Iterator<Item = (&SessionKey, &T)> {
        self.places[self.behind(key)..].iter().flatten().map(|held| (&held.of.0, &held.of.1))
    }

    /// The same, to change them.
    pub(super) fn after_mut(&mut self, key: Option<&SessionKey>) -> impl Iterator<Item = (&SessionKey, &mut T)> {
        let from = self.behind(key);
        self.places[from..].iter_mut().flatten().map(|held| (&held.of.0, &mut held.of.1))
    }

    /// Reads where a key would be found first.
    pub(super) fn read_home(&self, key: &SessionKey) {
        black_box(self.places.get(self.home(key.order())).is_some_and(Option::is_some));
    }

    /// What is found with the hash of a key, which is mostly the key's. Reads the table alone.
    pub(super) fn likely(&self, key: &SessionKey) -> Option<&(SessionKey, T)> {
        let near = self.places.get(self.home(key.order())..)?.iter().take(NEAR);
        let held = near.flatten().find(|held| held.hash == key.order())?;
        Some(&held.of)
    }

    fn behind(&self, key: Option<&SessionKey>) -> usize {
        key.map_or(0, |key| self.find(key).map_or_else(|at| at, |at| at + 1))
    }

    fn home(&self, hash: u64) -> usize {
        // A shift by all bits is none, so an empty table has its one home at 0.
        usize::try_from(hash.checked_shr(u64::BITS - self.bits).unwrap_or_default())
            .expect("below the places in memory")
    }

    /// Where it is, or where it would be.
    fn find(&self, key: &SessionKey) -> Result<usize, usize> {
        let hash = key.order();
        let home = self.home(hash);
        let is_before = |place: &Option<Held<T>>| place.as_ref().is_some_and(|held| held.hash < hash);
        let near = &self.places[home.min(self.places.len())..];
        let passed = near.iter().take(NEAR).take_while(|place| is_before(place)).count();
        let mut at = home + if passed < NEAR { passed } else { near.partition_point(is_before) };
        // Few have one hash: only their keys are read.
        while let Some(Some(held)) = self.places.get(at)
            && held.hash == hash
        {
            match held.of.0.cmp(key) {
                Ordering::Less => at += 1,
                Ordering::Equal => return Ok(at),
                Ordering::Greater => break,
            }
        }
        Err(at)
    }

    /// Enters what is not there; where it is then.
    fn enter(&mut self, key: SessionKey, of: T) -> usize {
        if self.places.is_empty() {
            self.rebuild(BITS_MIN);
        } else if self.len >= (1 << self.bits) / 4 * 3 {
            self.rebuild(self.bits + 1);
        }
        let (Ok(at) | Err(at)) = self.find(&key);
        let moved = self.places[at..].iter().take_while(|place| place.is_some()).count();
        if at + moved == self.places.len() {
            self.places.push(None);
        }
        self.places[at + moved] = Some(Held { hash: key.order(), of: Box::new((key, of)) });
        self.places[at..=at + moved].rotate_right(1);
        self.len += 1;
        at
    }

    /// Makes it anew with so many bits of homes.
    fn rebuild(&mut self, bits: u32) {
        self.bits = bits;
        let homes = if bits == 0 { 0 } else { 1 << bits };
        let mut places = Vec::with_capacity(homes + NEAR);
        for held in std::mem::take(&mut self.places).into_iter().flatten() {
            let home = self.home(held.hash);
            if home > places.len() {
                places.resize_with(home, || None);
            }
            places.push(Some(held));
        }
        if homes > places.len() {
            places.resize_with(homes, || None);
        }
        self.places = places;
    }
}

impl<T: PartialEq> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for ByKey<T> {}

impl<T: Hash> Hash for ByKey<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|held| held.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u16) -> SessionKey {
        SessionKey::new("k", &n.to_be_bytes()).expect("short")
    }

    /// Nothing is free between a home and what belongs there, and the order is that of the keys.
    fn check<T>(table: &ByKey<T>) {
        let mut free = None;
        let mut before: Option<&SessionKey> = None;
        for (at, place) in table.places.iter().enumerate() {
            let Some(held) = place else {
                free = Some(at);
                continue;
            };
            let home = table.home(held.hash);
            assert!(home <= at && free.is_none_or(|free| free < home), "{at}, at home in {home}, {free:?} is free");
            assert!(before.is_none_or(|before| *before < held.of.0));
            before = Some(&held.of.0);
        }
        assert_eq!(table.iter().count(), table.len);
    }

    proptest! {
        #[test]
        fn it_holds_what_an_ordered_map_holds_whatever_is_done(
            steps in prop::collection::vec((0..4_u8, 0..200_u16), 0..600)
        ) {
            let (mut table, mut map) = (ByKey::default(), BTreeMap::new());
            for (step, (what, n)) in steps.into_iter().enumerate() {
                match what {
                    0 => prop_assert_eq!(table.insert(key(n), step), map.insert(key(n), step)),
                    1 => {
                        *table.get_or_default(&key(n)) += step;
                        *map.entry(key(n)).or_default() += step;
                    }
                    2 => prop_assert_eq!(table.remove(&key(n)), map.remove(&key(n))),
                    _ if n == 0 => {
                        table.retain(|_, of| *of % 2 == 0);
                        map.retain(|_, of| *of % 2 == 0);
                    }
                    _ => prop_assert_eq!(table.get(&key(n)), map.get(&key(n))),
                }
                check(&table);
                prop_assert!(table.iter().eq(map.iter()));
                let behind = map.range((std::ops::Bound::Excluded(key(n)), std::ops::Bound::Unbounded));
                prop_assert!(table.after(Some(&key(n))).eq(behind));
            }
        }
    }

    #[test]
    fn keys_of_one_home_are_found_and_taken_out_like_others_and_leave_no_room_behind() {
        let mut table = ByKey::default();
        // A few thousand keys of which all have one home as long as there are few others.
        let crowded: Vec<SessionKey> = (0..u16::MAX).map(key).filter(|key| key.order() >> 58 == 63).collect();
        assert!(crowded.len() > 500);
        for (n, key) in crowded.iter().enumerate() {
            assert_eq!(table.insert(key.clone(), n), None);
        }
        check(&table);
        assert!(crowded.iter().enumerate().all(|(n, key)| table.get(key) == Some(&n)));
        for (n, key) in crowded.iter().enumerate() {
            assert_eq!(table.remove(key), Some(n));
            assert_eq!(table.get(key), None);
        }
        check(&table);
        assert!(table.places.len() <= 16 && table == ByKey::default(), "{}", table.places.len());
    }
}
