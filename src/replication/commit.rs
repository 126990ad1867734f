//! A commit: what one command changed, its reply included, in one session or in several of the same arc.
//!
//! The user's bytes are opaque here. A commit is whole or absent: a backup that holds it holds the reply too, which is what
//! makes a retry harmless after a failover.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{lifetime::Lifespan, short_list::short_list};
use crate::{
    blob::Blob,
    id::{CommitId, RequestId, SessionKey},
};

/// The changes of one commit: almost always one, which then needs no allocation of its own.
pub type Changes = SmallVec<[SessionChange; 1]>;
/// The events of one command, likewise.
pub type Events = SmallVec<[Blob; 1]>;

/// One place in the one history of an arc.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Commit {
    /// Its identity.
    pub id: CommitId,
    /// What it changes; empty for the `start` record of a promoted primary.
    #[serde(deserialize_with = "short_list")]
    pub changes: Changes,
}

/// What a commit changes in one session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionChange {
    /// Which session.
    pub key: SessionKey,
    /// What becomes of its state.
    pub body: Body,
    /// What was answered, to be given again to a retry.
    pub reply: Option<ReplyEntry>,
    /// How long it lives from now on; `None`: as was said before, and this counts as a use.
    pub life: Option<Lifespan>,
    /// Whether the backups get it. A session is copied or not for all its life, as its type says.
    #[serde(skip, default = "is_copied")]
    pub copied: bool,
}

/// Whatever came from another node was copied.
pub(super) const fn is_copied() -> bool {
    true
}

/// What becomes of a session's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// Nothing; only the reply is remembered.
    Unchanged,
    /// The whole new state.
    Image {
        /// The encoded state.
        bytes: Blob,
        /// The version of its type.
        state_version: u32,
    },
    /// Events on top of what is there, and now and then a fresh image that holds them all.
    Events {
        /// The encoded events, in order.
        #[serde(deserialize_with = "short_list")]
        events: Events,
        /// The state after them, when it was due.
        image: Option<Blob>,
        /// The version of the state's type.
        state_version: u32,
    },
    /// The session is deleted; its replies stay for as long as replies are kept.
    Deleted,
}

/// A remembered reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplyEntry {
    /// The request it answers.
    pub request: RequestId,
    /// The encoded reply.
    pub reply: Blob,
}

impl Commit {
    /// Bytes of user content, for windows and limits.
    #[must_use]
    pub fn size(&self) -> usize {
        self.changes.iter().map(SessionChange::size).sum::<usize>() + 16
    }

    /// What the backups get of it: its place in the history, and the changes that are copied.
    #[must_use]
    pub(super) fn for_backups(commit: Arc<Self>) -> Arc<Self> {
        if commit.changes.iter().all(|change| change.copied) {
            return commit;
        }
        let changes = commit.changes.iter().filter(|change| change.copied).cloned().collect();
        Arc::new(Self { id: commit.id, changes })
    }
}

impl SessionChange {
    fn size(&self) -> usize {
        let body = match &self.body {
            Body::Unchanged | Body::Deleted => 0,
            Body::Image { bytes, .. } => bytes.len(),
            Body::Events { events, image, .. } => {
                events.iter().map(|b| b.len()).sum::<usize>() + image.as_ref().map_or(0, |b| b.len())
            }
        };
        body + self.key.as_bytes().len() + self.reply.as_ref().map_or(0, |r| r.reply.len() + 32)
    }
}
