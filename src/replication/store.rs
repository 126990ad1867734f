//! The sessions of one arc as bytes: what a backup holds, and what a primary's live objects are a cache of.
//!
//! Each record is an image and the events since it, with the version, the reply table and the lifetime outside the
//! user's bytes, so that nothing of the user's has to be decoded to promote, to expire or to answer a retry. Ordered by key,
//! because a catch-up walks it with a cursor. A deleted session leaves a tombstone for as long as replies are kept.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use super::{
    by_key::ByKey,
    commit::{Body, Commit, ReplyEntry, SessionChange},
    lifetime::{Lapse, Left, Lifespan, Lifetime, Use},
    reply_table::{ReplyLimits, ReplyTable},
    rules::{Rule, Rules},
};
use crate::{
    blob::Blob,
    id::{CommitNumber, SessionKey},
    moment::Moment,
};

/// A session that is over and was not ended is told of again after this.
const AGAIN: Duration = Duration::from_millis(50);

/// One session as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The newest image; `None` when the session is deleted.
    pub image: Option<Blob>,
    /// Events on top of it, in order.
    pub events: ThinVec<Blob>,
    /// The version of the state's type.
    pub state_version: u32,
    /// The commit that last changed it: its version for callers, growing over deletion and re-creation.
    pub version: CommitNumber,
    /// What it answered.
    pub replies: Option<Box<ReplyTable>>,
    /// When it ends by itself; it travels beside the record, as what is left.
    #[serde(skip)]
    pub life: Option<Box<Lifetime>>,
    /// Whether it stays on the primary alone.
    #[serde(skip)]
    pub alone: bool,
}

impl Record {
    /// Whether the session exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.image.is_some() || !self.events.is_empty()
    }

    /// What is left of its time.
    #[must_use]
    pub fn lifespan(&self, now: Moment) -> Lifespan {
        self.life.as_ref().map_or(Lifespan::FOR_EVER, |life| life.span(now))
    }

    /// Why its time is over, if it is and nobody has ended it yet.
    #[must_use]
    pub fn lapse(&self, now: Moment) -> Option<Lapse> {
        self.life.as_ref()?.over(now)
    }

    fn size(&self) -> usize {
        self.image.as_ref().map_or(0, |b| b.len())
            + self.events.iter().map(|b| b.len()).sum::<usize>()
            + self.replies.as_ref().map_or(0, |r| r.size())
            + self.life.as_ref().map_or(0, |_| 48)
            + 32
    }
}

/// One record on its way to a copy.
pub type Carried = (SessionKey, Record, Option<Left>);

/// The sessions of one arc.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    records: ByKey<Record>,
    /// Keys in the order they were deleted; one that was created again since is passed over when its turn comes.
    tombstones: VecDeque<SessionKey>,
    live: usize,
    /// How far the sweep of replies has come.
    swept: Option<SessionKey>,
    /// When to look whether a session is over, at the latest when it is: a use does not move its timer, only the look does.
    timers: BTreeSet<(Moment, SessionKey)>,
}

impl Store {
    /// One session.
    #[must_use]
    pub fn get(&self, key: &SessionKey) -> Option<&Record> {
        self.records.get(key)
    }

    /// Reads where a session would be found first.
    pub(super) fn read_home(&self, key: &SessionKey) {
        self.records.read_home(key);
    }

    /// What is mostly the session of a key.
    pub(super) fn likely(&self, key: &SessionKey) -> Option<&(SessionKey, Record)> {
        self.records.likely(key)
    }

