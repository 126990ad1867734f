//! Sessions with an actor of their own: what they do to the others, and their bounds.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::Drain;

/// A session whose commands compute for long.
#[derive(Default, Serialize, Deserialize)]
struct Solver {
    solved: u64,
}

impl Session for Solver {
    const KIND: &'static str = "solver";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Solve {
    millis: u64,
}

impl Command for Solve {
    const NAME: &'static str = "solve";
    type Reply = u64;
}

static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
static MOST_AT_ONCE: AtomicUsize = AtomicUsize::new(0);

impl Handle<Solve> for Solver {
    fn handle(&mut self, Solve { millis }: Solve, _: &mut Context<Self>) -> Result<u64, Refused> {
        MOST_AT_ONCE.fetch_max(AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(millis));
        AT_ONCE.fetch_sub(1, Ordering::SeqCst);
        self.solved += 1;
        Ok(self.solved)
    }
}

async fn start_solvers(names: &[&str], more: &str, network: &MemoryNetwork) -> Vec<Node> {
    let file = file(names, more);
    let mut starting = JoinSet::new();
    for name in names {
        let mut types = types();
        types.add::<Solver>().handles::<Solve>().dedicated();
        let builder = Node::builder().config(file.clone()).name(*name).types(types).over(network);
        starting.spawn(async move { builder.start().await.expect("the ring lets it in") });
    }
    let mut nodes = starting.join_all().await;
    nodes.sort_by_key(|n| n.id().name);
    for node in &nodes {
        soon(node.fully_protected()).await;
    }
    nodes
}

fn solver(node: &Node, id: &str) -> SessionRef<Solver> {
    node.session::<Solver>(id).expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_computes_for_long_holds_up_no_other_and_its_node_stays_in_the_ring() {
    let network = MemoryNetwork::new();
    let nodes = start_solvers(&["a", "b", "c"], "suspect_after = \"400ms\"", &network).await;
    let id = id_served_by(&nodes[0], "a");
    let view = nodes[1].view().number;
    let computing = tokio::spawn({
        let solver = solver(&nodes[1], &id);
        async move { solver.call(Solve { millis: 2_000 }).await }
    });
    let neighbour = counter(&nodes[1], &id);
    let mut worst = Duration::ZERO;
    while !computing.is_finished() {
        let asked = clock::now();
        neighbour.call(Add(1)).await.expect("the same arc serves on");
        worst = worst.max(clock::now().since(asked));
        time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(computing.await.expect("it ran").expect("done"), 1);
    assert!(worst < Duration::from_millis(1_000), "a neighbour waited for {worst:?}");
    assert_eq!(nodes[1].view().number, view, "nobody was taken for lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_compute_at_once_than_the_file_says_and_no_more_wait_for_one() {
    let network = MemoryNetwork::new();
    let nodes = start_solvers(&["a", "b", "c"], "[cluster.limits]\ndedicated = 2\nqueue = 16", &network).await;
    let served: Vec<String> = (0..1_000)
        .map(|n| format!("s{n}"))
        .filter(|id| solver(&nodes[0], id).primary() == Some(nodes[0].id()))
        .take(6)
        .collect();
    let mut running = JoinSet::new();
    for id in &served {
        let solver = solver(&nodes[0], id);
        running.spawn(async move { solver.call(Solve { millis: 150 }).await.expect("done") });
    }
    assert_eq!(running.join_all().await, [1; 6]);
    assert_eq!(MOST_AT_ONCE.load(Ordering::SeqCst), 2);
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        let solver = solver(&nodes[0], &served[0]);
        crowd.spawn(async move { solver.call(Solve { millis: 60 }).await });
    }
    let answers = crowd.join_all().await;
    let is_refused = |e: &Error| matches!(e.kind(), ErrorKind::Busy { bound: Bound::Session { limit: 16 }, .. });
    assert!(answers.iter().filter_map(|a| a.as_ref().err()).all(is_refused), "{answers:?}");
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 17, "one that ran and sixteen behind it");
    assert_eq!(solver(&nodes[1], &served[0]).call(Solve { millis: 0 }).await.expect("done"), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_way_when_its_worker_crashes_or_its_arc_moves_is_done_once() {
    let network = MemoryNetwork::new();
    let nodes = start_solvers(&["a", "b", "c", "d"], "", &network).await;
    let id = id_served_by(&nodes[0], "a");
    let solve = |through: &Node, millis| {
        let solver = solver(through, &id);
        tokio::spawn(async move { solver.call(Solve { millis }).await })
    };
    let first = solve(&nodes[2], 300);
    let behind = solve(&nodes[2], 1);
    time::sleep(Duration::from_millis(100)).await;
    nodes[0].shared().tell_workers(|| WorkerInput::Crash);
    let mut counted = [soon(first).await, soon(behind).await].map(|told| told.expect("it ran").expect("done"));
    counted.sort_unstable();
    assert_eq!(counted, [1, 2]);
    let moving = solve(&nodes[2], 300);
    time::sleep(Duration::from_millis(100)).await;
    soon(nodes[0].drain(Drain::new())).await.expect("three stay");
    assert_eq!(soon(moving).await.expect("it ran").expect("done"), 3);
    let primary = solver(&nodes[2], &id).primary().expect("served");
    let (victim, others) = split(nodes, primary);
    let dying = solve(&others[2], 300);
    time::sleep(Duration::from_millis(100)).await;
    kill(&network, &victim);
    prove_dead(&others, primary);
    assert_eq!(soon(dying).await.expect("it ran").expect("done"), 4);
}
