//! `Ring`: a folder, a cluster file with ports of its own, and the processes that run from it.
//!
//! Invariant: what it started is dead and reaped, and its folder gone, when it is dropped; on a panic the logs are shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{self, Answer};

/// Anything that should come comes within this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// Ports of tests: above those of `ringheir demo`, below those that the system gives to outgoing connections, of which one
/// could take a killed node's. A ring has a block of them; its first port is held for as long as the ring is there.
const PORTS: std::ops::Range<u16> = 32_000..32_736;
const BLOCK: u16 = 23;

/// Waits until something is there; panics at the deadline.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "within {DEADLINE:?} there was never: {what}");
        thread::sleep(LOOK);
    }
}

/// A process and what it printed.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Process {
    /// Everything on both of its outputs until now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.log().contains("ready: ")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child that is not reaped yet");
    }

    /// Waits until it ends; gives back its status and how long it ran.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let log = self.log.clone();
        let status = wait_for(&format!("the end of the process that logs to {}", log.display()), || {
            self.child.try_wait().expect("our child")
        });
        (status, self.started.elapsed())
    }

    /// The same, with what it printed.
    pub(crate) fn ended(mut self) -> (Option<i32>, String, Duration) {
        let (status, took) = self.wait();
        (status.code(), self.log(), took)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// A cluster of processes.
pub(crate) struct Ring {
    folder: PathBuf,
    ports: u16,
    _held: TcpListener,
    text: String,
    names: Vec<String>,
    nodes: BTreeMap<String, Process>,
    logs: AtomicU32,
    keeps_votes: bool,
}

fn block_of_ports() -> (u16, TcpListener) {
    let blocks = (PORTS.end - PORTS.start) / BLOCK;
    let first = u16::try_from(std::process::id() % u32::from(blocks)).expect("small");
    wait_for("a free block of ports", || {
        (0..blocks).map(|step| PORTS.start + (first + step) % blocks * BLOCK).find_map(|port| {
            let held = TcpListener::bind(("127.0.0.1", port)).ok()?;
            let free = |p| TcpListener::bind(("127.0.0.1", p)).is_ok() && UdpSocket::bind(("127.0.0.1", p)).is_ok();
            (port + 1..port + BLOCK).all(free).then_some((port, held))
        })
    })
}

impl Ring {
    /// One of these hosts, with `more` lines in `[cluster]`; nothing is started.
    pub(crate) fn new(names: &[&str], more: &str) -> Self {
        let hosts: Vec<(&str, &str)> = names.iter().map(|name| (*name, "host")).collect();
        Self::with_roles(&hosts, more)
    }

    pub(crate) fn with_roles(nodes: &[(&str, &str)], more: &str) -> Self {
        static RINGS: AtomicU32 = AtomicU32::new(0);
        let number = RINGS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ringheir-processes-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let (ports, held) = block_of_ports();
        let mut text = format!("[cluster]\nname = \"tests\"\nsecret = \"s\"\narcs = 24\n{more}\n");
        for (at, (name, role)) in nodes.iter().enumerate() {
            let cluster = ports + 1 + 2 * u16::try_from(at).expect("few");
            text.push_str(&format!(
                "\n[[node]]\nname = \"{name}\"\nrole = \"{role}\"\ncluster = \"127.0.0.1:{cluster}\"\nhttp = \"127.0.0.1:{}\"\n",
                cluster + 1
            ));
        }
        let names = nodes.iter().map(|(name, _)| (*name).to_owned()).collect();
        let ring = Self {
            folder,
            ports,
            _held: held,
            text,
            names,
            nodes: BTreeMap::new(),
            logs: AtomicU32::new(0),
            keeps_votes: false,
        };
        ring.file("cluster.toml", &ring.text);
        ring
    }

    /// From now on each node has a data directory.
    pub(crate) fn keep_votes(&mut self) {
        self.keeps_votes = true;
    }

    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.folder.join(format!("data-{name}"))
    }

    /// Runs a node with another's data directory, or its own.
    pub(crate) fn run_with_data(&self, name: &str, of: &str) -> Process {
        let (file, run_dir, data) = (self.config(), self.run_dir(), self.data_dir(of));
        let [file, run_dir, data] = [&file, &run_dir, &data].map(|path| path.to_str().expect("UTF-8"));
        self.run(&["--config", file, "--name", name, "--run-dir", run_dir, "--data-dir", data], &[])
    }

    /// The cluster file's text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Writes a file into the ring's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("writable");
        path
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("cluster.toml")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// A port that no node of the file has.
    pub(crate) fn spare_port(&self, number: u16) -> u16 {
        let port = self.ports + 1 + 2 * u16::try_from(self.names.len()).expect("few") + number;
        assert!(port < self.ports + BLOCK, "the block of ports is used up");
        port
    }

    fn position(&self, name: &str) -> u16 {
        u16::try_from(self.names.iter().position(|n| n == name).expect("a node of the ring")).expect("few")
    }

    pub(crate) fn cluster_address(&self, name: &str) -> SocketAddr {
        ([127, 0, 0, 1], self.ports + 1 + 2 * self.position(name)).into()
    }

    pub(crate) fn http(&self, name: &str) -> SocketAddr {
        ([127, 0, 0, 1], self.ports + 2 + 2 * self.position(name)).into()
    }

    /// Gives each node a Redis port of its own, among those that are spare; nothing has been started yet.
    pub(crate) fn open_redis_ports(&mut self) {
        let mut unsaid = self.names.iter();
        let mut text = String::new();
        for line in self.text.lines() {
            text.push_str(line);
            text.push('\n');
            if line.starts_with("http = ") {
                let name = unsaid.next().expect("one for each node");
                text.push_str(&format!("redis = \"{}\"\n", self.redis(name)));
            }
        }
        self.text = text;
        self.file("cluster.toml", &self.text);
    }

    pub(crate) fn redis(&self, name: &str) -> SocketAddr {
        ([127, 0, 0, 1], self.spare_port(self.position(name))).into()
    }

    /// Runs `ringheir node` with these arguments and nothing else; the ring does not keep it.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let log = self.folder.join(format!("{}.log", self.logs.fetch_add(1, Ordering::Relaxed)));
        let out = OpenOptions::new().create_new(true).append(true).open(&log).expect("a new log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
        command.arg("node").args(arguments).arg("--exit-with-stdin");
        command.env_remove("RINGHEIR_SECRET").env_remove("RINGHEIR_NAME").envs(environment.iter().copied());
        // The closing pipe ends it should this process be killed.
        command.stdin(Stdio::piped()).stdout(out.try_clone().expect("a second handle")).stderr(out);
        Process { child: command.spawn().expect("the binary was built"), log, started: Instant::now() }
    }

    /// Runs a node from another file.
    pub(crate) fn run_from(&self, file: &Path, name: &str, run_dir: &Path) -> Process {
        let [file, run_dir] = [file, run_dir].map(|path| path.to_str().expect("UTF-8"));
        self.run(&["--config", file, "--name", name, "--run-dir", run_dir], &[])
    }

    /// Starts a node of the ring.
    pub(crate) fn start(&mut self, name: &str) {
        let process = if self.keeps_votes {
            self.run_with_data(name, name)
        } else {
            self.run_from(&self.config(), name, &self.run_dir())
        };
        self.keep(name, process);
    }

    /// Takes a process for a node of the ring.
    pub(crate) fn keep(&mut self, name: &str, process: Process) {
        let before = self.nodes.insert(name.to_owned(), process);
        assert!(before.is_none(), "{name} runs already");
    }

    pub(crate) fn start_all(&mut self) {
        for name in self.names.clone() {
            self.start(&name);
        }
        self.wait_whole();
    }

    pub(crate) fn node(&self, name: &str) -> &Process {
        self.nodes.get(name).unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Takes a node out, so that the test may see its end.
    pub(crate) fn take(&mut self, name: &str) -> Process {
        self.nodes.remove(name).unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// SIGKILL, and the process is gone.
    pub(crate) fn kill(&mut self, name: &str) {
        let process = self.take(name);
        assert!(!process.log().contains("panicked"), "{name} panicked:\n{}", process.log());
    }

    /// SIGKILL to several in the same moment.
    pub(crate) fn kill_at_once(&mut self, names: &[&str]) {
        for name in names {
            self.node(name).signal(Signal::KILL);
        }
        for name in names {
            self.kill(name);
        }
    }

    pub(crate) fn wait_ready(&self, name: &str) {
        wait_for(&format!("{name} ready"), || {
            http::get(self.http(name), "/readyz").ok().filter(|answer| answer.status == 200)
        });
    }

    /// The view that a node has installed.
    pub(crate) fn view(&self, name: &str) -> Option<Value> {
        http::get(self.http(name), "/v1/view").ok().filter(|a| a.status == 200).map(|answer| answer.json())
    }

    /// Waits until every running node is ready and has one and the same view, in which all of them are and every arc has its
    /// backup; gives back that view.
    pub(crate) fn wait_protected(&self) -> Value {
        self.wait_view(false)
    }

    /// The same, and every arc is at home as far as it can be.
    pub(crate) fn wait_whole(&self) -> Value {
        self.wait_view(true)
    }

    fn wait_view(&self, all_at_home: bool) -> Value {
        let running: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
        wait_for(&format!("{running:?} in one protected view"), || {
            let views: Vec<Value> = running.iter().map(|name| self.view(name)).collect::<Option<_>>()?;
            let first = views.first()?.clone();
            let same = |view: &Value| view["number"] == first["number"] && view["cluster"] == first["cluster"];
            let members: BTreeSet<&str> = array(&first["members"]).iter().filter_map(|m| m["name"].as_str()).collect();
            let at_home = |arc: &Value| arc["primary"] == arc["home"] || !members.contains(text(&arc["home"]));
            let is_whole = views.iter().all(same)
                && members.len() == running.len()
                && (running.len() == 1 || first["fully_protected"] == true)
                && (!all_at_home || array(&first["arcs"]).iter().all(at_home));
            is_whole.then_some(first)
        })
    }

    pub(crate) fn put(&self, name: &str, id: &str, document: &str) -> Answer {
        http::ask(self.http(name), "PUT", &http::session(id), &[], document).expect("an answer")
    }

    pub(crate) fn get(&self, name: &str, id: &str) -> Answer {
        http::get(self.http(name), &http::session(id)).expect("an answer")
    }

    /// Watches the views of all nodes from now on.
    pub(crate) fn watch(&self) -> Watch {
        Watch::begin(self.names.iter().map(|name| self.http(name)).collect())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.nodes.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// What a watch saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) clusters: BTreeSet<String>,
    /// Of each process, the newest view it showed.
    newest: BTreeMap<String, u64>,
    pub(crate) looks: u64,
}

/// A thread that looks at every node's view again and again: of one process it only grows.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn begin(addresses: Vec<SocketAddr>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let (stopped, noting) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            loop {
                let last = stopped.load(Ordering::Relaxed);
                for address in &addresses {
                    let Ok(answer) = http::get(*address, "/v1/view") else { continue };
                    if answer.status == 200 {
                        noting.lock().expect("unpoisoned").note(&answer.json());
                    }
                }
                if last {
                    return;
                }
                thread::sleep(LOOK);
            }
        });
        Self { stop, seen, thread: Some(thread) }
    }

    /// Ends it after one more look at all; panics if it saw a view go back.
    pub(crate) fn end(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("a view went back");
        std::mem::take(&mut *self.seen.lock().expect("unpoisoned"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    fn note(&mut self, view: &Value) {
        self.looks += 1;
        self.clusters.insert(text(&view["cluster"]).to_owned());
        let me = array(&view["members"]).iter().find(|member| member["name"] == view["me"]);
        // A process that is not in the view that it shows is on its way out.
        let Some(me) = me else { return };
        let newest = self.newest.entry(text(&me["incarnation"]).to_owned()).or_default();
        let now = number(&view["number"]);
        assert!(*newest <= now, "the view of {me} went from {newest} back to {now}");
        *newest = now;
    }
}
