//! `Ring`: the nodes that a bench measures, over loopback sockets: one in this process, the others in processes of their own.
//!
//! Other processes hold the reading end of a pipe and end when it closes; they are killed when this is dropped, and the folder
//! goes. Every wait has a deadline. It measures nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ringheir::{
    Node, Session, SessionRef,
    config::ClusterFile,
    id::{NodeId, NodeName},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{peer, sessions::types};
use crate::ports::free_ports;

/// How long a node may take until it is in the ring.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long the ring may take until every arc has its backup, when there is nothing to copy.
const PROTECTED_WITHIN: Duration = Duration::from_secs(30);
/// Loading takes no longer than this and one second for each `LOADED_PER_S` sessions.
const LOADED_WITHIN: Duration = Duration::from_secs(30);
/// Far fewer than any machine makes.
const LOADED_PER_S: usize = 2_000;

/// The largest session that the file of a bench lets in, less its heads.
const BYTES_MAX: usize = (1 << 20) - 1_024;

/// Whether sessions and events of so many bytes can be measured.
///
/// # Errors
/// What the largest are.
pub(super) fn fits(bytes: usize) -> Result<(), String> {
    if bytes <= BYTES_MAX { Ok(()) } else { Err(format!("{bytes} bytes are too many: at most {BYTES_MAX}")) }
}

/// Rings of one process so far; each has a folder and ports of its own.
static RINGS: AtomicU32 = AtomicU32::new(0);

/// A process with one node.
struct Process {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// A running ring.
pub(super) struct Ring {
    folder: PathBuf,
    processes: BTreeMap<String, Process>,
    node: Option<Node>,
}

impl Ring {
    /// Starts the hosts, in ring order, and the node of this process: the host `here`, or, if no host is called so, a node
    /// that holds nothing and only forwards. All are in the ring, and every arc has its backup.
    pub(super) async fn start(hosts: &[&str], here: &str) -> Result<Self, String> {
        Self::start_with(hosts, here, "").await
    }

