//! `Changes`: what becomes of one session, for whoever follows it from any node.
//!
//! Nothing gathers for a follower that is slow: it is told what the session is, not everything that it was, so it costs the
//! session's node no more than one parked call. It keeps its place here, so it misses no latest state by a failover.

use std::{fmt, time::Duration};

use tokio::time;

use crate::{
    error::{Error, ErrorKind},
    kinds::decode_image,
    moment::Moment,
    runtime::{
        clock,
        message::{Operation, Seen},
    },
    session::Session,
    session_ref::{CallOptions, SessionRef},
    wire::codec,
};

/// How long the primary keeps a follower waiting before it says that nothing is new.
const PARKED: Duration = Duration::from_secs(10);
/// Where no primary answers for so long, the follower is told why.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows one session of type `S`; made by [`SessionRef::changes`].
pub struct Changes<S> {
    session: SessionRef<S>,
    /// The version told last; none before the first.
    seen: Option<u64>,
}

/// What a session is after it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<S> {
    /// Its version. It grows with each change of one session; 0: there is no session.
    pub version: u64,
    /// Its state, with defaults in what serde skips; none: it was deleted, has ended, or was not made yet.
    pub state: Option<S>,
}

impl<S: Session> Changes<S> {
    pub(crate) const fn new(session: SessionRef<S>) -> Self {
        Self { session, seen: None }
    }

    /// Waits for the next state: the present one at first, then each time one that is newer than the last. States that came
    /// and went in between are passed over. It is committed: no failover takes it back. Following is no use of a session, so
    /// it does not keep one from ending when idle.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// The session's primary was out of reach for half a minute, or cannot tell: `Lost`, `NoSuchKind`, `Undecodable`, `Stopped`.
    /// The place is kept, so asking again goes on from there.
    pub async fn next(&mut self) -> Result<Change<S>, Error> {
        let mut reached = clock::now();
        loop {
            match self.look(reached + PATIENCE).await {
                Ok(Some(change)) => {
                    self.seen = Some(change.version);
                    return Ok(change);
                }
                Ok(None) => reached = clock::now(),
                Err(why) => {
                    let (ErrorKind::Busy { retry_after, .. }
                    | ErrorKind::NotDone { retry_after, .. }
                    | ErrorKind::Recovering { retry_after }) = *why.kind()
                    else {
                        return Err(why);
                    };
                    if clock::now() + retry_after >= reached + PATIENCE {
                        return Err(why);
                    }
                    time::sleep(retry_after).await;
                }
            }
        }
    }

    async fn look(&self, until: Moment) -> Result<Option<Change<S>>, Error> {
        // No session has this version, so whatever is there is news.
        let seen = self.seen.unwrap_or(u64::MAX);
        let millis = u32::try_from(PARKED.as_millis()).unwrap_or(u32::MAX);
        let options = CallOptions::new().deadline(until.since(clock::now()));
        let answered = self.session.carry(Operation::Watch(seen, millis), options).await?;
        let unreadable = |why: String| Error::new(ErrorKind::UnreadableReply).because(why);
        let news: Option<Seen> =
            codec::decode(&answered.reply, usize::MAX).map_err(|why| unreadable(why.to_string()))?;
        let Some(Seen { version, state }) = news else { return Ok(None) };
        let state = state.map(|(written_by, image)| decode_image::<S>(&image, written_by)).transpose()?;
        Ok(Some(Change { version, state }))
    }
}

impl<S> fmt::Debug for Changes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("session", &self.session).field("seen", &self.seen).finish()
    }
}
