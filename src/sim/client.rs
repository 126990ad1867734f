//! A simulated client: one operation at a time, retried with its identity at any node until it is answered or given up.
//!
//! It knows no node's state; it follows redirections and otherwise asks whom chance names.

use std::{collections::BTreeMap, time::Duration};

use super::{
    check::{Action, OperationNumber, Outcome},
    hosting::Hosted,
    packet::{Answer, Request},
    random::Stream,
    several::{self, Part, Several, SeveralOperations},
    workload,
};
use crate::id::{ClientId, NodeId, NodeName, RequestId};

/// An operation on its way.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its place in the history.
    pub(crate) operation: OperationNumber,
    /// The places of what it takes along.
    pub(crate) along: SeveralOperations,
    /// What it is.
    pub(crate) request: Request,
    /// When it was invoked, in nanoseconds of the world.
    pub(crate) invoked: u64,
    /// The number of its first try.
    pub(crate) first_attempt: u64,
}

/// What a client does after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The operation ended like this.
    End(Outcome),
    /// Try again, there if it was told where.
    Again(Option<NodeId>),
    /// Try at once somebody else.
    Elsewhere,
    /// The answer is of an earlier try that no longer matters.
    Ignore,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    chance: Stream,
    /// Says what is taken along: a stream of its own, so that it shifts nothing else.
    along: Stream,
    sequences: BTreeMap<u32, u64>,
    attempts: u64,
    /// What it waits for.
    pub(crate) running: Option<Running>,
    /// Where it asks when it is not told otherwise.
    pub(crate) contact: Option<NodeName>,
}

impl Client {
    /// A client with its own streams of chance.
    #[must_use]
    pub(crate) fn new(number: u32, chance: Stream, along: Stream) -> Self {
        Self { number, chance, along, sequences: BTreeMap::new(), attempts: 0, running: None, contact: None }
    }

    /// Draws the next operation: the session and what to do.
    pub(crate) fn draw(&mut self, sessions: u32, acts: [u32; 4], skew: f64) -> Request {
        let (session, draft) = workload::draw(&mut self.chance, sessions, acts, skew);
        self.ask(session, draft)
    }

    /// Draws the next call of a user's type: which session, what.
    pub(crate) fn draw_hosted(&mut self, hosted: &Hosted) -> Request {
        let (call, drawn) = hosted.draw(&mut self.chance);
        let action = |value| if drawn.is_question { Action::Read } else { Action::Write { value } };
        Request { call: Some(call), ..self.ask(drawn.session, action) }
    }

    /// Now and then has an operation take others of its arc along, each with something of its own to be done.
    pub(crate) fn take_along(
        &mut self,
        request: Request,
        of_its_arc: &[u32],
        probability: f64,
        acts: [u32; 4],
    ) -> Request {
        if of_its_arc.len() < 2 || !self.along.chance(probability) {
            return request;
        }
        let mut along = Several::default();
        for (part, session) in along.iter_mut().zip(several::draw(&mut self.along, request.session, of_its_arc)) {
            *part = session.map(|session| {
                let draft = workload::draw_act(&mut self.along, acts);
                Part { session, action: draft(self.value_for(session).0) }
            });
        }
        Request { along, ..request }
    }

    /// The value that the next operation on a session may write, and its number there.
    fn value_for(&mut self, session: u32) -> (u64, u64) {
        let sequence = self.sequences.entry(session).or_default();
        *sequence += 1;
        (workload::value_of(self.number, session, *sequence), *sequence)
    }

    /// A new operation on a session; the value it may write is unique over the whole run.
    pub(crate) fn ask(&mut self, session: u32, action: impl Fn(u64) -> Action) -> Request {
        let (value, sequence) = self.value_for(session);
        let client = ClientId(u128::from(self.number) + 1);
        let id = RequestId { client, sequence, first_unanswered: sequence };
        self.attempts += 1;
        let (client, attempt, action) = (self.number, self.attempts, action(value));
        Request { client, attempt, session, action, id, call: None, along: Several::default() }
    }

    /// The running request as another try, and which node to ask among these.
    pub(crate) fn retry(&mut self, nodes: &[NodeName], told: Option<NodeName>) -> Option<(Request, NodeName)> {
        let contact = match told.or(self.contact.take()) {
            Some(name) => name,
            None => *self.chance.choose(nodes)?,
        };
        let running = self.running.as_mut()?;
        self.attempts += 1;
        running.request.attempt = self.attempts;
        Some((running.request, contact))
    }

    /// How long a message to a node or back takes.
    pub(crate) fn delay(&mut self) -> Duration {
        Duration::from_micros(self.chance.range(50, 2_000))
    }

    /// Whether something happens to a message that does so with this probability.
    pub(crate) fn suffers(&mut self, probability: f64) -> bool {
        self.chance.chance(probability)
    }

    /// A ghost of a request: when, and whom it haunts.
    pub(crate) fn haunt(&mut self, nodes: &[NodeName]) -> (Duration, NodeName) {
        let late = self.chance.duration(Duration::from_millis(1), Duration::from_millis(2_500));
        (late, *self.chance.choose(nodes).expect("a world has nodes"))
    }

    /// A pause before the next operation.
    pub(crate) fn pause(&mut self, mean: Duration) -> Duration {
        self.chance.exponential(mean, mean * 10)
    }

    /// Takes an answer.
    #[must_use]
    pub(crate) fn judge(&self, attempt: u64, answer: Answer) -> Next {
        let Some(running) = &self.running else { return Next::Ignore };
        // A late answer of an earlier try of the same operation is as good as one of the last.
        if attempt < running.first_attempt || attempt > running.request.attempt {
            return Next::Ignore;
        }
        match answer {
            Answer::Done(told) => Next::End(Outcome::Done(told.reply)),
            Answer::TooOld => Next::End(Outcome::Unknown),
            Answer::Lost | Answer::Retry(_) | Answer::Unknown | Answer::Refused
                if attempt != running.request.attempt =>
            {
                Next::Ignore
            }
            Answer::Lost => Next::End(Outcome::Unknown),
            Answer::Retry(told) => Next::Again(told),
            Answer::Unknown => Next::Again(None),
            Answer::Refused => Next::Elsewhere,
        }
    }
}
