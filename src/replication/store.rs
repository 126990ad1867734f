//! The sessions of one arc as bytes: what a backup holds, and what a primary's live objects are a cache of.
//!
//! Each record is an image and the events since it, with the version, the reply table and later the timers outside the
//! user's bytes, so that nothing of the user's has to be decoded to promote, to expire or to answer a retry. Ordered by key,
//! because a catch-up walks it with a cursor. A deleted session leaves a tombstone for as long as replies are kept.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    commit::{Body, Commit, SessionChange},
    reply_table::{ReplyLimits, ReplyTable},
    rules::{Rule, Rules},
};
use crate::{
    id::{CommitNumber, SessionKey},
    moment::Moment,
};

/// One session as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The newest image; `None` when the session is deleted.
    pub image: Option<Bytes>,
    /// Events on top of it, in order.
    pub events: Vec<Bytes>,
    /// The version of the state's type.
    pub state_version: u32,
    /// The commit that last changed it: its version for callers, growing over deletion and re-creation.
    pub version: CommitNumber,
    /// What it answered.
    pub replies: Option<Box<ReplyTable>>,
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

    fn size(&self) -> usize {
        self.image.as_ref().map_or(0, Bytes::len)
            + self.events.iter().map(Bytes::len).sum::<usize>()
            + self.replies.as_ref().map_or(0, |r| r.size())
            + 32
    }
}

/// The sessions of one arc.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    records: BTreeMap<SessionKey, Record>,
    /// Keys in the order they were deleted; one that was created again since is passed over when its turn comes.
    tombstones: VecDeque<SessionKey>,
    live: usize,
}

impl Store {
    /// One session.
    #[must_use]
    pub fn get(&self, key: &SessionKey) -> Option<&Record> {
        self.records.get(key)
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
        self.live = 0;
    }

    /// Applies a commit.
    pub fn apply(&mut self, commit: &Commit, limits: &ReplyLimits, rules: Rules, now: Moment) {
        for change in &commit.changes {
            self.change(change, commit.id.number, limits, rules, now);
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
        let record = self.records.entry(change.key.clone()).or_default();
        let existed = record.exists();
        record.alone = !change.copied;
        match &change.body {
            Body::Unchanged => {}
            Body::Image { bytes, state_version } => {
                record.image = Some(bytes.clone());
                record.events.clear();
                record.state_version = *state_version;
                record.version = number;
            }
            Body::Events { events, image, state_version } => {
                if let Some(image) = image {
                    record.image = Some(image.clone());
                    record.events.clear();
                } else {
                    record.events.extend_from_slice(events);
                }
                record.state_version = *state_version;
                record.version = number;
            }
            Body::Deleted => {
                record.image = None;
                record.events = Vec::new();
                record.version = number;
            }
        }
        if let Some(entry) = &change.reply
            && rules.hold(Rule::RepliesReplicated)
        {
            record.replies.get_or_insert_default().remember(entry, number, limits, now);
        }
        let exists = record.exists();
        if !exists {
            self.tombstones.push_back(change.key.clone());
        }
        self.live = self.live + usize::from(exists) - usize::from(existed);
    }

    /// Puts a record as it is in the place of whatever is there; `None` takes the session out, tombstone and all.
    pub fn put(&mut self, key: SessionKey, record: Option<Record>) {
        let exists = record.as_ref().is_some_and(Record::exists);
        if record.is_some() && !exists {
            self.tombstones.push_back(key.clone());
        }
        let before = match record {
            Some(record) => self.records.insert(key, record),
            None => self.records.remove(&key),
        };
        self.live = self.live + usize::from(exists) - usize::from(before.is_some_and(|r| r.exists()));
    }

    /// Drops what stays on a primary alone: on a backup it would be a copy that nobody keeps up.
    pub fn forget_uncopied(&mut self) {
        let live = &mut self.live;
        self.records.retain(|_, record| {
            *live -= usize::from(record.alone && record.exists());
            !record.alone
        });
    }

    /// Drops the oldest tombstones whose replies are no longer kept; a few at a time.
    pub fn sweep(&mut self, limits: &ReplyLimits, now: Moment) {
        for _ in 0..16 {
            let Some(key) = self.tombstones.front() else { return };
            let record = self.records.get(key);
            let gone = record.is_some_and(|r| !r.exists());
            let stale = record.is_none_or(|r| r.replies.as_ref().is_none_or(|t| t.is_stale(limits, now)));
            if gone && !stale {
                return;
            }
            if gone {
                self.records.remove(key);
            }
            self.tombstones.pop_front();
        }
    }

    /// The next records after a cursor that are copied, up to about `budget` bytes and at least one; empty at the end.
    #[must_use]
    pub fn after(&self, cursor: Option<&SessionKey>, budget: usize) -> Vec<(SessionKey, Record)> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let mut taken = 0;
        let mut chunk = Vec::new();
        let copied = self.records.range::<SessionKey, _>((from, Bound::Unbounded)).filter(|(_, record)| !record.alone);
        for (key, record) in copied {
            if taken > 0 && taken + record.size() > budget {
                break;
            }
            taken += record.size() + key.as_bytes().len();
            chunk.push((key.clone(), record.clone()));
        }
        chunk
    }

    /// Takes records as they were on the primary.
    pub fn take_in(&mut self, records: Vec<(SessionKey, Record)>, now: Moment) {
        for (key, mut record) in records {
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
