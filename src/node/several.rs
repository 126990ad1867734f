//! Sessions of one kind in numbers: commands to several of them at once, and which of them there are.

use std::{sync::Arc, time::Duration};

use super::Node;
use crate::{
    blob::Blob,
    error::{Error, ErrorKind},
    id::{ArcId, SessionKey},
    runtime::{
        clock,
        listing::Listed,
        message::{CallRequest, Operation, Part},
        router,
    },
    session::{Command, Session, SessionId, decode_reply, encode_command},
    wire::codec,
};

/// Commands of one name to one session, one after the other.
#[derive(Debug)]
pub(crate) struct Share<C> {
    /// Which session.
    pub(crate) id: SessionId,
    /// The commands, at least one.
    pub(crate) commands: Vec<C>,
    /// Only if the session has this version; 0: only if there is none.
    pub(crate) expected: Option<u64>,
}

impl Node {
    /// Runs commands on several sessions of one arc, each named once: all in one commit, or none of them. The replies stand in
    /// the order of the shares. Types with actors of their own, whose ends are told, or that are not copied take no part, and the
    /// commands leave no work behind.
    ///
    /// # Errors
    /// As [`crate::SessionRef::call`]; `Conflict` if one of them has another version than it is to have.
    pub(crate) async fn call_together<S: Session, C: Command>(
        &self,
        shares: Vec<Share<C>>,
        within: Duration,
    ) -> Result<Vec<Vec<C::Reply>>, Error> {
        let shared = &self.0.shared;
        let limit = shared.settings.value_max;
        let mut left = limit;
        let mut parts = Vec::with_capacity(shares.len());
        for share in shares {
            let mut bodies = Vec::with_capacity(share.commands.len());
            for command in &share.commands {
                let body = encode_command(command, limit)?;
                left = left.checked_sub(body.len()).ok_or(ErrorKind::TooLarge { limit })?;
                bodies.push(body);
            }
            let key = SessionKey::new(S::KIND, share.id.as_bytes()).ok_or(ErrorKind::InvalidSessionId)?;
            parts.push(Part { key, command: C::NAME.into(), bodies, expected: share.expected });
        }
        let Some(first) = parts.first() else { return Ok(Vec::new()) };
        let request = request(first.key.clone(), Operation::Together(parts));
        let answered = router::call(shared, Arc::new(request), clock::now() + within).await?;
        let unreadable = |_| Error::from(ErrorKind::UnreadableReply);
        let shares: Vec<Blob> = codec::decode(&answered.reply, usize::MAX).map_err(unreadable)?;
        let replies = |share: &Blob| -> Result<Vec<C::Reply>, Error> {
            let replies: Vec<Blob> = codec::decode(share, usize::MAX).map_err(unreadable)?;
            replies.iter().map(|reply| decode_reply::<C>(reply)).collect()
        };
        shares.iter().map(replies).collect()
    }

    /// A page of the ids of one kind in one arc that begin with these bytes: about `max` from the place `from` on, 0 being the
    /// first. With a `max` of 0 only their number. Sessions that are there all the time are each told once.
    ///
    /// # Errors
    /// As [`crate::SessionRef::ask`].
    pub(crate) async fn list<S: Session>(
        &self,
        arc: ArcId,
        prefix: &[u8],
        (from, max): (u64, u32),
        within: Duration,
    ) -> Result<Listed, Error> {
        let shared = &self.0.shared;
        let probe = shared.probe_of(arc).ok_or(ErrorKind::NotDone { retry_after: within, at: None })?;
        let key = SessionKey::new(S::KIND, probe.to_string().as_bytes()).ok_or(ErrorKind::InvalidSessionId)?;
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
