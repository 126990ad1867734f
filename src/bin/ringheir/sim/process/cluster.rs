//! The real cluster of a scenario: node processes, the proxy between them, and what a step does to either.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use super::notes::Board;
use crate::{
    ask::{Peer, Request},
    processes::{Place, ProcessError, Processes},
};
use ringheir::{
    fault_proxy::{FaultProxy, Front},
    id::NodeName,
    membership::{Agreement, Role},
    sim::{
        network::{LinkChange, Weather},
        scenario::{ClusterPlan, Deed, NodePlan, Scenario},
        trace::What,
    },
};

/// An operator's word may take so long; the scenario goes on meanwhile.
const WORD_WITHIN: Duration = Duration::from_secs(35);
/// A link that is faster than this on average is left as fast as the machine makes it.
const NOTICEABLE: Duration = Duration::from_millis(1);

/// Why a cluster could not be run.
#[derive(Debug)]
pub(in crate::sim) enum ClusterError {
    Processes(ProcessError),
    Proxy(io::Error),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes(why) => why.fmt(f),
            Self::Proxy(why) => write!(f, "cannot listen for the nodes on loopback: {why}"),
        }
    }
}

impl std::error::Error for ClusterError {}

impl From<ProcessError> for ClusterError {
    fn from(why: ProcessError) -> Self {
        Self::Processes(why)
    }
}

/// See the module.
pub(super) struct RealCluster {
    board: Board,
    names: Vec<NodeName>,
    listed: usize,
    processes: Processes,
    proxy: FaultProxy,
    /// Whether no process may see that another has ended but by its silence and its connections.
    unproved: bool,
    /// Votes outlive their processes.
    keeps_votes: bool,
    /// How many processes each name has had.
    started: BTreeMap<NodeName, u32>,
    /// Whoever was told to leave: its process ends, or is of no more use.
    left: BTreeSet<NodeName>,
}

impl RealCluster {
    /// Lays everything out; no node runs yet. `draw` is a random number.
    pub(super) async fn lay_out(
        scenario: &Scenario,
        seed: u64,
        draw: u128,
        board: Board,
    ) -> Result<Self, ClusterError> {
        let (plan, names) = (&scenario.cluster, scenario.names());
        let texts: Vec<String> = names.iter().map(NodeName::to_string).collect();
        let file = |places: &[Place]| cluster_file(plan, &places[..plan.nodes.len()], draw);
        let mut processes = Processes::lay_out("sim", &texts, draw, false, file)?;
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let places: Vec<Place> = processes.places().cloned().collect();
        let front = |(name, place): (&NodeName, &Place)| Front {
            name: *name,
            listens: loopback(place.cluster),
            node: loopback(place.bind),
        };
        let fronts = names.iter().zip(&places).map(front).collect();
        let proxy = FaultProxy::open(seed, weather(plan), fronts).await.map_err(ClusterError::Proxy)?;
        let (run_dir, unproved) = (processes.run_dir(), plan.proof.is_none());
        for (at, place) in places.iter().enumerate() {
            let mut arguments = Vec::new();
            let mut say = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
            let own = lock_folder(&run_dir, unproved.then_some(&place.name));
            say(&["--run-dir", &own.to_string_lossy(), "--drain-within", "30"]);
            if plan.data_dirs {
                say(&["--data-dir", &run_dir.join(format!("votes-{}", place.name)).to_string_lossy()]);
            }
            if at >= plan.nodes.len() {
                let port = |port: u16| format!("127.0.0.1:{port}");
                say(&["--cluster", &port(place.cluster), "--bind", &port(place.bind), "--http", &port(place.http)]);
            }
            processes.start_with(&place.name, arguments);
        }
        Ok(Self {
            board,
            listed: plan.nodes.len(),
            names,
            processes,
            proxy,
            unproved,
            keeps_votes: plan.data_dirs,
            started: BTreeMap::new(),
            left: BTreeSet::new(),
        })
    }

    /// The nodes of the file.
    pub(super) fn listed(&self) -> Vec<NodeName> {
        self.names[..self.listed].to_vec()
    }

