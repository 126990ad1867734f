//! The decoded sessions of one worker: a cache of what its replicas hold as bytes, bounded by time and by size.
//!
//! A session that nobody used for `idle_after` is *passive*: its object is dropped, its bytes stay, and the next command
//! decodes them. Beyond the bound on bytes those go first that were not used since a hand last came by (the clock of
//! Corbató's "A Paging Experiment with the Multics System", 1968), an arc at a step, so that no step takes long. Dropping an
//! object at any time loses nothing.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    time::Duration,
};

use crate::{
    id::{ArcId, SessionKey},
    kinds::{Kind, LiveSession},
    moment::Moment,
};

/// Objects kept for one arc; beyond it half of them are dropped.
const OBJECTS_MAX: usize = 16_384;
/// What an object takes beside its state, roughly: key, table slot, box.
const OVERHEAD: usize = 160;

struct Entry {
    live: LiveSession,
    used: Moment,
    bytes: usize,
}

/// What is decoded now.
pub(crate) struct LiveCache {
    arcs: BTreeMap<ArcId, HashMap<SessionKey, Entry>>,
    bytes: usize,
    bytes_max: usize,
    idle_after: Duration,
    /// The arc that the hand looked at last, and when it began its round there.
    hand: Option<ArcId>,
    round_began: Moment,
    round_before: Moment,
}

impl LiveCache {
    pub(crate) fn new(bytes_max: usize, idle_after: Duration) -> Self {
        let start = Moment::START;
        Self {
            arcs: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            idle_after,
            hand: None,
            round_began: start,
            round_before: start,
        }
    }

    /// Lends a session's object to `run`, or the empty place of one, which is kept if its kind keeps objects.
    pub(crate) fn lend<T>(
        &mut self,
        kind: &dyn Kind,
        (arc, key): (ArcId, &SessionKey),
        now: Moment,
        run: impl FnOnce(&mut LiveSession) -> T,
    ) -> T {
        if kind.keeps_objects() { self.with(arc, key, now, run) } else { run(&mut LiveSession::new()) }
    }

    fn with<T>(&mut self, arc: ArcId, key: &SessionKey, now: Moment, run: impl FnOnce(&mut LiveSession) -> T) -> T {
        let sessions = self.arcs.entry(arc).or_default();
        if sessions.len() >= OBJECTS_MAX && !sessions.contains_key(key) {
            let mut place = 0;
            self.bytes -= drop_where(sessions, |_| {
                place += 1;
                place % 2 == 0
            });
        }
        let entry = match sessions.get_mut(key) {
            Some(entry) => entry,
            None => {
                let new = Entry { live: LiveSession::new(), used: now, bytes: 0 };
                sessions.entry(key.clone()).or_insert(new)
            }
        };
        entry.used = now;
        let done = run(&mut entry.live);
        let bytes = if entry.live.is_warm() { entry.live.bytes_estimate() + OVERHEAD } else { OVERHEAD };
        self.bytes = self.bytes + bytes - std::mem::replace(&mut entry.bytes, bytes);
        done
    }

    /// Drops one object.
    pub(crate) fn forget(&mut self, arc: ArcId, key: &SessionKey) {
        if let Some(entry) = self.arcs.get_mut(&arc).and_then(|sessions| sessions.remove(key)) {
            self.bytes -= entry.bytes;
        }
    }

    /// Drops all objects of an arc, which changes hands.
    pub(crate) fn forget_arc(&mut self, arc: ArcId) {
        if let Some(sessions) = self.arcs.remove(&arc) {
            self.bytes -= sessions.values().map(|entry| entry.bytes).sum::<usize>();
        }
    }

    /// Moves the hand on by one arc, by more when there is too much. Expected every ten milliseconds or so.
    pub(crate) fn step(&mut self, now: Moment) {
        // Where the bound is passed, a whole round at most; a second one would find only what was used meanwhile.
        for _ in 0..self.arcs.len() {
            self.step_once(now);
            if self.bytes <= self.bytes_max {
                break;
            }
        }
    }

    fn step_once(&mut self, now: Moment) {
        let after = self.hand.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.arcs.range((after, Bound::Unbounded)).next().map(|(arc, _)| *arc);
        let Some(arc) = next else {
            self.hand = None;
            self.round_before = std::mem::replace(&mut self.round_began, now);
            return;
        };
        self.hand = Some(arc);
        let is_too_much = self.bytes > self.bytes_max;
        let (idle_after, round_before) = (self.idle_after, self.round_before);
        if let Some(sessions) = self.arcs.get_mut(&arc) {
            self.bytes -= drop_where(sessions, |entry| {
                now.since(entry.used) >= idle_after || (is_too_much && entry.used <= round_before)
            });
            if sessions.is_empty() {
                self.arcs.remove(&arc);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.arcs.values().map(HashMap::len).sum()
    }
}

/// Drops what is to go, and says how many bytes that was.
fn drop_where(sessions: &mut HashMap<SessionKey, Entry>, mut goes: impl FnMut(&Entry) -> bool) -> usize {
    let mut freed = 0;
    sessions.retain(|_, entry| {
        let goes = goes(entry);
        freed += if goes { entry.bytes } else { 0 };
        !goes
    });
    freed
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    fn key(n: u32) -> SessionKey {
        SessionKey::new("k", n.to_string().as_bytes()).expect("short")
    }

    fn at(secs: u64) -> Moment {
        Moment::START + Duration::from_secs(1_000 + secs)
    }

    fn touch(cache: &mut LiveCache, n: u32, now: Moment) {
        cache.with(ArcId(u16::try_from(n % 4).expect("small")), &key(n), now, |_| {});
    }

    fn round(cache: &mut LiveCache, now: Moment) {
        (0..5).for_each(|_| cache.step(now));
    }

    #[test]
    fn what_nobody_used_for_the_idle_time_is_dropped_and_nothing_else() {
        let mut cache = LiveCache::new(usize::MAX, IDLE);
        (0..8).for_each(|n| touch(&mut cache, n, at(0)));
        touch(&mut cache, 3, at(500));
        round(&mut cache, at(599));
        assert_eq!(cache.len(), 8);
        round(&mut cache, at(600));
        assert_eq!(cache.len(), 1);
        round(&mut cache, at(1_100));
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }

    #[test]
    fn beyond_the_bound_what_was_used_longest_ago_goes_first() {
        let mut cache = LiveCache::new(OVERHEAD * 100, IDLE);
        (0..80).for_each(|n| touch(&mut cache, n, at(0)));
        round(&mut cache, at(1));
        round(&mut cache, at(2));
        (80..160).for_each(|n| touch(&mut cache, n, at(3)));
        assert_eq!(cache.len(), 160);
        cache.step(at(4));
        assert!(cache.bytes <= OVERHEAD * 100, "{} objects left", cache.len());
        let is_there = |n: u32| cache.arcs.values().any(|sessions| sessions.contains_key(&key(n)));
        assert!((80..160).all(is_there), "the newer ones stay");
        (0..4).for_each(|arc| cache.forget_arc(ArcId(arc)));
        assert_eq!(cache.bytes, 0);
    }
}
