//! Clients of the Redis protocol that sites use, each in its own language and as a site uses it (`tests/clients`), through a
//! SIGKILL of the very node that it talks to: sessions are there as acknowledged, go on, and end when they should.
//!
//! A client reads the addresses of the nodes from `NODES`, makes its sessions, prints `kill me`, is told `killed` when the
//! first node is dead, and prints `kept` if all that was acknowledged is there. It judges; this starts, kills and listens.
//! Others meet the words by which a node has them ask again (`LOADING`, `TRYAGAIN`, `BUSY`), from nodes that mean it.
//! That a client is not installed is a failure: `scripts/test-needs` installs all.
#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "deadlines of a test over real processes are real time")]

// The processes are those of the tests of processes, which use more of them than is used here.
#[allow(dead_code)]
#[path = "processes/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "processes/ring.rs"]
mod ring;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::ring::Ring;

const NODES: [&str; 3] = ["a", "b", "c"];
/// Above every patience of the clients' own.
const SILENT_AT_MOST: Duration = Duration::from_secs(150);

/// A ring that is whole, each node of which has a Redis port, and the addresses of those.
fn ring_with_redis() -> (Ring, String) {
    let (mut ring, addresses) = unstarted_ring("");
    ring.start_all();
    (ring, addresses)
}

/// The same before any of its nodes runs, with `more` lines in its file.
fn unstarted_ring(more: &str) -> (Ring, String) {
    let mut ring = Ring::new(&NODES, more);
    ring.open_redis_ports();
    let addresses: Vec<String> = NODES.iter().map(|name| ring.redis(name).to_string()).collect();
    (ring, addresses.join(","))
}

/// A client and what it starts, which is dead when this is dropped.
struct Client {
    child: Child,
    orders: ChildStdin,
    said: Receiver<String>,
    complaints: PathBuf,
}

impl Client {
    fn start(mut command: Command, nodes: &str, complaints: PathBuf) -> Self {
        let errors = File::create(&complaints).expect("a log of the test's own");
        command.env("NODES", nodes).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|fault| {
            panic!("{fault}: {command:?} cannot be started: `scripts/test-needs` installs what the tests need")
        });
        let (orders, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (hear, said) = channel();
        // A thread, so that a client which hangs is waited for to a deadline only.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if hear.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, orders, said, complaints }
    }

    fn tell(&mut self, word: &str) {
        self.orders.write_all(format!("{word}\n").as_bytes()).expect("it waits for this line");
    }

