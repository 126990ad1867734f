//! Running operations on real session types, against a stand-in for the replica that keeps what the changes say.

mod failing;
#[cfg(feature = "http")]
mod json;
mod registering;
mod running;
mod types;

use std::sync::Arc;

use super::{Change, Failure, Kind, LiveSession, Occasion, Op, Payload, Registry, Run, Stored, Types};
use crate::{
    blob::Blob,
    moment::Moment,
    replication::Lifespan,
    session::{Command, Session, SessionId},
    wire::codec,
};

/// The limit `value` in these tests unless one says otherwise.
const VALUE_MAX: usize = 1 << 20;

/// One session on one node: its kind, what is stored of it, and the object in use.
struct Bench {
    kind: Arc<dyn Kind>,
    id: SessionId,
    live: LiveSession,
    image: Option<Blob>,
    events: Vec<Blob>,
    state_version: u32,
    version: u64,
    expected: Option<u64>,
    value_max: usize,
}

impl Bench {
    fn new<S: Session>(register: impl FnOnce(&mut Types)) -> Self {
        let mut types = Types::new();
        register(&mut types);
        let registry = Registry::default();
        registry.register(types).expect("no clash");
        Self {
            kind: registry.kind(S::KIND).expect("just registered"),
            id: SessionId::new("s-1").expect("short"),
            live: LiveSession::new(),
            image: None,
            events: Vec::new(),
            state_version: 0,
            version: 0,
            expected: None,
            value_max: VALUE_MAX,
        }
    }

    fn stored(&self) -> (Option<Blob>, Vec<Blob>, u32) {
        (self.image.clone(), self.events.clone(), self.state_version)
    }

    /// Runs without keeping the change, as when the commit could not be appended.
    fn run_only(&mut self, op: Op<'_>) -> Run {
        let stored = Stored { image: self.image.as_ref(), events: &self.events, state_version: self.state_version };
        let occasion = Occasion {
            id: &self.id,
            request: None,
            now: Moment::START,
            version: self.version,
            lifespan: Lifespan::FOR_EVER,
            expected: self.expected.take(),
            value_max: self.value_max,
        };
        self.kind.run(&mut self.live, stored, op, &occasion)
    }

    /// Runs and keeps.
    fn run(&mut self, op: Op<'_>) -> Run {
        let run = self.run_only(op);
        assert!(run.outcome.is_ok() || run.change == Change::None, "a failure that changes something: {run:?}");
        match run.change.clone() {
            Change::None => return run,
            Change::Image { bytes, state_version } => {
                self.image = Some(bytes);
                self.events.clear();
                self.state_version = state_version;
            }
            Change::Events { image: Some(image), state_version, .. } => {
                self.image = Some(image);
                self.events.clear();
                self.state_version = state_version;
            }
            Change::Events { bytes, image: None, state_version } => {
                assert_eq!(self.state_version, state_version, "events appended to an image of another version");
                self.events.extend(bytes);
            }
            Change::Deleted => {
                self.image = None;
                self.events.clear();
            }
        }
        self.version += 1;
        run
    }

    fn call<C: Command>(&mut self, command: &C) -> Result<C::Reply, Failure> {
        let payload = codec::encode_named(command, usize::MAX).expect("encodable");
        let run = self.run(Op::Call { command: C::NAME, payload: Payload::One(&payload), may_create: true });
        run.outcome.map(|reply| codec::decode(&reply, usize::MAX).expect("a reply"))
    }

    fn ask<Q: Command>(&mut self, question: &Q) -> Result<Q::Reply, Failure> {
        let payload = codec::encode_named(question, usize::MAX).expect("encodable");
        let run = self.run(Op::Answer { question: Q::NAME, payload: &payload });
        run.outcome.map(|reply| codec::decode(&reply, usize::MAX).expect("a reply"))
    }

    /// Asks the stored bytes, as a backup does.
    fn ask_stored<Q: Command>(&self, question: &Q) -> Result<Q::Reply, Failure> {
        let payload = codec::encode_named(question, usize::MAX).expect("encodable");
        let stored = Stored { image: self.image.as_ref(), events: &self.events, state_version: self.state_version };
        let occasion = Occasion {
            id: &self.id,
            request: None,
            now: Moment::START,
            version: self.version,
            lifespan: Lifespan::FOR_EVER,
            expected: None,
            value_max: self.value_max,
        };
        let reply = self.kind.answer_stored(stored, Q::NAME, &payload, &occasion)?;
        Ok(codec::decode(&reply, usize::MAX).expect("a reply"))
    }

    fn create<S: Session>(&mut self, initial: &S) -> Result<(), Failure> {
        let initial = codec::encode_named(initial, usize::MAX).expect("encodable");
        self.run(Op::Create { initial: Some(&initial) }).outcome.map(drop)
    }
}
