//! A ring that cannot go on by itself, and its operator's words.

use std::collections::BTreeSet;

use super::*;
use crate::{Recovery, RecoveryFault, Restored, membership::Declined};

fn names(of: &[&str]) -> BTreeSet<NodeName> {
    of.iter().map(|name| NodeName::new(name).expect("a plain name")).collect()
}

async fn stands_still(node: &Node) {
    until("no quorum is heard", async || !node.outlook().has_quorum()).await;
}

/// Sessions that were each counted to their number, and whether one of these nodes holds them in sync.
async fn counted(nodes: &[Node], holders: &[&str]) -> Vec<(String, u64, bool)> {
    let view = nodes[0].view();
    let mut all = Vec::new();
    for number in 1..=60 {
        let id = format!("r{number}");
        assert_eq!(counter(&nodes[0], &id).call(Add(number)).await.expect("done"), number);
        let entry = view.arc(arc_of(&nodes[0], &id)).expect("one of its arcs");
        let held = view.members.iter().any(|m| holders.contains(&m.node.name.as_str()) && entry.holds(m.node));
        all.push((id, number, held));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_without_its_majority_goes_on_with_those_named_and_loses_only_what_none_of_them_had() {
    let network = MemoryNetwork::new();
    let file = file(&["a", "b", "c", "d", "e"], "");
    let nodes = start_all(&file, &network).await;
    let sessions = counted(&nodes, &["d", "e"]).await;
    let before = nodes[3].view();
    nodes[..3].iter().for_each(|node| kill(&network, node));
    stands_still(&nodes[3]).await;
    stands_still(&nodes[4]).await;
    let planned = nodes[3].plan_recovery(&names(&["d", "e"])).expect("both may serve");
    let Recovery { cluster, kept, lost, members, .. } =
        soon(nodes[3].recover(&names(&["d", "e"]))).await.expect("both run");
    assert_ne!(cluster, before.cluster);
    assert_eq!((planned.kept, planned.lost, planned.members), (kept, lost.clone(), members), "as it was said before");
    assert!(kept > 0 && !lost.is_empty());
    for node in &nodes[3..] {
        soon(node.fully_protected()).await;
        assert_eq!((node.view().cluster, &node.view().succeeds), (cluster, &vec![before.cluster]));
    }
    for (id, count, held) in &sessions {
        let asked = soon(counter(&nodes[4], id).ask(Count)).await;
        if *held {
            assert_eq!(asked.expect("it was in sync on d or e"), *count, "{id}");
            assert_eq!(counter(&nodes[3], id).call(Add(1)).await.expect("it goes on"), count + 1);
        } else {
            assert_eq!(*asked.expect_err("nobody has it").kind(), ErrorKind::Lost, "{id}");
        }
    }
    // It is a ring as any other: who is started anew comes in, and the next loss is made good.
    let back = soon(start_in(&file, "a", &network)).await;
    soon(nodes[3].fully_protected()).await;
    assert_eq!(back.view().cluster, cluster);
    kill(&network, &nodes[4]);
    let (id, count, _) = sessions.iter().find(|(_, _, held)| *held).expect("some were held");
    assert_eq!(soon(counter(&back, id).ask(Count)).await.expect("asked"), count + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recovered_where_a_quorum_is_heard_or_somebody_named_does_not_answer() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let heard = nodes[0].recover(&names(&["a", "b"])).await.expect_err("the ring decides by itself");
    assert_eq!(heard, RecoveryFault::Declined(nodes[0].id().name, Declined::HasQuorum));
    assert!(heard.to_string().contains("nothing to recover"), "{heard}");
    kill(&network, &nodes[0]);
    kill(&network, &nodes[1]);
    stands_still(&nodes[2]).await;
    let view = nodes[2].view();
    for (named, fault) in [
        (names(&["a"]), RecoveryFault::NotNamed(nodes[2].id().name)),
        (names(&["b", "c"]), RecoveryFault::NotReached(vec![nodes[1].id().name])),
        (names(&["c", "nobody"]), RecoveryFault::NotReached(vec![NodeName::new("nobody").expect("a name")])),
    ] {
        assert_eq!(soon(nodes[2].recover(&named)).await.expect_err("it cannot be"), fault);
        assert_eq!(nodes[2].view().cluster, view.cluster);
    }
    let alone = soon(nodes[2].recover(&names(&["c"]))).await.expect("c runs");
    assert_eq!(alone.members, [nodes[2].id().name]);
    let id = id_served_by(&nodes[2], "c");
    assert!(soon(counter(&nodes[2], &id).create()).await.is_ok(), "whatever was lost, it may begin anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_only_cut_off_serves_nothing_and_keeps_what_it_holds_until_its_operator_has_it_follow() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d", "e"], &network).await;
    let all = counted(&nodes, &["e"]).await;
    let name = |n: &Node| n.id().name;
    // a and b are killed; c and d lose e, which is only cut off. Nobody has a majority.
    kill(&network, &nodes[0]);
    kill(&network, &nodes[1]);
    network.cut(name(&nodes[4]), name(&nodes[2]));
    network.cut(name(&nodes[4]), name(&nodes[3]));
    for node in &nodes[2..] {
        stands_still(node).await;
    }
    let recovered = soon(nodes[2].recover(&names(&["c", "d"]))).await.expect("both run");
    soon(nodes[3].fully_protected()).await;
    let before = nodes[4].view().cluster;
    network.heal(name(&nodes[4]), name(&nodes[2]));
    network.heal(name(&nodes[4]), name(&nodes[3]));
    until("they hear each other", async || nodes[4].linked().len() == 2).await;
    time::sleep(Duration::from_millis(500)).await;
    assert_eq!((nodes[4].view().cluster, nodes[2].view().cluster), (before, recovered.cluster));
    let held: u64 = nodes[4].arcs().await.iter().map(|arc| arc.sessions).sum();
    assert!(held > 0, "what it has may be wanted yet");
    for (id, count, _) in all.iter().take(20) {
        let options = CallOptions::new().deadline(Duration::from_millis(300));
        if let Ok(told) = counter(&nodes[4], id).ask_with(Count, options).await {
            assert_eq!((told.reply, told.node == nodes[4].id()), (*count, false), "only the others answer");
        }
        match soon(counter(&nodes[2], id).ask(Count)).await {
            Ok(told) => assert_eq!(told, *count),
            Err(why) => assert_eq!(*why.kind(), ErrorKind::Lost),
        }
    }
    // On another word it comes along, and with it what only it had.
    let came = soon(nodes[4].restore_stale()).await.expect("it is let in");
    assert!(came.restored > 0 && came.existed == 0 && came.failed == 0, "{came:?}");
    soon(nodes[2].fully_protected()).await;
    assert_eq!((nodes[4].view().cluster, nodes[4].outlook().left_behind_by), (recovered.cluster, None));
    let mut lost = 0;
    for (id, count, held_by_it) in &all {
        match soon(counter(&nodes[2], id).ask(Count)).await {
            Ok(told) => assert_eq!(told, *count),
            Err(why) => {
                assert!(*why.kind() == ErrorKind::Lost && !held_by_it, "{id}: {why}");
                lost += 1;
            }
        }
    }
    assert!(lost > 0, "some were on a and b alone");
    // And what is lost all the same, is cleared by a last one.
    let cleared = soon(nodes[3].clear_lost()).await.expect("there is a quorum");
    assert_eq!(cleared.len(), recovered.lost.len());
    for node in &nodes[2..] {
        until("it has that view", async || node.view().open_losses().is_empty()).await;
    }
    for (id, count, _) in &all {
        let told = soon(counter(&nodes[4], id).ask(Count)).await.expect("nothing is lost any more");
        assert!([0, *count].contains(&told), "{id}");
    }
    assert_eq!(soon(nodes[4].clear_lost()).await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_word_makes_one_dead_that_nobody_hears_and_nobody_else() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d", "e"], &network).await;
    let (a, b) = (nodes[0].id(), nodes[1].id());
    let heard = nodes[2].declare_dead(a.name).await.expect_err("it lives");
    assert_eq!(heard, RecoveryFault::Heard(a.name));
    let nobody = NodeName::new("nobody").expect("a name");
    assert_eq!(nodes[2].declare_dead(nobody).await, Err(RecoveryFault::NoSuchNode(nobody)));
    assert_eq!(nodes[2].plan_death(a.name), Err(RecoveryFault::Heard(a.name)));
    kill(&network, &nodes[0]);
    kill(&network, &nodes[1]);
    let both = |node: &Node| node.view().arcs.iter().filter(|e| [a, b].contains(&e.primary)).count();
    until("they are out", async || !nodes[2].view().is_member(a) && !nodes[2].view().is_member(b)).await;
    assert!(both(&nodes[2]) > 0, "some arcs had both copies there, and nobody can say that they are gone");
    let planned = nodes[2].plan_death(a.name).expect("nobody hears it");
    assert_eq!((planned.processes, planned.quorum), (vec![a], true));
    for name in [a.name, b.name] {
        until("nobody hears it", async || nodes[3].declare_dead(name).await.is_ok()).await;
    }
    until("what only they had is given up", async || both(&nodes[4]) == 0).await;
    soon(nodes[4].fully_protected()).await;
    let lost = nodes[4].view().arcs.iter().filter(|e| e.lost_at.is_some()).count();
    assert!(lost > 0, "and said to be lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_with_its_copies_comes_back_from_an_older_one_on_an_operators_word_alone() {
    let network = MemoryNetwork::new();
    let more = "suspect_after = \"800ms\"\n[cluster.limits]\ncatch_up_chunk = \"4KiB\"\ncatch_up_chunks = 1";
    let nodes = start_all(&file(&["a", "b", "c"], more), &network).await;
    let [a, b, c] = [0, 1, 2].map(|at: usize| nodes[at].id());
    let view = nodes[0].view();
    let copied = |id: &String| view.arc(arc_of(&nodes[0], id)).is_some_and(|e| e.primary == a && e.in_sync == [b]);
    let ids: Vec<String> = (0..400).map(|n| format!("q{n}")).filter(copied).take(12).collect();
    let large = "x".repeat(60_000);
    for id in &ids {
        assert_eq!(counter(&nodes[0], id).call(Add(7)).await.expect("done"), 7);
        assert_eq!(log(&nodes[0], id).call(Append(large.clone())).await.expect("done"), 1);
    }
    // b is cut off. Catching up takes c long, so a is alone with what comes now.
    for (one, other) in [(a, c), (c, a)] {
        network.delay(one.name, other.name, Duration::from_millis(60));
    }
    network.cut(b.name, a.name);
    network.cut(b.name, c.name);
    until("the others go on without it", async || !nodes[0].view().is_member(b)).await;
    for id in &ids {
        assert_eq!(soon(counter(&nodes[0], id).call(Add(1))).await.expect("done"), 8);
    }
    let is_alone = |id: &String| nodes[0].view().arc(arc_of(&nodes[0], id)).is_some_and(|e| e.in_sync.is_empty());
    assert!(ids.iter().all(is_alone), "c is not through yet");
    kill(&network, &nodes[0]);
    prove_dead(&nodes[1..], a);
    network.heal(b.name, c.name);
    until("b is back", async || nodes[2].view().is_member(b)).await;
    soon(nodes[2].fully_protected()).await;
    for id in &ids {
        let lost = soon(counter(&nodes[2], id).ask(Count)).await.expect_err("only a had all of it");
        assert_eq!(*lost.kind(), ErrorKind::Lost);
    }
    // One is made anew meanwhile, and stays.
    counter(&nodes[2], &ids[0]).create_with(&Counter { count: 100 }).await.expect("made");
    let kept = nodes[1].stale_copies().await;
    assert!(kept.iter().all(|copy| copy.wanted) && !kept.is_empty(), "{kept:?}");
    let Restored { restored, existed, failed, .. } = nodes[1].restore_stale().await.expect("it is in the ring");
    assert_eq!((restored, existed, failed), (2 * ids.len() - 1, 1, 0));
    for (at, id) in ids.iter().enumerate() {
        let count = if at == 0 { 100 } else { 7 };
        assert_eq!(counter(&nodes[2], id).ask(Count).await.expect("it is back, as b had it"), count);
        assert_eq!(log(&nodes[2], id).ask(Lines).await.expect("asked"), [large.as_str()]);
    }
    assert_eq!(nodes[1].stale_copies().await, [], "needed no more");
}
