//! Whole nodes over the memory transport: what a user of the library counts on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    Answer, CallOptions, Command, Context, Decide, Durability, EventSourced, Handle, Refused,
    id::{ClientId, RequestId},
    runtime::worker::WorkerInput,
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
    types.add::<Log>().decides::<Append>();
    types
}

fn file(names: &[&str], agreement: &str) -> ClusterFile {
    let mut text = format!("[cluster]\nname = \"t\"\nsecret = \"s\"\narcs = 16\nagreement = \"{agreement}\"\n");
    for (port, name) in (1..).zip(names) {
        text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{port}\"\n"));
    }
    ClusterFile::from_str(&text, "test").expect("a good file")
}

async fn start_one(name: &str, names: &[&str], network: &MemoryNetwork) -> Node {
    let builder = Node::builder().config(file(names, "majority")).name(name).types(types()).over(network);
    builder.start().await.expect("the ring lets it in")
}

async fn start(names: &[&str], network: &MemoryNetwork) -> Vec<Node> {
    let mut starting = tokio::task::JoinSet::new();
    for name in names {
        let (name, names, network) =
            (name.to_string(), names.iter().map(ToString::to_string).collect::<Vec<_>>(), network.clone());
        starting.spawn(async move {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            start_one(&name, &names, &network).await
        });
    }
    let mut nodes = starting.join_all().await;
    nodes.sort_by_key(|n| n.id().name);
    soon(nodes[0].fully_protected()).await;
    nodes
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    time::timeout(Duration::from_secs(10), what).await.expect("within ten seconds")
}