    /// Names and HTTP addresses of everybody that may run.
    pub(super) fn doors(&self) -> Vec<crate::processes::Door> {
        self.processes.doors()
    }

    /// Those whose process runs and has not been told to leave.
    pub(super) fn running(&self) -> Vec<NodeName> {
        let runs = |name: &&NodeName| self.processes.runs(name.as_str()) && !self.left.contains(name);
        self.names.iter().filter(runs).copied().collect()
    }

    /// Starts the process of a name, after killing one that runs.
    pub(super) async fn start(&mut self, name: NodeName) -> Result<(), ClusterError> {
        self.end(name, "killed, to be started anew").await?;
        self.left.remove(&name);
        let (text, unproved) = (name.as_str(), self.unproved);
        if unproved {
            let own = lock_folder(&self.processes.run_dir(), Some(text));
            // It has been moved away from the one before, if there was one.
            std::fs::create_dir_all(own).map_err(ClusterError::Proxy)?;
        }
        let (ready, board, run_dir) = (self.processes.start(text)?, self.board.clone(), self.processes.run_dir());
        let count = self.started.entry(name).or_default();
        *count += 1;
        let process = format!("process {count}");
        self.board.notes().note(What::Started { node: name.to_string(), process });
        tokio::spawn(async move {
            if let Err(why) = ready.await {
                // Killed meanwhile, or cut off: what must follow from that, the scenario expects.
                board.notes().note(What::Ended { node: name.to_string(), how: why.to_string() });
            } else if unproved {
                // As from another host: the process keeps its lock, and nobody finds it.
                let own = lock_folder(&run_dir, Some(name.as_str()));
                let away = own.with_extension(format!("{}", board.now().as_nanos()));
                let _ = std::fs::rename(own, away);
            }
        });
        Ok(())
    }

    async fn end(&mut self, name: NodeName, how: &str) -> Result<(), ClusterError> {
        let text = name.as_str();
        if !self.processes.runs(text) {
            return Ok(());
        }
        self.processes.kill(text)?;
        self.processes.reap(text).await?;
        let mut notes = self.board.notes();
        notes.killed(text);
        notes.note(What::Ended { node: name.to_string(), how: how.to_owned() });
        if !self.keeps_votes && !self.names.iter().any(|name| self.processes.runs(name.as_str())) {
            notes.note_all_lost();
        }
        Ok(())
    }

    async fn kill(&mut self, name: NodeName) -> Result<(), ClusterError> {
        if self.processes.runs(name.as_str()) {
            let mut notes = self.board.notes();
            notes.note_loss(name.as_str());
            notes.mark("a kill");
        }
        self.end(name, "killed").await
    }

