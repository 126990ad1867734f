//! The ring before, during and after a loss: who guards whom, and that every node takes every session.

use super::*;

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

/// Arc by arc, by its home: who serves it and who guards it.
fn links(view: &View) -> Vec<String> {
    let guards = |e: &crate::membership::ArcEntry| e.in_sync.iter().map(|n| n.name.to_string()).collect::<String>();
    let mut links: Vec<String> =
        view.arcs.iter().map(|e| format!("{}: {}>{}", e.home, e.primary.name, guards(e))).collect();
    links.sort();
    links
}

/// That the copies are where the view says: an id of each arc is read at its primary and its backup and nowhere else.
async fn copies_are_where_the_view_says(nodes: &[Node], ids: &[String], count: u64) {
    let view = nodes[0].view();
    for id in ids {
        let entry = view.arc(arc_of(&nodes[0], id)).expect("there is such an arc");
        for node in nodes {
            let read = counter(node, id).read_stale(Count).await;
            if entry.holds(node.id()) {
                let told = async {
                    while counter(node, id).read_stale(Count).await.map(|s| s.reply).ok() != Some(count) {
                        time::sleep(Duration::from_millis(2)).await;
                    }
                };
                soon(told).await;
            } else {
                let why = read.expect_err("it holds no copy");
                assert!(matches!(why.kind(), ErrorKind::NotDone { .. }), "{why}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_with_four_arcs_guard_each_other_round_the_ring_before_during_and_after_a_loss() {
    let network = MemoryNetwork::new();
    let file = file(&["a", "b", "c", "d"], "arcs = 4\nspread = 1");
    let nodes = start_all(&file, &network).await;
    let ring = ["a: a>b", "b: b>c", "c: c>d", "d: d>a"];
    for node in &nodes {
        assert_eq!(links(&node.view()), ring);
        assert_eq!(*node.view(), *nodes[0].view(), "every node has the same numbered view");
    }
    let ids: Vec<String> = ["a", "b", "c", "d"].iter().map(|name| id_served_by(&nodes[0], name)).collect();
    for id in &ids {
        counter(&nodes[0], id).call(Add(1)).await.expect("done");
    }
    copies_are_where_the_view_says(&nodes, &ids, 1).await;
    let second = nodes[1].id();
    let (victim, others) = split(nodes, second);
    kill(&network, &victim);
    // The survivors hold what b held: c serves b's arc and keeps its own, and a's guard is c now.
    let mended = ["a: a>c", "b: c>d", "c: c>d", "d: d>a"];
    until("the ring closes round the gap", async || links(&others[0].view()) == mended).await;
    for (node, id) in others.iter().cycle().zip(&ids) {
        assert_eq!(soon(counter(node, id).call(Add(1))).await.expect("done"), 2);
    }
    for node in &others {
        until("everyone hears of it", async || links(&node.view()) == mended).await;
    }
    copies_are_where_the_view_says(&others, &ids, 2).await;
    let back = start_in(&file, "b", &network).await;
    let mut nodes = others;
    nodes.insert(1, back);
    for node in &nodes {
        until("the ring is as it was", async || links(&node.view()) == ring).await;
    }
    for (node, id) in nodes.iter().cycle().zip(&ids) {
        assert_eq!(soon(counter(node, id).call(Add(1))).await.expect("done"), 3);
    }
    copies_are_where_the_view_says(&nodes, &ids, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_every_remaining_node_takes_every_session() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d"], &network).await;
    let ids: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
    for id in &ids {
        counter(&nodes[0], id).call(Add(1)).await.expect("done");
    }
    let lost = nodes[2].id();
    let served = |id: &&String| counter(&nodes[0], id).primary() == Some(lost);
    assert!(ids.iter().filter(served).count() > 3, "the control: it served some of them");
    let (victim, others) = split(nodes, lost);
    kill(&network, &victim);
    for (done, node) in (2..).zip(&others) {
        for id in &ids {
            assert_eq!(soon(counter(node, id).call(Add(1))).await.expect("done"), done);
            assert_ne!(counter(node, id).primary().map(|n| n.name), Some(lost.name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_process_is_another_node_and_the_old_one_is_fenced() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c"];
    let nodes = start(&names, &network).await;
    let id = id_served_by(&nodes[0], "a");
    assert_eq!(counter(&nodes[0], &id).call(Add(1)).await.expect("done"), 1);
    let (old, first) = (nodes[0].clone(), nodes[0].id());
    // Cut off, the old process does not know that it is no longer a member; it still has the session, and thinks it serves.
    let name = |n: &str| NodeName::new(n).expect("plain");
    network.cut(name("a"), name("b"));
    network.cut(name("a"), name("c"));
    until("the others go on without it", async || !nodes[1].view().is_member(first)).await;
    assert_eq!(soon(counter(&nodes[1], &id).call(Add(1))).await.expect("done"), 2);
    assert_eq!(counter(&old, &id).primary(), Some(first), "the control: it has not heard");
    let short = || CallOptions::new().deadline(Duration::from_millis(500));
    let refused = counter(&old, &id).call_with(Add(10), short()).await.expect_err("no copy acknowledges it");
    assert_eq!(*refused.kind(), ErrorKind::OutcomeUnknown);
    let read = counter(&old, &id).ask_with(Count, short()).await.expect_err("its lease has run out");
    assert!(read.changed() == crate::error::Changed::No, "{read}");
    network.heal(name("a"), name("b"));
    network.heal(name("a"), name("c"));
    // It ends without a word, and a new process of that name takes the address.
    network.kill(first);
    let again = start_one("a", &names, &network).await;
    assert_ne!(again.id(), first);
    until("its arcs are back", async || {
        let view = nodes[1].view();
        view.fully_protected() && view.arc(arc_of(&nodes[1], &id)).is_some_and(|e| e.primary == again.id())
    })
    .await;
    assert_eq!(soon(counter(&nodes[2], &id).call(Add(1))).await.expect("done"), 3);
    assert!(!nodes[1].view().is_member(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_only_silent_is_trusted_again_by_the_first_ping_it_answers() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d"], &network).await;
    let (a, b) = (nodes[0].id(), nodes[1].id());
    let mut events = nodes[0].events();
    // Only these two lose each other's heartbeats; the others hear both, so nobody is removed.
    network.0.drop_heartbeats(b.name, a.name, true);
    let told = async |events: &mut EventReceiver, wanted: EventKind| {
        while soon(events.recv()).await.expect("the node lives").what != wanted {}
    };
    told(&mut events, EventKind::Suspected { node: b }).await;
    network.0.drop_heartbeats(b.name, a.name, false);
    told(&mut events, EventKind::Trusted { node: b }).await;
    assert!(nodes[2].view().is_member(a) && nodes[2].view().is_member(b));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_heard_and_hears_nothing_is_told_so() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d"], &network).await;
    let (a, b) = (nodes[0].id(), nodes[1].id());
    let mut events = nodes[0].events();
    network.0.drop_heartbeats(a.name, b.name, true);
    let told =
        async { while soon(events.recv()).await.expect("the node lives").what != (EventKind::Unheard { by: b }) {} };
    soon(told).await;
}