    /// Sessions held, tombstones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no session is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every record, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionKey, &Record)> {
        self.records.iter()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.records.clear();
        self.tombstones.clear();
        self.timers.clear();
        self.live = 0;
    }

    /// Applies a commit that others keep.
    pub fn apply(&mut self, commit: &Commit, limits: &ReplyLimits, rules: Rules, now: Moment) {
        for change in &commit.changes {
            self.change(change, commit.id.number, limits, rules, now);
        }
    }

    /// Applies a commit that nobody keeps.
    pub fn take(&mut self, commit: Commit, limits: &ReplyLimits, rules: Rules, now: Moment) {
        for SessionChange { key, body, reply, life, copied } in commit.changes {
            self.enact(&key, (body, reply, life, copied), commit.id.number, limits, rules, now);
        }
    }

    /// Applies what a commit changes in one session.
    pub fn change(
        &mut self,
        change: &SessionChange,
        number: CommitNumber,
        limits: &ReplyLimits,
        rules: Rules,
        now: Moment,
    ) {
        let SessionChange { key, body, reply, life, copied } = change;
        self.enact(key, (body.clone(), reply.clone(), *life, *copied), number, limits, rules, now);
    }

    /// The key stays where it is: a session that is there has its own.
    fn enact(
        &mut self,
        key: &SessionKey,
        (body, reply, said, copied): (Body, Option<ReplyEntry>, Option<Lifespan>, bool),
        number: CommitNumber,
        limits: &ReplyLimits,
        rules: Rules,
        now: Moment,
    ) {
        let record = self.records.get_or_default(key);
        let existed = record.exists();
        record.alone = !copied;
        match body {
            Body::Unchanged => {}
            Body::Image { bytes, state_version } => {
                record.image = Some(bytes);
                record.events.clear();
                record.state_version = state_version;
                record.version = number;
            }
            Body::Events { events, image, state_version } => {
                if let Some(image) = image {
                    record.image = Some(image);
                    record.events.clear();
                } else {
                    record.events.extend(events);
                }
                record.state_version = state_version;
                record.version = number;
            }
            Body::Deleted => {
                record.image = None;
                record.events = ThinVec::new();
                record.version = number;
            }
        }
        if let Some(entry) = reply
            && rules.hold(Rule::RepliesReplicated)
        {
            record.replies.get_or_insert_default().remember(entry, number, limits, now);
        }
        let exists = record.exists();
        let span = if exists { said } else { Some(Lifespan::FOR_EVER) };
        match (span, &mut record.life) {
            (Some(span), life) => {
                disarm(&mut self.timers, key, life.as_deref());
                *life = Lifetime::new(span, number, now).map(Box::new);
            }
            (None, Some(life)) => life.told(number, now),
            (None, None) => {}
        }
        arm(&mut self.timers, key, record.life.as_deref_mut());
        if !exists {
            self.tombstones.push_back(key.clone());
        }
        self.live = self.live + usize::from(exists) - usize::from(existed);
    }

    /// Puts a record as it is in the place of whatever is there; `None` takes the session out, tombstone and all.
    pub fn put(&mut self, key: SessionKey, mut record: Option<Record>) {
        let exists = record.as_ref().is_some_and(Record::exists);
        if record.is_some() && !exists {
            self.tombstones.push_back(key.clone());
        }
        disarm(&mut self.timers, &key, self.records.get(&key).and_then(|r| r.life.as_deref()));
        if let Some(life) = record.as_mut().and_then(|r| r.life.as_deref_mut()) {
            life.timer = None;
            arm(&mut self.timers, &key, Some(life));
        }
        let before = match record {
            Some(record) => self.records.insert(key, record),
            None => self.records.remove(&key),
        };
        self.live = self.live + usize::from(exists) - usize::from(before.is_some_and(|r| r.exists()));
    }

    /// Drops what stays on a primary alone: on a backup it would be a copy that nobody keeps up.
    pub fn forget_uncopied(&mut self) {
        let (live, timers) = (&mut self.live, &mut self.timers);
        self.records.retain(|key, record| {
            if record.alone {
                *live -= usize::from(record.exists());
                disarm(timers, key, record.life.as_deref());
            }
            !record.alone
        });
    }

    /// Drops what is no longer remembered: tombstones, oldest first, and replies of living sessions, a stretch of keys at a
    /// time. It looks at no more than `max` of each, and says how many it looked at.
    pub fn sweep(&mut self, limits: &ReplyLimits, now: Moment, max: usize) -> usize {
        self.sweep_tombstones(limits, now, max) + self.sweep_replies(limits, now, max)
    }

    fn sweep_tombstones(&mut self, limits: &ReplyLimits, now: Moment, max: usize) -> usize {
        for looked in 0..max {
            let Some(key) = self.tombstones.front() else { return looked };
            let record = self.records.get(key);
            let gone = record.is_some_and(|r| !r.exists());
            let stale = record.is_none_or(|r| r.replies.as_ref().is_none_or(|t| t.is_stale(limits, now)));
            if gone && !stale {
                return looked + 1;
            }
            if gone {
                self.records.remove(key);
            }
            self.tombstones.pop_front();
        }
        max
    }

    fn sweep_replies(&mut self, limits: &ReplyLimits, now: Moment, max: usize) -> usize {
        let from = self.swept.take();
        let mut looked = 0;
        for (key, record) in self.records.after_mut(from.as_ref()).take(max) {
            looked += 1;
            if record.exists() {
                record.replies.take_if(|table| table.is_stale(limits, now));
            }
            if looked == max {
                self.swept = Some(key.clone());
            }
        }
        looked
    }

    /// The next records after a cursor that are copied, up to about `budget` bytes and at least one; empty at the end.
    #[must_use]
    pub fn after(&self, cursor: Option<&SessionKey>, budget: usize, now: Moment) -> Vec<Carried> {
        let mut taken = 0;
        let mut chunk = Vec::new();
        for (key, record) in self.copied_after(cursor) {
            if taken > 0 && taken + record.size() > budget {
                break;
            }
            taken += record.size() + key.as_bytes().len();
            chunk.push((key.clone(), record.clone(), record.life.as_ref().map(|life| life.left(now))));
        }
        chunk
    }

    /// Whether nothing that is copied comes after a cursor.
    #[must_use]
    pub fn is_at_end(&self, cursor: Option<&SessionKey>) -> bool {
        self.copied_after(cursor).next().is_none()
    }

    fn copied_after<'s>(
        &'s self,
        cursor: Option<&'s SessionKey>,
    ) -> impl Iterator<Item = (&'s SessionKey, &'s Record)> {
        self.records.after(cursor).filter(|(_, record)| !record.alone)
    }

    /// Takes records as they were on the primary.
    pub fn take_in(&mut self, records: Vec<Carried>, now: Moment) {
        for (key, mut record, left) in records {
            disarm(&mut self.timers, &key, self.records.get(&key).and_then(|r| r.life.as_deref()));
            record.life = left.and_then(|left| Lifetime::received(left, now)).map(Box::new);
            arm(&mut self.timers, &key, record.life.as_deref_mut());
            if let Some(replies) = &mut record.replies {
                replies.received(now);
            }
            if record.exists() {
                self.live += 1;
            } else {
                self.tombstones.push_back(key.clone());
            }
            if self.records.insert(key, record).is_some_and(|r| r.exists()) {
                self.live -= 1;
            }
        }
    }
}

