//! Node processes that this program starts: laid out in a folder of their own, killed, hung, and gone at the end.
//!
//! Each is this same program, as `ringheir node`, in a process group of its own so that Ctrl-C reaches only who started it. Each
//! holds the reading end of a pipe as its stdin and ends when that closes: nothing outlives this process, however it ends.
//! Invariant: a process that was killed is reaped; the folder goes when this is dropped.

use std::{
    env, fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::ports::{PORT_FIRST, PORT_LAST, free_ports};

/// How long a process may take until it says that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What nodes write to their folder before anything has happened, in bytes, and some more.
const ROOM_NEEDED: usize = 1 << 20;
/// Every node is given so many.
const PORTS: usize = 4;
/// How much of a node's log is shown when it fails.
const LOG_SHOWN: usize = 12;

/// Why the nodes could not be run.
#[derive(Debug)]
pub(crate) enum ProcessError {
    /// The system refused something.
    System { what: &'static str, error: io::Error },
    /// No folder for the nodes could be made.
    Folder { folder: PathBuf, error: io::Error },
    /// No free ports on loopback.
    NoPorts,
    /// A node ended instead of getting ready; the end of its log.
    Ended { name: String, log: String },
    /// A node did not get ready in time; the end of its log.
    NotReady { name: String, log: String },
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { what, error } => write!(f, "cannot {what}: {error}"),
            Self::Folder { folder, error } => {
                write!(
                    f,
                    "cannot make a folder for the nodes at {}: {error}; set TMPDIR to one that can be written",
                    folder.display()
                )
            }
            Self::NoPorts => write!(f, "no free ports on loopback between {PORT_FIRST} and {PORT_LAST}"),
            Self::Ended { name, log } => write!(f, "node {name} ended before it was ready; its log ends:\n{log}"),
            Self::NotReady { name, log } => {
                write!(f, "node {name} was not ready within {READY_WITHIN:?}; its log ends:\n{log}")
            }
        }
    }
}

impl std::error::Error for ProcessError {}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ProcessError {
    move |error| ProcessError::System { what, error }
}

/// Signals are caught from this call on; what it gives back waits for one. Call it within a runtime.
pub(crate) fn interrupted() -> impl Future<Output = ()> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let signals = kinds.map(signal);
    async move {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)] = signals else {
            // Without handlers the signals end this process, and the closing pipes end the nodes.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

/// A node as callers know it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Its name.
    pub(crate) name: String,
    /// Its HTTP address.
    pub(crate) http: String,
}

/// A node's name and the ports that it was given, all on loopback.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: String,
    /// Where others dial it.
    pub(crate) cluster: u16,
    /// Where it serves HTTP.
    pub(crate) http: u16,
    /// Where it serves the Redis protocol, if its file says so.
    pub(crate) redis: u16,
    /// One more, for a node that does not listen where it is dialled.
    #[cfg(feature = "sim")]
    pub(crate) bind: u16,
}

/// One name and the process that runs under it now.
struct NodeProcess {
    place: Place,
    /// What it is started with besides its name.
    arguments: Vec<String>,
    child: Option<Child>,
    /// A process that was killed and is not reaped yet.
    killed: Option<Child>,
}

/// All processes and their folder.
pub(crate) struct Processes {
    folder: PathBuf,
    program: PathBuf,
    keep: bool,
    nodes: Vec<NodeProcess>,
}

/// Names a, b, ... z, then n27, n28, ...
pub(crate) fn names(count: usize) -> Vec<String> {
    (0u32..)
        .take(count)
        .map(|number| match char::from_u32(u32::from('a') + number) {
            Some(letter) if letter.is_ascii_lowercase() => letter.to_string(),
            _ => format!("n{}", number + 1),
        })
        .collect()
}

