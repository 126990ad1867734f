//! `SessionRef`: one session, from any node. Calls go to its primary wherever that is; the caller does not ask where.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    blob::Blob,
    changes::Changes,
    error::{Error, ErrorKind},
    id::{ClientId, NodeId, RequestId, SessionKey},
    kinds::Failure,
    moment::Moment,
    replication::{Durability, Lifespan},
    runtime::{
        clock,
        message::{CallRequest, Operation},
        router,
        shared::Shared,
        worker::{StaleFailure, WorkerInput},
    },
    session::{Answer, Command, Runs, Session, SessionId, decode_reply, encode_command},
    wire::codec,
};

/// A call gives up after this unless told otherwise; shorter than replies are kept, so that a retry is never too old.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a command of several counts at least, in bytes.
const MANY_LEAST: usize = 64;

/// How one call is to be made.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    durability: Option<Durability>,
    deadline: Option<Duration>,
    request: Option<RequestId>,
    expected: Option<u64>,
    life: Option<Lifespan>,
    creating: bool,
}

impl CallOptions {
    /// As `call` does it: acknowledged as the session type says (by every backup, if it says nothing), five seconds, no
    /// condition.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When the command counts as done, whatever its session type says.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// How long to try, from now. At most half of `reply_keep` makes sense.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The request's identity: a command under an identity already seen is not executed again, its reply is given again.
    #[must_use]
    pub fn request(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// The identity from an opaque key, remembered for `reply_keep`.
    #[must_use]
    pub fn idempotency_key(self, key: &[u8]) -> Self {
        let client = ClientId(xxhash_rust::xxh3::xxh3_128(key));
        self.request(RequestId { client, sequence: 0, first_unanswered: 0 })
    }

    /// Only if the session has this version; 0 means "only if it does not exist".
    #[must_use]
    pub fn expected_version(mut self, version: u64) -> Self {
        self.expected = Some(version);
        self
    }

    /// The session ends so long after this command, used or not. It replaces whatever its type said or an earlier command set;
    /// what the command itself sets comes before it. Of no effect on a question.
    #[must_use]
    pub fn expire_in(mut self, left: Duration) -> Self {
        self.life.get_or_insert_default().ends_in = Some(left);
        self
    }

    /// The session ends when it was not used for so long; otherwise as [`CallOptions::expire_in`].
    #[must_use]
    pub fn expire_when_idle_for(mut self, idle: Duration) -> Self {
        self.life.get_or_insert_default().idle = Some(idle);
        self
    }

    /// Only a deletion ends the session from now on.
    #[must_use]
    pub fn never_expire(self) -> Self {
        self.lifespan(Lifespan::FOR_EVER)
    }

    /// How long the session lives from now on, as a whole.
    #[must_use]
    pub fn lifespan(mut self, life: Lifespan) -> Self {
        self.life = Some(life);
        self
    }

    /// Says outright that the session may begin here, even where every copy of its arc was lost.
    #[must_use]
    pub fn creating(mut self) -> Self {
        self.creating = true;
        self
    }
}

/// A reply, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<R> {
    /// The reply.
    pub reply: R,
    /// The session's version after the command; grows with every change.
    pub version: u64,
    /// The primary that answered.
    pub node: NodeId,
}

/// What a copy says: committed, perhaps old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale<R> {
    /// The reply.
    pub reply: R,
    /// The session's version in this copy; 0 if it does not exist there.
    pub version: u64,
    /// How long ago this copy last heard of the session's arc from a primary; zero on the primary itself. On an arc where
    /// nothing happens it grows, though nothing was missed.
    pub age: Duration,
}

/// One session of type `S`.
pub struct SessionRef<S> {
    shared: Arc<Shared>,
    key: SessionKey,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for SessionRef<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), key: self.key.clone(), of: PhantomData }
    }
}

impl<S> fmt::Debug for SessionRef<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionRef({})", self.key)
    }
}

impl<S: Session> SessionRef<S> {
    pub(crate) fn new(shared: Arc<Shared>, key: SessionKey) -> Self {
        Self { shared, key, of: PhantomData }
    }

    /// Runs a command on the session and waits until it is done: held by every in-sync backup, unless its type is registered
    /// as `Async`.
    ///
    /// # Errors
    /// Each [`ErrorKind`] says whether the session changed and whether a retry is safe. For as long as its deadline allows,
    /// the call itself seeks the session's primary and retries, applied once however often it was tried; it waits its turn
    /// where this node has more calls under way to the session than that remembers replies of one client. A bound that tells
    /// of too much to do ([`crate::Bound::Calls`], `Link`, `Arc`) is answered at once.
    pub async fn call<C: Command, W>(&self, command: C) -> Result<C::Reply, Error>
    where
        S: Runs<C, W>,
    {
        Ok(self.call_with(command, CallOptions::new()).await?.reply)
    }