    /// The same with lines of the cluster file's `[cluster.limits]`.
    pub(super) async fn start_with(hosts: &[&str], here: &str, limits: &str) -> Result<Self, String> {
        let number = RINGS.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let folder = std::env::temp_dir().join(format!("ringheir-bench-{pid}-{number}"));
        let mut ring = Self { folder, processes: BTreeMap::new(), node: None };
        fs::create_dir_all(ring.run_dir())
            .map_err(|why| format!("cannot make a folder at {}: {why}; set TMPDIR", ring.folder.display()))?;
        let edge = (!hosts.contains(&here)).then_some(here);
        let draw = (pid.wrapping_mul(31).wrapping_add(number * 8) % 65_536) as u16;
        let ports = free_ports(hosts.len() + 1, draw).ok_or("no free ports on loopback")?;
        let mut text = format!(
            "[cluster]\nname = \"bench-{pid}-{number}\"\nsecret = \"bench\"\nagreement = \"majority_or_proof\"\n\
             [cluster.limits]\n{limits}\n"
        );
        for (name, port) in hosts.iter().chain(&edge).zip(ports) {
            let role = if Some(*name) == edge { "role = \"edge\"\n" } else { "" };
            text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{port}\"\n{role}"));
        }
        fs::write(ring.file(), &text).map_err(|why| format!("{}: {why}", ring.file().display()))?;
        let others: Vec<&str> = hosts.iter().copied().filter(|name| *name != here).collect();
        for name in &others {
            ring.spawn(name)?;
        }
        let file = ClusterFile::from_str(&text, "bench").map_err(|why| why.to_string())?;
        let builder = Node::builder().config(file).name(here).types(types()).run_dir(ring.run_dir());
        ring.node = Some(within(READY_WITHIN, "the ring", builder.start()).await?.map_err(|why| why.to_string())?);
        for name in &others {
            ring.ready(name).await?;
        }
        ring.protected(PROTECTED_WITHIN).await?;
        Ok(ring)
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("cluster.toml")
    }

    fn spawn(&mut self, name: &str) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|why| format!("cannot find this program: {why}"))?;
        let mut command = Command::new(program);
        command.args(["bench", "peer"]).args([self.file(), self.run_dir()]).arg(name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|why| format!("cannot start process {name}: {why}"))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("process {name} has no pipes"));
        };
        let answers = BufReader::new(answers).lines();
        self.processes.insert(name.to_owned(), Process { child, orders, answers });
        Ok(())
    }

    async fn ready(&mut self, name: &str) -> Result<(), String> {
        let answer = self.answer(name, READY_WITHIN).await?;
        if answer == "ready" { Ok(()) } else { Err(format!("process {name}: {answer}")) }
    }

    async fn answer(&mut self, name: &str, deadline: Duration) -> Result<String, String> {
        let process = self.processes.get_mut(name).ok_or_else(|| format!("no process {name}"))?;
        let line = within(deadline, name, process.answers.next_line()).await?.map_err(|why| why.to_string())?;
        line.ok_or_else(|| format!("process {name} ended"))
    }

    /// The node of this process.
    pub(super) fn node(&self) -> Result<&Node, String> {
        self.node.as_ref().ok_or_else(|| "no node runs here".to_owned())
    }

    /// The process of a name.
    pub(super) fn pid(&self, name: &str) -> Result<u32, String> {
        let process = self.processes.get(name).ok_or_else(|| format!("no process {name}"))?;
        process.child.id().ok_or_else(|| format!("process {name} has ended"))
    }

    /// Every other process.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.values().filter_map(|process| process.child.id()).collect()
    }

    /// Who has this name now.
    pub(super) fn id_of(&self, name: &str) -> Result<NodeId, String> {
        let view = self.node()?.view();
        let member = NodeName::new(name).and_then(|name| view.named(name));
        member.map(|member| member.node).ok_or_else(|| format!("{name} is not in the ring"))
    }

    /// Has a process make so many sessions of which it is the primary, of about so many bytes. They have their backups, and
    /// the ring is as it was before.
    pub(super) async fn load<S: Session>(&mut self, name: &str, count: usize, bytes: usize) -> Result<(), String> {
        let before = self.node()?.view();
        let process = self.processes.get_mut(name).ok_or_else(|| format!("no process {name}"))?;
        let order = format!("load {} {count} {bytes}\n", S::KIND);
        process.orders.write_all(order.as_bytes()).await.map_err(|why| why.to_string())?;
        process.orders.flush().await.map_err(|why| why.to_string())?;
        let seconds = u64::try_from(count / LOADED_PER_S).unwrap_or(u64::MAX);
        let deadline = LOADED_WITHIN + Duration::from_secs(seconds);
        let answer = self.answer(name, deadline).await?;
        if answer != format!("loaded {count}") {
            return Err(format!("process {name}: {answer}"));
        }
        self.protected(PROTECTED_WITHIN).await?;
        // What was dealt anew meanwhile is elsewhere, or was never made.
        let after = self.node()?.view();
        let moved = before.arcs.iter().zip(&after.arcs).filter(|(before, after)| before.since != after.since).count();
        if moved > 0 {
            Err(format!("{moved} arcs moved while sessions were made: the machine is too busy"))
        } else {
            Ok(())
        }
    }

    /// The first sessions that a node serves, in the order in which one that is loaded makes them.
    pub(super) fn served_by<S: Session>(&self, name: &str, count: usize) -> Result<Vec<SessionRef<S>>, String> {
        let (node, primary) = (self.node()?, self.id_of(name)?);
        let mut served = Vec::with_capacity(count);
        for number in 0..(count + 1_000) * 16 {
            if served.len() == count {
                break;
            }
            let session = node.session::<S>(peer::id(number)).map_err(|why| why.to_string())?;
            if session.primary() == Some(primary) {
                served.push(session);
            }
        }
        if served.len() == count { Ok(served) } else { Err(format!("too few sessions fall on {name}")) }
    }

    /// SIGKILL. What is given back waits until the process is gone.
    pub(super) fn kill(&mut self, name: &str) -> Result<impl Future<Output = ()> + use<>, String> {
        let mut process = self.processes.remove(name).ok_or_else(|| format!("no process {name}"))?;
        process.child.start_kill().map_err(|why| format!("cannot kill {name}: {why}"))?;
        Ok(async move {
            let _ = process.child.wait().await;
        })
    }

    /// Starts a process again and waits until it has all its arcs back, and each has its backup.
    pub(super) async fn bring_back(&mut self, name: &str, deadline: Duration) -> Result<(), String> {
        self.spawn(name)?;
        self.ready(name).await?;
        let mut views = self.node()?.views();
        let home = views.wait_for(|view| {
            view.as_ref().is_some_and(|v| v.entries().all(|(_, e)| e.primary.name == e.home && !e.in_sync.is_empty()))
        });
        within(deadline, "the way home of every arc", home).await?.map_err(|why| why.to_string())?;
        self.protected(deadline).await
    }

    /// Waits until every arc has its backup, in the newest view or a later one.
    pub(super) async fn protected(&self, deadline: Duration) -> Result<(), String> {
        let node = self.node()?;
        let newest = node.view().number;
        let protected = async {
            loop {
                node.fully_protected().await;
                // What was so in an older view says nothing of this one.
                let outlook = node.outlook();
                if outlook.view >= newest && outlook.fully_protected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(deadline, "every arc's backup", protected).await
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Nobody is left to be told; the folder is in the system's temporary place.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What comes before the deadline, or that it did not.
pub(super) async fn within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(deadline, future).await.map_err(|_| format!("{what}: not within {deadline:?}"))
}