impl Processes {
    /// Makes a folder, called after what it is for, with the cluster file that is made from the nodes' places; starts nothing.
    /// `draw` is a random number.
    pub(crate) fn lay_out(
        what: &str,
        names: &[String],
        draw: u128,
        keep: bool,
        file: impl FnOnce(&[Place]) -> String,
    ) -> Result<Self, ProcessError> {
        let program = env::current_exe().map_err(system("find this program"))?;
        let folder = env::temp_dir().join(format!("ringheir-{what}-{:016x}", draw >> 64));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| ProcessError::Folder { folder: folder.clone(), error })?;
        let mut processes = Self { folder, program, keep, nodes: Vec::new() };
        // A node that cannot write its lock and its log there would only seem to be slow.
        let probe = processes.folder.join("room");
        fs::write(&probe, vec![0; ROOM_NEEDED])
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|error| ProcessError::Folder { folder: processes.folder.clone(), error })?;
        DirBuilder::new().mode(0o700).create(processes.run_dir()).map_err(system("make a run folder"))?;
        let ports = free_ports(names.len() * PORTS, (draw % 65_536) as u16).ok_or(ProcessError::NoPorts)?;
        let place = |(name, ports): (&String, &[u16])| Place {
            name: name.clone(),
            cluster: ports[0],
            http: ports[1],
            redis: ports[2],
            #[cfg(feature = "sim")]
            bind: ports[3],
        };
        let places: Vec<Place> = names.iter().zip(ports.chunks(PORTS)).map(place).collect();
        fs::write(processes.config(), file(&places)).map_err(system("write the cluster file"))?;
        let run_dir = processes.run_dir().to_string_lossy().into_owned();
        let usual = || vec!["--run-dir".to_owned(), run_dir.clone()];
        let node = |place| NodeProcess { place, arguments: usual(), child: None, killed: None };
        processes.nodes = places.into_iter().map(node).collect();
        Ok(processes)
    }

    /// Has each of them do its work with its share of the machine's threads. Left alone each takes all, as one on a machine of its own
    /// does, and they are in each other's way.
    pub(crate) fn share_threads(&mut self) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = (cores / self.nodes.len().max(1)).max(1);
        for node in &mut self.nodes {
            node.arguments.extend(["--threads".to_owned(), share.to_string()]);
        }
    }

    /// What a node is started with besides its file and its name, instead of the folder of life locks that all share.
    #[cfg(feature = "sim")]
    pub(crate) fn start_with(&mut self, name: &str, arguments: Vec<String>) {
        let position = self.position(name);
        self.nodes[position].arguments = arguments;
    }

    /// The cluster file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("cluster.toml")
    }

    /// Where all keep their life locks, unless they were told otherwise.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Where everything is, for who keeps it.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Everybody's place, in ring order.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.nodes.iter().map(|node| &node.place)
    }

    /// Names and HTTP addresses, in ring order.
    pub(crate) fn doors(&self) -> Vec<Door> {
        let door = |place: &Place| Door { name: place.name.clone(), http: format!("127.0.0.1:{}", place.http) };
        self.places().map(door).collect()
    }

    fn position(&self, name: &str) -> usize {
        self.nodes.iter().position(|node| node.place.name == name).expect("the plan names nodes that exist")
    }

    /// Starts the process of a name. What is given back waits until it says that it is ready; dropping that leaves the
    /// process running.
    pub(crate) fn start(
        &mut self,
        name: &str,
    ) -> Result<impl Future<Output = Result<(), ProcessError>> + Send + 'static, ProcessError> {
        let log_path = self.log(name);
        let log: File =
            OpenOptions::new().create(true).append(true).open(&log_path).map_err(system("open a node's log"))?;
        let mut command = Command::new(&self.program);
        let position = self.position(name);
        command.arg("node").arg("--config").arg(self.config()).args(["--name", name]);
        command.args(&self.nodes[position].arguments);
        command.arg("--exit-with-stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command
            .env_remove("RINGHEIR_SECRET")
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(system("start a node"))?;
        let stdout = child.stdout.take().expect("it was piped");
        self.nodes[position].child = Some(child);
        let name = name.to_owned();
        Ok(async move {
            let mut lines = BufReader::new(stdout).lines();
            let ready = async {
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.starts_with("ready") {
                        return true;
                    }
                }
                false
            };
            let end_of_log = || {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                lines[lines.len().saturating_sub(LOG_SHOWN)..].join("\n")
            };
            match timeout(READY_WITHIN, ready).await {
                Ok(true) => {
                    // Whatever else it prints must not fill the pipe.
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    Ok(())
                }
                Ok(false) => Err(ProcessError::Ended { name, log: end_of_log() }),
                Err(_) => Err(ProcessError::NotReady { name, log: end_of_log() }),
            }
        })
    }

    fn signal(&self, name: &str, signal: Signal) -> Result<(), ProcessError> {
        let child = self.nodes[self.position(name)].child.as_ref();
        let pid = child.and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        // A child that was reaped has no pid any more, so no stranger is hit.
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal).map_err(|error| ProcessError::System { what: "signal a node", error: error.into() })
    }

    /// The numbers of the processes that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.child.as_ref()?.id()).collect()
    }

    /// SIGKILL, and nothing else: reaping is left to `reap`, so that several can be killed at one time.
    pub(crate) fn kill(&mut self, name: &str) -> Result<(), ProcessError> {
        self.signal(name, Signal::KILL)?;
        let position = self.position(name);
        let node = &mut self.nodes[position];
        node.killed = node.child.take();
        Ok(())
    }

    /// Waits until a killed process is gone.
    pub(crate) async fn reap(&mut self, name: &str) -> Result<(), ProcessError> {
        let position = self.position(name);
        if let Some(mut child) = self.nodes[position].killed.take() {
            child.wait().await.map_err(system("wait for a killed node"))?;
        }
        Ok(())
    }

    /// SIGTERM: it hands over what it has, and ends.
    #[cfg(feature = "sim")]
    pub(crate) fn terminate(&self, name: &str) -> Result<(), ProcessError> {
        self.signal(name, Signal::TERM)
    }

    /// SIGSTOP.
    pub(crate) fn hang(&self, name: &str) -> Result<(), ProcessError> {
        self.signal(name, Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, name: &str) -> Result<(), ProcessError> {
        self.signal(name, Signal::CONT)
    }

    /// Whether a process runs under the name, hung or not.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.nodes[self.position(name)].child.is_some()
    }

    /// Reaps what has ended; gives back those that nobody killed.
    pub(crate) fn ended_by_themselves(&mut self) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        for node in &mut self.nodes {
            if node.killed.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some())) {
                node.killed = None;
            }
            if let Some(status) = node.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                node.child = None;
                ended.push((node.place.name.clone(), status));
            }
        }
        ended
    }

    /// Kills and reaps all.
    pub(crate) async fn stop(&mut self) {
        for node in &mut self.nodes {
            for mut child in [node.child.take(), node.killed.take()].into_iter().flatten() {
                // It fails only for one that has ended already.
                let _ = child.kill().await;
            }
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to be told; the folder is in the system's temporary place.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_node_has_a_name_of_its_own() {
        let names = names(30);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 30);
        assert_eq!((names[0].as_str(), names[25].as_str(), names[26].as_str()), ("a", "z", "n27"));
    }
}
