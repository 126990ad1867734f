//! Nodes that leave, and nodes that come, while callers go on: no call fails, nothing is counted twice or not at all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::{Drain, DrainError, membership::Standing};

/// Callers that count one by one, each in sessions of its own, through a node that stays.
pub(super) struct Callers {
    stop: Arc<AtomicBool>,
    worst: Arc<AtomicU64>,
    running: JoinSet<(String, u64)>,
}

impl Callers {
    pub(super) fn begin(through: &Node, how_many: u32) -> Self {
        let (stop, worst) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut running = JoinSet::new();
        for number in 0..how_many {
            let (stop, worst, node) = (Arc::clone(&stop), Arc::clone(&worst), through.clone());
            running.spawn(async move {
                let id = format!("s-{number}");
                let counter = counter(&node, &id);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let asked = clock::now();
                    let told = counter.call(Add(1)).await.unwrap_or_else(|why| panic!("call {count} of {id}: {why}"));
                    let took = clock::now().since(asked);
                    worst.fetch_max(u64::try_from(took.as_micros()).expect("short"), Ordering::Relaxed);
                    count += 1;
                    assert_eq!(told, count, "{id} counted something twice, or lost it");
                    assert_eq!(counter.ask(Count).await.expect("a read"), count, "{id} was read stale");
                    time::sleep(Duration::from_millis(1)).await;
                }
                (id, count)
            });
        }
        Self { stop, worst, running }
    }

    /// How often each counted, and the longest that a call took.
    pub(super) async fn end(self) -> (Vec<(String, u64)>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let counted = self.running.join_all().await;
        (counted, Duration::from_micros(self.worst.load(Ordering::Relaxed)))
    }
}

/// Waits until a node knows that another is no member, and that all is well without it.
pub(super) async fn made_good(node: &Node, without: NodeId) {
    let mut views = node.views();
    let is_out = views.wait_for(|view| view.as_ref().is_some_and(|v| !v.is_member(without)));
    soon(is_out).await.expect("the node runs");
    soon(node.fully_protected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_drain_and_come_back_one_by_one_fail_no_call() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c", "d"];
    let mut nodes = start(&names, &network).await;
    let callers = Callers::begin(&nodes[3], 24);
    for (at, name) in names.iter().enumerate().take(3) {
        soon(nodes[at].drain(Drain::new())).await.expect("three stay");
        made_good(&nodes[3], nodes[at].id()).await;
        let left = nodes[at].view();
        assert!(
            left.fully_protected() && left.absent_voter().is_none(),
            "what it held is elsewhere before it goes: {left:?}"
        );
        nodes[at].stop().await;
        nodes[at] = start_one(name, &names, &network).await;
        soon(nodes[at].fully_protected()).await;
    }
    let (counted, worst) = callers.end().await;
    println!("the longest call took {worst:?}");
    assert!(worst < Duration::from_millis(700), "a hand-over keeps callers waiting for milliseconds: {worst:?}");
    for (id, count) in counted {
        assert!(count > 0);
        assert_eq!(counter(&nodes[0], &id).ask(Count).await.expect("a read"), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_drains_on_the_operators_word_and_the_other_has_everything() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b"], &network).await;
    for n in 0..20 {
        counter(&nodes[0], &format!("s-{n}")).call(Add(n)).await.expect("done");
    }
    let refused = nodes[0].drain(Drain::new()).await.expect_err("one node is no backup of itself");
    assert_eq!(refused, DrainError::Unprotected { stay: 1, wanted: 2 });
    assert_eq!((nodes[0].standing(), nodes[0].readiness()), (Standing::Open, Readiness::Serving), "nothing was begun");
    soon(nodes[0].drain(Drain::new().even_unprotected())).await.expect("b takes all");
    nodes[0].stop().await;
    for n in 0..20 {
        assert_eq!(counter(&nodes[1], &format!("s-{n}")).ask(Count).await.expect("a read"), n);
    }
    let refused = nodes[1].drain(Drain::new().even_unprotected()).await;
    assert_eq!(refused, Err(DrainError::NobodyElse), "all that is here would be lost");
    let a = start_one("a", &["a", "b"], &network).await;
    let home = async {
        while a.view().arcs.iter().any(|e| e.primary.name != e.home) || !a.view().fully_protected() {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(home).await;
    assert_eq!(counter(&a, "s-7").ask(Count).await.expect("a read"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_node_keeps_what_it_has_and_gets_nothing_more() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d"], &network).await;
    let held = |view: &View, name: &str| view.arcs.iter().filter(|e| names_of(e).contains(&name)).count();
    fn names_of(entry: &crate::membership::ArcEntry) -> Vec<&str> {
        entry.in_sync.iter().chain([&entry.primary]).map(|n| n.name.as_str()).collect()
    }
    let before = nodes[0].view();
    assert!(nodes[2].cordon());
    let known = async {
        while nodes[0].view().member(nodes[2].id()).is_none_or(|m| m.standing != Standing::Cordoned) {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(known).await;
    kill(&network, &nodes[1]);
    made_good(&nodes[0], nodes[1].id()).await;
    let after = nodes[0].view();
    for (old, new) in before.arcs.iter().zip(&after.arcs) {
        assert!(!names_of(new).contains(&"c") || names_of(old).contains(&"c"), "c was given {new:?}, before {old:?}");
    }
    assert_eq!(held(&after, "c"), held(&before, "c"), "and it keeps what it had");
    assert!(nodes[2].uncordon());
    let more = async {
        while held(&nodes[0].view(), "c") <= held(&before, "c") {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_drained_and_has_left_does_not_come_back_for_an_order() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    soon(nodes[2].drain(Drain::new())).await.expect("two stay");
    let out = nodes[2].view().number;
    assert!(!nodes[2].uncordon() && !nodes[2].cordon());
    made_good(&nodes[0], nodes[2].id()).await;
    // Longer than it takes to be let in.
    time::sleep(Duration::from_millis(300)).await;
    assert!(!nodes[0].view().is_member(nodes[2].id()), "it left in {out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_well_though_the_heir_or_another_is_killed_meanwhile() {
    let names = ["a", "b", "c", "d", "e"];
    for victim in [1, 2, 4] {
        let network = MemoryNetwork::new();
        let nodes = start(&names, &network).await;
        let callers = Callers::begin(&nodes[3], 12);
        let draining = tokio::spawn({
            let node = nodes[0].clone();
            async move { node.drain(Drain::new()).await }
        });
        time::sleep(Duration::from_millis(30 + 5 * victim as u64)).await;
        kill(&network, &nodes[victim]);
        soon(draining).await.expect("no panic").expect("four, then three, stay");
        nodes[0].stop().await;
        soon(nodes[3].fully_protected()).await;
        for (id, count) in callers.end().await.0 {
            assert_eq!(counter(&nodes[3], &id).ask(Count).await.expect("a read"), count);
        }
    }
}