    /// Runs a command with options, and tells the session's version too.
    ///
    /// # Errors
    /// As [`SessionRef::call`].
    pub async fn call_with<C: Command, W>(&self, command: C, options: CallOptions) -> Result<Answered<C::Reply>, Error>
    where
        S: Runs<C, W>,
    {
        let payload = encode_command(&command, self.shared.settings.value_max)?;
        let answered = self.carry(Operation::Call(C::NAME.into(), payload), options).await?;
        Ok(Answered { reply: decode_reply::<C>(&answered.reply)?, version: answered.version, node: answered.node })
    }

    /// Runs commands of one name, one after the other, each finding what those before it did: all in one commit, or none.
    /// For what belongs together, and for what is cheaper together: one way there and back, one state to copy.
    ///
    /// # Errors
    /// As [`SessionRef::call`]; that of the first command that fails, and then none of them was done. `TooLarge` if their
    /// bodies, of which each counts at least 64 bytes, together are larger than `limits.value`.
    pub async fn call_many<C: Command, W>(&self, commands: impl IntoIterator<Item = C>) -> Result<Vec<C::Reply>, Error>
    where
        S: Runs<C, W>,
    {
        Ok(self.call_many_with(commands, CallOptions::new()).await?.reply)
    }

    /// Runs commands of one name with options, under one request identity, and tells the session's version too.
    ///
    /// # Errors
    /// As [`SessionRef::call_many`].
    pub async fn call_many_with<C: Command, W>(
        &self,
        commands: impl IntoIterator<Item = C>,
        options: CallOptions,
    ) -> Result<Answered<Vec<C::Reply>>, Error>
    where
        S: Runs<C, W>,
    {
        let limit = self.shared.settings.value_max;
        let mut left = limit;
        let mut payloads = Vec::new();
        for command in commands {
            let payload = encode_command(&command, limit)?;
            left = left.checked_sub(payload.len().max(MANY_LEAST)).ok_or(ErrorKind::TooLarge { limit })?;
            payloads.push(payload);
        }
        let answered = self.carry(Operation::Many(C::NAME.into(), payloads), options).await?;
        let replies: Vec<Blob> =
            codec::decode(&answered.reply, usize::MAX).map_err(|_| Error::from(ErrorKind::UnreadableReply))?;
        let reply = replies.iter().map(|reply| decode_reply::<C>(reply)).collect::<Result<_, _>>()?;
        Ok(Answered { reply, version: answered.version, node: answered.node })
    }

    /// The session's changes from now on, its present state first: for a page that shows it, for a cache in front of it.
    /// This asks nobody yet.
    #[must_use]
    pub fn changes(&self) -> Changes<S> {
        Changes::new(self.clone())
    }

    /// Asks the session a question, answered by its primary: as new as the newest acknowledged command.
    ///
    /// # Errors
    /// As [`SessionRef::call`]; a question changes nothing, so it is never in doubt.
    pub async fn ask<Q: Command>(&self, question: Q) -> Result<Q::Reply, Error>
    where
        S: Answer<Q>,
    {
        Ok(self.ask_with(question, CallOptions::new()).await?.reply)
    }

    /// Asks with options, and tells the session's version too.
    ///
    /// # Errors
    /// As [`SessionRef::ask`].
    pub async fn ask_with<Q: Command>(&self, question: Q, options: CallOptions) -> Result<Answered<Q::Reply>, Error>
    where
        S: Answer<Q>,
    {
        let payload = encode_command(&question, self.shared.settings.value_max)?;
        let answered = self.carry(Operation::Ask(Q::NAME.into(), payload), options).await?;
        Ok(Answered { reply: decode_reply::<Q>(&answered.reply)?, version: answered.version, node: answered.node })
    }