fn split(nodes: Vec<Node>, of: NodeId) -> (Node, Vec<Node>) {
    let (mut there, others): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(|n| n.id() == of);
    (there.remove(0), others)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commands_survive_the_kill_of_the_primary() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let counter = nodes[0].session::<Counter>("x").expect("an id");
    for n in 1..=20 {
        assert_eq!(counter.call(Add(1)).await.expect("done"), n);
    }
    let log = nodes[1].session::<Log>("x").expect("an id");
    assert_eq!(log.call(Append("one".to_owned())).await.expect("done"), 1);
    let primary = counter.primary().expect("served");
    let (victim, others) = split(nodes, primary);
    network.kill(primary);
    victim.kill();
    let counter = others[0].session::<Counter>("x").expect("an id");
    assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 21);
    let log = others[1].session::<Log>("x").expect("an id");
    assert_eq!(soon(log.call(Append("two".to_owned()))).await.expect("done"), 2);
    soon(others[0].fully_protected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_request_is_applied_once_across_a_failover() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let request = RequestId { client: ClientId(7), sequence: 1, first_unanswered: 1 };
    let options = || CallOptions::new().request(request);
    let counter = nodes[0].session::<Counter>("x").expect("an id");
    let first = counter.call_with(Add(5), options()).await.expect("done");
    let primary = counter.primary().expect("served");
    let (victim, others) = split(nodes, primary);
    network.kill(primary);
    victim.kill();
    for node in &others {
        let counter = node.session::<Counter>("x").expect("an id");
        let again = soon(counter.call_with(Add(5), options())).await.expect("done");
        assert_eq!((again.reply, again.version), (first.reply, first.version));
        assert_eq!(soon(counter.ask(Count)).await.expect("answered"), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_handler_undoes_that_command_and_leaves_every_other_session_alone() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let (one, other) =
        (nodes[0].session::<Counter>("one").expect("id"), nodes[0].session::<Counter>("two").expect("id"));
    one.call(Add(3)).await.expect("done");
    other.call(Add(4)).await.expect("done");
    let panicked = one.call(AddThenPanic(100)).await.expect_err("it panics");
    assert_eq!(*panicked.kind(), ErrorKind::Panicked);
    let refused = one.call(AddThenRefuse(100)).await.expect_err("it refuses");
    assert!(matches!(refused.kind(), ErrorKind::Refused(_)));
    assert_eq!(one.ask(Count).await.expect("answered"), 3);
    assert_eq!(other.ask(Count).await.expect("answered"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_is_started_again_and_loses_nothing() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let mut events = nodes[0].events();
    let counters: Vec<_> = (0..32).map(|n| nodes[0].session::<Counter>(format!("s{n}")).expect("id")).collect();
    for counter in &counters {
        counter.call(Add(1)).await.expect("done");
    }
    nodes[0].shared().tell_workers(|| WorkerInput::Crash);
    let restarted = async {
        while let Some(event) = events.recv().await {
            if matches!(event.what, crate::EventKind::WorkerRestarted { .. }) {
                return;
            }
        }
    };
    soon(restarted).await;
    for counter in &counters {
        assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 2);
    }
    assert_eq!(nodes[0].view().number, nodes[1].view().number);
    assert!(nodes[0].is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returned_node_becomes_backup_and_primary_again() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c", "d"];
    let nodes = start(&names, &network).await;
    let before: Vec<NodeName> = nodes[1].view().arcs.iter().map(|e| e.primary.name).collect();
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    network.kill(victim.id());
    victim.kill();
    soon(others[0].fully_protected()).await;
    let counter = others[0].session::<Counter>("x").expect("an id");
    assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 1);
    let returned = start_one("a", &names, &network).await;
    let home = async {
        loop {
            let now: Vec<NodeName> = others[0].view().arcs.iter().map(|e| e.primary.name).collect();
            if now == before && others[0].view().fully_protected() {
                return;
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(home).await;
    assert_eq!(soon(returned.session::<Counter>("x").expect("id").call(Add(1))).await.expect("done"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_made_read_and_removed_as_asked() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let counter = nodes[2].session::<Counter>("made").expect("an id");
    counter.create_with(&Counter { count: 40 }).await.expect("made");
    assert_eq!(*counter.create().await.expect_err("exists").kind(), ErrorKind::AlreadyExists);
    assert!(!counter.get_or_create().await.expect("there"));
    let done = counter.call_with(Add(2), CallOptions::new().durability(Durability::Async)).await.expect("done");
    assert_eq!(done.reply, 42);
    let stale = counter.call_with(Add(1), CallOptions::new().expected_version(done.version + 9)).await;
    assert_eq!(*stale.expect_err("another version").kind(), ErrorKind::Conflict { current: done.version });
    let mut read = 0;
    for node in &nodes {
        let local = node.session::<Counter>("made").expect("an id");
        match local.read_stale(Count).await {
            Ok(stale) => {
                read += 1;
                assert!(stale.reply == 42 || stale.reply == 40, "a committed state: {stale:?}");
                assert!(stale.age < Duration::from_secs(5));
            }
            Err(why) => assert!(matches!(why.kind(), ErrorKind::NotDone { .. })),
        }
    }
    assert_eq!(read, 2, "the primary and one backup hold it");
    assert!(counter.delete().await.expect("done"));
    assert!(!counter.delete().await.expect("nothing there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_clearly_and_changes_nothing() {
    #[derive(Default, Serialize, Deserialize)]
    struct Unknown;
    impl Session for Unknown {
        const KIND: &'static str = "unknown";
    }
    impl Handle<Add> for Unknown {
        fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
            Ok(n)
        }
    }
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let unknown = nodes[0].session::<Unknown>("x").expect("an id").call(Add(1)).await.expect_err("not registered");
    assert_eq!(*unknown.kind(), ErrorKind::NoSuchKind { kind: "unknown".to_owned() });
    let log = nodes[0].session::<Log>("big").expect("an id");
    let too_large = log.call(Append("x".repeat(2 << 20))).await.expect_err("over the limit");
    assert!(matches!(too_large.kind(), ErrorKind::TooLarge { .. }), "{too_large}");
    assert_eq!(log.call(Append("small".to_owned())).await.expect("done"), 1);
    assert!(nodes[0].session::<Log>("").is_err() && nodes[0].session::<Log>("x".repeat(600)).is_err());
    let mut more = Types::new();
    more.add::<Unknown>().handles::<Add>();
    for node in &nodes {
        let mut more = Types::new();
        more.add::<Unknown>().handles::<Add>();
        node.register(more).expect("a new kind, on a running node");
    }
    assert!(nodes[0].register(more).is_err(), "twice is a clash");
    let absent = nodes[0].session::<Unknown>("x").expect("an id").call(Add(1)).await.expect_err("not made yet");
    assert_eq!(*absent.kind(), ErrorKind::NoSuchSession);
    let announced = async {
        while !nodes[1].view().members.iter().all(|m| m.kinds.iter().any(|k| k.kind == "unknown")) {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(announced).await;
}
