//! `ringheir demo`: the main job, visible. Starts real node processes on loopback, drives sessions from real clients, kills
//! and hangs nodes, shows who takes over, and checks every acknowledged command at the end.
//!
//! The parts that judge are plain code with tests of their own: `ledger` (what a client may see), `measure` (times), `plan`
//! (flags), `picture`, `report`. The rest is hands: `processes`, `client`, `watcher`, `show`, and this file, which puts them
//! in order. Nothing here knows how the ring works inside: it sees processes, HTTP answers and views.

mod board;
mod client;
mod ledger;
mod measure;
mod picture;
mod plan;
mod report;
mod show;
mod watcher;

use std::{
    collections::BTreeSet,
    fmt,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use uuid::Uuid;

use self::{
    board::Board,
    client::{Client, Common},
    picture::Health,
    plan::{Deed, Flag, Plan, PlanFault, Step},
    report::Report,
    show::Show,
};
use crate::{
    COULD_NOT_RUN, DOES_NOT_HOLD, INTERRUPTED,
    ask::{Peer, print, tell, view_of},
    clock::Clock,
    processes::{self, Place, ProcessError, Processes, interrupted},
};

/// How long the ring may take to be fully protected at the start and at the end.
const PROTECTED_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks while something is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// A demo that failed waits so long for the signal that may have been the cause.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// Starts a ring of real processes, takes nodes away, and checks every acknowledged command.
///
/// Progress goes to stderr, the result to stdout. Exit status: 0 if every acknowledged command is there once, no read was
/// stale and every arc has its backup again; 1 if not; 2 if it could not run.
#[derive(Args)]
pub(crate) struct Demo {
    /// Node processes, named a, b, c, ...
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=26))]
    nodes: u8,
    /// Sessions; each belongs to one client.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: u32,
    /// How long the clients run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// SIGKILL a node, as a@5s. May be repeated. Without --kill, --hang and --restart the first node is killed at a
    /// quarter of the time and restarted at half of it.
    #[arg(long, value_name = "NODE@TIME")]
    kill: Vec<Flag>,
    /// SIGSTOP a node for 5 s, as c@12s, or for as long as it says: c@12s+3s. May be repeated.
    #[arg(long, value_name = "NODE@TIME[+TIME]")]
    hang: Vec<Flag>,
    /// Start a killed node again, as a@14s. May be repeated.
    #[arg(long, value_name = "NODE@TIME")]
    restart: Vec<Flag>,
    /// Take no node away.
    #[arg(long, conflicts_with_all = ["kill", "hang", "restart"])]
    no_faults: bool,
    /// Slices of the session-id space.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    arcs: u16,
    /// Clients, each one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// Commands a second that all clients together aim at; 0: as many as they can.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Lines instead of a picture, on a terminal too.
    #[arg(long)]
    plain: bool,
    /// Leave the folder with the cluster file and the nodes' logs.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object instead of the summary.
    #[arg(long)]
    json: bool,
}

