//! The process engine: a scenario played on real `ringheir node` processes, with a proxy between every two of them.
//!
//! ```text
//! mod ──> cluster: processes, proxy, what a step does     callers ──HTTP──> nodes
//!  │                                                      watcher ──HTTP──> every node's view
//!  └────> notes: history, views, losses, trace <──────────────┘
//! ```
//!
//! Time is real, so a second run of a seed is another run: the seed says what callers ask and what the network does by chance, not
//! which of two comes first. The judges are those of the simulator.

mod able;
mod caller;
mod cluster;
mod holds;
mod judge;
mod notes;
mod watcher;

use std::{
    fmt, io,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ringheir::sim::{
    check::Violation,
    random::Streams,
    run::Report,
    scenario::{Deed, Expectation, Scenario, When},
    trace::{Trace, What},
    workload::DEADLINE,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use uuid::Uuid;

use self::{
    caller::{Caller, Common},
    cluster::{ClusterError, RealCluster},
    notes::Board,
};

pub(super) use self::able::cannot;
use crate::processes::interrupted;

/// A scenario's clock shows this when its ring stands, as in the simulator, where it takes about so long.
const STANDS_AT: Duration = Duration::from_millis(500);
/// It must stand within this.
const STANDS_WITHIN: Duration = Duration::from_secs(30);
/// What is expected at some time may come this much later: other processes of the machine take their turns as well.
const LATE: Duration = Duration::from_millis(700);
/// After the scenario everything heals within this.
const HEALS_WITHIN: Duration = Duration::from_secs(20);
/// Callers go on for so long after it has.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Between two looks while something is waited for.
const LOOK: Duration = Duration::from_millis(15);

/// Why a scenario could not be played.
#[derive(Debug)]
pub(super) enum EngineError {
    Runtime(io::Error),
    Cluster(ClusterError),
    /// The ring did not stand in time, before anything was done to it.
    NeverStood(String),
    /// The one who runs it does not want it any more.
    Interrupted,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(why) => write!(f, "no runtime: {why}"),
            Self::Cluster(why) => why.fmt(f),
            Self::NeverStood(what) => {
                write!(f, "the ring did not stand within {STANDS_WITHIN:?}, before the first step: {what}")
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<ClusterError> for EngineError {
    fn from(why: ClusterError) -> Self {
        Self::Cluster(why)
    }
}

/// Plays a scenario. `only` are the steps that happen, by number; `repeat` the arguments of `ringheir sim` that play it so.
pub(super) fn play(
    scenario: &Scenario,
    seed: u64,
    only: Option<&[usize]>,
    repeat: String,
) -> Result<Report, EngineError> {
    let runtime = tokio::runtime::Runtime::new().map_err(EngineError::Runtime)?;
    runtime.block_on(async {
        // Before there is anything that an interrupted run would leave behind.
        let interrupted = interrupted();
        run(scenario, seed, only, repeat, interrupted).await
    })
}

#[expect(clippy::disallowed_methods, reason = "each run draws its ports, its secret and its callers' ids")]
async fn run(
    scenario: &Scenario,
    seed: u64,
    only: Option<&[usize]>,
    repeat: String,
    interrupted: impl Future<Output = ()>,
) -> Result<Report, EngineError> {
    let draw = Uuid::new_v4().as_u128();
    let board = Board::new(Trace {
        title: scenario.name.clone(),
        about: scenario.about.clone(),
        engine: "processes".to_owned(),
        nodes: scenario.names().iter().map(ToString::to_string).collect(),
        arcs: scenario.cluster.arcs,
        ..Trace::default()
    });
    let mut cluster = RealCluster::lay_out(scenario, seed, draw, board.clone()).await?;
    let play = Play { scenario, only, board: &board, draw, seed };
    let ended = tokio::select! {
        ended = play.through(&mut cluster) => ended,
        () = interrupted => Err(EngineError::Interrupted),
    };
    cluster.stop().await;
    let violations = ended?;
    let mut notes = board.notes();
    let mut report = Report {
        seed,
        repeat,
        violations,
        marks: std::mem::take(&mut notes.marks),
        operations: notes.history.operations().len(),
        events: notes.trace.entries.len() as u64 + notes.trace.missing,
        idle: std::mem::take(&mut notes.idle),
        digest: 0,
        trace: None,
    };
    notes.trace.lasted_us = u64::try_from(notes.now().as_micros()).unwrap_or(u64::MAX);
    report.attach(std::mem::take(&mut notes.trace));
    Ok(report)
}

/// Whether the ring stands in the end.
#[derive(Debug, PartialEq, Eq)]
enum Healed {
    Whole,
    /// What is missing, though nothing stands in its way.
    Not(String),
    /// It cannot without an operator's word.
    Never,
}

/// What is done when: a step, or a look at what is expected by then.
enum Act<'a> {
    Look(&'a Expectation),
    Do(&'a Deed),
}

/// One play of a scenario.
struct Play<'a> {
    scenario: &'a Scenario,
    only: Option<&'a [usize]>,
    board: &'a Board,
    draw: u128,
    seed: u64,
}

impl Play<'_> {
    /// Gives back what was violated.
    async fn through(&self, cluster: &mut RealCluster) -> Result<Vec<Violation>, EngineError> {
        let watchers: Vec<AbortHandle> = cluster
            .doors()
            .into_iter()
            .map(|door| tokio::spawn(watcher::watch(self.board.clone(), door)).abort_handle())
            .collect();
        let violations = self.watched(cluster).await;
        watchers.iter().for_each(AbortHandle::abort);
        violations
    }

    async fn watched(&self, cluster: &mut RealCluster) -> Result<Vec<Violation>, EngineError> {
        let (acts, mut unmet) = (self.acts(), Vec::new());
        for name in cluster.listed() {
            cluster.start(name).await?;
        }
        // What is to happen before the ring stands happens while it is founded.
        if acts.first().is_none_or(|(at, _)| *at >= STANDS_AT) {
            self.stand(cluster).await?;
            self.board.notes().begin(STANDS_AT);
        } else {
            self.board.notes().begin(Duration::ZERO);
        }
        let (common, callers) = self.callers(cluster);
        for (at, act) in acts {
            self.wait(cluster, at).await?;
            match act {
                Act::Look(expect) => self.look(expect, LATE, &mut unmet).await,
                Act::Do(deed) => cluster.perform(deed).await?,
            }
        }
        self.wait(cluster, self.scenario.lasts).await?;
        let finally = || self.scenario.expects.iter().filter(|expect| expect.when == When::Finally);
        for expect in finally().filter(|expect| !expect.holds.is_of_the_whole()) {
            self.look(expect, LATE, &mut unmet).await;
        }
        cluster.heal().await?;
        let missing = self.heals(cluster).await?;
        let healed = match missing {
            None => Healed::Whole,
            Some(_) if self.is_beyond_healing() => Healed::Never,
            Some(missing) => Healed::Not(missing),
        };
        if healed == Healed::Never {
            self.board.notes().mark("the majority of the voters was lost");
        }
        sleep(AFTERWARDS).await;
        common.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = timeout(DEADLINE * 2, callers.join_all()).await;
        cluster.notice_ends();
        let mut violations = unmet;
        let found = judge::judge(self.board, &common, healed).await;
        let lost = judge::lost_commands(self.board, &common);
        for expect in finally().filter(|expect| expect.holds.is_of_the_whole()) {
            let instead = holds::of_the_whole(&self.board.notes(), &found, lost, &expect.holds);
            self.tell(expect, instead, &mut violations);
        }
        violations.extend(found);
        Ok(violations)
    }

    /// Lets time go on until then. Meanwhile operators do what is theirs whatever the scenario.
    async fn wait(&self, cluster: &mut RealCluster, until: Duration) -> Result<(), EngineError> {
        loop {
            cluster.start_left_behind().await?;
            let left = until.saturating_sub(self.board.now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// Steps and looks by their times; what is expected at the time of a step is expected before it.
    fn acts(&self) -> Vec<(Duration, Act<'_>)> {
        let is_played = |number: usize| self.only.is_none_or(|only| only.contains(&number));
        let looks = self.scenario.expects.iter().filter_map(|e| Some((e.when.time()?, Act::Look(e))));
        let steps = self.scenario.steps.iter().enumerate().filter(|(number, _)| is_played(*number));
        let mut acts: Vec<_> = looks.chain(steps.map(|(_, step)| (step.at, Act::Do(&step.deed)))).collect();
        // It keeps the order of equals.
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    fn callers(&self, cluster: &RealCluster) -> (Arc<Common>, JoinSet<()>) {
        let common = Arc::new(Common {
            board: self.board.clone(),
            doors: cluster.doors(),
            work: self.scenario.work.clone(),
            arcs: self.scenario.cluster.arcs,
            draw: (self.draw >> 64) as u64,
            stop: AtomicBool::new(false),
        });
        let streams = Streams::new(self.seed);
        let mut callers = JoinSet::new();
        for number in 0..common.work.clients {
            let chance = streams.stream(&format!("client {number}"));
            callers.spawn(Caller::new(Arc::clone(&common), number, chance).run());
        }
        (common, callers)
    }

    /// What is missing until the ring stands with these nodes, each where it belongs and guarded; `None`: nothing.
    fn missing(&self, cluster: &RealCluster) -> Option<String> {
        let notes = self.board.notes();
        let Some(view) = notes.newest.clone() else { return Some("no node shows a view".to_owned()) };
        for name in cluster.running() {
            if view.incarnation(name.as_str()).is_none() {
                return Some(format!("{name} is not in view {}", view.number));
            }
            let shown = notes.shown_by(name.as_str());
            if shown != Some(view.number) {
                return Some(format!("{name} shows view {shown:?}, and {} is the newest", view.number));
            }
        }
        // One that is alone has nobody to guard it.
        if !notes.is_protected(&view) && view.members.len() > 1 {
            return Some(format!("of view {} not every arc is served and guarded", view.number));
        }
        let homeless = |arc: &&crate::ask::ArcSeen| arc.primary != arc.home && view.incarnation(&arc.home).is_some();
        let pinned = self.scenario.cluster.pin != ringheir::membership::Pin::None;
        let stranger = view.arcs.iter().find(homeless).filter(|_| !pinned)?;
        Some(format!("arc {} is served by {}, not at home with {}", stranger.arc, stranger.primary, stranger.home))
    }

    async fn stand(&self, cluster: &RealCluster) -> Result<(), EngineError> {
        let stands = async {
            while self.missing(cluster).is_some() {
                sleep(LOOK).await;
            }
        };
        let stood = timeout(STANDS_WITHIN, stands).await;
        stood.map_err(|_| EngineError::NeverStood(self.missing(cluster).unwrap_or_default()))
    }

    /// Waits until all stands again. Gives back what is missing if it does not.
    async fn heals(&self, cluster: &mut RealCluster) -> Result<Option<String>, EngineError> {
        let until = self.board.now() + HEALS_WITHIN;
        loop {
            let missing = self.missing(cluster);
            if missing.is_none() || self.is_beyond_healing() || self.board.now() > until {
                return Ok(missing);
            }
            cluster.start_left_behind().await?;
            sleep(LOOK).await;
        }
    }

    /// Whether votes died with the majority of those who had them.
    fn is_beyond_healing(&self) -> bool {
        !self.scenario.cluster.data_dirs && self.board.notes().is_beyond_healing()
    }

    async fn look(&self, expect: &Expectation, patience: Duration, unmet: &mut Vec<Violation>) {
        let until = self.board.now() + patience;
        let instead = loop {
            let instead = holds::now(&self.board.notes(), &expect.holds);
            if instead.is_none() || self.board.now() > until {
                break instead;
            }
            sleep(LOOK).await;
        };
        self.tell(expect, instead, unmet);
    }

    fn tell(&self, expect: &Expectation, instead: Option<String>, unmet: &mut Vec<Violation>) {
        let holds = instead.is_none();
        self.board.notes().note(What::Expected { words: expect.holds.to_string(), holds });
        unmet.extend(instead.map(|instead| expect.unmet(&instead, self.board.now())));
    }
}