/// Lifetimes.
impl Store {
    /// The session was used, without a commit; what the copies have to know before the user is answered.
    pub fn used(&mut self, key: &SessionKey, start: CommitNumber, now: Moment) -> Use {
        self.records.get_mut(key).and_then(|r| r.life.as_mut()).map(|life| life.used(start, now)).unwrap_or_default()
    }

    /// Sessions whose time is over, at most `max` of them. It changes none of them: a commit does. One that gets none is told
    /// of again after a while.
    pub fn over(&mut self, now: Moment, max: usize) -> Vec<(SessionKey, Lapse)> {
        let mut over = Vec::new();
        for _ in 0..max {
            if self.timers.first().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let Some((_, key)) = self.timers.pop_first() else { break };
            let Some(life) = self.records.get_mut(&key).and_then(|r| r.life.as_deref_mut()) else { continue };
            life.timer = None;
            if let Some(lapse) = life.over(now) {
                life.timer = Some(now + AGAIN);
                self.timers.insert((now + AGAIN, key.clone()));
                over.push((key, lapse));
            } else {
                arm(&mut self.timers, &key, Some(life));
            }
        }
        over
    }
}

/// Has the timers look at a session no later than it may be over. A timer that comes sooner stays: the look will move it.
fn arm(timers: &mut BTreeSet<(Moment, SessionKey)>, key: &SessionKey, life: Option<&mut Lifetime>) {
    let Some(life) = life else { return };
    let Some(due) = life.due().filter(|due| life.timer.is_none_or(|timer| timer > *due)) else { return };
    disarm(timers, key, Some(life));
    timers.insert((due, key.clone()));
    life.timer = Some(due);
}

fn disarm(timers: &mut BTreeSet<(Moment, SessionKey)>, key: &SessionKey, life: Option<&Lifetime>) {
    if let Some(timer) = life.and_then(|life| life.timer) {
        timers.remove(&(timer, key.clone()));
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::{
        id::{ClientId, CommitId, RequestId, ViewNumber},
        replication::ReplyEntry,
    };

    const LIMITS: ReplyLimits = ReplyLimits { per_client: 4, clients: 4, keep: Duration::from_secs(10) };

    fn key(n: u64) -> SessionKey {
        SessionKey::new("k", n.to_string().as_bytes()).expect("short")
    }

    fn commit(store: &mut Store, n: u64, body: Body, now: Moment) {
        let request = RequestId { client: ClientId(1), sequence: n, first_unanswered: n };
        let reply = Some(ReplyEntry { request, reply: Blob::from(&b"done"[..]) });
        let change = SessionChange { key: key(n), body, reply, life: None, copied: true };
        let id = CommitId { since: ViewNumber(1), number: CommitNumber(n + 1) };
        store.apply(&Commit { id, changes: smallvec![change] }, &LIMITS, Rules::default(), now);
    }

    #[test]
    fn what_is_no_longer_remembered_goes_though_its_session_lives_and_a_few_at_a_time() {
        let mut store = Store::default();
        let (now, later) = (Moment::START, Moment::START + Duration::from_secs(11));
        for n in 0..100 {
            commit(&mut store, n, Body::Image { bytes: Blob::from(&b"state"[..]), state_version: 1 }, now);
        }
        (0..50).for_each(|n| commit(&mut store, n, Body::Deleted, now));
        let remembered = |store: &Store| store.iter().filter(|(_, r)| r.replies.is_some()).count();
        store.sweep(&LIMITS, now, 1_000);
        assert_eq!((store.iter().count(), remembered(&store)), (100, 100), "it may still be asked for");
        assert!(store.sweep(&LIMITS, later, 20) <= 40);
        assert_eq!(store.iter().count(), 80, "a few at a time");
        (0..10).for_each(|_| {
            store.sweep(&LIMITS, later, 20);
        });
        assert_eq!((store.iter().count(), store.len(), remembered(&store)), (50, 50, 0));
    }
}