/// Why a demo could not run. Nothing is left running.
#[derive(Debug)]
enum DemoError {
    Plan(PlanFault),
    Process(ProcessError),
    Runtime(std::io::Error),
    NeverProtected { log_folder: String },
    NotCreated(usize),
    Client(JoinError),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(fault) => fault.fmt(f),
            Self::Process(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
            Self::NeverProtected { log_folder } => write!(
                f,
                "the ring was not fully protected within {PROTECTED_WITHIN:?} of its start; run again with --keep and see the logs in {log_folder}"
            ),
            Self::NotCreated(sessions) => {
                write!(f, "{sessions} session(s) could not be created; is the machine overloaded?")
            }
            Self::Client(error) => write!(f, "a client failed: {error}"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<ProcessError> for DemoError {
    fn from(error: ProcessError) -> Self {
        Self::Process(error)
    }
}

/// What the run leaves for the report.
struct Ran {
    ran: Duration,
    unread: u64,
    ended: Vec<String>,
    should_be_protected: bool,
    is_protected: bool,
    read_through: usize,
}

/// The cluster file of a demo.
fn cluster_file(places: &[Place], arcs: u16, draw: u128) -> String {
    let secret = draw & u128::from(u64::MAX);
    let mut file = format!(
        "[cluster]\nname = \"demo\"\nsecret = \"{secret:016x}\"\narcs = {arcs}\nagreement = \"majority_or_proof\"\n"
    );
    for Place { name, cluster, http, .. } in places {
        file.push_str(&format!(
            "\n[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{cluster}\"\nhttp = \"127.0.0.1:{http}\"\n"
        ));
    }
    file
}

impl Demo {
    pub(crate) fn run(&self) -> ExitCode {
        match self.try_run() {
            Ok(code) => code,
            Err(error) => {
                tell(error);
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the demo draws its ids and its ports")]
    fn try_run(&self) -> Result<ExitCode, DemoError> {
        let names = processes::names(usize::from(self.nodes));
        let run_for = Duration::from_secs(self.seconds);
        let asked = !(self.kill.is_empty() && self.hang.is_empty() && self.restart.is_empty());
        let plan = if asked || self.no_faults {
            Plan::new(&names, run_for, &self.kill, &self.hang, &self.restart).map_err(DemoError::Plan)?
        } else {
            Plan::usual(&names, run_for)
        };
        let runtime = tokio::runtime::Runtime::new().map_err(DemoError::Runtime)?;
        // Before there is anything that an interrupted demo would leave behind.
        let interrupted = {
            let _within = runtime.enter();
            interrupted()
        };
        let draw = Uuid::new_v4().as_u128();
        let mut processes =
            Processes::lay_out("demo", &names, draw, self.keep, |places| cluster_file(places, self.arcs, draw))?;
        let board = Board::new(Clock::start());
        let finished = runtime.block_on(async {
            let mut interrupted = std::pin::pin!(interrupted);
            let finished = tokio::select! {
                ran = self.drive(&plan, &mut processes, &board) => Some(ran),
                () = &mut interrupted => None,
            };
            // A node that is only being started is still of the terminal's group, and may end of the same Ctrl-C first.
            let failed = finished.as_ref().is_some_and(Result::is_err);
            let finished = match failed && tokio::time::timeout(SAME_SIGNAL, interrupted).await.is_ok() {
                true => None,
                false => finished,
            };
            processes.stop().await;
            finished
        });
        if self.keep {
            tell(format_args!("cluster file and logs are in {}", processes.folder().display()));
        }
        let Some(ran) = finished else {
            tell(format_args!("interrupted; all nodes are stopped"));
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let ran = ran?;
        let notes = board.notes();
        let report = Report {
            nodes: names.len(),
            sessions: self.sessions,
            arcs: self.arcs,
            ran: ran.ran,
            notes: &notes,
            unread: ran.unread,
            ended: &ran.ended,
            should_be_protected: ran.should_be_protected,
            is_protected: ran.is_protected,
            read_through: ran.read_through,
        };
        if self.json {
            print(format_args!("{}\n", report.json()));
        } else {
            print(report.text());
        }
        Ok(if report.complaints().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) })
    }

    async fn drive(&self, plan: &Plan, processes: &mut Processes, board: &Board) -> Result<Ran, DemoError> {
        self.start_all(processes, board).await?;
        let clients = self.clients(processes, board).await?;
        let common = clients.common;
        let watcher = Aborted(tokio::spawn(watcher::watch(board.clone(), common.doors.clone())).abort_handle());
        {
            let now = board.now();
            let mut notes = board.notes();
            notes.measure = measure::Measure::default();
            notes.began = now;
            notes.happened(now, format!("{} clients begin", self.clients), None);
        }
        let run_for = Duration::from_secs(self.seconds);
        let show = Show::new(board, &common.doors, plan, run_for, self.sessions, self.plain);
        let show = Aborted(tokio::spawn(show.run()).abort_handle());
        let mut running: JoinSet<Client> = JoinSet::new();
        for mut client in clients.clients {
            running.spawn(async move {
                client.run().await;
                client
            });
        }
        let mut director = Director { board, processes, restarts: JoinSet::new(), ended: Vec::new() };
        for step in plan.steps() {
            director.wait_until(step.at.min(run_for)).await;
            if step.at >= run_for {
                common.stop.store(true, Ordering::Relaxed);
            }
            director.wait_until(step.at).await;
            director.carry_out(step, &clients.inhabited).await?;
        }
        director.wait_until(run_for).await;
        common.stop.store(true, Ordering::Relaxed);
        let ran = board.now().since(board.notes().began).min(run_for);
        board.notes().happened(board.now(), "clients finish", None);
        let mut finished = Vec::new();
        while let Some(client) = running.join_next().await {
            finished.push(client.map_err(DemoError::Client)?);
        }
        let (should_be_protected, is_protected) = director.settle().await;
        let ended = director.ended;
        let living: Vec<usize> = (0..common.doors.len()).filter(|at| processes.runs(&common.doors[*at].name)).collect();
        board.notes().happened(board.now(), format!("reading all sessions through {} node(s)", living.len()), None);
        let mut reading = JoinSet::new();
        for mut client in finished {
            let living = living.clone();
            reading.spawn(async move { client.read_all_through(&living).await });
        }
        let mut unread = 0;
        while let Some(one) = reading.join_next().await {
            unread += one.map_err(DemoError::Client)?;
        }
        drop(watcher);
        // A last picture with the last word in it.
        tokio::time::sleep(show::REDRAW * 2).await;
        drop(show);
        Ok(Ran { ran, unread, ended, should_be_protected, is_protected, read_through: living.len() })
    }

    /// Starts every node and waits until one of them says that every arc has its backup.
    async fn start_all(&self, processes: &mut Processes, board: &Board) -> Result<(), DemoError> {
        tell(format_args!("starting {} node processes", self.nodes));
        let mut starting = JoinSet::new();
        for door in processes.doors() {
            starting.spawn(processes.start(&door.name)?);
        }
        while let Some(ready) = starting.join_next().await {
            ready.map_err(DemoError::Client)??;
        }
        let mut peer = Peer::new(processes.doors()[0].http.clone());
        let began = board.now();
        loop {
            if let Some(view) = view_of(&mut peer, watcher::PATIENCE).await {
                let whole = view.members.len() == usize::from(self.nodes);
                let protected = self.nodes == 1 || (view.fully_protected && view.unprotected() == 0);
                // A node that joined late has its arcs handed over first.
                let whole = whole && view.arcs.iter().all(|arc| arc.primary == arc.home);
                watcher::saw(board, view);
                if whole && protected {
                    tell(format_args!("ready after {:.1} s", board.now().as_nanos() as f64 / 1e9));
                    return Ok(());
                }
            }
            if board.now().since(began) > PROTECTED_WITHIN {
                return Err(DemoError::NeverProtected { log_folder: processes.folder().display().to_string() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes the clients, and each of them its sessions.
    #[expect(clippy::disallowed_methods, reason = "each client draws its id")]
    async fn clients(&self, processes: &Processes, board: &Board) -> Result<Clients, DemoError> {
        tell(format_args!("creating {} sessions", self.sessions));
        let pace = if self.rate == 0 { Duration::ZERO } else { Duration::from_secs(1) * self.clients / self.rate };
        let common = Arc::new(Common {
            board: board.clone(),
            doors: processes.doors(),
            arcs: self.arcs,
            pace,
            stop: AtomicBool::new(false),
        });
        let mut creating = JoinSet::new();
        let every = usize::try_from(self.clients).expect("checked with the arguments");
        for first in 0..self.clients {
            let numbers = (first..self.sessions).step_by(every);
            let mut client = Client::new(Arc::clone(&common), Uuid::new_v4().as_u128(), numbers);
            creating.spawn(async move {
                let missing = client.create().await;
                (client, missing)
            });
        }
        let (mut clients, mut inhabited, mut missing) = (Vec::new(), BTreeSet::new(), 0);
        while let Some(created) = creating.join_next().await {
            let (client, not_created) = created.map_err(DemoError::Client)?;
            inhabited.extend(client.arcs());
            missing += not_created;
            clients.push(client);
        }
        if missing > 0 { Err(DemoError::NotCreated(missing)) } else { Ok(Clients { common, clients, inhabited }) }
    }
}

struct Clients {
    common: Arc<Common>,
    clients: Vec<Client>,
    /// The arcs that have sessions.
    inhabited: BTreeSet<u16>,
}

/// A task that ends with whoever started it.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Carries out the plan and looks after the processes.
struct Director<'a> {
    board: &'a Board,
    processes: &'a mut Processes,
    restarts: JoinSet<(String, Result<(), ProcessError>)>,
    ended: Vec<String>,
}

impl Director<'_> {
    /// Waits, and meanwhile notices nodes that got ready and nodes that ended.
    async fn wait_until(&mut self, at: Duration) {
        loop {
            self.look_after();
            let left = {
                let began = self.board.notes().began;
                (began + at).since(self.board.now())
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    fn look_after(&mut self) {
        while let Some(restarted) = self.restarts.try_join_next() {
            let (name, ready) = restarted.expect("waiting for a node does not panic");
            let now = self.board.now();
            let mut notes = self.board.notes();
            match ready {
                Ok(()) => {
                    // Hung or killed again since, it is not back.
                    if notes.away.get(&name) == Some(&Health::Starting) {
                        notes.away.remove(&name);
                    }
                    notes.happened(now, format!("{name} is ready"), Some(&name));
                }
                Err(error) => {
                    notes.happened(now, error.to_string(), Some(&name));
                    if !self.ended.contains(&name) {
                        self.ended.push(name);
                    }
                }
            }
        }
        for (name, status) in self.processes.ended_by_themselves() {
            let now = self.board.now();
            let mut notes = self.board.notes();
            notes.away.insert(name.clone(), Health::Dead);
            notes.happened(now, format!("WRONG: {name} ended though nobody killed it ({status})"), Some(&name));
            self.ended.push(name);
        }
    }

    async fn carry_out(&mut self, step: &Step, inhabited: &BTreeSet<u16>) -> Result<(), DemoError> {
        let node = step.node.as_str();
        {
            let now = self.board.now();
            let mut notes = self.board.notes();
            notes.done += 1;
            if step.deed == Deed::Resume && notes.away.get(node) != Some(&Health::Hung) {
                return Ok(()); // Killed while it hung.
            }
            let view = notes.view.clone().expect("the ring was seen before the clients began");
            notes.measure.fault(now, step.deed, node, &view, inhabited);
            match step.deed {
                Deed::Kill => notes.away.insert(node.to_owned(), Health::Dead),
                Deed::Hang => notes.away.insert(node.to_owned(), Health::Hung),
                Deed::Restart => notes.away.insert(node.to_owned(), Health::Starting),
                Deed::Resume => notes.away.remove(node),
            };
        }
        let signalled = self.board.now();
        let what = match step.deed {
            Deed::Kill => {
                self.processes.kill(node)?;
                format!("SIGKILL to {node}")
            }
            Deed::Hang => {
                self.processes.hang(node)?;
                format!("SIGSTOP to {node}")
            }
            Deed::Resume => {
                self.processes.resume(node)?;
                format!("SIGCONT to {node}")
            }
            Deed::Restart => {
                self.processes.reap(node).await?;
                let (ready, name) = (self.processes.start(node)?, node.to_owned());
                self.restarts.spawn(async move { (name, ready.await) });
                format!("{node} is started again")
            }
        };
        {
            let mut notes = self.board.notes();
            notes.measure.signalled(signalled);
            notes.happened(signalled, what, Some(node));
        }
        self.board.look_now();
        Ok(())
    }

    /// After the clients: waits until restarted nodes are ready and every arc has its backup again, where there are nodes
    /// enough. Gives back whether it should be so and whether it is.
    async fn settle(&mut self) -> (bool, bool) {
        let began = self.board.now();
        loop {
            self.look_after();
            let doors = self.processes.doors();
            let running = doors.iter().filter(|door| self.processes.runs(&door.name)).count();
            let should_be = running > 1;
            let is = {
                let notes = self.board.notes();
                let guarded = notes.view.as_ref().is_some_and(|view| view.fully_protected && view.unprotected() == 0);
                guarded && !notes.measure.waits_for_protection() && !notes.measure.waits_for_return()
            };
            let waits_for_ready = !self.restarts.is_empty();
            let too_long = self.board.now().since(began) > PROTECTED_WITHIN;
            if !waits_for_ready && (is || !should_be || too_long) {
                return (should_be, is);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_file_is_one_that_a_node_takes_and_the_folder_goes() {
        let draw = 0x1234_5678_9abc_def0_0000_0000_0000_0000 | u128::from(std::process::id());
        let processes =
            Processes::lay_out("test", &processes::names(4), draw, false, |places| cluster_file(places, 64, draw))
                .expect("laid out");
        let file = ringheir::config::ClusterFile::read(processes.config()).expect("a right cluster file");
        assert_eq!((file.nodes().len(), file.cluster().arcs), (4, 64));
        let folder = processes.folder().to_owned();
        assert!(folder.exists());
        drop(processes);
        assert!(!folder.exists());
    }
}
