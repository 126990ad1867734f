//! What travels on the links: from a primary node to a backup node, and back.
//!
//! A link is one numbered stream for a pair of nodes; all arcs between the two share it, so that one number acknowledges
//! them all. Everything an arc sends is in order on it.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    commit::Commit,
    store::{Carried, Record},
};
use crate::id::{ArcId, CommitNumber, SessionKey, ViewNumber};

/// One thing a primary says to one backup about one arc.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArcMessage {
    /// Which arc.
    pub arc: ArcId,
    /// The view that installed the primary which says it. Only an older one is refused.
    pub since: ViewNumber,
    /// How far the arc's history is committed once this is stored, as the primary knows it: where a commit needs nobody beside the
    /// receiver, the commit is part of that.
    pub committed: CommitNumber,
    /// What it says.
    pub content: ArcContent,
}

/// What a primary says to a backup.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArcContent {
    /// The next commit.
    Commit(#[serde(deserialize_with = "shared")] Arc<Commit>),
    /// A promoted primary begins: make your tail equal to this one, which ends with the start record itself.
    Start {
        /// Everything up to here is folded into the primary's sessions, and was committed.
        base: CommitNumber,
        /// Everything above, in order, under its original names.
        tail: Vec<Arc<Commit>>,
    },
    /// Nothing new; only `committed` moved.
    Committed,
    /// A stretch of sessions for a node that catches up; boxed, for it is rare and would make every message as large.
    Chunk(Box<Chunk>),
    /// The next commit, and a call under which its reply is awaited where the receiver is: once stored it is done, and the receiver
    /// tells so. Only where nobody else has to have it.
    Answering(u64, #[serde(deserialize_with = "shared")] Arc<Commit>),
}

/// A stretch of the sessions of an arc, in key order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chunk {
    /// Which pass of the cursor; a new one begins from nothing.
    pub pass: u64,
    /// Whether it is the first of its pass.
    pub first: bool,
    /// Records as of now.
    pub records: Vec<Carried>,
    /// The cursor after them. Later commits of sessions up to here are sent live.
    pub cursor: Option<SessionKey>,
    /// Set on the last chunk: everything up to this number is in.
    pub end: Option<CommitNumber>,
}

/// Serde's own way to an `Arc` is a box first and a copy then.
fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Commit>, D::Error> {
    Commit::deserialize(deserializer).map(Arc::new)
}

impl ArcContent {
    /// The next commit, if it is one.
    #[must_use]
    pub fn commit(&self) -> Option<&Arc<Commit>> {
        match self {
            Self::Commit(commit) | Self::Answering(_, commit) => Some(commit),
            _ => None,
        }
    }

    /// Bytes of user content, for windows and limits.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Commit(commit) | Self::Answering(_, commit) => commit.size(),
            Self::Start { tail, .. } => tail.iter().map(|c| c.size()).sum::<usize>() + 16,
            Self::Committed => 8,
            Self::Chunk(chunk) => {
                let bytes = |r: &Record| {
                    r.image.as_ref().map_or(0, |b| b.len()) + r.events.iter().map(|b| b.len()).sum::<usize>() + 64
                };
                chunk.records.iter().map(|(k, r, _)| k.as_bytes().len() + bytes(r)).sum::<usize>() + 32
            }
        }
    }
}

/// What an acknowledged message means to the arc that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Which arc.
    pub arc: ArcId,
    /// Under which primary it was sent.
    pub since: ViewNumber,
    /// What was in it.
    pub of: Received,
}

/// What an acknowledged message held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Received {
    /// The history up to this number.
    Upto(CommitNumber),
    /// A chunk of this pass; with `end`, the last one.
    Chunk {
        /// Which pass of the cursor.
        pass: u64,
        /// Set on the last chunk.
        end: Option<CommitNumber>,
    },
    /// Nothing that counts.
    Nothing,
}

impl ArcMessage {
    /// The receipt that its acknowledgement is worth.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        let of = match &self.content {
            ArcContent::Commit(commit) | ArcContent::Answering(_, commit) => Received::Upto(commit.id.number),
            ArcContent::Start { base, tail } => Received::Upto(tail.last().map_or(*base, |c| c.id.number)),
            ArcContent::Committed => Received::Nothing,
            ArcContent::Chunk(chunk) => Received::Chunk { pass: chunk.pass, end: chunk.end },
        };
        Receipt { arc: self.arc, since: self.since, of }
    }
}

/// The head of one frame on a link. Written when the frame is sent or sent again, so `view` is always the sender's newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameHead {
    /// The view the sender has installed: a hint to fetch it.
    pub view: ViewNumber,
    /// Drawn by the sender when it opened the link; a receiver that sees a newer one begins again at 1.
    pub generation: u64,
    /// The frame's number on this link, from 1.
    pub number: u64,
}

/// What the receiver of a link answers. Everything up to `upto` is stored, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkAck {
    /// The link's generation.
    pub generation: u64,
    /// Everything up to this frame is stored.
    pub upto: u64,
    /// The view the receiver has installed: the stamp of the lease that this grants.
    pub stamp: ViewNumber,
    /// A frame was refused because something in it is of a deposed primary: fetch the view, step down, send again.
    pub refused: bool,
}
