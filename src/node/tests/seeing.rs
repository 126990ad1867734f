//! What a node shows of itself and of the ring: the state of each arc, stale reads, and what is not protected.

use super::*;

/// The part that each node, by name, has in an arc.
async fn parts(nodes: &[Node], arc: ArcId) -> Vec<(String, ArcPart)> {
    let mut parts = Vec::new();
    for node in nodes {
        parts.push((node.id().name.to_string(), node.arcs().await[usize::from(arc.0)].part));
    }
    parts
}

fn as_named(named: &[(&str, ArcPart)]) -> Vec<(String, ArcPart)> {
    named.iter().map(|(name, part)| (name.to_string(), *part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_arc_shows_every_state_it_goes_through_when_its_primary_is_lost() {
    use ArcPart::{Active, Away, Backup, CatchingUp, Promoting};
    let network = MemoryNetwork::new();
    // Without proof of death a promoted primary waits out this lease, so that its state can be looked at.
    let slow = "lease = \"1500ms\"\nsuspect_after = \"2s\"";
    let nodes = start_all(&file(&["a", "b", "c"], slow), &network).await;
    let id = id_served_by(&nodes[0], "a");
    let arc = arc_of(&nodes[0], &id);
    counter(&nodes[0], &id).call(Add(1)).await.expect("done");
    let whole = counter(&nodes[1], &id);
    until("the backup is told", async || whole.read_stale(Count).await.is_ok_and(|s| s.reply == 1)).await;
    let stale = whole.read_stale(Count).await.expect("b guards it");
    assert_eq!(
        stale.version,
        counter(&nodes[0], &id).ask_with(Count, CallOptions::new()).await.expect("asked").version
    );
    assert_eq!(parts(&nodes, arc).await, as_named(&[("a", Active), ("b", Backup), ("c", Away)]));
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    until("b is promoted and c catches up", async || {
        parts(&others, arc).await == as_named(&[("b", Promoting), ("c", CatchingUp)])
    })
    .await;
    let early = whole.read_stale(Count).await.expect_err("a node that is only being promoted says nothing");
    assert!(matches!(early.kind(), ErrorKind::NotDone { .. }), "{early}");
    until("b serves and c guards it", async || parts(&others, arc).await == as_named(&[("b", Active), ("c", Backup)]))
        .await;
    assert_eq!(whole.read_stale(Count).await.expect("its primary now").reply, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arc_whose_only_copy_is_gone_shows_recovering_and_once_that_is_proved_lost() {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file(&["a", "b", "c"], "backups = 0"), &network).await;
    let arc = arc_of(&nodes[0], &id_served_by(&nodes[0], "a"));
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    until("nobody serves it", async || {
        parts(&others, arc).await == as_named(&[("b", ArcPart::Recovering), ("c", ArcPart::Recovering)])
    })
    .await;
    prove_dead(&others, first);
    until("one of them serves what is left of it: nothing", async || {
        let parts = parts(&others, arc).await;
        parts.iter().any(|(_, part)| *part == ArcPart::Lost) && parts.iter().any(|(_, part)| *part == ArcPart::Away)
    })
    .await;
    for node in &others {
        until("everyone can say since when", async || node.arcs().await[usize::from(arc.0)].lost_at.is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unprotected_sessions_are_counted_until_the_ring_is_whole_again() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    for n in 0..32 {
        counter(&nodes[0], &format!("s{n}")).call(Add(1)).await.expect("done");
    }
    let count = async |nodes: &[Node]| {
        let mut unprotected = 0;
        for node in nodes {
            unprotected += node.unprotected_sessions().await;
        }
        unprotected
    };
    assert_eq!((count(&nodes).await, nodes[1].unprotected_arcs()), (0, 0));
    let (b, c) = (nodes[1].id().name, nodes[2].id().name);
    // Catching up takes a while, so that there is something to see.
    network.delay(b, c, Duration::from_millis(25));
    network.delay(c, b, Duration::from_millis(25));
    let mut views = nodes[1].views();
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    let without =
        soon(views.wait_for(|v| v.as_ref().is_some_and(|v| !v.is_member(first)))).await.expect("it lives").clone();
    let without = without.expect("a view");
    let bare = || without.arcs.iter().filter(|e| e.in_sync.is_empty());
    assert!(
        bare().count() > 0 && bare().all(|e| e.catching_up.is_some()),
        "the view that removes it begins to mend: {without:?}"
    );
    until("they are counted", async || count(&others).await > 0 && others[0].unprotected_arcs() > 0).await;
    soon(others[0].fully_protected()).await;
    soon(others[1].fully_protected()).await;
    assert_eq!((count(&others).await, others[0].unprotected_arcs()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_quorum_says_whom_it_awaits_and_is_not_protected_until_they_are_back() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let [a, b, c] = &nodes[..] else { panic!("three") };
    assert!(a.outlook().fully_protected && a.outlook().has_quorum());
    let mut events = a.events();
    let apart = [(a.id().name, b.id().name), (a.id().name, c.id().name)];
    apart.iter().for_each(|(one, other)| network.cut(*one, *other));
    until("it is alone", async || !a.outlook().has_quorum()).await;
    let names = |names: &[NodeName]| names.iter().map(NodeName::as_str).collect::<String>();
    assert_eq!((names(&a.outlook().awaited), names(&a.outlook().unheard)), ("bc".to_owned(), "bc".to_owned()));
    assert!(!a.outlook().fully_protected);
    assert_eq!(a.readiness(), Readiness::Serving, "it goes on as soon as they are heard");
    let told = soon(async {
        loop {
            if let EventKind::QuorumLost { awaited } = events.recv().await.expect("it lives").what {
                return awaited;
            }
        }
    });
    assert_eq!(told.await, ["b", "c"]);
    soon(b.fully_protected()).await;
    apart.iter().for_each(|(one, other)| network.heal(*one, *other));
    soon(a.fully_protected()).await;
    assert!(a.outlook().has_quorum());
}
