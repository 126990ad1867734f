//! `Hosted`: a user's session type within a simulated world: its calls, drawn and numbered; its code, run on what nodes store; what
//! it answered.
//!
//! All nodes and callers of one world share it, as they share the program. It holds no session: those are in the nodes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Inspect,
    kept::{Effected, Kept},
};
use crate::{
    blob::Blob,
    id::RequestId,
    kinds::{Change, Failure, Kind, LiveSession, Occasion, Op, Payload, Spoken},
    moment::Moment,
    replication::Lifespan,
    session::SessionId,
    sim::random::Stream,
};

/// The largest state and the largest command, as a node's limit is when nobody changes it.
const VALUE_MAX: usize = 1 << 20;

/// Which call of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallNumber(pub(crate) u32);

/// Which of the replies that were given in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplyNumber(pub(crate) u32);

/// What a call came to.
pub(crate) type Said = Result<Blob, Failure>;

/// One call, before it is numbered.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) session: u32,
    pub(crate) spoken: Spoken,
    pub(crate) is_question: bool,
}

/// Draws what a caller asks next.
pub(crate) type Draw = dyn Fn(&mut Stream) -> Drawn + Send + Sync;

#[derive(Default)]
struct Told {
    calls: Vec<Drawn>,
    replies: Vec<Said>,
    wrong: Vec<String>,
}

struct Inner {
    kind: Arc<dyn Kind>,
    draw: Arc<Draw>,
    inspect: Option<Arc<Inspect>>,
    told: Mutex<Told>,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub(crate) struct Hosted(Arc<Inner>);

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosted({})", self.0.kind.name())
    }
}

/// The id under which the user's code knows a session.
pub(crate) fn id_of(session: u32) -> SessionId {
    SessionId::new(session.to_string()).expect("a number is a short text")
}

impl Hosted {
    pub(crate) fn new(kind: Arc<dyn Kind>, draw: Arc<Draw>, inspect: Option<Arc<Inspect>>) -> Self {
        Self(Arc::new(Inner { kind, draw, inspect, told: Mutex::default() }))
    }

    /// What the user finds wrong with a state.
    pub(crate) fn inspect(&self, session: u32, kept: &Kept) -> Option<String> {
        let inspect = self.0.inspect.as_ref()?;
        inspect(&self.state(session, kept)?.ok()?)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws a call, and numbers it.
    pub(crate) fn draw(&self, chance: &mut Stream) -> (CallNumber, Drawn) {
        let drawn = (self.0.draw)(chance);
        let mut told = self.told();
        told.calls.push(drawn.clone());
        (CallNumber(told.calls.len() as u32 - 1), drawn)
    }

    pub(crate) fn call(&self, number: CallNumber) -> Drawn {
        self.told().calls[number.0 as usize].clone()
    }

    pub(crate) fn reply(&self, number: ReplyNumber) -> Said {
        self.told().replies[number.0 as usize].clone()
    }

    /// Keeps a reply, so that it travels as a number.
    pub(crate) fn keep_reply(&self, said: Said) -> ReplyNumber {
        let mut told = self.told();
        told.replies.push(said);
        ReplyNumber(told.replies.len() as u32 - 1)
    }

    /// What was wrong with the user's code while it ran, each said once.
    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.told().wrong)
    }

    fn wrong(&self, what: String) {
        let mut told = self.told();
        if !told.wrong.contains(&what) {
            told.wrong.push(what);
        }
    }

    /// Runs a call on what is kept of its session: a command changes it, and is entered in its log whatever came of it.
    pub(crate) fn run(
        &self,
        live: &mut LiveSession,
        kept: &mut Kept,
        call: &Drawn,
        (value, version): (u64, u64),
        (request, now): (Option<RequestId>, Moment),
    ) -> Said {
        let Drawn { session, spoken, is_question } = call;
        let id = id_of(*session);
        let lifespan = Lifespan::FOR_EVER;
        let occasion = Occasion { id: &id, request, now, version, lifespan, expected: None, value_max: VALUE_MAX };
        let op = if *is_question {
            Op::Answer { question: spoken.name, payload: &spoken.payload }
        } else {
            Op::Call { command: spoken.name, payload: Payload::One(&spoken.payload), may_create: true }
        };
        let run = self.0.kind.run(live, kept.stored(), op, &occasion);
        if !run.tasks.is_empty() {
            self.wrong(format!("{} leaves work behind (Context::spawn), which is not simulated", spoken.name));
        }
        if run.life.is_some_and(|life| life != Lifespan::FOR_EVER) {
            self.wrong(format!("{} sets how long its session lives, which is not simulated", spoken.name));
        }
        match &run.outcome {
            Err(Failure::Panicked { words }) => self.wrong(format!("{} panicked: {words}", spoken.words)),
            Err(
                failure @ (Failure::NoSuchCommand { .. } | Failure::Undecodable { .. } | Failure::Unencodable { .. }),
            ) => {
                self.wrong(format!("{}: {failure:?}", spoken.words));
            }
            _ => {}
        }
        match run.change {
            Change::None => {}
            Change::Image { bytes, state_version } | Change::Events { image: Some(bytes), state_version, .. } => {
                (kept.image, kept.state_version) = (Some(bytes), state_version);
                kept.events.clear();
            }
            Change::Events { bytes, image: None, state_version } => {
                kept.events.extend(bytes);
                kept.state_version = state_version;
            }
            Change::Deleted => {
                kept.image = None;
                kept.events.clear();
            }
        }
        if !is_question {
            kept.log.push(Effected { value, version });
        }
        run.outcome
    }

    /// The state of a session, encoded whole; `None` where there is none.
    pub(crate) fn state(&self, session: u32, kept: &Kept) -> Option<Said> {
        kept.image.as_ref()?;
        let id = id_of(session);
        let (now, lifespan) = (Moment::START, Lifespan::FOR_EVER);
        let occasion =
            Occasion { id: &id, request: None, now, version: 0, lifespan, expected: None, value_max: VALUE_MAX };
        Some(self.0.kind.present_state(kept.stored(), &occasion))
    }
}
