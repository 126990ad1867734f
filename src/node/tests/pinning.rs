//! Pins: what stays where it is when its home comes back, and what an operator's word and a drain move all the same.

use super::{
    draining::{Callers, made_good},
    roles::file_of,
    *,
};
use crate::{Drain, DrainError, HandBackError, MissingArcs, membership::Standing};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// How many arcs a name serves.
fn served_by(view: &View, name: &str) -> usize {
    view.arcs.iter().filter(|e| e.primary.name.as_str() == name).count()
}

/// Of the arcs at home with a name, how many it serves, and how many it guards.
fn at_home(view: &View, name: &str) -> (usize, usize) {
    let home = || view.arcs.iter().filter(|e| e.home.as_str() == name);
    let guarded = home().filter(|e| e.in_sync.iter().any(|b| b.name.as_str() == name)).count();
    (home().filter(|e| e.primary.name.as_str() == name).count(), guarded)
}

fn claims(node: &Node) -> bool {
    node.view().member(node.id()).is_some_and(|m| m.claims)
}

/// A ring of four under a pin, the first of which was killed and has come back, and guards again what was its own.
async fn returned(pin: &str, network: &MemoryNetwork) -> Vec<Node> {
    let file = file(&NAMES, &format!("pin = \"{pin}\""));
    let mut nodes = start_all(&file, network).await;
    for n in 0..40 {
        counter(&nodes[3], &format!("k{n}")).call(Add(n)).await.expect("done");
    }
    kill(network, &nodes[0]);
    made_good(&nodes[3], nodes[0].id()).await;
    nodes[0] = start_in(&file, "a", network).await;
    until("a guards what was its own", async || at_home(&nodes[3].view(), "a") == (0, 4)).await;
    soon(nodes[0].fully_protected()).await;
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_arc_stays_when_its_home_returns_comes_home_on_the_operators_word_and_leaves_by_a_drain() {
    let network = MemoryNetwork::new();
    let nodes = returned("on_drain", &network).await;
    let callers = Callers::begin(&nodes[3], 24);
    // Many times what an arc without a pin takes to go home.
    time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(served_by(&nodes[0].view(), "a"), 0, "sessions stay where they are");
    soon(nodes[0].hand_back(Node::HAND_BACK_WITHIN)).await.expect("b hands them over");
    assert_eq!(at_home(&nodes[0].view(), "a"), (4, 0), "it returns when all is here");
    until("the claim is taken back", async || !claims(&nodes[0])).await;
    time::sleep(Duration::from_millis(300)).await;
    assert_eq!(served_by(&nodes[3].view(), "a"), 4, "and they stay without it");
    assert_eq!(nodes[0].hand_back(Duration::ZERO).await, Ok(()), "there is nothing left to wait for");
    soon(nodes[0].drain(Drain::new())).await.expect("three stay");
    assert_eq!(served_by(&nodes[3].view(), "a"), 0);
    let (counted, worst) = callers.end().await;
    assert!(worst < Duration::from_millis(700), "a hand-over keeps callers waiting for milliseconds: {worst:?}");
    for (id, count) in counted {
        assert_eq!(counter(&nodes[3], &id).ask(Count).await.expect("a read"), count);
    }
    for n in 0..40 {
        assert_eq!(counter(&nodes[1], &format!("k{n}")).ask(Count).await.expect("a read"), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_overload_alone_a_returned_node_is_given_what_its_neighbour_has_too_much_of() {
    let network = MemoryNetwork::new();
    let nodes = returned_unpinned("on_overload", &network).await;
    until("b serves its share", async || served_by(&nodes[3].view(), "b") == 4).await;
    assert_eq!(at_home(&nodes[3].view(), "a").0, 4, "and what it gave up is at home");
}

/// As `returned`, without waiting for where anything is.
async fn returned_unpinned(pin: &str, network: &MemoryNetwork) -> Vec<Node> {
    let file = file(&NAMES, &format!("pin = \"{pin}\""));
    let mut nodes = start_all(&file, network).await;
    kill(network, &nodes[0]);
    made_good(&nodes[3], nodes[0].id()).await;
    assert_eq!(served_by(&nodes[3].view(), "b"), 8);
    nodes[0] = start_in(&file, "a", network).await;
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn where_arcs_never_move_a_drain_says_what_to_do_instead_and_an_idle_node_still_leaves() {
    let network = MemoryNetwork::new();
    let nodes = returned("never_move", &network).await;
    let refused = nodes[1].drain(Drain::new()).await.expect_err("it serves its own arcs and those of a");
    assert_eq!(refused, DrainError::Pinned { arcs: 8 });
    assert!(refused.to_string().contains("stop it"), "{refused}");
    assert_eq!((nodes[1].standing(), nodes[1].readiness()), (Standing::Open, Readiness::Serving), "nothing was begun");
    // Who serves nothing has nothing pinned.
    soon(nodes[0].drain(Drain::new())).await.expect("its copies are made elsewhere");
    assert_eq!(served_by(&nodes[3].view(), "b"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_word_is_refused_where_it_would_wait_for_nothing() {
    let network = MemoryNetwork::new();
    let nodes = returned("on_drain", &network).await;
    // An order holds before any view has it.
    assert!(nodes[0].cordon());
    assert_eq!(nodes[0].standing(), Standing::Open);
    assert_eq!(nodes[0].hand_back(Node::HAND_BACK_WITHIN).await, Err(HandBackError::Cordoned));
    assert!(nodes[0].uncordon());
    let timed_out = nodes[0].hand_back(Duration::ZERO).await;
    assert_eq!(
        timed_out,
        Err(HandBackError::TimedOut { missing: MissingArcs { copied: 4, ..MissingArcs::default() } })
    );
    until("the claim is taken back", async || !claims(&nodes[0])).await;
    kill(&network, &nodes[1]);
    kill(&network, &nodes[2]);
    kill(&network, &nodes[3]);
    until("no quorum", async || !nodes[0].outlook().has_quorum()).await;
    assert!(matches!(nodes[0].hand_back(Duration::ZERO).await, Err(HandBackError::NoQuorum { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_is_nobodys_home() {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file_of(&[("a", ""), ("b", ""), ("w", "role = \"witness\"")], ""), &network).await;
    assert_eq!(nodes[2].hand_back(Duration::ZERO).await, Err(HandBackError::NotAHost));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reaches_does_not_come_and_a_new_order_ends_the_wait_for_it() {
    let network = MemoryNetwork::new();
    let file = file(&["a", "b", "c", "d"], "backups = 0\npin = \"on_drain\"");
    let mut nodes = start_all(&file, &network).await;
    kill(&network, &nodes[0]);
    until("a is out", async || nodes[3].view().members.len() == 3).await;
    nodes[0] = start_in(&file, "a", &network).await;
    #[expect(clippy::async_yields_async, reason = "what it gives back is waited for later")]
    let waits = async |within| {
        let node = nodes[0].clone();
        let waiters = || node.0.claims.lock().expect("no panic").waiting;
        let before = waiters();
        let waiting = tokio::spawn({
            let node = node.clone();
            async move { node.hand_back(within).await }
        });
        until("it claims", async || waiters() > before && claims(&node)).await;
        waiting
    };
    // Its arcs were on its former process, which is not proved dead.
    let timed_out = soon(waits(Duration::from_millis(400)).await).await.expect("no panic");
    assert_eq!(
        timed_out,
        Err(HandBackError::TimedOut { missing: MissingArcs { unreachable: 4, ..MissingArcs::default() } })
    );
    until("the claim is taken back", async || !claims(&nodes[0])).await;
    let (one, other) = (waits(Node::HAND_BACK_WITHIN).await, waits(Node::HAND_BACK_WITHIN).await);
    assert!(nodes[0].uncordon());
    for waiting in [one, other] {
        assert_eq!(soon(waiting).await.expect("no panic"), Err(HandBackError::CalledOff));
    }
    let waiting = waits(Node::HAND_BACK_WITHIN).await;
    assert!(nodes[0].cordon());
    assert_eq!(soon(waiting).await.expect("no panic"), Err(HandBackError::Cordoned));
    assert!(nodes[0].uncordon());
    until("it is open", async || nodes[0].standing() == Standing::Open).await;
    // Whoever asked went away.
    let waiting = waits(Node::HAND_BACK_WITHIN).await;
    waiting.abort();
    until("nobody claims for it", async || !claims(&nodes[0])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_twice_the_weight_serves_twice_as_much_and_takes_its_new_share_when_it_comes_back() {
    let network = MemoryNetwork::new();
    let weighing = |weight: &str| file_of(&[("a", ""), ("b", weight), ("c", "")], "");
    let mut nodes = start_all(&weighing("weight = 2"), &network).await;
    let shares = |node: &Node| ["a", "b", "c"].map(|name| served_by(&node.view(), name));
    assert_eq!(shares(&nodes[0]), [6, 12, 6]);
    kill(&network, &nodes[1]);
    made_good(&nodes[0], nodes[1].id()).await;
    nodes[1] = start_in(&weighing("weight = 1"), "b", &network).await;
    until("every arc is at home", async || shares(&nodes[0]) == [8, 8, 8]).await;
}