    /// Asks this node's own copy, primary or backup: committed, perhaps old, and without any other node.
    ///
    /// # Errors
    /// `NotDone` when this node holds no copy, or one whose primary is only being promoted.
    pub async fn read_stale<Q: Command>(&self, question: Q) -> Result<Stale<Q::Reply>, Error>
    where
        S: Answer<Q>,
    {
        let payload = encode_command(&question, self.shared.settings.value_max)?;
        let request = Arc::new(self.request(Operation::Ask(Q::NAME.into(), payload), &CallOptions::new()));
        let not_here = || Error::new(ErrorKind::NotDone { retry_after: Duration::from_millis(20), at: self.primary() });
        let arc = self.shared.arc_of(&self.key).ok_or_else(not_here)?;
        let (answer, answered) = oneshot::channel();
        if !self.shared.tell_worker(arc, WorkerInput::ReadStale(Arc::clone(&request), answer)) {
            return Err(not_here());
        }
        let read = tokio::time::timeout(DEADLINE, answered).await.map_err(|_| ErrorKind::Deadline)?;
        let (reply, version, as_of) = read.map_err(|_| not_here())?.map_err(|failure| match failure {
            StaleFailure::NoCopy => not_here().because("this node holds no copy of the session"),
            StaleFailure::NotFollowing => not_here().because("the copy here is between two primaries"),
            StaleFailure::Failed(failure) => router::failed(failure, &request.key, &request.operation),
            StaleFailure::NoSuchKind => ErrorKind::NoSuchKind { kind: self.key.kind().to_owned() }.into(),
        })?;
        Ok(Stale { reply: decode_reply::<Q>(&reply)?, version, age: clock::now().since(as_of) })
    }

    /// Makes the session as its type says for an id that never existed.
    ///
    /// # Errors
    /// `AlreadyExists`; `NoSuchSession` when the type has no first state of its own (use `create_with`).
    pub async fn create(&self) -> Result<u64, Error> {
        Ok(self.carry(Operation::Create(None), CallOptions::new()).await?.version)
    }

    /// Makes the session with this first state.
    ///
    /// # Errors
    /// `AlreadyExists`, `TooLarge`, `Unencodable`.
    pub async fn create_with(&self, initial: &S) -> Result<u64, Error> {
        let initial = self.encode_state(initial)?;
        Ok(self.carry(Operation::Create(Some(initial)), CallOptions::new()).await?.version)
    }

    /// Makes the session unless it exists; true if it was made.
    ///
    /// # Errors
    /// As [`SessionRef::create`], without `AlreadyExists`.
    pub async fn get_or_create(&self) -> Result<bool, Error> {
        let answered = self.carry(Operation::GetOrCreate(None), CallOptions::new()).await?;
        codec::decode(&answered.reply, usize::MAX).map_err(|_| ErrorKind::UnreadableReply.into())
    }

    /// Removes the session; true if there was one.
    ///
    /// # Errors
    /// As [`SessionRef::call`].
    pub async fn delete(&self) -> Result<bool, Error> {
        Ok(self.delete_with(CallOptions::new()).await?.reply)
    }

    /// Removes the session with options, an expected version for example.
    ///
    /// # Errors
    /// As [`SessionRef::call`]; `Conflict` when the version is another.
    pub async fn delete_with(&self, options: CallOptions) -> Result<Answered<bool>, Error> {
        let answered = self.carry(Operation::Delete, options).await?;
        let reply = codec::decode(&answered.reply, usize::MAX).map_err(|_| ErrorKind::UnreadableReply)?;
        Ok(Answered { reply, version: answered.version, node: answered.node })
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId::of(&self.key)
    }

    /// The session's primary, as far as this node knows.
    #[must_use]
    pub fn primary(&self) -> Option<NodeId> {
        let view = self.shared.newest_view()?;
        view.arc(self.key.arc(view.shape.arcs)).map(|e| e.primary)
    }

    fn encode_state(&self, state: &S) -> Result<Blob, Error> {
        codec::encode_named(state, self.shared.settings.value_max).map_err(|fault| match fault {
            codec::CodecFault::TooLarge { limit } => Failure::TooLarge { limit }.into(),
            fault => Error::new(ErrorKind::Unencodable).because(fault.to_string()),
        })
    }

    fn request(&self, operation: Operation, options: &CallOptions) -> CallRequest {
        CallRequest {
            key: self.key.clone(),
            operation,
            request: options.request,
            durability: options.durability,
            expected: options.expected,
            life: options.life,
            attempts: 0,
            creating: options.creating,
        }
    }

    pub(crate) async fn carry(&self, operation: Operation, options: CallOptions) -> Result<router::Routed, Error> {
        let request = self.request(operation, &options);
        let deadline: Moment = clock::now() + options.deadline.unwrap_or(DEADLINE);
        router::call(&self.shared, Arc::new(request), deadline).await
    }
}
