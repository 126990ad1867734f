//! Looking ahead: what many commands are about to need is read from memory together, before the first of them needs it.
//!
//! Sessions are many and lie anywhere, so most of what a command looks at comes from far, and looked at one after the other each
//! waits for all of it. Nothing that one command needs says where another's lies: here a step is made for all of them before the
//! next step is made for any, so that a processor waits for many at a time ("group prefetching", Chen, Ailamaki, Gibbons and Mowry 2004).
//!
//! It changes nothing and decides nothing; who does not look ahead waits, and that is all. A reference is no look: what is to be
//! read is copied out of it.

use std::{hint::black_box, sync::Arc};

use smallvec::SmallVec;

use super::{ArcMessage, Host, Replica, Store};
use crate::id::{ArcId, SessionKey};

/// So many are looked at together: more than a processor waits for at a time, few enough to be still near when they are needed.
const GROUP: usize = 32;
/// What is read at once, in bytes.
const LINE: usize = 64;
/// So much of a state is read ahead: what follows is read in order, which needs no help.
const STATE_MAX: usize = 4 * LINE;

impl Host {
    /// Looks at the sessions of commands that are about to run.
    pub fn look_ahead<'k>(&self, mut wanted: impl Iterator<Item = (ArcId, &'k SessionKey)>) {
        loop {
            let group: SmallVec<[_; GROUP]> = wanted.by_ref().take(GROUP).collect();
            if group.len() < 2 {
                return;
            }
            for (arc, _) in &group {
                if let Some(Replica::Primary(primary)) = self.replica(*arc) {
                    primary.read_ahead();
                }
            }
            let stores = group.iter().filter_map(|(arc, key)| Some((self.replica(*arc)?.store()?, *key)));
            read(&stores.collect());
        }
    }

    /// Looks at the sessions that backups here change when they hear what these messages say of how far their arcs are committed: that
    /// of the oldest commit kept apart, or where there is none, that of the message.
    pub(super) fn look_ahead_of(&self, messages: &[ArcMessage]) {
        for group in messages.chunks(GROUP) {
            if group.len() < 2 {
                return;
            }
            let mut backups: SmallVec<[_; GROUP]> = SmallVec::new();
            for message in group {
                if let Some(Replica::Backup(backup)) = self.replica(message.arc) {
                    black_box(backup.tail().front().map(Arc::as_ptr));
                    backups.push((backup, message));
                }
            }
            let folded = backups.iter().filter_map(|(backup, message)| {
                let commit = backup.tail().front().or_else(|| message.content.commit())?;
                let change = commit.changes.first().filter(|_| commit.id.number <= message.committed)?;
                Some((backup.store(), &change.key))
            });
            read(&folded.collect());
        }
    }

    /// Looks at the primaries that hear that these messages are stored, and at what is let go of with them.
    pub(super) fn look_ahead_to_settle(&self, messages: &[ArcMessage]) {
        for message in messages {
            if let Some(Replica::Primary(primary)) = self.replica(message.arc) {
                primary.read_ahead();
            }
            let change = message.content.commit().and_then(|commit| commit.changes.first());
            black_box(change.and_then(|change| change.key.as_bytes().first().copied()));
        }
    }
}

/// Reads what is held under keys: where to look, what is there, and what that leads to.
fn read(wanted: &SmallVec<[(&Store, &SessionKey); GROUP]>) {
    for (store, key) in wanted {
        store.read_home(key);
    }
    let held: SmallVec<[_; GROUP]> = wanted.iter().filter_map(|(store, key)| store.likely(key)).collect();
    for (key, record) in &held {
        black_box((key.order(), record.version, record.replies.is_some()));
    }
    for (key, record) in &held {
        black_box((key.as_bytes().first().copied(), key.as_bytes().last().copied()));
        if let Some(image) = &record.image {
            for at in (0..image.len().min(STATE_MAX)).step_by(LINE) {
                black_box(image[at]);
            }
        }
        if let Some(replies) = &record.replies {
            replies.read();
        }
    }
}