    /// Carries out a step.
    pub(super) async fn perform(&mut self, deed: &Deed) -> Result<(), ClusterError> {
        let nodes = deed.nodes().iter().map(NodeName::to_string).collect();
        self.board.notes().note(What::Step { words: deed.to_string(), nodes });
        self.notice_ends();
        {
            let notes = &mut *self.board.notes();
            let is_lost = notes.newest.as_ref().is_some_and(|view| view.lost() > 0);
            let runs = |name: NodeName| self.processes.runs(name.as_str());
            for why in deed.idle(runs, |name| notes.paused.contains(name.as_str()), is_lost) {
                notes.did_nothing(deed, why);
            }
        }
        match deed {
            Deed::Kill(names) => {
                for name in names {
                    self.kill(*name).await?;
                }
            }
            Deed::PowerOff(names) => {
                for name in names {
                    self.proxy.power_off(*name);
                    self.kill(*name).await?;
                }
            }
            Deed::Restart(names) => {
                for name in names {
                    self.kill(*name).await?;
                    self.start(*name).await?;
                }
            }
            Deed::Join(names) => {
                for name in names {
                    // Under a name that runs nobody can join.
                    if !self.processes.runs(name.as_str()) {
                        self.start(*name).await?;
                    }
                }
            }
            Deed::Pause(names) => {
                for name in names {
                    self.board.notes().note_loss(name.as_str());
                    self.processes.hang(name.as_str())?;
                    let mut notes = self.board.notes();
                    notes.paused.insert(name.to_string());
                    notes.note(What::Paused { node: name.to_string() });
                }
            }
            Deed::Resume(names) => self.resume(names)?,
            Deed::Heal => self.mend_links(),
            Deed::Leave(names) => {
                for name in names {
                    self.left.insert(*name);
                    self.processes.terminate(name.as_str())?;
                }
            }
            Deed::Drain(names) => {
                self.left.extend(names);
                self.order(names, "drain?within_ms=30000&unprotected=true");
            }
            Deed::Cordon(names) => self.order(names, "cordon"),
            Deed::Uncordon(names) => self.order(names, "uncordon"),
            Deed::HandBack(names) => self.order(names, "handback?within_ms=30000"),
            Deed::Recover(names) => {
                let with: Vec<&str> = names.iter().map(NodeName::as_str).collect();
                self.word(self.one_who_knows(names), &format!("with={}", with.join(",")));
            }
            Deed::Dead(name) => self.word(self.one_who_knows(&self.names), &format!("dead={name}")),
            Deed::ClearLost => self.word(self.one_who_knows(&self.names), "clear=lost"),
            // Refused before the run.
            Deed::ClockRate(..) => {}
            on_links => {
                for (from, to, change) in on_links.on_links(&self.names) {
                    if self.proxy.change(from, to, change) {
                        let (from, to) = (from.to_string(), to.to_string());
                        let cut = change == LinkChange::Cut;
                        self.board.notes().note(if cut { What::Cut { from, to } } else { What::Mended { from, to } });
                    }
                }
            }
        }
        Ok(())
    }

    /// Starts those anew that a recovery has left behind, as their operator would.
    pub(super) async fn start_left_behind(&mut self) -> Result<(), ClusterError> {
        let left_behind: Vec<String> = self.board.notes().left_behind.iter().cloned().collect();
        for name in self.running().into_iter().filter(|name| left_behind.iter().any(|left| left == name.as_str())) {
            self.board.notes().mark("left behind");
            self.start(name).await?;
        }
        Ok(())
    }

    fn resume(&self, names: &[NodeName]) -> Result<(), ClusterError> {
        for name in names {
            self.processes.resume(name.as_str())?;
            let mut notes = self.board.notes();
            if notes.paused.remove(name.as_str()) {
                notes.mark("a paused node went on");
                notes.note(What::Resumed { node: name.to_string() });
            }
        }
        Ok(())
    }

    fn mend_links(&self) {
        for (from, to) in self.proxy.heal() {
            self.board.notes().note(What::Mended { from: from.to_string(), to: to.to_string() });
        }
    }

    /// Ends whatever is still wrong: cuts, pauses, and processes that do not run.
    pub(super) async fn heal(&mut self) -> Result<(), ClusterError> {
        self.board.notes().note(What::Step { words: "what is still wrong is mended".to_owned(), nodes: vec![] });
        self.mend_links();
        self.notice_ends();
        self.resume(&self.names.clone())?;
        let known: Vec<NodeName> = self.names.clone();
        for (at, name) in known.into_iter().enumerate() {
            let was_there = at < self.listed || self.left.contains(&name);
            if was_there && (!self.processes.runs(name.as_str()) || self.left.contains(&name)) {
                self.start(name).await?;
            }
        }
        let running = self.running();
        self.order(&running, "uncordon");
        Ok(())
    }

    /// Processes that ended though nobody killed them: those that left, and those that should not have.
    pub(super) fn notice_ends(&mut self) {
        for (name, status) in self.processes.ended_by_themselves() {
            let mut notes = self.board.notes();
            notes.note(What::Ended { node: name.clone(), how: status.to_string() });
            if self.left.iter().any(|left| left.as_str() == name) && status.success() {
                notes.mark("a node drained and left");
            } else {
                notes.violated("processes", format_args!("node {name} ended by itself, {status}"));
            }
        }
    }