    fn must_end_well(&mut self) {
        self.must_say("kept");
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}:\n{}", self.complained());
    }

    fn must_say(&self, expected: &str) {
        let said = match self.said.recv_timeout(SILENT_AT_MOST) {
            Ok(said) => said,
            Err(RecvTimeoutError::Disconnected) => "(nothing: it ended)".to_owned(),
            Err(RecvTimeoutError::Timeout) => format!("(nothing for {SILENT_AT_MOST:?})"),
        };
        assert!(said == expected, "expected `{expected}`, and the client said `{said}`:\n{}", self.complained());
    }

    fn complained(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A site's workers are of its group, and outlive it otherwise. There may be none left.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs a client through the death of the first node.
fn keeps_its_sessions(command: Command) {
    let (mut ring, nodes) = ring_with_redis();
    let mut client = Client::start(command, &nodes, ring.file("client.log", ""));
    client.must_say("kill me");
    ring.kill("a");
    client.tell("killed");
    client.must_end_well();
    nobody_panicked(&ring, &["b", "c"]);
}

fn nobody_panicked(ring: &Ring, names: &[&str]) {
    for name in names {
        let log = ring.node(name).log();
        assert!(!log.contains("panicked"), "{name} panicked:\n{log}");
    }
}

/// Runs a client on a node that is not in the ring until the others are started.
fn waits_while_it_is_loading(command: Command) {
    let (mut ring, nodes) = unstarted_ring("");
    ring.start("a");
    let up = nodes.split(',').next().expect("three").to_owned();
    ring::wait_for("a's Redis port", || TcpStream::connect(&up).ok());
    let mut client = Client::start(command, &nodes, ring.file("client.log", ""));
    client.must_say("start the others");
    assert!(!ring.node("a").is_ready(), "a node alone is in no ring");
    ring.start("b");
    ring.start("c");
    client.tell("started");
    client.must_end_well();
    nobody_panicked(&ring, &NODES);
}

/// Runs a client on a node of three while the other two hang.
fn asks_again_until_there_is_a_majority(command: Command) {
    let (ring, nodes) = ring_with_redis();
    let mut client = Client::start(command, &nodes, ring.file("client.log", ""));
    client.must_say("stop the others");
    for name in ["b", "c"] {
        ring.node(name).signal(Signal::STOP);
    }
    client.tell("stopped");
    client.must_say("let them go on");
    for name in ["b", "c"] {
        ring.node(name).signal(Signal::CONT);
    }
    client.tell("going on");
    client.must_end_well();
    nobody_panicked(&ring, &NODES);
}

/// Runs a client on nodes that have little room.
fn asks_again_what_was_busy(command: Command) {
    let (mut ring, nodes) = unstarted_ring("[cluster.limits]\ncalls = 16\nuncommitted = 16\nwaiting = 16");
    ring.start_all();
    let mut client = Client::start(command, &nodes, ring.file("client.log", ""));
    client.must_end_well();
    nobody_panicked(&ring, &NODES);
}

fn program(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

/// Where `scripts/test-needs` puts the libraries.
fn libraries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

fn python(path: &str) -> Command {
    let mut command = Command::new(libraries().join("python/bin/python"));
    // Nothing is written into the tree.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(program(path));
    command
}

fn node(path: &str) -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", libraries().join("node/node_modules")).arg(program(path));
    command
}

/// Visitors of the site that this command serves.
fn visitors(options: &[&str], site: &Command) -> Command {
    let mut command = python("python/visitors.py");
    command.args(options).arg(site.get_program()).args(site.get_args());
    command.envs(site.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The page in PHP, with these settings, served by several processes: requests of one session may come at once.
fn php(settings: &[&str]) -> Command {
    let mut command = Command::new("php");
    command.env("PHP_CLI_SERVER_WORKERS", "4");
    for setting in settings {
        command.args(["-d", setting]);
    }
    command.args(["-S", "127.0.0.1:0"]).arg(program("php/session.php"));
    command
}

#[test]
fn redis_py_goes_on_in_its_sessions_while_the_node_it_talks_to_dies() {
    keeps_its_sessions(python("python/redis_py.py"));
}

#[test]
fn sessions_of_flask_outlive_the_node_they_talk_to() {
    keeps_its_sessions(visitors(&[], &python("python/flask_sessions.py")));
}

#[test]
fn sessions_in_djangos_own_cache_outlive_the_node_they_talk_to() {
    keeps_its_sessions(visitors(&[], &python("python/django_cache.py")));
}

#[test]
fn sessions_of_django_redis_outlive_the_node_they_talk_to() {
    keeps_its_sessions(visitors(&[], &python("python/django_redis_sessions.py")));
}

#[test]
fn sessions_of_connect_redis_behind_one_address_outlive_the_node_they_talk_to() {
    keeps_its_sessions(visitors(&[], &node("node/connect_redis.js")));
}

#[test]
fn ioredis_goes_on_in_its_sessions_while_the_node_it_talks_to_dies_and_leaves_one_that_is_read_only() {
    keeps_its_sessions(node("node/ioredis.js"));
}

#[test]
fn phpredis_sessions_outlive_the_node_they_talk_to() {
    keeps_its_sessions(visitors(&[], &php(&[])));
}

#[test]
fn phpredis_sessions_with_locking_outlive_the_node_they_talk_to_and_lose_no_request_of_many_at_once() {
    // A lock whose request lost its node ends after 5 s; others wait for one a little longer than that.
    let locking = [
        "redis.session.locking_enabled=1",
        "redis.session.lock_expire=5",
        "redis.session.lock_wait_time=10000",
        "redis.session.lock_retries=600",
    ];
    keeps_its_sessions(visitors(&["--at-once"], &php(&locking)));
}

#[test]
fn redis_cli_finds_at_the_next_node_what_the_dead_one_acknowledged() {
    keeps_its_sessions(Command::new(program("redis/redis_cli.sh")));
}

#[test]
fn redis_benchmark_runs_through_without_an_error_while_another_node_dies() {
    keeps_its_sessions(Command::new(program("redis/redis_benchmark.sh")));
}

#[test]
fn locks_of_redis_py_are_held_extended_and_let_go_through_the_death_of_the_node_it_talks_to() {
    keeps_its_sessions(python("python/locks.py"));
}

#[test]
fn counters_in_the_caches_of_django_count_on_when_the_node_they_talk_to_is_dead() {
    keeps_its_sessions(python("python/django_counters.py"));
}

#[test]
fn redis_py_asks_a_node_that_is_loading_again_until_it_is_in_the_ring() {
    waits_while_it_is_loading(python("python/loading.py"));
}

#[test]
fn ioredis_keeps_what_it_is_asked_until_the_node_says_that_it_loads_no_more() {
    waits_while_it_is_loading(node("node/loading.js"));
}

#[test]
fn a_connection_of_redis_py_passes_by_a_node_that_is_in_no_ring() {
    let (mut ring, nodes) = unstarted_ring("");
    let other =
        fs::read_to_string(ring.config()).expect("the cluster file").replace("secret = \"s\"", "secret = \"other\"");
    let other = ring.file("other.toml", &other);
    ring.start_all();
    ring.kill("a");
    // What is measured is the passing by, not the failover before it.
    ring.wait_protected();
    let stranger = ring.run_from(&other, "a", &ring.run_dir());
    ring::wait_for("a's Redis port", || TcpStream::connect(nodes.split(',').next().expect("three")).ok());
    let mut client = Client::start(python("python/passing_by.py"), &nodes, ring.file("client.log", ""));
    client.must_end_well();
    drop(stranger);
}

#[test]
fn redis_py_is_told_to_try_again_while_two_of_three_nodes_hang_and_does_so() {
    asks_again_until_there_is_a_majority(python("python/try_again.py"));
}

#[test]
fn ioredis_is_told_to_try_again_while_two_of_three_nodes_hang_and_does_so() {
    asks_again_until_there_is_a_majority(node("node/try_again.js"));
}

#[test]
fn redis_py_asks_again_what_was_busy_and_all_is_counted_once() {
    asks_again_what_was_busy(python("python/busy.py"));
}

#[test]
fn callers_of_ioredis_ask_again_what_was_busy_and_all_is_counted_once() {
    asks_again_what_was_busy(node("node/busy.js"));
}
