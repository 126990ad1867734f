//! `History`: what callers asked of sessions, when, and what they were told. The evidence that the other files judge.
//!
//! A session is seen as a register with a counter: it holds a value or is absent, and its version counts the changes
//! applied to it since it first existed, deletions included, never reset. Written values are unique within a session, so
//! whoever sees one knows which operation wrote it; that is what makes checking fast (Gibbons and Korach, "Testing Shared
//! Memories", 1997: with unique writes the search is easy, without them NP-complete).
//!
//! It does not say which node answered: a late acknowledgement of a deposed primary is harmless and no evidence of
//! anything (guarantee G2). A command retried with its request id is *one* operation, from its first invocation to its
//! final answer. Invariant: every recorded operation is well formed, so that judges need not ask again.

use std::{collections::BTreeMap, fmt};

/// What a session is, as its callers can see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// What it holds; `None` when it is absent.
    pub value: Option<u64>,
    /// How many changes were applied to it.
    pub version: u64,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Set the value, whether the session existed or not.
    Write {
        /// Unique among everything written to this session.
        value: u64,
    },
    /// Look.
    Read,
    /// Make the session if it is absent; otherwise change nothing and say what is there.
    Create {
        /// Unique among everything written to this session.
        value: u64,
    },
    /// Remove the session; changes nothing if it is absent.
    Delete,
}

impl Action {
    /// The session's specification: what it becomes, and what the caller is told.
    #[must_use]
    pub fn apply(self, before: Register) -> (Register, Reply) {
        let (value, changes) = match (self, before.value) {
            (Self::Read, _) | (Self::Create { .. }, Some(_)) | (Self::Delete, None) => (before.value, 0),
            (Self::Write { value }, _) | (Self::Create { value }, None) => (Some(value), 1),
            (Self::Delete, Some(_)) => (None, 1),
        };
        let version = before.version + changes;
        (Register { value, version }, Reply { value: before.value, version })
    }

    /// The value it would leave, if it writes one.
    #[must_use]
    pub const fn writes(self) -> Option<u64> {
        match self {
            Self::Write { value } | Self::Create { value } => Some(value),
            Self::Read | Self::Delete => None,
        }
    }
}

/// What a caller was told by an operation that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    /// The value before the operation (of a read, simply the value); `None` if the session was absent.
    pub value: Option<u64>,
    /// The version after the operation. A read, a refused create, a delete of nothing leave it as it was.
    pub version: u64,
}

/// What the caller knows at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect between invocation and return, and this was the reply.
    Done(Reply),
    /// It had and will have no effect.
    NotDone,
    /// It may take effect at any time after its invocation, once, or never. Also of everything that never returned.
    Unknown,
}

/// One operation on one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Which session.
    pub session: u32,
    /// Who asked.
    pub client: u32,
    /// When it was first sent, in the run's own time: any one clock that all callers share.
    pub invoked: u64,
    /// When the final answer arrived; `None` if none did.
    pub returned: Option<u64>,
    /// What was asked.
    pub action: Action,
    /// What the caller was told.
    pub outcome: Outcome,
}

impl Operation {
    /// The reply, if it was done.
    #[must_use]
    pub const fn reply(&self) -> Option<Reply> {
        match self.outcome {
            Outcome::Done(reply) => Some(reply),
            Outcome::NotDone | Outcome::Unknown => None,
        }
    }

    /// What the session was just after this operation, as its reply tells.
    #[must_use]
    pub fn after(&self) -> Option<Register> {
        let reply = self.reply()?;
        let value = match self.action {
            Action::Read => reply.value,
            Action::Write { value } => Some(value),
            Action::Create { value } => reply.value.or(Some(value)),
            Action::Delete => None,
        };
        Some(Register { value, version: reply.version })
    }

    /// What the session was just before this operation, as its reply tells; `None` also if it claims a change and version
    /// 0 at once, which no session can answer.
    #[must_use]
    pub fn before(&self) -> Option<Register> {
        let reply = self.reply()?;
        let version = reply.version.checked_sub(u64::from(self.changed()))?;
        Some(Register { value: reply.value, version })
    }

    /// Whether it was done and changed the session.
    #[must_use]
    pub fn changed(&self) -> bool {
        match (self.action, self.reply()) {
            (_, None) | (Action::Read, _) => false,
            (Action::Write { .. }, Some(_)) => true,
            (Action::Create { .. }, Some(reply)) => reply.value.is_none(),
            (Action::Delete, Some(reply)) => reply.value.is_some(),
        }
    }

    /// Whether nobody knows if it changed the session.
    #[must_use]
    pub const fn may_change(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown) && !matches!(self.action, Action::Read)
    }

    /// Whether this one was done, and answered before the other was asked. Equal times count as concurrent: that may miss a
    /// violation inside one instant and never invents one.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.reply().is_some() && self.returned.is_some_and(|returned| returned < other.invoked)
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "value {value} at version {}", self.version),
            None => write!(f, "absent at version {}", self.version),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { value } => write!(f, "write {value}"),
            Self::Read => f.write_str("read"),
            Self::Create { value } => write!(f, "create {value}"),
            Self::Delete => f.write_str("delete"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDone => f.write_str("not done"),
            Self::Unknown => f.write_str("outcome unknown"),
            Self::Done(Reply { value: Some(value), version }) => write!(f, "done: {value}, version {version}"),
            Self::Done(Reply { value: None, version }) => write!(f, "done: absent, version {version}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} {}", self.client, self.action)?;
        match self.returned {
            Some(returned) => write!(f, " [{}..{returned}] ", self.invoked)?,
            None => write!(f, " [{}..] ", self.invoked)?,
        }
        match self.outcome {
            Outcome::NotDone => f.write_str("not done"),
            Outcome::Unknown => f.write_str("outcome unknown"),
            Outcome::Done(reply) => {
                f.write_str("done: ")?;
                if self.changed() {
                    match reply.value {
                        Some(value) => write!(f, "value {value} before, now version {}", reply.version),
                        None => write!(f, "absent before, now version {}", reply.version),
                    }
                } else {
                    Register { value: reply.value, version: reply.version }.fmt(f)
                }
            }
        }
    }
}