    /// Of these names one that runs, is not stopped and has seen as much as any.
    fn one_who_knows(&self, of: &[NodeName]) -> Option<NodeName> {
        let notes = self.board.notes();
        let awake = |name: &&NodeName| self.processes.runs(name.as_str()) && !notes.paused.contains(name.as_str());
        // The last of those that know as much: who comes first in the ring is mostly whom a scenario has cut off.
        of.iter().filter(awake).copied().max_by_key(|name| notes.shown_by(name.as_str()))
    }

    /// Gives an order to each of these.
    fn order(&self, names: &[NodeName], order: &str) {
        for name in names {
            self.post(*name, format!("/v1/node/{name}/{order}"));
        }
    }

    /// Says an operator's word to this node.
    fn word(&self, whom: Option<NodeName>, word: &str) {
        if let Some(whom) = whom {
            self.post(whom, format!("/v1/recovery?{word}"));
        }
    }

    /// Nobody waits for it: a scenario says what must come of it and by when.
    fn post(&self, whom: NodeName, path: String) {
        let Some(door) = self.doors().into_iter().find(|door| door.name == whom.as_str()) else { return };
        let board = self.board.clone();
        tokio::spawn(async move {
            let request = Request { method: "POST", path: &path, headers: &[], body: None };
            let answer = match Peer::new(door.http).ask(&request, WORD_WITHIN).await {
                Ok(response) if response.status == 200 => return,
                Ok(response) => format!("{} {}", response.status, String::from_utf8_lossy(&response.body)),
                Err(why) => why.to_string(),
            };
            board.notes().note(What::Mark { words: format!("{path} at {whom}: {answer}") });
        });
    }

    /// Kills and reaps all.
    pub(super) async fn stop(&mut self) {
        self.processes.stop().await;
    }
}

/// Where a process keeps its life lock: one folder for all, or one of its own.
fn lock_folder(run_dir: &std::path::Path, own: Option<&(impl AsRef<str> + ?Sized)>) -> PathBuf {
    own.map_or_else(|| run_dir.to_owned(), |name| run_dir.join(format!("of-{}", name.as_ref())))
}

fn weather(plan: &ClusterPlan) -> Weather {
    let ClusterPlan { delay, jitter, drop, duplicate, .. } = *plan;
    let (delay_min, delay_mean) =
        if delay + jitter < NOTICEABLE { (Duration::ZERO, Duration::ZERO) } else { (delay, jitter) };
    Weather { delay_min, delay_mean, drop, duplicate }
}

fn cluster_file(plan: &ClusterPlan, places: &[Place], draw: u128) -> String {
    let ClusterPlan { arcs, backups, spread, voters_max, .. } = plan;
    let agreement = match plan.agreement {
        Agreement::Majority => "majority",
        Agreement::MajorityOrProof => "majority_or_proof",
    };
    let (secret, pin) = (draw & u128::from(u64::MAX), plan.pin.name());
    // Whoever is started cut off from everybody waits for the mending.
    let mut file = format!(
        "[cluster]\nname = \"sim\"\nsecret = \"{secret:016x}\"\narcs = {arcs}\nbackups = {backups}\nspread = {spread}\npin = \"{pin}\"\n\
         agreement = \"{agreement}\"\nvoters_max = {voters_max}\non_startup_timeout = \"wait\"\n"
    );
    for (NodePlan { role, zone, .. }, Place { name, cluster, http, bind, .. }) in plan.nodes.iter().zip(places) {
        let role = match role {
            Role::Host => "host",
            Role::BackupOnly => "backup_only",
            Role::Edge => "edge",
            Role::Witness => "witness",
        };
        file += &format!(
            "\n[[node]]\nname = \"{name}\"\nrole = \"{role}\"\ncluster = \"127.0.0.1:{cluster}\"\nbind = \"127.0.0.1:{bind}\"\n\
             http = \"127.0.0.1:{http}\"\n"
        );
        if let Some(zone) = zone {
            file += &format!("zone = {}\n", toml_text(zone));
        }
    }
    file
}

/// A basic string of TOML, which is written as one of JSON is.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
