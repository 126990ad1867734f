//! Sessions of your own type, simulated: their code runs on every primary of a simulated ring, their callers are drawn from a seed,
//! and what callers were told is compared with an object that never moved.
//!
//! ```
//! use ringheir::{Command, Context, Handle, Refused, Session, SessionId, Types, sim::hosting::{Call, Simulation}};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter(i64);
//! impl Session for Counter {
//!     const KIND: &'static str = "counter";
//!     fn absent(_: &SessionId) -> Option<Self> {
//!         Some(Self::default())
//!     }
//! }
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Add(i64);
//! impl Command for Add {
//!     const NAME: &'static str = "add";
//!     type Reply = i64;
//! }
//! impl Handle<Add> for Counter {
//!     fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<i64, Refused> {
//!         self.0 += n;
//!         Ok(self.0)
//!     }
//! }
//!
//! let mut types = Types::new();
//! types.add::<Counter>().handles::<Add>();
//! // Eight sessions, each call adds one to nine.
//! let simulation = Simulation::<Counter>::new(types, |chance| {
//!     Call::command(chance.range(0, 8) as u32, Add(chance.range(1, 10) as i64))
//! })?;
//! let ran = simulation.seeds(0..3);
//! assert!(ran.failed.is_empty(), "{}", ran.failed[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A handler must do the same whenever it finds the same state and gets the same command: what it takes from a clock, from chance of
//! its own or from a field that is not copied is not there on the node that takes over. Work left behind (`Context::spawn`) and
//! lifetimes are not simulated; a command that asks for either is reported.

mod hosted;
mod judge;
mod kept;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Debug},
    marker::PhantomData,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::{
    hosted::{CallNumber, Drawn, Hosted, ReplyNumber},
    judge::{Answered, judge},
    kept::Kept,
};
use super::{
    campaign::{Campaign, campaign_of, caught},
    play::{Play, play_hosted},
    random::Stream,
    run::{Noted, Report},
    scenario::{Scenario, Swarm},
    shrink::shrink,
};
use crate::{
    blob::Blob,
    error::Error,
    kinds::{Kind, Registry, Spoken, Types, decode_image},
    session::{Answer, Command, Session},
};

/// What is wrong with an encoded state, in words; `None`: nothing.
pub(crate) type Inspect = dyn Fn(&Blob) -> Option<String> + Send + Sync;

/// Failing seeds after which a campaign stops.
const FAILURES: usize = 5;
/// Runs that a search for the fewest faults may take.
const PATIENCE: usize = 200;

/// One call on a session of type `S`.
pub struct Call<S> {
    drawn: Drawn,
    session: PhantomData<fn(S)>,
}

impl<S> Debug for Call<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of session {}", self.drawn.spoken.words, self.drawn.session)
    }
}

impl<S: Session> Call<S> {
    /// A command that may change the session of this number.
    ///
    /// # Panics
    /// If it cannot be encoded, as it could not be sent.
    #[must_use]
    pub fn command<C: Command<Reply: Debug> + Debug>(session: u32, command: C) -> Self {
        Self::of(session, &command, false)
    }

    /// A question, which changes nothing.
    ///
    /// # Panics
    /// If it cannot be encoded, as it could not be sent.
    #[must_use]
    pub fn question<Q: Command<Reply: Debug> + Debug>(session: u32, question: Q) -> Self
    where
        S: Answer<Q>,
    {
        Self::of(session, &question, true)
    }

    fn of<C: Command<Reply: Debug> + Debug>(session: u32, said: &C, is_question: bool) -> Self {
        let spoken = Spoken::of(said).unwrap_or_else(|why| panic!("{said:?} cannot be encoded: {why}"));
        Self { drawn: Drawn { session, spoken, is_question }, session: PhantomData }
    }
}

/// Sessions of one type in a simulated ring to which things happen.
///
/// Each seed is one run: a seed says what callers ask and when, how long messages take, and, where the scenario has a swarm,
/// what goes wrong. The same seed is the same run, on every machine.
pub struct Simulation<S> {
    kind: Arc<dyn Kind>,
    draw: Arc<hosted::Draw>,
    inspect: Option<Arc<Inspect>>,
    scenario: Scenario,
    session: PhantomData<fn(S)>,
}