/// Which operation of a history, to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationNumber(usize);

impl OperationNumber {
    /// Its place in the history, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Why an operation was not recorded; the history is as it was. All but `Full` are mistakes of the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFault {
    /// The history holds as many operations as it may; end the run.
    Full,
    /// The session has another operation that writes this value: it could no longer be told which one a reader saw.
    RepeatedValue(u64),
    /// An answer earlier than its question, or an operation done that never returned.
    Returned,
    /// The operation has its final answer, or there is none of this number.
    Answered,
}

impl fmt::Display for HistoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the history is full; nothing recorded, end the run"),
            Self::RepeatedValue(value) => write!(f, "value {value} is written twice to one session; nothing recorded"),
            Self::Returned => f.write_str("an answer before its question, or done without return; nothing recorded"),
            Self::Answered => f.write_str("no such open operation; nothing recorded"),
        }
    }
}

impl std::error::Error for HistoryFault {}

/// The operations of one run, in the order of their invocation calls.
#[derive(Clone, Debug)]
pub struct History {
    operations: Vec<Operation>,
    writers: BTreeMap<(u32, u64), usize>,
    operations_max: usize,
}

impl History {
    /// An empty history that takes at most `operations_max` operations.
    #[must_use]
    pub const fn new(operations_max: usize) -> Self {
        Self { operations: Vec::new(), writers: BTreeMap::new(), operations_max }
    }

    /// A caller asks. Until it is answered, the outcome is unknown.
    ///
    /// # Errors
    /// `Full` or `RepeatedValue`.
    pub fn invoke(
        &mut self,
        session: u32,
        client: u32,
        now: u64,
        action: Action,
    ) -> Result<OperationNumber, HistoryFault> {
        let outcome = Outcome::Unknown;
        self.push(Operation { session, client, invoked: now, returned: None, action, outcome })
    }

    /// The final answer arrives: after all retries, not the answer of one attempt.
    ///
    /// # Errors
    /// `Answered` or `Returned`.
    pub fn answer(&mut self, number: OperationNumber, now: u64, outcome: Outcome) -> Result<(), HistoryFault> {
        let operation = self.operations.get_mut(number.0).ok_or(HistoryFault::Answered)?;
        if operation.returned.is_some() {
            return Err(HistoryFault::Answered);
        }
        if now < operation.invoked {
            return Err(HistoryFault::Returned);
        }
        operation.returned = Some(now);
        operation.outcome = outcome;
        Ok(())
    }

    /// Takes a whole operation, as a run on real processes records it.
    ///
    /// # Errors
    /// `Full`, `RepeatedValue` or `Returned`.
    pub fn push(&mut self, operation: Operation) -> Result<OperationNumber, HistoryFault> {
        if self.operations.len() >= self.operations_max {
            return Err(HistoryFault::Full);
        }
        let answered_early = operation.returned.is_some_and(|returned| returned < operation.invoked);
        let done_without_return = operation.returned.is_none() && operation.outcome != Outcome::Unknown;
        if answered_early || done_without_return {
            return Err(HistoryFault::Returned);
        }
        let number = self.operations.len();
        if let Some(value) = operation.action.writes() {
            let key = (operation.session, value);
            if self.writers.contains_key(&key) {
                return Err(HistoryFault::RepeatedValue(value));
            }
            self.writers.insert(key, number);
        }
        self.operations.push(operation);
        Ok(OperationNumber(number))
    }

    /// Everything recorded.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that writes this value to this session, whatever became of it.
    #[must_use]
    pub fn writer(&self, session: u32, value: u64) -> Option<&Operation> {
        self.writers.get(&(session, value)).map(|number| &self.operations[*number])
    }

    /// Which one this is: a caller asks one thing of a session at a time.
    #[must_use]
    pub fn number_of(&self, operation: &Operation) -> Option<OperationNumber> {
        let same = |o: &Operation| {
            (o.session, o.client, o.invoked) == (operation.session, operation.client, operation.invoked)
        };
        self.operations.iter().position(same).map(OperationNumber)
    }

    /// One that may take as much, and has nothing yet.
    pub(super) const fn emptied(&self) -> Self {
        Self::new(self.operations_max)
    }

    /// The operations of each session.
    #[must_use]
    pub fn sessions(&self) -> BTreeMap<u32, Vec<Operation>> {
        let mut sessions = BTreeMap::<u32, Vec<Operation>>::new();
        for operation in &self.operations {
            sessions.entry(operation.session).or_default().push(*operation);
        }
        sessions
    }
}
