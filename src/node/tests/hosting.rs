//! What every session type may count on, wherever its sessions are hosted: on their worker, or each on an actor of its own.
//! Each case here runs over both.

use std::{
    future::poll_fn,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use tokio::task::JoinSet;

use super::*;
use crate::{Drain, Registration};

/// How the types of a case are hosted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hosting {
    OnTheirWorker,
    OnActorsOfTheirOwn,
}

impl Hosting {
    fn host<S: Session>(self, registration: Registration<'_, S>) -> Registration<'_, S> {
        match self {
            Self::OnTheirWorker => registration,
            Self::OnActorsOfTheirOwn => registration.dedicated(),
        }
    }

    pub(super) fn types(self) -> Types {
        let mut types = Types::new();
        let counter = self.host(types.add::<Counter>());
        counter.handles::<Add>().handles::<AddThenPanic>().handles::<AddThenRefuse>().answers::<Count>();
        self.host(types.add::<Log>()).decides::<Append>().answers::<Lines>();
        self.host(types.add::<Desk>()).handles::<Order>().handles::<Delivered>().answers::<Papers>();
        let egg = self.host(types.add::<Egg>()).handles::<Boil>();
        egg.expires_when_idle_for(Duration::from_millis(400));
        types
    }

    pub(super) async fn start(self, file: &ClusterFile, network: &MemoryNetwork) -> Vec<Node> {
        let mut starting = JoinSet::new();
        for name in file.nodes().iter().map(|n| n.name) {
            let builder = Node::builder().config(file.clone()).name(name.as_str()).types(self.types()).over(network);
            starting.spawn(async move { builder.start().await.expect("the ring lets it in") });
        }
        let mut nodes = starting.join_all().await;
        nodes.sort_by_key(|n| n.id().name);
        for node in &nodes {
            soon(node.fully_protected()).await;
        }
        nodes
    }
}

/// Every case, over both hostings.
macro_rules! over_both {
    ($($case:ident),* $(,)?) => {
        mod on_their_worker {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Hosting::OnTheirWorker).await;
            })*
        }
        mod on_actors_of_their_own {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Hosting::OnActorsOfTheirOwn).await;
            })*
        }
    };
}

over_both!(
    commands_run_one_after_the_other_in_the_order_they_came,
    a_refusal_and_a_panic_leave_the_session_as_it_was,
    sessions_are_made_once_and_removed_once,
    a_command_asked_again_is_done_once_also_by_the_next_primary,
    nothing_acknowledged_is_lost_with_a_node_and_nothing_is_done_twice,
    a_node_drains_under_load_without_a_failed_call,
    a_worker_that_crashes_loses_nothing,
    a_session_that_nobody_uses_is_decoded_again_when_somebody_does,
    many_commands_are_done_as_one_or_not_at_all,
    spawned_work_comes_back_as_a_command_and_only_after_a_command_that_was_done,
    a_follower_sees_the_newest_state_over_a_failover_and_the_end,
    a_session_ends_when_idle_and_not_while_a_command_runs,
);

/// A desk that has things fetched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Desk {
    ordered: u64,
    delivered: Vec<u64>,
    #[serde(skip)]
    loaded: bool,
}

static LOADED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Session for Desk {
    const KIND: &'static str = "desk";
    const UNREPLICATED: &'static [&'static str] = &["loaded"];

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }

    fn loaded(&mut self, cx: &mut Context<Self>) {
        self.loaded = true;
        LOADED.lock().expect("whole").push(cx.id().as_bytes().to_vec());
    }
}

/// Has a thing fetched, after so many milliseconds; refuses if it is to.
#[derive(Serialize, Deserialize)]
struct Order {
    thing: u64,
    after: u64,
    refuse: bool,
}

impl Command for Order {
    const NAME: &'static str = "order";
    type Reply = u64;
}

#[derive(Serialize, Deserialize)]
struct Delivered(u64);

impl Command for Delivered {
    const NAME: &'static str = "delivered";
    type Reply = ();
}

impl Handle<Order> for Desk {
    fn handle(&mut self, order: Order, cx: &mut Context<Self>) -> Result<u64, Refused> {
        self.ordered += 1;
        cx.spawn(async move {
            time::sleep(Duration::from_millis(order.after)).await;
            Delivered(order.thing)
        });
        if order.refuse { Err("not today".into()) } else { Ok(self.ordered) }
    }
}

