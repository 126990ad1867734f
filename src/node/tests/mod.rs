//! Whole nodes over the memory transport: what a user of the library counts on. A file a subject; here is what they share:
//! two session types, a ring, and its loss.

#[cfg(feature = "redis")]
mod bundling;
mod crowding;
mod dedicated;
mod draining;
mod expiry;
mod guarding;
mod hosting;
mod kinds;
mod pinning;
mod reading;
mod recovering;
mod ring;
mod roles;
mod routing;
mod seeing;
mod sessions;
mod slow;
mod starting;
mod surviving;
mod timely;
mod voting;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    Answer, Bound, CallOptions, Command, Context, Decide, Durability, EventKind, EventSourced, Handle, MemoryNetwork,
    Refused,
    config::{Address, ClusterFile},
    id::{ArcId, ClientId, NodeName, RequestId, ViewNumber},
    runtime::{clock, worker::WorkerInput},
};

/// A counter that counts, refuses and panics.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

impl Session for Counter {
    const KIND: &'static str = "counter";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Add(u64);
#[derive(Serialize, Deserialize)]
struct AddThenPanic(u64);
#[derive(Serialize, Deserialize)]
struct AddThenRefuse(u64);
#[derive(Serialize, Deserialize)]
struct Count;

macro_rules! counts {
    ($($command:ty => $name:literal),*) => {$(
        impl Command for $command {
            const NAME: &'static str = $name;
            type Reply = u64;
        }
    )*};
}
counts!(Add => "add", AddThenPanic => "add_then_panic", AddThenRefuse => "add_then_refuse", Count => "count");

impl Handle<Add> for Counter {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

impl Handle<AddThenPanic> for Counter {
    fn handle(&mut self, AddThenPanic(n): AddThenPanic, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        panic!("halfway")
    }
}

impl Handle<AddThenRefuse> for Counter {
    fn handle(&mut self, AddThenRefuse(n): AddThenRefuse, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Err(Refused::new("no"))
    }
}

impl Answer<Count> for Counter {
    fn answer(&self, _: Count) -> u64 {
        self.count
    }
}

/// A log that only grows by events.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    lines: Vec<String>,
}

impl Session for Log {
    const KIND: &'static str = "log";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Append(String);

impl Command for Append {
    const NAME: &'static str = "append";
    type Reply = usize;
}

#[derive(Serialize, Deserialize)]
struct Lines;

impl Command for Lines {
    const NAME: &'static str = "lines";
    type Reply = Vec<String>;
}

impl Answer<Lines> for Log {
    fn answer(&self, _: Lines) -> Vec<String> {
        self.lines.clone()
    }
}

impl EventSourced for Log {
    type Event = String;

    fn apply(&mut self, line: &String) {
        self.lines.push(line.clone());
    }
}

impl Decide<Append> for Log {
    fn decide(&self, Append(line): Append, _: &mut Context<Self>) -> Result<(Vec<String>, usize), Refused> {
        Ok((vec![line], self.lines.len() + 1))
    }
}

fn types() -> Types {
    let mut types = Types::new();
    types.add::<Counter>().handles::<Add>().handles::<AddThenPanic>().handles::<AddThenRefuse>().answers::<Count>();
    types.add::<Log>().decides::<Append>().answers::<Lines>();
    types
}

/// Where a name listens; the same whichever file lists it.
fn entry(name: &str) -> NodeConfig {
    let port = 1 + name.bytes().fold(0_u16, |sum, byte| (sum * 26 + u16::from(byte)) % 60_000);
    let address = Address::new(&format!("127.0.0.1:{port}")).expect("an address");
    NodeConfig::new(NodeName::new(name).expect("a plain name"), address)
}

/// A file of these nodes; `more` is lines of `[cluster]`.
fn file(names: &[&str], more: &str) -> ClusterFile {
    let arcs = if more.contains("arcs") { "" } else { "arcs = 16\n" };
    let mut text = format!("[cluster]\nname = \"t\"\nsecret = \"s\"\n{arcs}{more}\n");
    for name in names {
        text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"{}\"\n", entry(name).cluster));
    }
    ClusterFile::from_str(&text, "test").expect("a good file")
}

async fn start_in(file: &ClusterFile, name: &str, network: &MemoryNetwork) -> Node {
    let builder = Node::builder().config(file.clone()).name(name).types(types()).over(network);
    builder.start().await.expect("the ring lets it in")
}

async fn start_one(name: &str, names: &[&str], network: &MemoryNetwork) -> Node {
    start_in(&file(names, ""), name, network).await
}

/// Every node of the file, protected, in the order of their names.
async fn start_all(file: &ClusterFile, network: &MemoryNetwork) -> Vec<Node> {
    let mut starting = tokio::task::JoinSet::new();
    for name in file.nodes().iter().map(|n| n.name) {
        let (file, network) = (file.clone(), network.clone());
        starting.spawn(async move { start_in(&file, name.as_str(), &network).await });
    }
    let mut nodes = starting.join_all().await;
    nodes.sort_by_key(|n| n.id().name);
    for node in &nodes {
        soon(node.fully_protected()).await;
    }
    nodes
}

async fn start(names: &[&str], network: &MemoryNetwork) -> Vec<Node> {
    start_all(&file(names, ""), network).await
}

/// As SIGKILL would.
fn kill(network: &MemoryNetwork, node: &Node) {
    network.kill(node.id());
    node.kill();
}

/// What a free life lock would tell these nodes; over the memory transport there are none.
fn prove_dead(nodes: &[Node], dead: NodeId) {
    for node in nodes {
        node.shared().tell_keeper(KeeperInput::Proof(dead));
        node.shared().tell_workers(|| WorkerInput::Proof(dead));
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(20), what).await.expect("within twenty seconds")
}

/// Waits until it is so, looking often.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            time::sleep(Duration::from_millis(2)).await;
        }
    };
    time::timeout(Duration::from_secs(20), looking)
        .await
        .unwrap_or_else(|_| panic!("not within twenty seconds: {what}"));
}

fn split(nodes: Vec<Node>, of: NodeId) -> (Node, Vec<Node>) {
    let (mut there, others): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(|n| n.id() == of);
    (there.remove(0), others)
}

fn counter(node: &Node, id: &str) -> SessionRef<Counter> {
    node.session::<Counter>(id).expect("an id")
}

fn log(node: &Node, id: &str) -> SessionRef<Log> {
    node.session::<Log>(id).expect("an id")
}

/// The arc of a session of whatever kind.
fn arc_of(node: &Node, id: &str) -> ArcId {
    SessionKey::new("any", id.as_bytes()).expect("within bounds").arc(node.view().shape.arcs)
}

/// An id whose arc this name serves now.
fn id_served_by(node: &Node, name: &str) -> String {
    let view = node.view();
    let served = |id: &String| view.arc(arc_of(node, id)).is_some_and(|e| e.primary.name.as_str() == name);
    (0..10_000).map(|n| format!("s{n}")).find(served).expect("it serves some arc")
}
