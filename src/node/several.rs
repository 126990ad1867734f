//! Sessions of one kind in numbers: commands to several of them at once, calls to many beside each other, and which there are.

use std::{sync::Arc, time::Duration};

use smallvec::{SmallVec, smallvec};

use super::Node;
use crate::{
    blob::Blob,
    error::{Error, ErrorKind},
    id::{ArcId, SessionKey},
    moment::Moment,
    runtime::{
        bundle::Bundle,
        clock,
        listing::Listed,
        message::{CallRequest, Operation, Part},
        router::{self, Routed},
    },
    wire::codec,
};

/// Commands of one name to one session, one after the other.
#[derive(Debug)]
pub(crate) struct Share {
    /// Which session.
    pub(crate) key: SessionKey,
    /// The commands' name.
    pub(crate) command: &'static str,
    /// Their bodies, at least one.
    pub(crate) bodies: Vec<Blob>,
    /// Only if the session has this version; 0: only if there is none.
    pub(crate) expected: Option<u64>,
}

/// What one of many calls is to do, in bytes.
#[derive(Debug)]
pub(crate) enum What {
    /// A command: its name and body.
    Call(&'static str, Blob),
    /// Commands of one name in one commit.
    Many(&'static str, Vec<Blob>),
    /// A question.
    Ask(&'static str, Blob),
}

impl From<What> for Operation {
    fn from(what: What) -> Self {
        match what {
            What::Call(name, body) => Self::Call(name.into(), body),
            What::Many(name, bodies) => Self::Many(name.into(), bodies),
            What::Ask(name, body) => Self::Ask(name.into(), body),
        }
    }
}

/// The calls of one caller who makes many: those that are begun together are handed on together.
pub(crate) struct Many(Bundle);

impl Many {
    /// Begins calls that wait for `Node::see_to_calls`, each within so long, and gives the number of the first; those of the others
    /// follow. Each has its session, what is done with it, and whether that may begin where every copy was lost.
    pub(crate) fn begin(
        &mut self,
        calls: impl Iterator<Item = Result<(SessionKey, What, bool), Error>>,
        within: Duration,
    ) -> u64 {
        let requests = calls.map(|call| {
            let (key, what, creating) = call?;
            Ok(CallRequest { creating, ..request(key, what.into()) })
        });
        self.0.begin(requests, clock::now() + within)
    }

    /// The numbers of calls that have ended since, at least one, and their encoded replies, one for each body; waits for that. If
    /// the future is dropped nothing is lost.
    pub(crate) async fn next(&mut self, mut each: impl FnMut(u64, Result<SmallVec<[Blob; 1]>, Error>)) {
        let mut ended = Vec::new();
        self.0.next(&mut ended).await;
        for (number, ended) in ended {
            each(number, ended.and_then(replies));
        }
    }
}

fn replies(Routed { reply, is_list, .. }: Routed) -> Result<SmallVec<[Blob; 1]>, Error> {
    if is_list {
        return codec::decode(&reply, usize::MAX).map_err(|_| ErrorKind::UnreadableReply.into());
    }
    Ok(smallvec![reply])
}

impl Node {
    /// For a caller who makes many calls.
    pub(crate) fn many(&self) -> Many {
        Many(Bundle::new(Arc::clone(&self.0.shared)))
    }

    /// The clock that calls of this node have their deadlines by.
    pub(crate) fn now(&self) -> Moment {
        clock::now()
    }

    /// Sees to the calls of many callers that were begun since.
    pub(crate) fn see_to_calls(&self) {
        self.0.shared.see_to_calls();
    }

    /// One call, answered within so long: the encoded reply, and the version of the session.
    ///
    /// # Errors
    /// As [`crate::SessionRef::call`].
    pub(crate) async fn call_one(
        &self,
        (key, what, creating): (SessionKey, What, bool),
        within: Duration,
    ) -> Result<(Blob, u64), Error> {
        let request = CallRequest { creating, ..request(key, what.into()) };
        let answered = router::call(&self.0.shared, Arc::new(request), clock::now() + within).await?;
        Ok((answered.reply, answered.version))
    }

    /// Runs commands on several sessions of one arc, each named once: all in one commit, or none of them. The encoded replies stand
    /// in the order of the shares. Types with actors of their own, whose ends are told, or that are not copied take no part, and the
    /// commands leave no work behind.
    ///
    /// # Errors
    /// As [`crate::SessionRef::call`]; `Conflict` if one of them has another version than it is to have.
    pub(crate) async fn call_together(&self, shares: Vec<Share>, within: Duration) -> Result<Vec<Vec<Blob>>, Error> {
        let shared = &self.0.shared;
        let limit = shared.settings.value_max;
        let bytes: usize = shares.iter().flat_map(|share| &share.bodies).map(|body| body.len()).sum();
        if bytes > limit {
            return Err(ErrorKind::TooLarge { limit }.into());
        }
        let part = |Share { key, command, bodies, expected }| Part { key, command: command.into(), bodies, expected };
        let parts: Vec<Part> = shares.into_iter().map(part).collect();
        let Some(first) = parts.first() else { return Ok(Vec::new()) };
        let request = request(first.key.clone(), Operation::Together(parts));
        let answered = router::call(shared, Arc::new(request), clock::now() + within).await?;
        let unreadable = |_| Error::from(ErrorKind::UnreadableReply);
        let shares: Vec<Blob> = codec::decode(&answered.reply, usize::MAX).map_err(unreadable)?;
        shares.iter().map(|share| codec::decode(share, usize::MAX).map_err(unreadable)).collect()
    }

    /// A page of the ids of one kind in one arc that begin with these bytes: about `max` from the place `from` on, 0 being the
    /// first. With a `max` of 0 only their number. Sessions that are there all the time are each told once.
    ///
    /// # Errors
    /// As [`crate::SessionRef::ask`].
    pub(crate) async fn list(
        &self,
        (kind, arc): (&str, ArcId),
        prefix: &[u8],
        (from, max): (u64, u32),
        within: Duration,
    ) -> Result<Listed, Error> {
        let shared = &self.0.shared;
        let probe = shared.probe_of(arc).ok_or(ErrorKind::NotDone { retry_after: within, at: None })?;
        let key = SessionKey::new(kind, probe.to_string().as_bytes()).ok_or(ErrorKind::InvalidSessionId)?;
        let request = request(key, Operation::List(Blob::from(prefix), from, max));
        let answered = router::call(shared, Arc::new(request), clock::now() + within).await?;
        codec::decode(&answered.reply, usize::MAX).map_err(|_| ErrorKind::UnreadableReply.into())
    }
}

fn request(key: SessionKey, operation: Operation) -> CallRequest {
    CallRequest {
        key,
        operation,
        request: None,
        durability: None,
        expected: None,
        life: None,
        attempts: 0,
        creating: false,
    }
}