impl Handle<Delivered> for Desk {
    fn handle(&mut self, Delivered(thing): Delivered, _: &mut Context<Self>) -> Result<(), Refused> {
        self.delivered.push(thing);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Papers;

impl Command for Papers {
    const NAME: &'static str = "papers";
    type Reply = Vec<u64>;
}

impl Answer<Papers> for Desk {
    fn answer(&self, _: Papers) -> Vec<u64> {
        self.delivered.clone()
    }
}

/// A session that ends when idle, with a command that takes its time.
#[derive(Default, Serialize, Deserialize)]
struct Egg {
    minutes: u64,
}

impl Session for Egg {
    const KIND: &'static str = "egg";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Boil {
    millis: u64,
}

impl Command for Boil {
    const NAME: &'static str = "boil";
    type Reply = u64;
}

impl Handle<Boil> for Egg {
    fn handle(&mut self, Boil { millis }: Boil, _: &mut Context<Self>) -> Result<u64, Refused> {
        std::thread::sleep(Duration::from_millis(millis));
        self.minutes += 1;
        Ok(self.minutes)
    }
}

fn desk(node: &Node, id: &str) -> SessionRef<Desk> {
    node.session::<Desk>(id).expect("an id")
}

async fn three(hosting: Hosting, network: &MemoryNetwork) -> Vec<Node> {
    hosting.start(&file(&["a", "b", "c"], ""), network).await
}

async fn commands_run_one_after_the_other_in_the_order_they_came(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let log = log(&nodes[0], &id_served_by(&nodes[0], "a"));
    // A ring is protected as soon as its view says so, and its arcs serve a moment later: whoever is told "starting" asks again, each for
    // itself.
    assert!(log.ask(Lines).await.expect("asked").is_empty());
    let lines: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let mut appending = JoinSet::new();
    for line in lines.clone() {
        let log = log.clone();
        let mut call = Box::pin(async move { log.call(Append(line)).await.expect("done") });
        // Each is on its way before the next: what was polled once has been handed to the worker.
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending(), "a backup has to have it first");
        appending.spawn(call);
    }
    let mut places = appending.join_all().await;
    places.sort_unstable();
    assert_eq!(places, (1..=60).collect::<Vec<_>>(), "each found what those before it did");
    assert_eq!(log.ask(Lines).await.expect("asked"), lines);
}

async fn a_refusal_and_a_panic_leave_the_session_as_it_was(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    for node in &nodes {
        let counter = counter(node, "refused");
        let before = counter.call(Add(3)).await.expect("done");
        let panicked = counter.call(AddThenPanic(100)).await.expect_err("it panics");
        assert_eq!((panicked.kind(), panicked.detail()), (&ErrorKind::Panicked, "halfway"));
        let refused = counter.call(AddThenRefuse(100)).await.expect_err("it refuses");
        assert!(matches!(refused.kind(), ErrorKind::Refused(_)));
        assert_eq!(counter.ask(Count).await.expect("asked"), before);
    }
}

async fn sessions_are_made_once_and_removed_once(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let counter = counter(&nodes[1], "made");
    counter.create_with(&Counter { count: 40 }).await.expect("made");
    assert_eq!(*counter.create().await.expect_err("exists").kind(), ErrorKind::AlreadyExists);
    let done = counter.call_with(Add(2), CallOptions::new()).await.expect("done");
    assert_eq!(done.reply, 42);
    let stale = counter.call_with(Add(1), CallOptions::new().expected_version(done.version + 9)).await;
    assert_eq!(*stale.expect_err("another version").kind(), ErrorKind::Conflict { current: done.version });
    assert!(counter.delete().await.expect("done"));
    assert!(!counter.delete().await.expect("nothing there"));
    assert_eq!(counter.call(Add(1)).await.expect("a new one"), 1);
}

async fn a_command_asked_again_is_done_once_also_by_the_next_primary(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let options = || CallOptions::new().request(RequestId { client: ClientId(7), sequence: 1, first_unanswered: 1 });
    let first = counter(&nodes[0], "again").call_with(Add(5), options()).await.expect("done");
    let primary = counter(&nodes[0], "again").primary().expect("served");
    let (victim, others) = split(nodes, primary);
    kill(&network, &victim);
    for node in &others {
        let again = soon(counter(node, "again").call_with(Add(5), options())).await.expect("done");
        assert_eq!((again.reply, again.version), (first.reply, first.version));
        assert_eq!(soon(counter(node, "again").ask(Count)).await.expect("asked"), 5);
    }
}

/// Counts one by one in sessions of its own until told to stop; how far each came.
fn counting(through: &Node, how_many: u32, stop: &Arc<AtomicBool>) -> JoinSet<(String, u64)> {
    let mut running = JoinSet::new();
    for number in 0..how_many {
        let (stop, node) = (Arc::clone(stop), through.clone());
        running.spawn(async move {
            let id = format!("n-{number}");
            let counter = counter(&node, &id);
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                let told = counter.call(Add(1)).await.unwrap_or_else(|why| panic!("call {count} of {id}: {why}"));
                assert_eq!(told, count, "{id} counted something twice, or lost it");
            }
            (id, count)
        });
    }
    running
}