impl<S> Debug for Simulation<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulation of {} in {}", self.kind.name(), self.scenario.name)
    }
}

impl<S: Session> Simulation<S> {
    /// Sessions as these types say, called as `calls` draws: it is given the caller's chance, and nothing else may decide what it
    /// gives back. Without a [`scenario`](Self::scenario) the ring has four nodes, and five seconds in which each seed has
    /// faults of its own.
    ///
    /// # Errors
    /// Types that clash, or do not have `S` among them.
    pub fn new(types: Types, calls: impl Fn(&mut Stream) -> Call<S> + Send + Sync + 'static) -> Result<Self, Error> {
        let registry = Registry::default();
        registry.register(types)?;
        let kind = registry.kind(S::KIND)?;
        let draw = Arc::new(move |chance: &mut Stream| calls(chance).drawn);
        Ok(Self { kind, draw, inspect: None, scenario: faults_by_chance(), session: PhantomData })
    }

    /// What happens to the ring. Its `[workload]` says how many callers there are and how often they call; which sessions and
    /// what is drawn here.
    #[must_use]
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.scenario = scenario;
        self
    }

    /// What must be true of a session after each of its commands, in whatever order they took effect. The words say what is not.
    #[must_use]
    pub fn invariant(mut self, holds: impl Fn(&S) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.inspect = Some(Arc::new(move |state: &Blob| match decode_image::<S>(state, S::VERSION) {
            Ok(session) => holds(&session).err(),
            Err(why) => Some(format!("its state cannot be read: {why:?}")),
        }));
        self
    }

    /// Makes the run of a seed, noted down so that it can be drawn ([`timeline::page`](super::timeline::page)).
    #[must_use]
    pub fn play(&self, seed: u64) -> Report {
        self.run(seed, None, Noted::Events)
    }

    /// The same in which only these of its faults happen, by number.
    #[must_use]
    pub fn play_only(&self, seed: u64, only: &[usize]) -> Report {
        self.run(seed, Some(only), Noted::Events)
    }

    /// What happens to the ring under a seed, in words, by number.
    #[must_use]
    pub fn faults(&self, seed: u64) -> Vec<String> {
        self.scenario.acts_in_words(seed)
    }

    /// Makes the runs of many seeds, one thread a core, until some have failed.
    #[must_use]
    pub fn seeds(&self, seeds: Range<u64>) -> Campaign {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        campaign_of(seeds, &|seed| self.run(seed, None, Noted::Nothing), FAILURES, threads, &|_| {
            ControlFlow::Continue(())
        })
    }

    /// The fewest faults with which a seed still violates the same check as first, by number; `None` if the seed violates
    /// nothing. Looks as long as two hundred runs take.
    #[must_use]
    pub fn fewest_faults(&self, seed: u64) -> Option<Vec<usize>> {
        let failed = self.run(seed, None, Noted::Nothing);
        let first = failed.violations.first()?.check;
        let fails = |only: &[usize]| {
            self.run(seed, Some(only), Noted::Nothing).violations.iter().any(|found| found.check == first)
        };
        Some(shrink(self.faults(seed).len(), PATIENCE, fails, |_, _| {}))
    }

    fn run(&self, seed: u64, only: Option<&[usize]>, noted: Noted) -> Report {
        let hosted = Hosted::new(Arc::clone(&self.kind), Arc::clone(&self.draw), self.inspect.clone());
        let how = Play { seed, noted, only: only.map(<[usize]>::to_vec), ..Play::default() };
        caught(seed, "", || play_hosted(&self.scenario, &how, hosted))
    }
}

/// Four nodes, and each seed's own faults for five seconds.
fn faults_by_chance() -> Scenario {
    let swarm = Swarm { mix: None, from: Duration::from_secs(1), until: Duration::from_secs(6) };
    let built = Scenario::with_nodes("faults by chance", ["a", "b", "c", "d"]).swarm(swarm).build();
    built.expect("four names that differ, and times that lie within it")
}