async fn nothing_acknowledged_is_lost_with_a_node_and_nothing_is_done_twice(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let stop = Arc::new(AtomicBool::new(false));
    let running = counting(&nodes[2], 16, &stop);
    time::sleep(Duration::from_millis(200)).await;
    kill(&network, &nodes[0]);
    prove_dead(&nodes[1..], nodes[0].id());
    soon(nodes[2].fully_protected()).await;
    time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    for (id, count) in soon(running.join_all()).await {
        assert_eq!(counter(&nodes[1], &id).ask(Count).await.expect("asked"), count, "{id}");
    }
}

async fn a_node_drains_under_load_without_a_failed_call(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let stop = Arc::new(AtomicBool::new(false));
    let running = counting(&nodes[2], 16, &stop);
    time::sleep(Duration::from_millis(100)).await;
    soon(nodes[0].drain(Drain::new().even_unprotected())).await.expect("two stay");
    nodes[0].stop().await;
    time::sleep(Duration::from_millis(100)).await;
    stop.store(true, Ordering::Relaxed);
    for (id, count) in soon(running.join_all()).await {
        assert_eq!(counter(&nodes[1], &id).ask(Count).await.expect("asked"), count, "{id}");
    }
}

async fn a_worker_that_crashes_loses_nothing(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let stop = Arc::new(AtomicBool::new(false));
    let running = counting(&nodes[0], 16, &stop);
    for _ in 0..3 {
        time::sleep(Duration::from_millis(50)).await;
        // The second meets a worker that was started a moment ago, which the node does not know yet.
        (0..2).for_each(|_| nodes[0].shared().tell_workers(|| WorkerInput::Crash));
    }
    time::sleep(Duration::from_millis(100)).await;
    stop.store(true, Ordering::Relaxed);
    for (id, count) in soon(running.join_all()).await {
        assert_eq!(counter(&nodes[1], &id).ask(Count).await.expect("asked"), count, "{id}");
    }
}

async fn a_session_that_nobody_uses_is_decoded_again_when_somebody_does(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let file = file(&["a"], "backups = 0\n[cluster.limits]\nidle_after = \"1s\"");
    let nodes = hosting.start(&file, &network).await;
    let id = format!("idle {hosting:?}");
    let times_loaded = || LOADED.lock().expect("whole").iter().filter(|loaded| **loaded == id.as_bytes()).count();
    let desk = desk(&nodes[0], &id);
    for thing in 0..3 {
        desk.call(Delivered(thing)).await.expect("done");
    }
    assert_eq!(times_loaded(), 0, "it is the object that was made");
    time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(desk.ask(Papers).await.expect("asked"), [0, 1, 2]);
    assert_eq!(times_loaded(), 1);
    desk.call(Delivered(3)).await.expect("done");
    assert_eq!((desk.ask(Papers).await.expect("asked").len(), times_loaded()), (4, 1));
}

async fn many_commands_are_done_as_one_or_not_at_all(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let log = log(&nodes[1], "many");
    let lines = |from: u32, to: u32| (from..to).map(|n| Append(n.to_string()));
    assert_eq!(log.call_many(lines(0, 5)).await.expect("done"), [1, 2, 3, 4, 5]);
    let counter = counter(&nodes[1], "many");
    let done = counter.call_many_with([1, 2, 3].map(Add), CallOptions::new()).await.expect("done");
    assert_eq!(done.reply, [1, 3, 6], "each finds what those before it did");
    let again = counter.call_with(Add(0), CallOptions::new().expected_version(done.version)).await.expect("unchanged");
    assert_eq!((again.reply, again.version), (6, done.version), "they were one commit");
    assert_eq!(counter.call_many(Vec::<Add>::new()).await.expect("nothing to do"), Vec::<u64>::new());
    // The whole is one request: asked again it is not done again.
    let options = || CallOptions::new().request(RequestId { client: ClientId(9), sequence: 1, first_unanswered: 1 });
    for _ in 0..2 {
        assert_eq!(counter.call_many_with([10, 10].map(Add), options()).await.expect("done").reply, [16, 26]);
    }
    let too_much = log.call_many((0..20_000).map(|_| Append(String::new()))).await.expect_err("beyond the limit");
    assert!(matches!(too_much.kind(), ErrorKind::TooLarge { .. }), "{too_much}");
    let desk = desk(&nodes[1], "many");
    let order = |refuse| Order { thing: 1, after: 0, refuse };
    for half_refused in [[true, false], [false, true]] {
        let refused = desk.call_many(half_refused.map(order)).await.expect_err("one of them is refused");
        assert!(matches!(refused.kind(), ErrorKind::Refused(_)));
    }
    assert_eq!(desk.call(order(false)).await.expect("done"), 1, "nothing was ordered before");
    let primary = log.primary().expect("served");
    let (victim, others) = split(nodes, primary);
    kill(&network, &victim);
    let log = super::log(&others[0], "many");
    assert_eq!(soon(log.call_many(lines(5, 7))).await.expect("done"), [6, 7]);
    assert_eq!(log.ask(Lines).await.expect("asked"), ["0", "1", "2", "3", "4", "5", "6"]);
}

async fn spawned_work_comes_back_as_a_command_and_only_after_a_command_that_was_done(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let file = file(&["a", "b", "c"], "[cluster.limits]\ntasks = 3");
    let nodes = hosting.start(&file, &network).await;
    let order = |thing, after, refuse| Order { thing, after, refuse };
    let desk = desk(&nodes[0], "d");
    desk.call(order(9, 0, true)).await.expect_err("refused: nothing is fetched");
    for thing in 1..=3 {
        desk.call(order(thing, 400, false)).await.expect("done");
    }
    let full = desk.call(order(4, 0, false)).await.expect_err("three are under way");
    assert!(matches!(full.kind(), ErrorKind::Busy { bound: Bound::Tasks { limit: 3 }, .. }), "{full}");
    assert_eq!(desk.ask(Papers).await.expect("it serves on meanwhile"), [0; 0]);
    until("all is delivered", async || desk.ask(Papers).await.expect("asked").len() == 3).await;
    let mut delivered = desk.ask(Papers).await.expect("asked");
    delivered.sort_unstable();
    assert_eq!(delivered, [1, 2, 3]);
    assert_eq!(desk.call(order(5, 300, false)).await.expect("there is room again"), 4, "the one without was not done");
    // It is brought to the session wherever that is by then.
    let primary = desk.primary().expect("served");
    let home = nodes.iter().find(|node| node.id() == primary).expect("it is one of them");
    soon(home.drain(Drain::new().even_unprotected())).await.expect("two stay");
    until("the last is delivered", async || desk.ask(Papers).await.expect("asked").last() == Some(&5)).await;
    assert_ne!(desk.primary(), Some(primary));
}

async fn a_follower_sees_the_newest_state_over_a_failover_and_the_end(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let nodes = three(hosting, &network).await;
    let primary = counter(&nodes[0], "f").primary().expect("served");
    let (victim, others) = split(nodes, primary);
    let followed = counter(&others[0], "f");
    let mut changes = followed.changes();
    let before = soon(changes.next()).await.expect("told at once");
    assert_eq!((before.version, before.state.is_none()), (0, true), "there is none yet");
    let seen = Arc::new(AtomicU64::new(0));
    let following = tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            let mut version = 0;
            loop {
                let change = changes.next().await.expect("told");
                let Some(Counter { count }) = change.state else { return (version, changes) };
                assert!(change.version > version, "each is newer than the one before");
                assert!(count > seen.swap(count, Ordering::SeqCst), "and says more");
                version = change.version;
            }
        }
    });
    let there = counter(&others[1], "f");
    for count in 1..=10 {
        assert_eq!(there.call(Add(1)).await.expect("done"), count);
    }
    until("it sees what was done", async || seen.load(Ordering::SeqCst) == 10).await;
    kill(&network, &victim);
    prove_dead(&others, primary);
    assert_eq!(soon(there.call(Add(1))).await.expect("done"), 11);
    until("it sees what the next primary did", async || seen.load(Ordering::SeqCst) == 11).await;
    assert!(there.delete().await.expect("done"));
    let (_, mut changes) = soon(following).await.expect("it saw the end");
    assert_eq!(there.call(Add(3)).await.expect("done"), 3);
    assert_eq!(soon(changes.next()).await.expect("told").state.expect("made anew").count, 3);
    // One with events is told whole, too.
    let log = log(&others[0], "f");
    for line in ["one", "two"] {
        log.call(Append(line.to_owned())).await.expect("done");
    }
    assert_eq!(soon(log.changes().next()).await.expect("told").state.expect("there").lines, ["one", "two"]);
}

async fn a_session_ends_when_idle_and_not_while_a_command_runs(hosting: Hosting) {
    let network = MemoryNetwork::new();
    let file = file(&["a"], "backups = 0\nsuspect_after = \"4s\"");
    let nodes = hosting.start(&file, &network).await;
    let egg = nodes[0].session::<Egg>("egg").expect("an id");
    assert_eq!(egg.call(Boil { millis: 0 }).await.expect("done"), 1);
    assert_eq!(egg.call(Boil { millis: 900 }).await.expect("done"), 2, "longer than it may lie idle");
    time::sleep(Duration::from_millis(900)).await;
    assert_eq!(egg.call(Boil { millis: 0 }).await.expect("done"), 1, "it has ended meanwhile");
}
